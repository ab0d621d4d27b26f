//! What each port speaks: the Service's own word, or the annotation
//! `service.cloud.tencent.com/specify-protocol`, a JSON object from port to protocols.
//!
//! A port that cannot be read stays as it is on the CLB, and the other ports are served: a typing error
//! must not turn a running UDP listener into one of TCP.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::exposure::Reason;
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
}

/// A port to serve.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SpokenPort {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    pub(crate) target: TargetPort,
}

/// What the annotation says of a port (TKE's own form).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    protocol: Vec<String>,
    tls: Option<String>,
    hosts: Option<BTreeMap<String, Host>>,
}

/// Of a layer-7 listener: a Service has none here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    #[serde(rename = "tls")]
    _tls: Option<String>,
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
            Some(entry) => spoken.specified(service, port.port, entry, parameters),
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

type Entries = BTreeMap<String, serde_json::Value>;

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
        self.add(protocol, port.port, port.target.clone());
    }

    fn specified(
        &mut self,
        service: &ServiceFacts,
        port: u16,
        entry: &serde_json::Value,
        parameters: &ListenerParameters,
    ) {
        match protocols(entry, parameters) {
            Ok(protocols) => {
                for protocol in protocols {
                    if let Some(target) = target(service, protocol.at(port)) {
                        self.add(protocol, port, target);
                    }
                }
            }
            Err((value, accepted)) => {
                let key = port.to_string();
                self.problems
                    .push(problem(service, &key, &value, &accepted));
                self.held
                    .extend([Space::Stream, Space::Datagram].map(|space| Slot { space, port }));
            }
        }
    }

    /// The first of a slot has it: the API server lets no Service name a port and protocol twice.
    fn add(&mut self, protocol: Protocol, port: u16, target: TargetPort) {
        let slot = protocol.at(port);
        if self
            .ports
            .iter()
            .all(|known| known.protocol.at(known.port) != slot)
        {
            self.ports.push(SpokenPort {
                protocol,
                port,
                target,
            });
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

/// The protocols of an entry; or what was read and what is accepted.
fn protocols(
    entry: &serde_json::Value,
    parameters: &ListenerParameters,
) -> Result<Vec<Protocol>, (String, String)> {
    let shown = || entry.to_string();
    let entry: Entry = serde_json::from_value(entry.clone())
        .map_err(|error| (shown(), format!("it does not parse ({error}); {ACCEPTED}")))?;
    let mut all: Vec<Protocol> = Vec::new();
    for name in &entry.protocol {
        let protocol = protocol(name).map_err(|accepted| (name.clone(), accepted.to_owned()))?;
        if let Some(other) = all.iter().find(|known| known.space() == protocol.space()) {
            let accepted =
                format!("{other} and {protocol} cannot share a port; TCP (or TCP_SSL) and UDP can");
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
    encrypted(&all, &entry, parameters)?;
    Ok(all)
}

fn protocol(name: &str) -> Result<Protocol, &'static str> {
    match name {
        "TCP" => Ok(Protocol::Tcp),
        "UDP" => Ok(Protocol::Udp),
        "TCP_SSL" => Ok(Protocol::TcpSsl),
        "HTTP" | "HTTPS" => Err(
            "a Service is served at layer 4 here (TCP, UDP, TCP_SSL); write an Ingress of class qcloud for HTTP and HTTPS",
        ),
        "QUIC" => Err("QUIC is not served by clb-gate; accepted are TCP, UDP and TCP_SSL"),
        _ => Err("accepted are TCP, UDP and TCP_SSL"),
    }
}

/// TLS needs a certificate. It is named by its id: a Service's Secrets are not read.
fn encrypted(
    all: &[Protocol],
    entry: &Entry,
    parameters: &ListenerParameters,
) -> Result<(), (String, String)> {
    const REMEDY: &str = "name the certificate by its id instead, in the annotation \
        service.kubernetes.io/service.listenerParameters: {\"Certificate\":{\"CertId\":\"abcd1234\"}}";
    if let Some(host) = entry.hosts.as_ref().and_then(|all| all.keys().next()) {
        let accepted = "hosts belong to HTTP and HTTPS; write an Ingress of class qcloud for them";
        return Err((host.clone(), accepted.to_owned()));
    }
    let named = parameters.certificate.is_some();
    match &entry.tls {
        _ if !all.contains(&Protocol::TcpSsl) || named => Ok(()),
        Some(secret) => Err((
            secret.clone(),
            format!(
                "Secrets are not read for Services, so that clb-gate needs no right to; {REMEDY}"
            ),
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

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::service::tests::service;

    fn with(text: Option<&str>) -> ServiceFacts {
        let mut service = service("web");
        let pair = text.map(|text| (names::SPECIFY_PROTOCOL.to_owned(), text.to_owned()));
        service.annotations.extend(pair);
        service
    }

    fn certificate() -> ListenerParameters {
        ListenerParameters::parse(r#"{"Certificate":{"CertId":"abcd1234"}}"#).unwrap()
    }

    fn served(service: &ServiceFacts, parameters: &ListenerParameters) -> Vec<String> {
        let spoken = spoken(service, parameters).unwrap();
        let shown = |one: &SpokenPort| format!("{}:{}>{}", one.protocol, one.port, one.target);
        spoken.ports.iter().map(shown).collect()
    }

    #[rstest]
    #[case::absent(None, &["TCP:80>8080"])]
    #[case::same(Some(r#"{"80":{"protocol":["TCP"]}}"#), &["TCP:80>8080"])]
    #[case::other(Some(r#"{"80":{"protocol":["UDP"]}}"#), &["UDP:80>8080"])]
    #[case::both(Some(r#"{"80":{"protocol":["TCP","UDP"]}}"#), &["TCP:80>8080", "UDP:80>8080"])]
    #[case::tls(Some(r#"{"80":{"protocol":["TCP_SSL"]}}"#), &["TCP_SSL:80>8080"])]
    #[case::tls_and_udp(Some(r#"{"80":{"protocol":["TCP_SSL","UDP"]}}"#), &["TCP_SSL:80>8080", "UDP:80>8080"])]
    #[case::nothing(Some("{}"), &["TCP:80>8080"])]
    fn good_values_are_served(#[case] text: Option<&str>, #[case] expected: &[&str]) {
        let service = with(text);
        assert_eq!(served(&service, &certificate()), expected);
        assert_eq!(spoken(&service, &certificate()).unwrap().problems, []);
    }

    /// The other port goes on as its Service says, and the bad one keeps what it has on the CLB.
    #[rstest]
    #[case(r#"{"80":{"protocol":["SCTP"]}}"#, "TCP, UDP and TCP_SSL")]
    #[case(r#"{"80":{"protocol":["tcp"]}}"#, "\"tcp\"")]
    #[case(r#"{"80":{"protocol":["QUIC"]}}"#, "QUIC is not served")]
    #[case(r#"{"80":{"protocol":["HTTP"],"hosts":{"a.com":{}}}}"#, "Ingress")]
    #[case(
        r#"{"80":{"protocol":["TCP"],"hosts":{"a.com":{}}}}"#,
        "hosts belong to HTTP"
    )]
    #[case(r#"{"80":{"protocol":[]}}"#, "at least one")]
    #[case(r#"{"80":{"protocol":"TCP"}}"#, "does not parse")]
    #[case(r#"{"80":{"protocols":["TCP"]}}"#, "protocols")]
    #[case(r#"{"80":{"protocol":["TCP","TCP_SSL"]}}"#, "cannot share")]
    #[case(r#"{"80":{"protocol":["TCP_SSL"]}}"#, "needs a certificate")]
    #[case(
        r#"{"80":{"protocol":["TCP_SSL"],"tls":"cert-secret"}}"#,
        "\"cert-secret\""
    )]
    fn a_bad_port_is_told_and_held_and_the_others_are_served(
        #[case] text: &str,
        #[case] told: &str,
    ) {
        let mut service = with(Some(text));
        let other = PortFacts {
            port: 81,
            ..service.ports[0].clone()
        };
        service.ports.push(other);
        let spoken = spoken(&service, &ListenerParameters::default()).unwrap();
        assert_eq!(
            served(&service, &ListenerParameters::default()),
            ["TCP:81>8080"]
        );
        assert_eq!(spoken.held, [Protocol::Tcp.at(80), Protocol::Udp.at(80)]);
        let problem = spoken.problems[0].to_string();
        for part in ["shop/web", "specify-protocol][80]", told] {
            assert!(problem.contains(part), "{part} in {problem}");
        }
    }

    #[test]
    fn a_port_that_the_service_lacks_is_told_and_ignored() {
        let service = with(Some(r#"{"8080":{"protocol":["UDP"]},"web":{}}"#));
        let spoken = spoken(&service, &ListenerParameters::default()).unwrap();
        assert_eq!((spoken.ports.len(), spoken.problems.len()), (1, 2));
        assert_eq!(spoken.held, []);
        assert!(spoken.problems[0].to_string().contains("has the ports 80"));
    }

    #[rstest]
    #[case("TCP")]
    #[case(r#"["TCP"]"#)]
    #[case("{")]
    fn what_is_no_object_holds_the_service(#[case] text: &str) {
        let reason = spoken(&with(Some(text)), &ListenerParameters::default()).unwrap_err();
        assert!(reason.holds());
    }

    #[test]
    fn two_service_ports_of_one_number_keep_their_own_targets() {
        let mut dns = with(Some(r#"{"80":{"protocol":["UDP","TCP"]}}"#));
        let udp = PortFacts {
            name: None,
            port: 80,
            protocol: "UDP".to_owned(),
            target: TargetPort::Number(5353),
        };
        dns.ports.push(udp);
        assert_eq!(served(&dns, &certificate()), ["UDP:80>5353", "TCP:80>8080"]);
        dns.annotations.clear();
        assert_eq!(served(&dns, &certificate()), ["TCP:80>8080", "UDP:80>5353"]);
    }
}
