//! What each port speaks: the Service's own word, or the annotation
//! `service.cloud.tencent.com/specify-protocol`, a JSON object from port to protocols.
//!
//! A port that cannot be read stays as it is on the CLB, and the other ports are served: a typing error
//! must not turn a running UDP listener into one of TCP.

mod hosts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use self::hosts::{Hosts, hosts};
use crate::exposure::{Reason, Rule};
use crate::listener::ListenerParameters;
use crate::names;
use crate::problem::Problem;
use crate::service::{PortFacts, ServiceFacts, TargetPort};
use crate::slot::{Protocol, Slot, Space};

/// What the ports of a Service speak.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Spoken {
    /// What can be served: at most one of a slot.
    pub(crate) ports: Vec<SpokenPort>,
    /// What the user should mend.
    pub(crate) problems: Vec<Problem>,
    /// Where everything stays as it is until then.
    pub(crate) held: Vec<Slot>,
    /// Where a host could not be read: what is there of running pods stays until it can.
    pub(crate) incomplete: BTreeSet<Slot>,
}

/// A port to serve.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SpokenPort {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) target: TargetPort,
    /// At layer 7 one for each host; none at layer 4.
    pub(crate) rules: Vec<Rule>,
}

/// What the annotation says of a port (TKE's own form).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    protocol: Vec<String>,
    tls: Option<String>,
    hosts: Option<BTreeMap<String, Value>>,
}

/// A port that the annotation speaks of.
struct Port<'a> {
    service: &'a ServiceFacts,
    number: u16,
    parameters: &'a ListenerParameters,
}

/// An entry that was read.
struct Said {
    protocols: Vec<Protocol>,
    hosts: Hosts,
}

const ACCEPTED: &str =
    r#"accepted is a JSON object from port to protocols, e.g. {"53":{"protocol":["TCP","UDP"]}}"#;

/// Reads what each port speaks.
pub(crate) fn spoken(
    service: &ServiceFacts,
    parameters: &ListenerParameters,
) -> Result<Spoken, Reason> {
    let mut spoken = Spoken::default();
    let mut entries = entries(service)?;
    for port in &service.ports {
        match entries.get(&port.port.to_string()) {
            None => spoken.own(service, port),
            Some(_) if spoken.knows(port.port) => {}
            Some(entry) => {
                let port = Port {
                    service,
                    number: port.port,
                    parameters,
                };
                spoken.specified(&port, entry);
            }
        }
    }
    entries.retain(|key, _| service.ports.iter().all(|one| one.port.to_string() != *key));
    for key in entries.keys() {
        let ports: Vec<_> = service
            .ports
            .iter()
            .map(|one| one.port.to_string())
            .collect();
        let accepted = format!(
            "the Service has the ports {}; this one is ignored",
            ports.join(", ")
        );
        spoken.problems.push(problem(service, key, key, &accepted));
    }
    Ok(spoken)
}

type Entries = BTreeMap<String, Value>;

/// What does not parse at all says nothing of any port: then the whole Service stays as it is.
fn entries(service: &ServiceFacts) -> Result<Entries, Reason> {
    let Some(text) = service.annotation(names::SPECIFY_PROTOCOL) else {
        return Ok(Entries::new());
    };
    serde_json::from_str(text).map_err(|error| {
        let accepted = format!("it does not parse ({error}); {ACCEPTED}");
        service.unreadable(names::SPECIFY_PROTOCOL, text, &accepted)
    })
}

impl Spoken {
    /// As `spec.ports` says.
    fn own(&mut self, service: &ServiceFacts, port: &PortFacts) {
        let protocol = match port.protocol.as_str() {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            other => {
                let field = format!("spec.ports[port={}].protocol", port.port);
                let accepted = "a CLB forwards TCP and UDP; choose one of them";
                self.problems.push(service.problem(&field, other, accepted));
                return;
            }
        };
        self.add(SpokenPort {
            protocol,
            port: port.port,
            target: port.target.clone(),
            rules: vec![],
        });
    }

    fn specified(&mut self, of: &Port<'_>, entry: &Value) {
        let said = match of.read(entry) {
            Ok(said) => said,
            Err(problems) => {
                self.problems.extend(problems);
                let held = [Space::Stream, Space::Datagram];
                let port = of.number;
                self.held.extend(held.map(|space| Slot { space, port }));
                return;
            }
        };
        for protocol in said.protocols {
            let slot = protocol.at(of.number);
            let layer7 = !protocol.has_own_targets();
            if layer7 && said.hosts.incomplete {
                self.incomplete.insert(slot);
            }
            if let Some(target) = target(of.service, slot) {
                let rules = said.hosts.rules.iter().filter(|_| layer7);
                self.add(SpokenPort {
                    protocol,
                    port: of.number,
                    target,
                    rules: rules.cloned().collect(),
                });
            }
        }
        self.problems.extend(said.hosts.problems);
    }

    /// The first of a slot has it: the API server lets no Service name a port and protocol twice.
    fn add(&mut self, port: SpokenPort) {
        let slot = |port: &SpokenPort| port.protocol.at(port.port);
        if self.ports.iter().all(|known| slot(known) != slot(&port)) {
            self.ports.push(port);
        }
    }

