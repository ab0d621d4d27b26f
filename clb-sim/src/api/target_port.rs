//! `ModifyTargetPort`: targets of one listener or rule move to another port.

use super::Reply;
use super::params::{Params, not_empty, port};
use super::places::{Place, RuleName, place};
use super::target_fields::{TargetFields, distinct};
use crate::refusal::{Refusal, code};
use crate::state::parts::{Binding, Effect, TargetKey};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::SocketAddr;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Modify {
    load_balancer_id: String,
    listener_id: String,
    targets: Vec<TargetFields>,
    new_port: i64,
    location_id: Option<String>,
    domain: Option<String>,
    url: Option<String>,
}

impl Params for Modify {}

/// Weight and tag stay; the health is judged anew, for another program may listen there.
pub(super) fn modify(model: &mut Model, call: &Call, params: &Modify) -> Result<Reply, Refusal> {
    not_empty("Targets", params.targets.len())?;
    let to = port("NewPort", params.new_port)?;
    let rule = RuleName {
        location_id: params.location_id.as_deref(),
        domain: params.domain.as_deref(),
        url: params.url.as_deref(),
    };
    let place = place(model, &params.load_balancer_id, &params.listener_id, rule)?;
    let keys = distinct(params.targets.iter().map(|target| place.key(target)))?;
    let moved = moved(&place, &keys, to)?;
    model.begin(call, &params.load_balancer_id, Effect::Move(keys, moved))?;
    Ok(Reply::now(json!({})))
}

fn moved(place: &Place<'_>, keys: &[TargetKey], to: u16) -> Result<Vec<Binding>, Refusal> {
    let mut taken: BTreeSet<SocketAddr> = place.targets.keys().copied().collect();
    let mut moved = Vec::new();
    for key in keys {
        let target = place.must_hold(key)?;
        let mut key = key.clone();
        key.address.set_port(to);
        if !taken.insert(key.address) {
            let message = format!(
                "NewPort {to}: target {} is already bound to {place}",
                key.address
            );
            return Err(Refusal::new(code::DUPLICATE, message));
        }
        moved.push(Binding {
            key,
            weight: target.weight,
            tag: target.tag.clone(),
        });
    }
    Ok(moved)
}
