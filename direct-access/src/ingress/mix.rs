//! Which rules are on HTTP and which on HTTPS: annotations `rule-mix`, `rule-mix-both`, `http-rules` and
//! `https-rules`.
//!
//! The rules themselves stand in the spec; the annotations only say which of them go where. A rule that
//! neither names is on HTTPS.

use serde::Deserialize;

use super::facts::{Backend, IngressFacts, RouteFacts};
use crate::names::ingress as own;
use crate::problem::{Code, Problem};
use crate::slot::Protocol;

/// How the rules are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mix {
    /// All rules on every listener.
    All,
    /// The same, on HTTP and HTTPS whatever certificates there are.
    Both,
    /// By what the annotations name.
    Split(Box<Split>),
}

/// What the annotations name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Split {
    http: Vec<Entry>,
    https: Vec<Entry>,
}

/// A rule as an annotation names it. The host stands beside the path, or in the backend as in some of
/// TKE's own samples.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Entry {
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    path: Option<String>,
    backend: EntryBackend,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryBackend {
    #[serde(default)]
    host: Option<String>,
    service_name: String,
    service_port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

const ACCEPTED: &str = r#"accepted is null or a JSON array of rules: [{"host":"a.com","path":"/","backend":{"serviceName":"web","servicePort":"80"}}]"#;

/// Reads all four.
pub(super) fn mix(ingress: &IngressFacts) -> Result<Mix, Box<Problem>> {
    if switch(ingress, own::RULE_MIX_BOTH)? {
        return Ok(Mix::Both);
    }
    if !switch(ingress, own::RULE_MIX)? {
        return Ok(Mix::All);
    }
    Ok(Mix::Split(Box::new(Split {
        http: entries(ingress, own::HTTP_RULES, Code::HttpRules)?,
        https: entries(ingress, own::HTTPS_RULES, Code::HttpsRules)?,
    })))
}

/// `"true"` or `"false"`.
pub(super) fn switch(ingress: &IngressFacts, key: &str) -> Result<bool, Box<Problem>> {
    match ingress.annotation(key) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let accepted = r#"accepted are "true" and "false""#;
            let problem = ingress.annotation_problem(key, other, accepted);
            Err(Box::new(match key {
                own::RULE_MIX | own::RULE_MIX_BOTH => problem.coded(Code::RuleMix),
                own::DIRECT_ACCESS => problem.coded(Code::DirectAccessValue),
                _ => problem,
            }))
        }
    }
}

fn entries(ingress: &IngressFacts, key: &str, code: Code) -> Result<Vec<Entry>, Box<Problem>> {
    let Some(text) = ingress.annotation(key) else {
        return Ok(vec![]);
    };
    let read: Result<Option<Vec<Entry>>, _> = serde_json::from_str(text);
    let read = read.map_err(|error| {
        let accepted = format!("{ACCEPTED}; {error}");
        let problem = ingress.annotation_problem(key, text, &accepted);
        Box::new(problem.coded(code))
    })?;
    Ok(read.unwrap_or_default())
}

impl Mix {
    /// Whether a route is on the listeners of a protocol.
    pub(super) fn has(&self, protocol: Protocol, route: &RouteFacts) -> bool {
        match self {
            Self::All | Self::Both => true,
            Self::Split(split) => {
                let http = names(&split.http, route);
                if protocol == Protocol::Http {
                    return http;
                }
                names(&split.https, route) || !http
            }
        }
    }

    /// What the annotations name and the spec does not have.
    pub(super) fn unmatched(&self, ingress: &IngressFacts) -> Vec<Problem> {
        let Self::Split(split) = self else {
            return vec![];
        };
        let of = |key: &'static str, entries: &[Entry]| -> Vec<Problem> {
            let stray = entries
                .iter()
                .filter(|entry| !ingress.routes.iter().any(|route| entry.is(route)));
            let told = stray.map(|entry| {
                let accepted = "no rule of spec.rules has this host, path, Service and port, so it does nothing; add \
                                the rule to the spec, or remove it here";
                ingress.annotation_problem(key, &entry.shown(), accepted)
            });
            told.collect()
        };
        let mut all = of(own::HTTP_RULES, &split.http);
        all.extend(of(own::HTTPS_RULES, &split.https));
        all
    }
}

fn names(entries: &[Entry], route: &RouteFacts) -> bool {
    entries.iter().any(|entry| entry.is(route))
}

impl Entry {
    fn host(&self) -> Option<&str> {
        let host = self.host.as_deref().or(self.backend.host.as_deref());
        host.filter(|host| !host.is_empty())
    }

    fn path(&self) -> &str {
        path_or_root(self.path.as_deref())
    }

    fn port(&self) -> String {
        match &self.backend.service_port {
            Port::Number(number) => number.to_string(),
            Port::Text(text) => text.clone(),
        }
    }

    fn is(&self, route: &RouteFacts) -> bool {
        let Backend::Service { name, port } = &route.backend else {
            return false;
        };
        self.host() == route.host.as_deref()
            && self.path() == path_or_root(route.path.as_deref())
            && self.backend.service_name == *name
            && self.port() == port.to_string()
    }

    fn shown(&self) -> String {
        let (host, path) = (self.host().unwrap_or_default(), self.path());
        format!(
            "{host}{path} to {}:{}",
            self.backend.service_name,
            self.port()
        )
    }
}

fn path_or_root(path: Option<&str>) -> &str {
    path.filter(|path| !path.is_empty()).unwrap_or("/")
}
