//! Targets of one listener or rule: `RegisterTargets`, `DeregisterTargets`, `ModifyTargetWeight`.

use super::Reply;
use super::params::{Params, at_most, not_empty};
use super::places::{Place, RuleName, place};
use super::target_fields::{self as fields, TargetFields};
use crate::refusal::{Refusal, code};
use crate::state::parts::{Binding, Effect, TargetKey};
use crate::state::{Call, Model, OnAbsent, OnReregister};
use serde::Deserialize;
use serde_json::json;

const TARGETS_PER_CALL: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OneListener {
    load_balancer_id: String,
    listener_id: String,
    targets: Vec<TargetFields>,
    weight: Option<i64>,
    location_id: Option<String>,
    domain: Option<String>,
    url: Option<String>,
}

impl Params for OneListener {}

pub(super) fn register(
    model: &mut Model,
    call: &Call,
    params: &OneListener,
) -> Result<Reply, Refusal> {
    let (place, keys) = named(model, params)?;
    not_bound_twice(model, &place, &keys)?;
    let mut bindings = Vec::new();
    for (key, target) in keys.into_iter().zip(&params.targets) {
        in_vpc(model, &params.load_balancer_id, &key)?;
        bindings.push(Binding {
            key,
            weight: fields::weight("Targets.Weight", target.weight)?,
            tag: kept_tag(model, target.tag.as_deref()),
        });
    }
    has_room(model, &place, bindings.iter().map(|binding| &binding.key))?;
    begin(model, call, params, Effect::Bind(bindings))
}

pub(super) fn deregister(
    model: &mut Model,
    call: &Call,
    params: &OneListener,
) -> Result<Reply, Refusal> {
    let (place, keys) = named(model, params)?;
    absent_is_fine(model, &place, &keys)?;
    begin(model, call, params, Effect::Unbind(keys))
}

pub(super) fn modify_weight(
    model: &mut Model,
    call: &Call,
    params: &OneListener,
) -> Result<Reply, Refusal> {
    let (place, keys) = named(model, params)?;
    let weights = weights(&place, keys, &params.targets, params.weight)?;
    begin(model, call, params, Effect::Weigh(weights))
}

fn begin(
    model: &mut Model,
    call: &Call,
    params: &OneListener,
    effect: Effect,
) -> Result<Reply, Refusal> {
    model.begin(call, &params.load_balancer_id, effect)?;
    Ok(Reply::now(json!({})))
}

/// The targets of a call, each once, and where they are or are to be.
fn named<'a>(
    model: &'a Model,
    params: &OneListener,
) -> Result<(Place<'a>, Vec<TargetKey>), Refusal> {
    not_empty("Targets", params.targets.len())?;
    at_most("Targets", params.targets.len(), TARGETS_PER_CALL)?;
    let rule = RuleName {
        location_id: params.location_id.as_deref(),
        domain: params.domain.as_deref(),
        url: params.url.as_deref(),
    };
    let place = place(model, &params.load_balancer_id, &params.listener_id, rule)?;
    let keys = params.targets.iter().map(|target| place.key(target));
    let keys = fields::distinct(keys)?;
    Ok((place, keys))
}

/// The weights to set, for targets that are bound.
pub(super) fn weights(
    place: &Place<'_>,
    keys: Vec<TargetKey>,
    targets: &[TargetFields],
    common: Option<i64>,
) -> Result<Vec<(TargetKey, u8)>, Refusal> {
    let mut weights = Vec::new();
    for (key, target) in keys.into_iter().zip(targets) {
        place.must_hold(&key)?;
        weights.push((key, fields::weight("Weight", target.weight.or(common))?));
    }
    Ok(weights)
}

/// Whether the VPC of the load balancer's targets is the one whose addresses are known here.
pub(super) fn in_vpc(model: &Model, id: &str, key: &TargetKey) -> Result<(), Refusal> {
    let ip = key.address.ip();
    let load_balancer = model.load_balancer(id)?;
    let region = load_balancer.more.target_region.as_ref();
    let vpc = region.map_or(load_balancer.vpc_id.as_str(), |(_, vpc)| vpc.as_str());
    let ours = model.settings.vpc_id.as_str();
    if vpc != ours {
        return Err(invalid(format!(
            "Targets.EniIp {ip} does not belong to {vpc}, the VPC of {id}: it is in {ours}"
        )));
    }
    if model.reachable(ip) {
        return Ok(());
    }
    let ranges: Vec<String> = model
        .settings
        .reachable
        .iter()
        .map(ToString::to_string)
        .collect();
    Err(invalid(format!(
        "Targets.EniIp {ip} does not belong to {ours}: its ranges are {}",
        ranges.join(", ")
    )))
}

/// Whether the quota of targets allows these; targets already bound need no room.
pub(super) fn has_room<'a>(
    model: &Model,
    place: &Place<'_>,
    keys: impl Iterator<Item = &'a TargetKey>,
) -> Result<(), Refusal> {
    let quota = model.quotas().targets;
    let new = keys
        .filter(|key| !place.targets.contains_key(&key.address))
        .count();
    let present = place.targets.len();
    if present + new <= quota {
        return Ok(());
    }
    let message = format!(
        "{place} has {present} targets; {new} more exceed the quota of {quota} (TOTAL_TARGET_BIND_QUOTA)"
    );
    Err(Refusal::new(code::LIMIT_EXCEEDED, message))
}

/// Refuses targets that are bound already, if the operator wants that.
pub(super) fn not_bound_twice<'a>(
    model: &Model,
    place: &Place<'_>,
    keys: impl IntoIterator<Item = &'a TargetKey>,
) -> Result<(), Refusal> {
    if model.settings.behaviour.on_reregister != OnReregister::Duplicate {
        return Ok(());
    }
    let bound = |key: &&TargetKey| place.targets.contains_key(&key.address);
    match keys.into_iter().find(bound) {
        None => Ok(()),
        Some(key) => {
            let message = format!("target {} is already bound to {place}", key.address);
            Err(Refusal::new(code::DUPLICATE, message))
        }
    }
}

/// A target that is not bound is no error when it is deregistered: what the caller wanted is so
/// already. Unless the operator wants one.
pub(super) fn absent_is_fine<'a>(
    model: &Model,
    place: &Place<'_>,
    keys: impl IntoIterator<Item = &'a TargetKey>,
) -> Result<(), Refusal> {
    if model.settings.behaviour.on_absent_deregister == OnAbsent::Ok {
        return Ok(());
    }
    keys.into_iter()
        .try_for_each(|key| place.must_hold(key).map(drop))
}

pub(super) fn kept_tag(model: &Model, tag: Option<&str>) -> Option<String> {
    tag.filter(|tag| !tag.is_empty() && !model.settings.behaviour.ignore_tags)
        .map(str::to_owned)
}

fn invalid(message: String) -> Refusal {
    Refusal::new(code::INVALID_VALUE, message)
}