    /// Whether the annotation's word on this port was read already: TCP and UDP are two Service ports.
    fn knows(&self, port: u16) -> bool {
        self.ports.iter().any(|known| known.port == port)
            || self.held.iter().any(|slot| slot.port == port)
    }
}

/// The Service port of the same space says where to, else the first of that number.
fn target(service: &ServiceFacts, slot: Slot) -> Option<TargetPort> {
    let of_number = || service.ports.iter().filter(|one| one.port == slot.port);
    let same = of_number().find(|one| Space::of(&one.protocol) == slot.space);
    same.or_else(|| of_number().next())
        .map(|one| one.target.clone())
}

impl Port<'_> {
    /// What an entry says; or what the user should mend before the port can be served.
    fn read(&self, entry: &Value) -> Result<Said, Vec<Problem>> {
        let told = |(value, accepted): (String, String)| vec![self.problem(&value, &accepted)];
        let (protocols, entry) = protocols(entry, self.parameters).map_err(told)?;
        let layer7 = protocols.iter().find(|one| !one.has_own_targets());
        let hosts = match layer7 {
            None => Hosts::default(),
            Some(layer7) => {
                let tls = entry.tls.as_deref().filter(|tls| !tls.is_empty());
                let said = entry.hosts.unwrap_or_default();
                hosts(self, *layer7, &said, tls)
            }
        };
        if layer7.is_some() && hosts.rules.is_empty() {
            return Err(hosts.problems);
        }
        Ok(Said { protocols, hosts })
    }

    fn problem(&self, value: &str, accepted: &str) -> Problem {
        self.problem_at("", value, accepted)
    }

    /// Of a part of its entry.
    fn problem_at(&self, part: &str, value: &str, accepted: &str) -> Problem {
        let mut problem = problem(self.service, &self.number.to_string(), value, accepted);
        problem.field.push_str(part);
        problem
    }
}

/// The protocols of an entry; or what was read and what is accepted.
fn protocols(
    entry: &Value,
    parameters: &ListenerParameters,
) -> Result<(Vec<Protocol>, Entry), (String, String)> {
    let shown = || entry.to_string();
    let entry: Entry = serde_json::from_value(entry.clone())
        .map_err(|error| (shown(), format!("it does not parse ({error}); {ACCEPTED}")))?;
    let mut all: Vec<Protocol> = Vec::new();
    for name in &entry.protocol {
        let protocol = protocol(name).map_err(|accepted| (name.clone(), accepted.to_owned()))?;
        if let Some(other) = all.iter().find(|known| known.space() == protocol.space()) {
            let accepted = format!(
                "{other} and {protocol} cannot share a port; UDP and one of TCP, TCP_SSL, HTTP and HTTPS can"
            );
            return Err((shown(), accepted));
        }
        all.push(protocol);
    }
    if all.is_empty() {
        return Err((
            shown(),
            "at least one protocol is needed, e.g. [\"TCP\"]".to_owned(),
        ));
    }
    fits(&all, &entry, parameters)?;
    Ok((all, entry))
}

fn protocol(name: &str) -> Result<Protocol, &'static str> {
    match name {
        "TCP" => Ok(Protocol::Tcp),
        "UDP" => Ok(Protocol::Udp),
        "TCP_SSL" => Ok(Protocol::TcpSsl),
        "HTTP" => Ok(Protocol::Http),
        "HTTPS" => Ok(Protocol::Https),
        "QUIC" => {
            Err("QUIC is not served by clb-gate; accepted are TCP, UDP, TCP_SSL, HTTP and HTTPS")
        }
        _ => Err("accepted are TCP, UDP, TCP_SSL, HTTP and HTTPS"),
    }
}

/// Hosts are of layer 7, and TLS at layer 4 needs a certificate that is named by its id.
fn fits(
    all: &[Protocol],
    entry: &Entry,
    parameters: &ListenerParameters,
) -> Result<(), (String, String)> {
    const REMEDY: &str = "name the certificate by its id, in the annotation \
        service.kubernetes.io/service.listenerParameters: {\"Certificate\":{\"CertId\":\"abcd1234\"}}";
    let layer4 = all.iter().all(|one| one.has_own_targets());
    let host = entry.hosts.as_ref().and_then(|all| all.keys().next());
    if let (true, Some(host)) = (layer4, host) {
        return Err((
            host.clone(),
            "hosts belong to HTTP and HTTPS; leave them out, or change the protocol".to_owned(),
        ));
    }
    let named = parameters.certificate.is_some();
    match &entry.tls {
        _ if !all.contains(&Protocol::TcpSsl) || named => Ok(()),
        Some(secret) => Err((
            secret.clone(),
            format!("the Secret of a TCP_SSL port is not read; {REMEDY}"),
        )),
        None => Err((
            "TCP_SSL".to_owned(),
            format!("TCP_SSL needs a certificate; {REMEDY}"),
        )),
    }
}

fn problem(service: &ServiceFacts, port: &str, value: &str, accepted: &str) -> Problem {
    let field = format!("metadata.annotations[{}][{port}]", names::SPECIFY_PROTOCOL);
    service.problem(&field, value, accepted)
}
