//! The operator's hand on the world: what somebody does behind the API's back, other accounts, and
//! settings changed at run time.

use crate::api::Api;
use crate::certificates_door;
use crate::clock::Millis;
use crate::refusal::Refusal;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::net::{IpAddr, SocketAddr};

type Answer = (StatusCode, Value);

/// Answers an operator call that edits something; none if it is something else.
pub(crate) fn answer(api: &Api, method: &Method, path: &str, body: &[u8]) -> Option<Answer> {
    let words: Vec<&str> = path.trim_start_matches("/_sim/").split('/').collect();
    let outcome = match (method.as_str(), words.as_slice()) {
        ("POST", ["do"]) => act(api, body),
        ("POST", ["targets"]) => target(api, "BatchRegisterTargets", body),
        ("DELETE", ["targets"]) => target(api, "BatchDeregisterTargets", body),
        ("DELETE", ["load-balancers", id]) => {
            let ids = json!({ "LoadBalancerIds": [id] });
            operate(api, "DeleteLoadBalancer", &ids)
        }
        ("DELETE", ["load-balancers", id, "listeners", listener]) => {
            let ids = json!({ "LoadBalancerId": id, "ListenerId": listener });
            operate(api, "DeleteListener", &ids)
        }
        ("POST", ["connections"]) => connections(api, body),
        ("POST", ["foreign-writers"]) => foreign_writer(api, body),
        ("GET", ["certificates"]) => Ok(api.shared.with(|model, _| certificates_door::show(model))),
        ("PUT", ["certificates", id]) => certificates_door::put(&api.shared, id, body),
        ("DELETE", ["certificates", id]) => certificates_door::remove(&api.shared, id),
        ("POST", ["accounts"]) => account(api, body),
        ("DELETE", ["accounts", id]) => known(api.accounts.lock().remove(id)),
        ("POST", ["roles"]) => read(body).map(|role| {
            api.accounts.lock().add_role(role);
            json!({})
        }),
        ("PUT", ["temporary-credentials"]) => temporary(api, body),
        ("GET" | "PUT", ["quotas" | "delays" | "behaviour"]) => {
            settings(api, words.first().copied().unwrap_or_default(), body)
        }
        _ => return None,
    };
    Some(match outcome {
        Ok(answer) => (StatusCode::OK, answer),
        Err(message) => (StatusCode::BAD_REQUEST, json!({ "error": message })),
    })
}

/// Where connections of these clients went, in their order; null for one that nobody remembers.
fn connections(api: &Api, body: &[u8]) -> Result<Value, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        connections: Vec<One>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        client: SocketAddr,
        until: Option<Millis>,
    }
    let asked: Asked = read(body)?;
    let visits = api.shared.visits.lock();
    let visit = |one: &One| visits.last(one.client, one.until.unwrap_or(Millis::MAX));
    let found: Vec<_> = asked.connections.iter().map(visit).collect();
    Ok(json!({ "connections": found }))
}

/// An action of the API, done at once by another hand.
fn act(api: &Api, body: &[u8]) -> Result<Value, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Act {
        action: String,
        #[serde(default)]
        body: Value,
    }
    let act: Act = read(body)?;
    operate(api, &act.action, &act.body)
}

fn operate(api: &Api, action: &str, body: &Value) -> Result<Value, String> {
    let outcome = api.operate(action, body.to_string().as_bytes());
    outcome.map_err(|Refusal { code, message }| format!("{code}: {message}"))
}

/// A target that somebody else binds or unbinds.
fn target(api: &Api, action: &str, body: &[u8]) -> Result<Value, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Target {
        load_balancer: String,
        listener: String,
        location: Option<String>,
        ip: IpAddr,
        port: u16,
        weight: Option<u8>,
        tag: Option<String>,
    }
    let target: Target = read(body)?;
    let fields = json!({
        "ListenerId": target.listener,
        "LocationId": target.location,
        "EniIp": target.ip,
        "Port": target.port,
        "Weight": target.weight,
        "Tag": target.tag,
    });
    let call = json!({ "LoadBalancerId": target.load_balancer, "Targets": [fields] });
    operate(api, action, &call)
}

fn foreign_writer(api: &Api, body: &[u8]) -> Result<Value, String> {
    let writer = read(body)?;
    let outcome = api.shared.with(|model, now| model.set_to_work(writer, now));
    outcome.map(|()| json!({}))
}

/// What the parser says of an account may quote its key, so only the place is told.
fn account(api: &Api, body: &[u8]) -> Result<Value, String> {
    let account = serde_json::from_slice(body).map_err(|error| {
        format!(
            "not an account (secret_id, secret_key, and maybe token, expires_at, policy): line {} column {}",
            error.line(),
            error.column()
        )
    })?;
    let now = api.shared.clock.now();
    let added = api.accounts.lock().add(account, now);
    added.map(|()| json!({})).map_err(|refusal| refusal.message)
}

fn known(found: bool) -> Result<Value, String> {
    if found {
        return Ok(json!({}));
    }
    Err("there is no such account".to_owned())
}

/// The role of the metadata service, none for none; and how long temporary credentials last.
fn temporary(api: &Api, body: &[u8]) -> Result<Value, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Temporary {
        metadata_role: Option<String>,
        duration_s: Option<i64>,
    }
    let wanted: Temporary = read(body)?;
    api.accounts
        .lock()
        .set_temporary(wanted.metadata_role, wanted.duration_s);
    Ok(json!({}))
}

/// Shows settings, after changing the fields that are named.
fn settings(api: &Api, which: &str, body: &[u8]) -> Result<Value, String> {
    api.shared.with(|model, _| match which {
        "quotas" => {
            let quotas = merged(json!(model.quotas()), body)?;
            if !body.is_empty() {
                model.quotas = Some(quotas);
                model.secure(|_| {});
            }
            Ok(json!(quotas))
        }
        "delays" => {
            model.settings.delays = merged(json!(model.settings.delays), body)?;
            Ok(json!(model.settings.delays))
        }
        _ => {
            model.settings.behaviour = merged(json!(model.settings.behaviour), body)?;
            Ok(json!(model.settings.behaviour))
        }
    })
}

/// The settings with the fields of `body` in them.
fn merged<T: DeserializeOwned>(mut present: Value, body: &[u8]) -> Result<T, String> {
    if !body.is_empty() {
        let wanted: Map<String, Value> = read(body)?;
        if let Value::Object(fields) = &mut present {
            fields.extend(wanted);
        }
    }
    serde_json::from_value(present).map_err(|error| error.to_string())
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}
