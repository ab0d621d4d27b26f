//! `ModifyListener`, `DeleteListener` and `DeleteLoadBalancerListeners`.

use super::listener_fields::{check, scheduler, session, within};
use super::params::{Params, at_most};
use super::{Reply, certificates};
use crate::refusal::{Refusal, code};
use crate::state::health_check::HealthCheckFields;
use crate::state::parts::{Effect, ListenerChange};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::{Value, json};

const IDS_PER_CALL: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Modify {
    load_balancer_id: String,
    listener_id: String,
    listener_name: Option<String>,
    health_check: Option<HealthCheckFields>,
    certificate: Option<Value>,
    session_expire_time: Option<i64>,
    scheduler: Option<String>,
    sni_switch: Option<i64>,
    target_type: Option<String>,
    deregister_target_rst: Option<bool>,
}

impl Params for Modify {
    const IGNORED: &'static [&'static str] = &[
        "DataCompressMode",
        "IdleConnectTimeout",
        "KeepaliveEnable",
        "MaxConn",
        "MaxCps",
        "MultiCertInfo",
        "ProxyProtocol",
        "RescheduleExpandTarget",
        "RescheduleInterval",
        "RescheduleStartTime",
        "RescheduleTargetZeroWeight",
        "RescheduleUnhealthy",
        "SessionType",
        "SnatEnable",
    ];
}

/// What is not sent stays; a health check that is sent replaces the old one as a whole.
pub(super) fn modify(model: &mut Model, call: &Call, params: &Modify) -> Result<Reply, Refusal> {
    let listener = model.listener(&params.load_balancer_id, &params.listener_id)?;
    if params
        .target_type
        .as_deref()
        .is_some_and(|kind| kind != "NODE")
    {
        let message = "TargetType: this simulator has no target groups";
        return Err(Refusal::new(code::UNSUPPORTED, message));
    }
    certificates::check(model, params.certificate.as_ref())?;
    if let Some(name) = &params.listener_name {
        within("ListenerName", name, 1..=80)?;
    }
    let new_check = match &params.health_check {
        Some(given) => check(listener.protocol, Some(given))?,
        None => None,
    };
    let change = ListenerChange {
        id: listener.id.clone(),
        name: params.listener_name.clone(),
        check: new_check,
        scheduler: scheduler(params.scheduler.as_deref())?,
        session_expire_s: session(params.session_expire_time)?,
        sni: params.sni_switch.map(|switch| switch == 1),
        deregister_rst: params.deregister_target_rst,
        certificate: params.certificate.clone(),
    };
    let effect = Effect::ChangeListener(Box::new(change));
    model.begin(call, &params.load_balancer_id, effect)?;
    Ok(Reply::now(json!({})))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Delete {
    load_balancer_id: String,
    listener_id: String,
}

impl Params for Delete {}

pub(super) fn delete(model: &mut Model, call: &Call, params: &Delete) -> Result<Reply, Refusal> {
    let listener = model.listener(&params.load_balancer_id, &params.listener_id)?;
    let effect = Effect::RemoveListeners(vec![listener.id.clone()]);
    model.begin(call, &params.load_balancer_id, effect)?;
    Ok(Reply::now(json!({})))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct DeleteMany {
    load_balancer_id: String,
    listener_ids: Option<Vec<String>>,
}

impl Params for DeleteMany {}

/// No ids, and an empty list alike, mean all listeners: the API's own trap.
pub(super) fn delete_many(
    model: &mut Model,
    call: &Call,
    params: &DeleteMany,
) -> Result<Reply, Refusal> {
    let named = params.listener_ids.as_deref().unwrap_or_default();
    at_most("ListenerIds", named.len(), IDS_PER_CALL)?;
    for id in named {
        model.listener(&params.load_balancer_id, id)?;
    }
    let ids = if named.is_empty() {
        let all = &model.load_balancer(&params.load_balancer_id)?.listeners;
        all.iter().map(|listener| listener.id.clone()).collect()
    } else {
        named.to_vec()
    };
    let effect = Effect::RemoveListeners(ids);
    model.begin(call, &params.load_balancer_id, effect)?;
    Ok(Reply::now(json!({})))
}
