//! Targets of one listener: `RegisterTargets`, `DeregisterTargets`, `ModifyTargetWeight`, and the
//! rules for targets that the batch actions share.

use super::Reply;
use super::params::{Params, at_most, not_empty, port};
use crate::refusal::{Refusal, code};
use crate::state::parts::{Binding, Effect, Listener, TargetKey};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

const TARGETS_PER_CALL: usize = 20;
const DEFAULT_WEIGHT: u8 = 10;
const HEAVIEST: u8 = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct OneListener {
    load_balancer_id: String,
    listener_id: String,
    targets: Vec<TargetFields>,
    weight: Option<i64>,
}

impl Params for OneListener {
    /// Rules do not exist here yet, so naming one says nothing.
    const IGNORED: &'static [&'static str] = &["Domain", "LocationId", "Url"];
}

/// `Target` as it travels.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct TargetFields {
    pub(super) port: i64,
    pub(super) instance_id: Option<String>,
    pub(super) eni_ip: Option<String>,
    pub(super) weight: Option<i64>,
    pub(super) tag: Option<String>,
    /// Output only; accepted and ignored on input, as the API does.
    #[serde(rename = "Type")]
    _kind: Option<String>,
}

pub(super) fn register(
    model: &mut Model,
    call: &Call,
    params: &OneListener,
) -> Result<Reply, Refusal> {
    let keys = keys(model, params)?;
    let mut bindings = Vec::new();
    for (key, target) in keys.into_iter().zip(&params.targets) {
        in_vpc(model, &key)?;
        bindings.push(Binding {
            key,
            weight: weight("Targets.Weight", target.weight)?,
            tag: kept_tag(model, target.tag.as_deref()),
        });
    }
    let listener = model.listener(&params.load_balancer_id, &params.listener_id)?;
    has_room(model, listener, bindings.iter().map(|binding| &binding.key))?;
    begin(model, call, params, Effect::Bind(bindings))
}

/// A target that is not bound is no error: what the caller wanted is so already.
pub(super) fn deregister(
    model: &mut Model,
    call: &Call,
    params: &OneListener,
) -> Result<Reply, Refusal> {
    let keys = keys(model, params)?;
    begin(model, call, params, Effect::Unbind(keys))
}

