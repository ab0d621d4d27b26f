//! What is bound and how it fares: `DescribeTargets`, `DescribeTargetHealth`, `DescribeTaskStatus`.

use super::Reply;
use super::listeners::Wanted;
use super::load_balancers::Filter;
use super::params::{Params, at_most};
use crate::clock::beijing;
use crate::health::machine::Verdict;
use crate::refusal::{Refusal, code};
use crate::state::ids::derived;
use crate::state::parts::{Listener, LoadBalancer, Target};
use crate::state::{Call, Model};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};

const LISTENERS_PER_CALL: usize = 20;
const LOAD_BALANCERS_PER_CALL: usize = 30;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Targets {
    load_balancer_id: String,
    listener_ids: Option<Vec<String>>,
    protocol: Option<String>,
    port: Option<i64>,
    filters: Option<Vec<Filter>>,
}

impl Params for Targets {}

pub(super) fn targets(model: &mut Model, _: &Call, params: &Targets) -> Result<Reply, Refusal> {
    let load_balancer = model.load_balancer(&params.load_balancer_id)?;
    let ids = params.listener_ids.as_deref().unwrap_or_default();
    at_most("ListenerIds", ids.len(), LISTENERS_PER_CALL)?;
    let filters = params.filters.as_deref().unwrap_or_default();
    check_filters(filters)?;
    let wanted = Wanted {
        ids,
        protocol: params.protocol.as_deref(),
        port: params.port,
    };
    let listeners: Vec<Bound<'_>> = wanted
        .of(load_balancer)
        .map(|listener| show_bound(listener, filters))
        .collect();
    Ok(Reply::now(BoundListeners { listeners }))
}

fn check_filters(filters: &[Filter]) -> Result<(), Refusal> {
    let known = ["location-id", "private-ip-address", "tag"];
    match filters
        .iter()
        .find(|filter| !known.contains(&filter.name.as_str()))
    {
        None => Ok(()),
        Some(filter) => {
            let message = format!(
                "Filters.Name {:?} is not known: one of {known:?} is",
                filter.name
            );
            Err(Refusal::new(code::INVALID_FILTER, message))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BoundListeners<'a> {
    listeners: Vec<Bound<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Bound<'a> {
    listener_id: &'a str,
    protocol: &'static str,
    port: u16,
    end_port: u16,
    rules: Option<Vec<()>>,
    targets: Option<Vec<Backend<'a>>>,
}

/// Layer 4 has no rules and says null; layer 7 says null for targets.
fn show_bound<'a>(listener: &'a Listener, filters: &[Filter]) -> Bound<'a> {
    let rules = listener.protocol.has_rules();
    let backends: Vec<Backend<'_>> = listener
        .targets
        .iter()
        .filter(|(address, target)| {
            filters
                .iter()
                .all(|filter| passes(listener, address, target, filter))
        })
        .map(|(address, target)| backend(*address, target))
        .collect();
    Bound {
        listener_id: &listener.id,
        protocol: listener.protocol.name(),
        port: listener.port,
        end_port: 0,
        rules: rules.then(Vec::new),
        // Null instead of empty, as the real API's samples have it.
        targets: Some(backends).filter(|list| !rules && !list.is_empty()),
    }
}

fn passes(listener: &Listener, address: &SocketAddr, target: &Target, filter: &Filter) -> bool {
    match filter.name.as_str() {
        "private-ip-address" => filter.values.contains(&address.ip().to_string()),
        "tag" => target
            .tag
            .as_ref()
            .is_some_and(|tag| filter.values.contains(tag)),
        _ => filter.values.contains(&location(listener)),
    }
}

/// `Backend`; a struct and not a JSON value, because there may be twenty thousand.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Backend<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    instance_id: String,
    port: u16,
    weight: u8,
    public_ip_addresses: Option<()>,
    private_ip_addresses: [IpAddr; 1],
    instance_name: Option<()>,
    registered_time: String,
    eni_id: String,
    zone: Option<()>,
    tag: Option<&'a str>,
}

fn backend(address: SocketAddr, target: &Target) -> Backend<'_> {
    let eni = interface(address);
    Backend {
        kind: "ENI",
        instance_id: eni.clone(),
        port: address.port(),
        weight: target.weight,
        public_ip_addresses: None,
        private_ip_addresses: [address.ip()],
        instance_name: None,
        registered_time: beijing(target.registered),
        eni_id: eni,
        zone: None,
        tag: target.tag.as_deref(),
    }
}

fn interface(address: SocketAddr) -> String {
    derived("eni", &address.ip().to_string())
}

