//! `/_sim/security-groups`: security groups as the operator describes them. In Tencent Cloud they
//! belong to another product (VPC), with another API; here this is all there is of it.

use crate::shared::Shared;
use crate::state::Model;
use crate::state::security::{Attachment, Rule, Security};
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the operator sends. It adds to what there is; a group, an address range or a load balancer
/// that is named again is described anew.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Described {
    groups: BTreeMap<String, Vec<Rule>>,
    attached: Vec<Attachment>,
    load_balancers: BTreeMap<String, Fence>,
}

/// A load balancer's part. The API sets the same (`SetLoadBalancerSecurityGroups`,
/// `ModifyLoadBalancerAttributes`); what is left out stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fence {
    groups: Option<Vec<String>>,
    pass_to_target: Option<bool>,
}

/// Answers GET, POST and DELETE.
pub(crate) fn answer(shared: &Shared, method: &Method, body: &Bytes) -> (StatusCode, Value) {
    match *method {
        Method::GET => (StatusCode::OK, shared.with(|model, _| show(model))),
        Method::POST => described(shared, body),
        Method::DELETE => {
            shared.with(|model, _| model.secure(|model| model.security = Security::default()));
            (StatusCode::OK, json!({}))
        }
        _ => {
            let message = format!("{method} is not served here: GET, POST and DELETE are");
            (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": message }))
        }
    }
}

fn described(shared: &Shared, body: &Bytes) -> (StatusCode, Value) {
    let taken_in = serde_json::from_slice(body)
        .map_err(|error| format!("the description of security groups is not understood: {error}"))
        .and_then(|described| shared.with(|model, _| take_in(model, described)));
    match taken_in {
        Ok(()) => (StatusCode::OK, json!({})),
        Err(message) => (StatusCode::BAD_REQUEST, json!({ "error": message })),
    }
}

fn take_in(model: &mut Model, described: Described) -> Result<(), String> {
    let named = described.load_balancers.keys();
    if let Some(unknown) = named
        .into_iter()
        .find(|id| !model.load_balancers.contains_key(*id))
    {
        let known: Vec<&String> = model.load_balancers.keys().collect();
        return Err(format!(
            "load balancer {unknown:?} does not exist: {known:?} do"
        ));
    }
    model.secure(|model| {
        model.security.groups.extend(described.groups);
        for attachment in described.attached {
            let attached = &mut model.security.attached;
            attached.retain(|known| known.addresses != attachment.addresses);
            attached.push(attachment);
        }
        for (id, fence) in described.load_balancers {
            if let Some(load_balancer) = model.load_balancers.get_mut(&id) {
                let groups = fence.groups;
                load_balancer.security_groups =
                    groups.unwrap_or_else(|| std::mem::take(&mut load_balancer.security_groups));
                load_balancer.pass_to_target =
                    fence.pass_to_target.unwrap_or(load_balancer.pass_to_target);
            }
        }
    });
    Ok(())
}

fn show(model: &Model) -> Value {
    let load_balancers: BTreeMap<&String, Value> = model
        .load_balancers
        .iter()
        .map(|(id, found)| {
            let fence = json!({
                "groups": found.security_groups,
                "pass_to_target": found.pass_to_target,
            });
            (id, fence)
        })
        .collect();
    json!({
        "groups": model.security.groups,
        "attached": model.security.attached,
        "load_balancers": load_balancers,
    })
}
