//! Which rules are on HTTP and which on HTTPS: annotations `rule-mix`, `rule-mix-both`, `http-rules` and
//! `https-rules`.
//!
//! The rules themselves stand in the spec; the annotations only say which of them go where. A rule that
//! neither names is on HTTPS.

use serde::Deserialize;
use serde_json::Value;

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
#[serde(try_from = "Written")]
struct Entry {
    host: Option<String>,
    path: Option<String>,
    leads: Leads,
}

/// Where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Leads {
    /// To a Service.
    To(EntryBackend),
    /// To another address: TKE makes a redirect of it.
    Elsewhere,
}

/// A rule as it is written.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    backend: Option<EntryBackend>,
    #[serde(default)]
    rewrite: Option<Value>,
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

/// Why a rule that the spec lacks does nothing.
const NO_RULE: &str = "no rule of spec.rules has this host, path, Service and port, so it does nothing; add the rule \
                       to the spec, or remove it here";
/// Why a rule that is a redirect does nothing.
const NO_REDIRECT: &str = "clb-gate makes no redirects, and forwards nothing here; make it in Tencent's console, or remove the rule";

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
                let accepted = match entry.leads {
                    Leads::To(_) => NO_RULE,
                    Leads::Elsewhere => NO_REDIRECT,
                };
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

impl TryFrom<Written> for Entry {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let leads = match (written.rewrite, written.backend) {
            (Some(_), _) => Leads::Elsewhere,
            (None, Some(backend)) => Leads::To(backend),
            (None, None) => return Err("missing field `backend`"),
        };
        Ok(Self {
            host: written.host,
            path: written.path,
            leads,
        })
    }
}

impl Entry {
    fn host(&self) -> Option<&str> {
        let in_backend = match &self.leads {
            Leads::To(backend) => backend.host.as_deref(),
            Leads::Elsewhere => None,
        };
        let host = self.host.as_deref().or(in_backend);
        host.filter(|host| !host.is_empty())
    }

    fn path(&self) -> &str {
        path_or_root(self.path.as_deref())
    }

    fn is(&self, route: &RouteFacts) -> bool {
        let (Leads::To(backend), Backend::Service { name, port }) = (&self.leads, &route.backend)
        else {
            return false;
        };
        self.host() == route.host.as_deref()
            && self.path() == path_or_root(route.path.as_deref())
            && backend.service_name == *name
            && backend.port() == port.to_string()
    }

    fn shown(&self) -> String {
        let place = format!("{}{}", self.host().unwrap_or_default(), self.path());
        match &self.leads {
            Leads::To(backend) => format!("{place} to {}:{}", backend.service_name, backend.port()),
            Leads::Elsewhere => format!("{place} with rewrite"),
        }
    }
}

impl EntryBackend {
    fn port(&self) -> String {
        match &self.service_port {
            Port::Number(number) => number.to_string(),
            Port::Text(text) => text.clone(),
        }
    }
}

fn path_or_root(path: Option<&str>) -> &str {
    path.filter(|path| !path.is_empty()).unwrap_or("/")
}
