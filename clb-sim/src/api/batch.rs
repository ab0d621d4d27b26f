//! Targets of many listeners in one call: `BatchRegisterTargets` and `BatchDeregisterTargets`.
//!
//! They answer when the work is done: the load balancer is busy for as long as the call lasts. A
//! listener that cannot be served is named in `FailListenerIdSet` while the others are served; a
//! call of which no listener can be served is refused.

use super::Reply;
use super::params::{Params, at_most, not_empty};
use super::places::{RuleName, place};
use super::target_fields as fields;
use super::targets;
use crate::refusal::Refusal;
use crate::state::parts::{Binding, Effect, TargetKey};
use crate::state::{Call, Fate, Model};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

const TARGETS_PER_CALL: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Batch {
    load_balancer_id: String,
    targets: Vec<BatchTarget>,
}

impl Params for Batch {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BatchTarget {
    listener_id: String,
    port: i64,
    instance_id: Option<String>,
    eni_ip: Option<String>,
    weight: Option<i64>,
    tag: Option<String>,
    location_id: Option<String>,
}

/// Listener id -> why it cannot be served.
type Failures = BTreeMap<String, String>;

/// What a call does to its targets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Bind,
    Unbind,
}

pub(super) fn register(model: &mut Model, call: &Call, params: &Batch) -> Result<Reply, Refusal> {
    let keys = keys(model, params)?;
    for key in &keys {
        targets::in_vpc(model, &params.load_balancer_id, key)?;
    }
    let failures = failures(model, call, (&params.load_balancer_id, &keys), Work::Bind)?;
    let mut bindings = Vec::new();
    for (key, target) in keys.into_iter().zip(&params.targets) {
        let weight = fields::weight("Targets.Weight", target.weight)?;
        if !failures.contains_key(&key.listener_id) {
            let tag = targets::kept_tag(model, target.tag.as_deref());
            bindings.push(Binding { key, weight, tag });
        }
    }
    finish(model, call, params, &failures, Effect::Bind(bindings))
}

pub(super) fn deregister(model: &mut Model, call: &Call, params: &Batch) -> Result<Reply, Refusal> {
    let mut keys = keys(model, params)?;
    let failures = failures(model, call, (&params.load_balancer_id, &keys), Work::Unbind)?;
    keys.retain(|key| !failures.contains_key(&key.listener_id));
    finish(model, call, params, &failures, Effect::Unbind(keys))
}

fn keys(model: &Model, params: &Batch) -> Result<Vec<TargetKey>, Refusal> {
    not_empty("Targets", params.targets.len())?;
    at_most("Targets", params.targets.len(), TARGETS_PER_CALL)?;
    let load_balancer = model.load_balancer(&params.load_balancer_id)?;
    fields::distinct(params.targets.iter().map(|target| {
        let address = fields::address(
            target.instance_id.as_deref(),
            target.eni_ip.as_deref(),
            target.port,
        )?;
        let listener = load_balancer.listener(&target.listener_id);
        let takes_rule = listener.is_some_and(|listener| listener.protocol.has_rules());
        Ok(TargetKey {
            listener_id: target.listener_id.clone(),
            location_id: target.location_id.clone().filter(|_| takes_rule),
            address,
        })
    }))
}

fn failures(
    model: &Model,
    call: &Call,
    (id, keys): (&str, &[TargetKey]),
    work: Work,
) -> Result<Failures, Refusal> {
    let mut by_place: BTreeMap<(&str, Option<&str>), Vec<&TargetKey>> = BTreeMap::new();
    for key in keys {
        let place = (key.listener_id.as_str(), key.location_id.as_deref());
        by_place.entry(place).or_default().push(key);
    }
    let mut failures = on_purpose(call, keys);
    let mut first = None;
    for ((listener_id, location_id), keys) in &by_place {
        let name = RuleName {
            location_id: *location_id,
            ..RuleName::default()
        };
        if let Err(refusal) = servable(model, (id, listener_id, name), keys, work) {
            failures.insert((*listener_id).to_owned(), refusal.message.clone());
            first.get_or_insert(refusal);
        }
    }
    let all_fail = by_place.keys().all(|(id, _)| failures.contains_key(*id));
    match first {
        Some(refusal) if all_fail => Err(refusal),
        _ => Ok(failures),
    }
}

/// The listeners that a fault picks.
fn on_purpose(call: &Call, keys: &[TargetKey]) -> Failures {
    let present = |id: &&String| keys.iter().any(|key| key.listener_id == **id);
    let picked: Vec<&String> = match &call.fate {
        Fate::Works | Fate::Silent => Vec::new(),
        Fate::TaskFails(_) => keys.iter().map(|key| &key.listener_id).collect(),
        Fate::Partly(named) if named.is_empty() => {
            keys.iter().map(|key| &key.listener_id).take(1).collect()
        }
        Fate::Partly(named) => named.iter().filter(present).collect(),
    };
    let message = match &call.fate {
        Fate::TaskFails(Some(message)) => message,
        Fate::Works | Fate::TaskFails(None) | Fate::Silent | Fate::Partly(_) => {
            "the simulator was told to fail this listener"
        }
    };
    let failure = |id: &String| (id.clone(), message.to_owned());
    picked.into_iter().map(failure).collect()
}

fn servable(
    model: &Model,
    (id, listener_id, name): (&str, &str, RuleName<'_>),
    keys: &[&TargetKey],
    work: Work,
) -> Result<(), Refusal> {
    let place = place(model, id, listener_id, name)?;
    let keys = keys.iter().copied();
    match work {
        Work::Bind => {
            targets::not_bound_twice(model, &place, keys.clone())?;
            targets::has_room(model, &place, keys)
        }
        Work::Unbind => targets::absent_is_fine(model, &place, keys),
    }
}

fn finish(
    model: &mut Model,
    call: &Call,
    params: &Batch,
    failures: &Failures,
    effect: Effect,
) -> Result<Reply, Refusal> {
    model.begin(call, &params.load_balancer_id, effect)?;
    if model.settings.behaviour.batch_without_task {
        model.tasks.forget(&call.request_id);
    }
    let failed: Vec<&String> = failures.keys().collect();
    let message: Vec<&str> = failures.values().map(String::as_str).collect();
    let body = json!({ "FailListenerIdSet": failed, "Message": message.join("; ") });
    Ok(Reply::when_done(body, model.settings.delays.task_ms.into()))
}
