//! The operator's own door, `/_sim/...`: what was called, what there is, and faults to come.
//! Unsigned, so only on the plain listener.

use crate::admin_edits;
use crate::api::Api;
use crate::calls::Calls;
use crate::faults::Fault;
use crate::forecast_door;
use crate::security_door;
use crate::state::Model;
use crate::state::parts::{Listener, LoadBalancer, Targets};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The path below which everything is ours.
pub(crate) const PREFIX: &str = "/_sim/";

/// What is served, for someone who asks for something else.
const SERVED: &str = "GET calls, state, faults, forecast, security-groups, certificates, quotas, delays, behaviour; \
    POST reset-calls, faults, forecast, connections, foreign-writers, security-groups, accounts, roles, targets, do; \
    PUT certificates/ID, quotas, delays, behaviour, temporary-credentials; DELETE faults, forecast, \
    security-groups, targets, certificates/ID, accounts/ID, load-balancers/ID, load-balancers/ID/listeners/ID";

/// Answers one operator call.
pub(crate) fn answer(api: &Api, parts: &Parts, body: &Bytes) -> (StatusCode, Value) {
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/_sim/calls") => (StatusCode::OK, calls(api)),
        (&Method::POST, "/_sim/reset-calls") => {
            reset_calls(api);
            (StatusCode::OK, json!({}))
        }
        (&Method::GET, "/_sim/state") => (StatusCode::OK, state(api)),
        (&Method::GET, "/_sim/faults") => (
            StatusCode::OK,
            json!({ "faults": api.faults.lock().show() }),
        ),
        (&Method::POST, "/_sim/faults") => done(add_fault(api, body)),
        (&Method::DELETE, "/_sim/faults") => {
            clear_faults(api);
            (StatusCode::OK, json!({}))
        }
        (method, "/_sim/forecast") => forecast_door::answer(&api.shared, method, body),
        (method, "/_sim/security-groups") => security_door::answer(&api.shared, method, body),
        (method, path) => admin_edits::answer(api, method, path, body).unwrap_or_else(|| {
            let message = format!("{method} {path} is not served: {SERVED}");
            (StatusCode::NOT_FOUND, json!({ "error": message }))
        }),
    }
}

fn done(outcome: Result<(), String>) -> (StatusCode, Value) {
    match outcome {
        Ok(()) => (StatusCode::OK, json!({})),
        Err(message) => (StatusCode::BAD_REQUEST, json!({ "error": message })),
    }
}

/// What was called.
pub(crate) fn calls(api: &Api) -> Value {
    json!(*api.calls.lock())
}

/// Counts anew.
pub(crate) fn reset_calls(api: &Api) {
    *api.calls.lock() = Calls::default();
}

/// Forgets all faults to come, and sends foreign writers home.
pub(crate) fn clear_faults(api: &Api) {
    api.faults.lock().clear();
    api.shared.with(|model, _| model.send_home());
}

/// Takes a fault in.
pub(crate) fn add_fault(api: &Api, body: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<Fault>(body)
        .map_err(|error| error.to_string())
        .and_then(|fault| {
            let now = api.shared.clock.now();
            api.faults
                .lock()
                .add(fault, now)
                .map_err(|refusal| refusal.message)
        })
}

/// What there is.
pub(crate) fn state(api: &Api) -> Value {
    let errors = api.shared.bind_errors.lock().clone();
    api.shared.with(|model: &mut Model, now| {
        model.look_at_all(now);
        let shown: Vec<Value> = model
            .load_balancers
            .values()
            .map(|found| load_balancer(found, &errors))
            .collect();
        json!({ "load_balancers": shown })
    })
}

fn load_balancer(found: &LoadBalancer, errors: &BTreeMap<String, String>) -> Value {
    let listeners: Vec<Value> = found
        .listeners
        .iter()
        .map(|each| listener(each, errors))
        .collect();
    json!({
        "id": found.id,
        "name": found.name,
        "kind": found.kind,
        "subnet_id": found.subnet_id,
        "vip": found.vip,
        "ready": found.active,
        "busy": found.pending.is_some(),
        "tags": found.tags,
        "security_groups": found.security_groups,
        "domain": found.more.domain,
        "classic": found.more.classic,
        "listeners": listeners,
    })
}

fn listener(found: &Listener, errors: &BTreeMap<String, String>) -> Value {
    let rules = found.rules.iter().map(|rule| {
        json!({
            "id": rule.id,
            "domain": rule.domain(),
            "url": rule.url,
            "targets": targets(&rule.targets, rule.check.on),
        })
    });
    json!({
        "id": found.id,
        "name": found.name,
        "protocol": found.protocol.name(),
        "port": found.port,
        "bind_error": errors.get(&found.id),
        "rules": rules.collect::<Vec<_>>(),
        "targets": targets(&found.targets, found.checks()),
    })
}

fn targets(of: &Targets, checked: bool) -> Vec<Value> {
    of.iter()
        .map(|(address, target)| {
            json!({
                "ip": address.ip(),
                "port": address.port(),
                "weight": target.weight,
                "tag": target.tag,
                "health": if checked { json!(target.health.verdict) } else { json!("Close") },
            })
        })
        .collect()
}
