//! Which listeners an Ingress asks for: annotation `listen-ports`, or what follows from its TLS.

use std::collections::BTreeMap;

use super::facts::IngressFacts;
use super::mix::Mix;
use crate::names::ingress as own;
use crate::problem::Problem;
use crate::slot::{Protocol, Slot};

/// Where listeners are when nothing else is said.
pub const DEFAULT_PORTS: [(Protocol, u16); 2] = [(Protocol::Http, 80), (Protocol::Https, 443)];

/// What is accepted as `listen-ports`.
const ACCEPTED: &str = r#"accepted is a JSON array of ports by protocol, HTTP or HTTPS, each port once: [{"HTTP":80},{"HTTPS":443}]"#;

/// The listeners, each port once.
pub(super) fn listeners(
    ingress: &IngressFacts,
    mix: &Mix,
    certified: bool,
) -> Result<Vec<(Protocol, u16)>, Box<Problem>> {
    let Some(text) = ingress.annotation(own::LISTEN_PORTS) else {
        return Ok(by_default(mix, certified));
    };
    parse(text)
        .ok_or_else(|| Box::new(ingress.annotation_problem(own::LISTEN_PORTS, text, ACCEPTED)))
}

fn by_default(mix: &Mix, certified: bool) -> Vec<(Protocol, u16)> {
    let [http, https] = DEFAULT_PORTS;
    match mix {
        Mix::Split(_) | Mix::Both => vec![http, https],
        Mix::All if certified => vec![https],
        Mix::All => vec![http],
    }
}

fn parse(text: &str) -> Option<Vec<(Protocol, u16)>> {
    let entries: Vec<BTreeMap<String, u16>> = serde_json::from_str(text).ok()?;
    let mut listeners: Vec<(Protocol, u16)> = Vec::new();
    for (name, port) in entries.into_iter().flatten() {
        let protocol = match name.as_str() {
            "HTTP" => Protocol::Http,
            "HTTPS" => Protocol::Https,
            _ => return None,
        };
        if port == 0 || listeners.iter().any(|(_, known)| *known == port) {
            return None;
        }
        listeners.push((protocol, port));
    }
    (!listeners.is_empty()).then_some(listeners)
}

/// Where an Ingress that cannot be read may have its listeners: at the usual ports, and at every number
/// that stands in the annotation.
pub(super) fn possible(ingress: &IngressFacts) -> Vec<Slot> {
    let text = ingress.annotation(own::LISTEN_PORTS).unwrap_or_default();
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let named = numbers.filter_map(|number| number.parse().ok());
    let usual = DEFAULT_PORTS.iter().map(|(_, port)| *port);
    usual
        .chain(named)
        .map(|port| Protocol::Http.at(port))
        .collect()
}
