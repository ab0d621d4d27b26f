//! Targets of many listeners in one call: `BatchRegisterTargets`, `BatchDeregisterTargets`,
//! `BatchModifyTargetWeight`.
//!
//! The first two answer when the work is done: the load balancer is busy for as long as the call
//! lasts. A listener that cannot be served is named in `FailListenerIdSet` while the others are
//! served; a call of which no listener exists is refused.

use super::Reply;
use super::params::{Params, at_most, not_empty};
use super::targets::{self, TargetFields};
use crate::refusal::{Refusal, code};
use crate::state::parts::{Binding, Effect, TargetKey};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;

const TARGETS_PER_CALL: usize = 500;
const MODIFY_ITEMS: usize = 100;
const TARGETS_PER_ITEM: usize = 50;

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
    /// Needed for rules, which do not exist here yet.
    #[serde(rename = "LocationId")]
    _location_id: Option<String>,
}

/// Listener id -> why it cannot be served.
type Failures = BTreeMap<String, String>;

pub(super) fn register(model: &mut Model, call: &Call, params: &Batch) -> Result<Reply, Refusal> {
    let keys = keys(params)?;
    for key in &keys {
        targets::in_vpc(model, key)?;
    }
    let failures = failures(model, &params.load_balancer_id, &keys, true)?;
    let mut bindings = Vec::new();
    for (key, target) in keys.into_iter().zip(&params.targets) {
        let weight = targets::weight("Targets.Weight", target.weight)?;
        if !failures.contains_key(&key.listener_id) {
            let tag = targets::kept_tag(model, target.tag.as_deref());
            bindings.push(Binding { key, weight, tag });
        }
    }
    finish(model, call, params, &failures, Effect::Bind(bindings))
}

pub(super) fn deregister(model: &mut Model, call: &Call, params: &Batch) -> Result<Reply, Refusal> {
    let mut keys = keys(params)?;
    let failures = failures(model, &params.load_balancer_id, &keys, false)?;
    keys.retain(|key| !failures.contains_key(&key.listener_id));
    finish(model, call, params, &failures, Effect::Unbind(keys))
}

fn keys(params: &Batch) -> Result<Vec<TargetKey>, Refusal> {
    not_empty("Targets", params.targets.len())?;
    at_most("Targets", params.targets.len(), TARGETS_PER_CALL)?;
    targets::distinct(params.targets.iter().map(|target| {
        let address = targets::address(
            target.instance_id.as_deref(),
            target.eni_ip.as_deref(),
            target.port,
        )?;
        Ok(TargetKey {
            listener_id: target.listener_id.clone(),
            address,
        })
    }))
}

fn failures(
    model: &Model,
    id: &str,
    keys: &[TargetKey],
    binding: bool,
) -> Result<Failures, Refusal> {
    let mut by_listener: BTreeMap<&str, Vec<&TargetKey>> = BTreeMap::new();
    for key in keys {
        by_listener.entry(&key.listener_id).or_default().push(key);
    }
    model.load_balancer(id)?;
    let mut failures = Failures::new();
    let mut first = None;
    for (listener_id, keys) in &by_listener {
        if let Err(refusal) = servable(model, id, listener_id, keys, binding) {
            failures.insert((*listener_id).to_owned(), refusal.message.clone());
            first.get_or_insert(refusal);
        }
    }
    match first {
        Some(refusal) if failures.len() == by_listener.len() => Err(refusal),
        _ => Ok(failures),
    }
}

fn servable(
    model: &Model,
    id: &str,
    listener_id: &str,
    keys: &[&TargetKey],
    binding: bool,
) -> Result<(), Refusal> {
    let listener = model.listener(id, listener_id)?;
    targets::takes_targets(listener)?;
    if binding {
        targets::has_room(model, listener, keys.iter().copied())?;
    }
    Ok(())
}

fn finish(
    model: &mut Model,
    call: &Call,
    params: &Batch,
    failures: &Failures,
    effect: Effect,
) -> Result<Reply, Refusal> {
    model.begin(call, &params.load_balancer_id, effect)?;
    let failed: Vec<&String> = failures.keys().collect();
    let message: Vec<&str> = failures.values().map(String::as_str).collect();
    let body = json!({ "FailListenerIdSet": failed, "Message": message.join("; ") });
    Ok(Reply::when_done(body, model.settings.delays.task_ms.into()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyWeight {
    load_balancer_id: String,
    modify_list: Vec<Item>,
}

impl Params for ModifyWeight {}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Item {
    listener_id: String,
    targets: Vec<TargetFields>,
    weight: Option<i64>,
    #[serde(rename = "LocationId")]
    _location_id: Option<String>,
    #[serde(rename = "Domain")]
    _domain: Option<String>,
    #[serde(rename = "Url")]
    _url: Option<String>,
}

pub(super) fn modify_weight(
    model: &mut Model,
    call: &Call,
    params: &ModifyWeight,
) -> Result<Reply, Refusal> {
    check_sizes(&params.modify_list)?;
    let mut weights = Vec::new();
    for item in &params.modify_list {
        let listener = model.listener(&params.load_balancer_id, &item.listener_id)?;
        targets::takes_targets(listener)?;
        let keys = item
            .targets
            .iter()
            .map(|target| targets::key(&item.listener_id, target));
        let keys: Vec<TargetKey> = keys.collect::<Result<_, _>>()?;
        weights.extend(targets::weights(
            listener,
            keys,
            &item.targets,
            item.weight,
        )?);
    }
    targets::distinct(weights.iter().map(|(key, _)| Ok(key.clone())))?;
    model.begin(call, &params.load_balancer_id, Effect::Weigh(weights))?;
    Ok(Reply::now(json!({})))
}

fn check_sizes(items: &[Item]) -> Result<(), Refusal> {
    not_empty("ModifyList", items.len())?;
    at_most("ModifyList", items.len(), MODIFY_ITEMS)?;
    for item in items {
        not_empty("ModifyList.Targets", item.targets.len())?;
        at_most("ModifyList.Targets", item.targets.len(), TARGETS_PER_ITEM)?;
    }
    let all: usize = items.iter().map(|item| item.targets.len()).sum();
    if all > TARGETS_PER_CALL {
        let message = format!(
            "ModifyList names {all} targets; at most {TARGETS_PER_CALL} are accepted in one call"
        );
        return Err(Refusal::new(code::LENGTH, message));
    }
    Ok(())
}
