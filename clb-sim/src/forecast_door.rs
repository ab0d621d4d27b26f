//! `/_sim/forecast`: health by an oracle instead of by probes.

use crate::clock::Millis;
use crate::shared::Shared;
use crate::state::Model;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

/// What the operator sends. It adds to what was said before; an address that is named again is
/// foretold anew.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Foretold {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    ip: IpAddr,
    port: u16,
    /// By our clock; without it the target stays Unknown until more is said.
    alive_at: Option<Millis>,
}

/// Answers GET, POST and DELETE.
pub(crate) fn answer(shared: &Shared, method: &Method, body: &Bytes) -> (StatusCode, Value) {
    match *method {
        Method::GET => (StatusCode::OK, shared.with(|model, now| show(model, now))),
        Method::POST => match foretell(shared, body) {
            Ok(answer) => (StatusCode::OK, answer),
            Err(message) => (StatusCode::BAD_REQUEST, json!({ "error": message })),
        },
        Method::DELETE => {
            shared.with(|model, _| model.forget_forecast());
            (StatusCode::OK, json!({}))
        }
        _ => {
            let message = format!("{method} is not served here: GET, POST and DELETE are");
            (StatusCode::METHOD_NOT_ALLOWED, json!({ "error": message }))
        }
    }
}

/// Takes a forecast in; the answer is what our clock reads.
pub(crate) fn foretell(shared: &Shared, body: &[u8]) -> Result<Value, String> {
    let foretold: Foretold = serde_json::from_slice(body).map_err(|error| {
        format!(
            "not a forecast (targets, each with ip, port, and maybe alive_at in milliseconds since 1970): {error}"
        )
    })?;
    let targets = foretold.targets.into_iter();
    let targets = targets.map(|one| (SocketAddr::new(one.ip, one.port), one.alive_at));
    Ok(shared.with(|model, now| {
        model.foretell(targets, now);
        json!({ "now": now })
    }))
}

fn show(model: &Model, now: Millis) -> Value {
    let said = model.forecast.said();
    let targets = said.map(|(address, alive_at)| {
        json!({ "ip": address.ip(), "port": address.port(), "alive_at": alive_at })
    });
    json!({ "now": now, "targets": targets.collect::<Vec<_>>() })
}
