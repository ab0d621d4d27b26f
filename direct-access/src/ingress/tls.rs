//! Which certificate each host shows: `spec.tls` with its Secrets, or annotation `certificate`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::facts::IngressFacts;
use crate::certificate::{CertificateId, CertificateRef};
use crate::names::ingress as own;
use crate::problem::{Code, Problem};

/// Certificates by host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    by_host: BTreeMap<String, CertificateRef>,
    default: Option<CertificateRef>,
    /// Something was asked for, readable or not.
    asked: bool,
}

/// An entry of the annotation. TKE writes a list of ids: one for each kind of key.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(default)]
    hosts: Vec<String>,
    qcloud_cert_id: Ids,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Ids {
    One(String),
    Several(Vec<String>),
}

const ACCEPTED: &str = r#"accepted is a JSON array: [{"hosts":["a.com"],"qcloud_cert_id":["abcd1234"]}]; an entry without hosts is for all others"#;

/// Reads both. The annotation counts first.
pub(super) fn certificates(ingress: &IngressFacts) -> (Certificates, Vec<Problem>) {
    let mut reading = Reading {
        ingress,
        found: Certificates::default(),
        problems: vec![],
    };
    reading.annotation();
    let by_annotation = reading.found.clone();
    reading.spec(&by_annotation);
    (reading.found, reading.problems)
}

impl Certificates {
    /// The certificate of a host: its own, that of a wildcard over it, or the default.
    pub(super) fn of(&self, host: Option<&str>) -> Option<&CertificateRef> {
        let by_host = host.and_then(|host| {
            let wildcard = host.split_once('.').map(|(_, rest)| format!("*.{rest}"));
            let wildcard = wildcard.and_then(|wildcard| self.by_host.get(&wildcard));
            self.by_host.get(host).or(wildcard)
        });
        by_host.or(self.default.as_ref())
    }

    /// Whether TLS is asked for.
    pub(super) const fn asked(&self) -> bool {
        self.asked
    }
}

struct Reading<'a> {
    ingress: &'a IngressFacts,
    found: Certificates,
    problems: Vec<Problem>,
}

impl Reading<'_> {
    fn annotation(&mut self) {
        let Some(text) = self.ingress.annotation(own::CERTIFICATE) else {
            return;
        };
        self.found.asked = true;
        let entries: Vec<Entry> = match serde_json::from_str(text) {
            Ok(entries) => entries,
            Err(error) => {
                let accepted = format!("{ACCEPTED}; {error}");
                let problem = self
                    .ingress
                    .annotation_problem(own::CERTIFICATE, text, &accepted);
                self.problems.push(problem);
                return;
            }
        };
        for entry in entries {
            match id(&entry.qcloud_cert_id) {
                Ok(id) => self.add(
                    &entry.hosts,
                    &CertificateRef::Id(id),
                    "metadata.annotations",
                ),
                Err((value, accepted)) => {
                    let problem =
                        self.ingress
                            .annotation_problem(own::CERTIFICATE, &value, accepted);
                    self.problems.push(problem.coded(Code::CertificateId));
                }
            }
        }
    }

    fn spec(&mut self, by_annotation: &Certificates) {
        for (number, tls) in self.ingress.tls.iter().enumerate() {
            self.found.asked = true;
            let field = format!("spec.tls[{number}]");
            let named = |host: &String| by_annotation.by_host.contains_key(host);
            let settled = match &tls.hosts[..] {
                [] => by_annotation.default.is_some(),
                hosts => hosts.iter().all(named),
            };
            match &tls.secret {
                _ if settled => {}
                Some(name) => {
                    let secret = CertificateRef::Secret(self.ingress.beside(name));
                    let open: Vec<_> = tls
                        .hosts
                        .iter()
                        .filter(|host| !named(host))
                        .cloned()
                        .collect();
                    self.add(&open, &secret, &field);
                }
                // The default, or the annotation of a cluster's own making, may still have it.
                None if by_annotation.default.is_some() => {}
                None => {
                    let field = format!("{field}.secretName");
                    let accepted = "name a Secret with the key qcloud_cert_id";
                    let problem = self.ingress.problem(&field, "", accepted);
                    self.problems.push(problem.coded(Code::SecretNameEmpty));
                }
            }
        }
    }

    /// The first one keeps a host.
    fn add(&mut self, hosts: &[String], certificate: &CertificateRef, field: &str) {
        if hosts.is_empty() {
            if self
                .found
                .default
                .get_or_insert_with(|| certificate.clone())
                != certificate
            {
                self.twice(field, "every other host", Code::SeveralDefaultCertificates);
            }
            return;
        }
        for host in hosts {
            let known = self.found.by_host.entry(host.clone());
            if known.or_insert_with(|| certificate.clone()) != certificate {
                self.twice(field, host, Code::SeveralCertificates);
            }
        }
    }

    fn twice(&mut self, field: &str, host: &str, code: Code) {
        let accepted =
            "it has a certificate already, which is the one that is used; name one for each host";
        let problem = self.ingress.problem(field, host, accepted);
        self.problems.push(problem.coded(code));
    }
}

/// One id: the API shows one certificate a domain here.
fn id(ids: &Ids) -> Result<CertificateId, (String, &'static str)> {
    let ids = match ids {
        Ids::One(id) => std::slice::from_ref(id),
        Ids::Several(ids) => ids,
    };
    let [text] = ids else {
        let accepted = "accepted is one id for each entry: clb-gate shows one certificate a host";
        return Err((ids.join(","), accepted));
    };
    CertificateId::parse(text).map_err(|accepted| (text.clone(), accepted))
}
