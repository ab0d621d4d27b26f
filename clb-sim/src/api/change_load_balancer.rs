//! `DeleteLoadBalancer`, `ModifyLoadBalancerAttributes` and `SetLoadBalancerSecurityGroups`.

use super::Reply;
use super::listener_fields::within;
use super::params::{Params, at_most, not_empty};
use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use crate::state::parts::{Attributes, Effect, LoadBalancer};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;

const IDS_PER_CALL: usize = 20;
/// From this many bound targets on, a load balancer is only deleted by force.
const MANY_TARGETS: usize = 20;
/// Above this much traffic, a load balancer with targets is only deleted by force.
const MUCH_TRAFFIC_MBPS: u32 = 10;
/// This many are not deleted within [`LATELY`], by force or not.
const MANY_DELETIONS: usize = 30;
const LATELY: Millis = 5 * 60 * 1000;
/// The API takes 50, but the documentation of the product names 5 per load balancer.
const SECURITY_GROUPS: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Delete {
    load_balancer_ids: Vec<String>,
    force_delete: Option<bool>,
}

impl Params for Delete {}

pub(super) fn delete(model: &mut Model, call: &Call, params: &Delete) -> Result<Reply, Refusal> {
    let ids: BTreeSet<&String> = params.load_balancer_ids.iter().collect();
    not_empty("LoadBalancerIds", params.load_balancer_ids.len())?;
    at_most(
        "LoadBalancerIds",
        params.load_balancer_ids.len(),
        IDS_PER_CALL,
    )?;
    for id in &ids {
        let found = model.load_balancer(id)?;
        if !call.operator {
            harmless(model, found, params.force_delete == Some(true))?;
        }
    }
    if !call.operator {
        not_too_fast(model, call.now, ids.len())?;
    }
    let writes = ids.iter().map(|id| ((*id).clone(), Effect::Remove));
    model.begin_all(call, writes.collect())?;
    if !call.operator {
        let count = ids.len();
        model.deletions.extend(std::iter::repeat_n(call.now, count));
    }
    Ok(Reply::now(json!({})))
}

fn harmless(model: &Model, found: &LoadBalancer, force: bool) -> Result<(), Refusal> {
    if found.more.protected {
        let message = format!("{} has DeleteProtect on: it cannot be deleted", found.id);
        return Err(Refusal::new(code::DENIED, message));
    }
    let (targets, traffic) = (found.targets(), model.settings.behaviour.traffic_mbps);
    if force || targets == 0 {
        return Ok(());
    }
    if targets >= MANY_TARGETS {
        let message = format!(
            "{} has {targets} targets, which is {MANY_TARGETS} or more: ForceDelete is needed",
            found.id
        );
        return Err(Refusal::new(code::DELETES_TARGETS, message));
    }
    if traffic > MUCH_TRAFFIC_MBPS {
        let message = format!(
            "{} has targets and {traffic} Mbps of traffic, which is more than {MUCH_TRAFFIC_MBPS}: ForceDelete is needed",
            found.id
        );
        return Err(Refusal::new(code::DELETES_TRAFFIC, message));
    }
    Ok(())
}

fn not_too_fast(model: &mut Model, now: Millis, count: usize) -> Result<(), Refusal> {
    model.deletions.retain(|at| now - at < LATELY);
    let lately = model.deletions.len();
    if lately + count < MANY_DELETIONS {
        return Ok(());
    }
    let message = format!(
        "{lately} load balancers were deleted in the last 5 minutes; {count} more would be {MANY_DELETIONS} or more"
    );
    Err(Refusal::new(code::DELETES_TOO_FAST, message))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ModifyAttributes {
    load_balancer_id: String,
    load_balancer_name: Option<String>,
    target_region_info: Option<TargetRegion>,
    load_balancer_pass_to_target: Option<bool>,
    delete_protect: Option<bool>,
}

impl Params for ModifyAttributes {
    const IGNORED: &'static [&'static str] = &[
        "AssociateEndpoint",
        "InternetChargeInfo",
        "ModifyClassicDomain",
        "SnatPro",
        "SwitchFlag",
    ];
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct TargetRegion {
    region: String,
    vpc_id: String,
    #[serde(rename = "NumericalVpcId")]
    _numerical: Option<i64>,
}

pub(super) fn modify_attributes(
    model: &mut Model,
    call: &Call,
    params: &ModifyAttributes,
) -> Result<Reply, Refusal> {
    if let Some(name) = &params.load_balancer_name {
        within("LoadBalancerName", name, 1..=80)?;
    }
    let region = params.target_region_info.as_ref();
    let change = Attributes {
        name: params.load_balancer_name.clone(),
        pass_to_target: params.load_balancer_pass_to_target,
        protected: params.delete_protect,
        target_region: region.map(|to| (to.region.clone(), to.vpc_id.clone())),
    };
    let effect = Effect::ChangeAttributes(change);
    model.begin(call, &params.load_balancer_id, effect)?;
    let deal = format!("deal-{}", call.request_id);
    Ok(Reply::now(json!({ "DealName": deal })))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct SetGroups {
    load_balancer_id: String,
    security_groups: Option<Vec<String>>,
}

impl Params for SetGroups {}

/// The complete set; none and an empty list alike take all away. Answers when the work is done.
pub(super) fn set_groups(
    model: &mut Model,
    call: &Call,
    params: &SetGroups,
) -> Result<Reply, Refusal> {
    let groups = params.security_groups.clone().unwrap_or_default();
    if groups.len() > SECURITY_GROUPS {
        let message = format!(
            "SecurityGroups has {} items; at most {SECURITY_GROUPS} are accepted",
            groups.len()
        );
        return Err(Refusal::new(code::LIMIT_EXCEEDED, message));
    }
    if let Some(bad) = groups.iter().find(|group| !group.starts_with("sg-")) {
        let message = format!("SecurityGroups {bad:?} is not accepted: ids begin with sg-");
        return Err(Refusal::new(code::INVALID_VALUE, message));
    }
    let effect = Effect::SetSecurityGroups(groups);
    model.begin(call, &params.load_balancer_id, effect)?;
    let busy = model.settings.delays.task_ms.into();
    Ok(Reply::when_done(json!({}), busy))
}