/// The rule that a layer-4 listener does not have, but that its health is shown under.
fn location(listener: &Listener) -> String {
    derived("loc", &listener.id)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Health {
    #[serde(rename = "LoadBalancerIds")]
    load_balancers: Vec<String>,
    #[serde(rename = "ListenerIds")]
    listeners: Option<Vec<String>>,
    #[serde(rename = "LocationIds")]
    locations: Option<Vec<String>>,
}

impl Params for Health {}

pub(super) fn health(model: &mut Model, call: &Call, params: &Health) -> Result<Reply, Refusal> {
    at_most(
        "LoadBalancerIds",
        params.load_balancers.len(),
        LOAD_BALANCERS_PER_CALL,
    )?;
    for id in &params.load_balancers {
        model.look_at(id, call.now);
    }
    let mut load_balancers = Vec::new();
    for id in &params.load_balancers {
        load_balancers.push(show_health(model.load_balancer(id)?, params));
    }
    Ok(Reply::now(LoadBalancersHealth { load_balancers }))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LoadBalancersHealth<'a> {
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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RuleHealth<'a> {
    location_id: String,
    domain: Option<&'a str>,
    url: Option<&'a str>,
    targets: Option<Vec<TargetHealth>>,
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

fn show_health<'a>(load_balancer: &'a LoadBalancer, params: &Health) -> LoadBalancerHealth<'a> {
    let wanted = Wanted {
        ids: params.listeners.as_deref().unwrap_or_default(),
        protocol: None,
        port: None,
    };
    let locations = params.locations.as_deref().unwrap_or_default();
    let listeners = wanted
        .of(load_balancer)
        .filter(|listener| locations.is_empty() || locations.contains(&location(listener)))
        .map(listener_health)
        .collect::<Vec<_>>();
    LoadBalancerHealth {
        load_balancer_id: &load_balancer.id,
        load_balancer_name: &load_balancer.name,
        listeners,
    }
}

/// Layer 4 too hangs under a rule, one without domain and path.
fn listener_health(listener: &Listener) -> ListenerHealth<'_> {
    let targets: Vec<TargetHealth> = listener
        .targets
        .iter()
        .map(|(address, target)| target_health(listener, *address, target))
        .collect();
    let rule = RuleHealth {
        location_id: location(listener),
        domain: None,
        url: None,
        targets: Some(targets).filter(|list| !list.is_empty()),
    };
    let rules = if listener.protocol.has_rules() {
        Vec::new()
    } else {
        vec![rule]
    };
    ListenerHealth {
        listener_id: &listener.id,
        listener_name: &listener.name,
        protocol: listener.protocol.name(),
        port: listener.port,
        rules,
    }
}

fn target_health(listener: &Listener, address: SocketAddr, target: &Target) -> TargetHealth {
    let verdict = target.health.verdict;
    let judged = match verdict {
        Verdict::Unknown => "Unknown",
        Verdict::Alive => "Alive",
        Verdict::Dead => "Dead",
    };
    let (detail, misspelt) = if listener.checks() {
        (judged, judged)
    } else {
        // The misspelt field is older than "Close" and never says it.
        ("Close", "Unknown")
    };
    TargetHealth {
        ip: address.ip(),
        port: address.port(),
        health_status: listener.checks() && verdict == Verdict::Alive,
        target_id: interface(address),
        health_status_detail: detail,
        health_status_detial: misspelt,
        target_group_id: None,
        weight: target.weight,
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TaskStatus {
    task_id: Option<String>,
    deal_name: Option<String>,
}

impl Params for TaskStatus {}

/// 0 is success, 2 in progress. Here a task that was begun always succeeds.
pub(super) fn task_status(
    model: &mut Model,
    call: &Call,
    params: &TaskStatus,
) -> Result<Reply, Refusal> {
    let task = match (&params.task_id, &params.deal_name) {
        (Some(id), _) => model.tasks.by_id(id),
        (None, Some(deal)) => model.tasks.by_deal(deal),
        (None, None) => {
            return Err(Refusal::new(
                code::MISSING,
                "one of TaskId and DealName is needed",
            ));
        }
    };
    let Some(task) = task else {
        let asked = params
            .task_id
            .as_deref()
            .or(params.deal_name.as_deref())
            .unwrap_or_default();
        return Err(Refusal::new(
            code::INVALID_PARAMETER,
            format!("task {asked:?} not found"),
        ));
    };
    let status = if call.now < task.due { 2 } else { 0 };
    Ok(Reply::now(json!({
        "Status": status,
        "LoadBalancerIds": task.load_balancers,
        "Message": null,
    })))
}