pub(super) fn modify_weight(
    model: &mut Model,
    call: &Call,
    params: &OneListener,
) -> Result<Reply, Refusal> {
    let keys = keys(model, params)?;
    let listener = model.listener(&params.load_balancer_id, &params.listener_id)?;
    let weights = weights(listener, keys, &params.targets, params.weight)?;
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

/// The targets of a call, each once, under a listener that takes targets.
fn keys(model: &Model, params: &OneListener) -> Result<Vec<TargetKey>, Refusal> {
    not_empty("Targets", params.targets.len())?;
    at_most("Targets", params.targets.len(), TARGETS_PER_CALL)?;
    let listener = model.listener(&params.load_balancer_id, &params.listener_id)?;
    takes_targets(listener)?;
    distinct(
        params
            .targets
            .iter()
            .map(|target| key(&listener.id, target)),
    )
}

/// The weights to set, for targets that are bound.
pub(super) fn weights(
    listener: &Listener,
    keys: Vec<TargetKey>,
    targets: &[TargetFields],
    common: Option<i64>,
) -> Result<Vec<(TargetKey, u8)>, Refusal> {
    let mut weights = Vec::new();
    for (key, target) in keys.into_iter().zip(targets) {
        if !listener.targets.contains_key(&key.address) {
            let message = format!(
                "target {} is not bound to listener {}",
                key.address, listener.id
            );
            return Err(invalid(message));
        }
        weights.push((key, weight("Weight", target.weight.or(common))?));
    }
    Ok(weights)
}

pub(super) fn key(listener_id: &str, target: &TargetFields) -> Result<TargetKey, Refusal> {
    let address = address(
        target.instance_id.as_deref(),
        target.eni_ip.as_deref(),
        target.port,
    )?;
    Ok(TargetKey {
        listener_id: listener_id.to_owned(),
        address,
    })
}

/// Exactly one of `InstanceId` and `EniIp`; the fake VPC has no virtual machines to name.
pub(super) fn address(
    instance_id: Option<&str>,
    eni_ip: Option<&str>,
    given: i64,
) -> Result<SocketAddr, Refusal> {
    match (instance_id, eni_ip) {
        (None, Some(text)) => {
            let ip: IpAddr = text
                .parse()
                .map_err(|_| invalid(format!("Targets.EniIp {text:?} is not an IP address")))?;
            Ok(SocketAddr::new(ip, port("Targets.Port", given)?))
        }
        (Some(id), None) => Err(invalid(format!(
            "Targets.InstanceId {id:?} does not exist here: this simulator's VPC has no instances, only addresses (EniIp)"
        ))),
        (None, None) => Err(Refusal::new(
            code::MISSING,
            "Targets needs one of InstanceId and EniIp",
        )),
        (Some(_), Some(_)) => Err(Refusal::new(
            code::INVALID_PARAMETER,
            "Targets takes exactly one of InstanceId and EniIp, both were sent",
        )),
    }
}

/// No target twice in one call.
pub(super) fn distinct(
    keys: impl Iterator<Item = Result<TargetKey, Refusal>>,
) -> Result<Vec<TargetKey>, Refusal> {
    let keys: Vec<TargetKey> = keys.collect::<Result<_, _>>()?;
    let mut seen = BTreeSet::new();
    match keys.iter().find(|key| !seen.insert(*key)) {
        None => Ok(keys),
        Some(key) => {
            let message = format!(
                "target {} is named twice for listener {}",
                key.address, key.listener_id
            );
            Err(Refusal::new(code::DUPLICATE, message))
        }
    }
}

pub(super) fn takes_targets(listener: &Listener) -> Result<(), Refusal> {
    if !listener.protocol.has_rules() {
        return Ok(());
    }
    let message = format!(
        "listener {} is {}: its targets belong to a rule (LocationId), and this listener has none",
        listener.id,
        listener.protocol.name()
    );
    Err(Refusal::new(code::LOCATION_NOT_FOUND, message))
}

pub(super) fn in_vpc(model: &Model, key: &TargetKey) -> Result<(), Refusal> {
    let ip = key.address.ip();
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
        "Targets.EniIp {ip} does not belong to {}: its ranges are {}",
        model.settings.vpc_id,
        ranges.join(", ")
    )))
}

/// Whether the quota of targets per listener allows these; targets already bound need no room.
pub(super) fn has_room<'a>(
    model: &Model,
    listener: &Listener,
    keys: impl Iterator<Item = &'a TargetKey>,
) -> Result<(), Refusal> {
    let quota = model.settings.target_quota;
    let new = keys
        .filter(|key| !listener.targets.contains_key(&key.address))
        .count();
    let present = listener.targets.len();
    if present + new <= quota {
        return Ok(());
    }
    let message = format!(
        "listener {} has {present} targets; {new} more exceed the quota of {quota}",
        listener.id
    );
    Err(Refusal::new(code::LIMIT_EXCEEDED, message))
}

pub(super) fn weight(field: &str, given: Option<i64>) -> Result<u8, Refusal> {
    let Some(given) = given else {
        return Ok(DEFAULT_WEIGHT);
    };
    let weight = u8::try_from(given)
        .ok()
        .filter(|weight| *weight <= HEAVIEST);
    weight.ok_or_else(|| {
        invalid(format!(
            "{field} {given} is out of range: accepted are 0 to {HEAVIEST}"
        ))
    })
}

pub(super) fn kept_tag(model: &Model, tag: Option<&str>) -> Option<String> {
    tag.filter(|tag| !tag.is_empty() && !model.settings.ignore_tags)
        .map(str::to_owned)
}

fn invalid(message: String) -> Refusal {
    Refusal::new(code::INVALID_VALUE, message)
}
