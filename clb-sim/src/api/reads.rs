//! What is bound and how it fares: `DescribeTargets`, `DescribeTargetHealth`, `DescribeTaskStatus`.

use super::Reply;
use super::listeners::Wanted;
use super::load_balancers::Filter;
use super::params::{Params, at_most, or_null};
use crate::clock::beijing;
use crate::health::machine::Verdict;
use crate::refusal::{Refusal, code};
use crate::state::ids::derived;
use crate::state::parts::{Listener, LoadBalancer, Target};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;

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
    let shown: Vec<Value> = wanted
        .of(load_balancer)
        .map(|listener| show_bound(listener, filters))
        .collect();
    Ok(Reply::now(json!({ "Listeners": shown })))
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

/// Layer 4 has no rules and says null; layer 7 says null for targets.
fn show_bound(listener: &Listener, filters: &[Filter]) -> Value {
    let rules = listener.protocol.has_rules();
    let backends = listener
        .targets
        .iter()
        .filter(|(address, target)| {
            filters
                .iter()
                .all(|filter| passes(listener, address, target, filter))
        })
        .map(|(address, target)| backend(*address, target));
    json!({
        "ListenerId": listener.id,
        "Protocol": listener.protocol.name(),
        "Port": listener.port,
        "EndPort": 0,
        "Rules": if rules { Value::Array(Vec::new()) } else { Value::Null },
        "Targets": if rules { Value::Null } else { or_null(backends.collect()) },
    })
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

fn backend(address: SocketAddr, target: &Target) -> Value {
    let eni = interface(address);
    json!({
        "Type": "ENI",
        "InstanceId": eni,
        "Port": address.port(),
        "Weight": target.weight,
        "PublicIpAddresses": null,
        "PrivateIpAddresses": [address.ip()],
        "InstanceName": null,
        "RegisteredTime": beijing(target.registered),
        "EniId": eni,
        "Zone": null,
        "Tag": target.tag,
    })
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

pub(super) fn health(model: &mut Model, _: &Call, params: &Health) -> Result<Reply, Refusal> {
    at_most(
        "LoadBalancerIds",
        params.load_balancers.len(),
        LOAD_BALANCERS_PER_CALL,
    )?;
    let mut shown = Vec::new();
    for id in &params.load_balancers {
        shown.push(show_health(model.load_balancer(id)?, params));
    }
    Ok(Reply::now(json!({ "LoadBalancers": shown })))
}

fn show_health(load_balancer: &LoadBalancer, params: &Health) -> Value {
    let wanted = Wanted {
        ids: params.listeners.as_deref().unwrap_or_default(),
        protocol: None,
        port: None,
    };
    let locations = params.locations.as_deref().unwrap_or_default();
    let listeners: Vec<Value> = wanted
        .of(load_balancer)
        .filter(|listener| locations.is_empty() || locations.contains(&location(listener)))
        .map(listener_health)
        .collect();
    json!({
        "LoadBalancerId": load_balancer.id,
        "LoadBalancerName": load_balancer.name,
        "Listeners": listeners,
    })
}

/// Layer 4 too hangs under a rule, one without domain and path.
fn listener_health(listener: &Listener) -> Value {
    let targets = listener.targets.iter();
    let targets = targets.map(|(address, target)| target_health(listener, *address, target));
    let rule = json!({
        "LocationId": location(listener),
        "Domain": null,
        "Url": null,
        "Targets": or_null(targets.collect()),
    });
    let rules = if listener.protocol.has_rules() {
        Vec::new()
    } else {
        vec![rule]
    };
    json!({
        "ListenerId": listener.id,
        "ListenerName": listener.name,
        "Protocol": listener.protocol.name(),
        "Port": listener.port,
        "Rules": rules,
    })
}

fn target_health(listener: &Listener, address: SocketAddr, target: &Target) -> Value {
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
    json!({
        "IP": address.ip(),
        "Port": address.port(),
        "HealthStatus": listener.checks() && verdict == Verdict::Alive,
        "TargetId": interface(address),
        "HealthStatusDetail": detail,
        "HealthStatusDetial": misspelt,
        "TargetGroupId": null,
        "Weight": target.weight,
    })
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
