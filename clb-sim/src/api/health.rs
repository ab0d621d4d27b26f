//! `DescribeTargetHealth`: how the targets of up to 30 load balancers fare.

use super::Reply;
use super::bound::{interface, unseen_rule};
use super::listeners::Wanted;
use super::params::{Params, at_most, not_empty};
use crate::health::machine::Verdict;
use crate::refusal::Refusal;
use crate::state::parts::{Listener, LoadBalancer, Place, Rule, Target};
use crate::state::{Call, Model};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

const LOAD_BALANCERS_PER_CALL: usize = 30;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Describe {
    #[serde(rename = "LoadBalancerIds")]
    load_balancers: Vec<String>,
    #[serde(rename = "ListenerIds")]
    listeners: Option<Vec<String>>,
    #[serde(rename = "LocationIds")]
    locations: Option<Vec<String>>,
}

impl Params for Describe {}

pub(super) fn describe(
    model: &mut Model,
    call: &Call,
    params: &Describe,
) -> Result<Reply, Refusal> {
    let ids = &params.load_balancers;
    not_empty("LoadBalancerIds", ids.len())?;
    at_most("LoadBalancerIds", ids.len(), LOAD_BALANCERS_PER_CALL)?;
    for id in ids {
        model.look_at(id, call.now);
    }
    let mut load_balancers = Vec::new();
    for id in ids {
        load_balancers.push(show(model.load_balancer(id)?, params));
    }
    Ok(Reply::now(Answer { load_balancers }))
}

// Structs and not JSON values, because there may be twenty thousand targets.

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    load_balancers: Vec<LoadBalancerHealth<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoadBalancerHealth<'a> {
    load_balancer_id: &'a str,
    load_balancer_name: &'a str,
    listeners: Vec<ListenerHealth<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListenerHealth<'a> {
    listener_id: &'a str,
    listener_name: &'a str,
    protocol: &'static str,
    port: u16,
    rules: Vec<RuleHealth<'a>>,
}

/// Layer 4 too hangs under a rule, one without domain and path.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RuleHealth<'a> {
    location_id: String,
    domain: Option<&'a str>,
    url: Option<&'a str>,
    targets: Vec<TargetHealth>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TargetHealth {
    #[serde(rename = "IP")]
    ip: IpAddr,
    port: u16,
    health_status: bool,
    target_id: String,
    health_status_detail: &'static str,
    /// The API's older spelling.
    health_status_detial: &'static str,
    target_group_id: Option<()>,
    weight: u8,
}

fn show<'a>(load_balancer: &'a LoadBalancer, params: &Describe) -> LoadBalancerHealth<'a> {
    let wanted = Wanted {
        ids: params.listeners.as_deref().unwrap_or_default(),
        protocol: None,
        port: None,
    };
    let locations = params.locations.as_deref().unwrap_or_default();
    let listeners = wanted.of(load_balancer);
    let shown = listeners.map(|listener| listener_health(listener, locations));
    LoadBalancerHealth {
        load_balancer_id: &load_balancer.id,
        load_balancer_name: &load_balancer.name,
        listeners: shown
            .filter(|listener| locations.is_empty() || !listener.rules.is_empty())
            .collect(),
    }
}

fn listener_health<'a>(listener: &'a Listener, locations: &[String]) -> ListenerHealth<'a> {
    let id = |place: &Place<'_>| {
        place
            .location_id
            .map_or_else(|| unseen_rule(listener), str::to_owned)
    };
    let rules = listener
        .places()
        .map(|place| (id(&place), place))
        .filter(|(id, _)| locations.is_empty() || locations.contains(id))
        .map(|(id, place)| rule_health(listener, id, place))
        .collect();
    ListenerHealth {
        listener_id: &listener.id,
        listener_name: &listener.name,
        protocol: listener.protocol.name(),
        port: listener.port,
        rules,
    }
}

fn rule_health<'a>(
    listener: &'a Listener,
    location_id: String,
    place: Place<'a>,
) -> RuleHealth<'a> {
    let rule = place.location_id.and_then(|id| listener.rule(id));
    let checks = place.check.is_some_and(|check| check.on);
    let targets = place
        .targets
        .iter()
        .map(|(address, target)| target_health(*address, target, checks))
        .collect();
    RuleHealth {
        location_id,
        domain: rule.map(Rule::domain),
        url: rule.map(|rule| rule.url.as_str()),
        targets,
    }
}

fn target_health(address: SocketAddr, target: &Target, checks: bool) -> TargetHealth {
    let verdict = target.health.verdict;
    let judged = match verdict {
        Verdict::Unknown => "Unknown",
        Verdict::Alive => "Alive",
        Verdict::Dead => "Dead",
    };
    let (detail, misspelt) = if checks {
        (judged, judged)
    } else {
        // The misspelt field is older than "Close" and never says it.
        ("Close", "Unknown")
    };
    TargetHealth {
        ip: address.ip(),
        port: address.port(),
        health_status: checks && verdict == Verdict::Alive,
        target_id: interface(address),
        health_status_detail: detail,
        health_status_detial: misspelt,
        target_group_id: None,
        weight: target.weight,
    }
}
