//! The hosts of a port that speaks HTTP or HTTPS: each becomes a rule of the listener.
//!
//! A host that cannot be read is left out and told; the others are served.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Port;
use crate::certificate::{CertificateId, CertificateRef};
use crate::exposure::{Rule, RulePath};
use crate::host;
use crate::listener::Certificate;
use crate::names;
use crate::problem::{Code, Problem};
use crate::service::ObjectRef;
use crate::slot::Protocol;

/// What the hosts of a port become.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// One each.
    pub(super) rules: Vec<Rule>,
    /// What the user should mend.
    pub(super) problems: Vec<Problem>,
    /// Whether one could not be read.
    pub(super) incomplete: bool,
}

/// What the annotation says of a host (TKE's own form).
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    tls: Option<String>,
}

/// Characters of an object's name (Kubernetes).
const LONGEST_NAME: usize = 253;

/// Reads the hosts of a port. `tls` is the Secret of those that name none.
pub(super) fn hosts(
    port: &Port<'_>,
    protocol: Protocol,
    said: &BTreeMap<String, Value>,
    tls: Option<&str>,
) -> Hosts {
    let mut hosts = Hosts::default();
    for (name, said) in said {
        hosts.read(port, protocol, (name, said), tls);
    }
    if said.is_empty() {
        let accepted = format!(
            "{protocol} needs hosts, each of which becomes a rule of the CLB, e.g. \
             {{\"protocol\":[\"{protocol}\"],\"hosts\":{{\"www.example.com\":{{}}}}}}"
        );
        hosts.problems.push(port.problem("no hosts", &accepted));
    }
    hosts
}

impl Hosts {
    fn read(
        &mut self,
        port: &Port<'_>,
        protocol: Protocol,
        (name, said): (&str, &Value),
        tls: Option<&str>,
    ) {
        let problem = |accepted: &str| port.problem_at(".hosts", name, accepted);
        if let Err(fault) = host::check(name) {
            self.leave_out(fault.coded(problem(fault.accepted())));
            return;
        }
        // `null` is how YAML tools write an empty object.
        let host = Option::<Host>::deserialize(said);
        let host = match host {
            Ok(host) => host.unwrap_or_default(),
            Err(error) => {
                let accepted = format!(
                    "what it says does not parse ({error}); accepted are {{}} and {{\"tls\":\"cert-secret\"}}"
                );
                self.leave_out(problem(&accepted));
                return;
            }
        };
        let named = host.tls.as_deref().filter(|tls| !tls.is_empty());
        let mut shown = None;
        if protocol == Protocol::Https {
            match certificate(port, named.or(tls), &problem) {
                Ok(found) => shown = Some(found),
                Err(missing) => self.problems.push(*missing),
            }
        } else if named.is_some() {
            let accepted = "tls belongs to HTTPS, and is ignored over HTTP";
            self.problems.push(problem(accepted));
        }
        self.rules.push(Rule {
            path: RulePath {
                domain: Some(name.to_owned()),
                url: "/".to_owned(),
            },
            default: false,
            certificate: shown,
        });
    }

    fn leave_out(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.incomplete = true;
    }
}

/// The Secret that is named; where none is, the certificate of all the Service's listeners.
fn certificate(
    port: &Port<'_>,
    secret: Option<&str>,
    problem: &dyn Fn(&str) -> Problem,
) -> Result<CertificateRef, Box<Problem>> {
    let Some(name) = secret else {
        let of_all = port.parameters.certificate.as_ref().and_then(by_id);
        let accepted = format!(
            "HTTPS needs a certificate: name a Secret with the key qcloud_cert_id, {{\"tls\":\"cert-secret\"}}, \
             or the certificate's id in the annotation {}",
            names::LISTENER_PARAMETERS
        );
        return of_all.ok_or_else(|| Box::new(problem(&accepted).coded(Code::NoCertificate)));
    };
    // It becomes part of a path that is asked for with our rights.
    if name.len() > LONGEST_NAME || !host::is_domain(name) {
        let accepted = format!(
            "its tls is {name:?}; accepted is the name of a Secret in the Service's namespace"
        );
        return Err(Box::new(problem(&accepted)));
    }
    Ok(CertificateRef::Secret(ObjectRef {
        namespace: port.service.namespace.clone(),
        name: name.to_owned(),
    }))
}

fn by_id(certificate: &Certificate) -> Option<CertificateRef> {
    let mutual = certificate.ssl_mode.as_deref() == Some("MUTUAL");
    Some(CertificateRef::Id(CertificateId {
        server: certificate.cert_id.clone()?,
        clients_ca: certificate.cert_ca_id.clone().filter(|_| mutual),
    }))
}
