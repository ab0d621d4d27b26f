//! From the object's JSON to what can be applied, field by field: one bad field spoils no other.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{L4Listener, L7Listener, L7Rule, NotApplied, TkeServiceConfig};
use crate::listener::{HealthCheck, ListenerParameters};
use crate::slot::Protocol;

/// Seconds of session persistence where only `enable: true` is said (TKE's documentation).
const DEFAULT_SESSION: i64 = 30;
const NOT_SERVED: &str = "clb-gate does not set this";
const UNKNOWN: &str = "no such field in TKE's documentation";

pub(super) fn config(spec: &Value) -> (TkeServiceConfig, Vec<NotApplied>) {
    let mut told = Vec::new();
    let mut config = TkeServiceConfig::default();
    let mut spec = Part::of(spec, "spec".to_owned(), &mut told);
    let whole = spec.take("loadBalancer");
    spec.end(&[]);
    let Some(whole) = whole else {
        return (config, told);
    };
    let mut part = Part::of(&whole, "spec.loadBalancer".to_owned(), &mut told);
    config.bandwidth = part.number("internetMaxBandwidthOut", 0, 2048);
    let (l4, l7) = (part.list("l4Listeners"), part.list("l7Listeners"));
    part.end(&[]);
    for (field, value) in l4 {
        if let Some((port, listener)) = l4_listener(&mut Part::of(&value, field, &mut told)) {
            config.l4.insert(listener.protocol.at(port), listener);
        }
    }
    for (field, value) in l7 {
        if let Some((port, listener)) = l7_listener(&value, field, &mut told) {
            config.l7.insert(listener.protocol.at(port), listener);
        }
    }
    (config, told)
}

fn l4_listener(section: &mut Part<'_>) -> Option<(u16, L4Listener)> {
    let protocol = section.one_of("protocol", &["TCP", "UDP", "TCP_SSL"]);
    let port = section.port();
    let parameters = ListenerParameters {
        scheduler: section.one_of("scheduler", &["WRR", "LEAST_CONN"]),
        session_expire_time: session(section),
        health_check: health_check(section, &["TCP", "HTTP", "PING"]),
        ..ListenerParameters::default()
    };
    section.end(&["proxyProtocol"]);
    let protocol = match protocol.as_deref() {
        Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("TCP_SSL") => Protocol::TcpSsl,
        _ => return section.needs("protocol"),
    };
    let parameters = parameters.of(protocol);
    Some((
        port?,
        L4Listener {
            protocol,
            parameters,
        },
    ))
}

fn l7_listener(
    value: &Value,
    field: String,
    told: &mut Vec<NotApplied>,
) -> Option<(u16, L7Listener)> {
    let mut section = Part::of(value, field, told);
    let protocol = section.one_of("protocol", &["HTTP", "HTTPS"]);
    let port = section.port();
    let default_server = section.text("defaultServer");
    let domains = section.list("domains");
    section.end(&[
        "keepaliveEnable",
        "snatEnable",
        "sniSwitch",
        "defaultDomain",
        "ruleDefault",
    ]);
    let protocol = match protocol.as_deref() {
        Some("HTTP") => Protocol::Http,
        Some("HTTPS") => Protocol::Https,
        _ => return section.needs("protocol"),
    };
    let port = port?;
    let mut rules = BTreeMap::new();
    for (field, value) in domains {
        domain(&value, field, (&mut rules, &mut *told));
    }
    let listener = L7Listener {
        protocol,
        default_server,
        rules,
    };
    Some((port, listener))
}

type Rules = BTreeMap<(String, String), L7Rule>;

fn domain(value: &Value, field: String, (rules, told): (&mut Rules, &mut Vec<NotApplied>)) {
    let mut part = Part::of(value, field, told);
    let domain = part.text("domain").unwrap_or_default();
    let http2 = part.switch("http2");
    let of_domain = part.list("rules");
    part.end(&["certificate"]);
    for (field, value) in of_domain {
        let mut part = Part::of(&value, field, told);
        let url = part.text("url").unwrap_or_else(|| "/".to_owned());
        let mut rule = L7Rule {
            forward_type: part.one_of("forwardType", &["HTTP", "HTTPS", "GRPC"]),
            http2,
            parameters: ListenerParameters {
                scheduler: part.one_of("scheduler", &["WRR", "LEAST_CONN", "IP_HASH"]),
                session_expire_time: session(&mut part),
                health_check: health_check(&mut part, &["TCP", "HTTP"]),
                ..ListenerParameters::default()
            },
        };
        wildcard(&domain, &mut rule, &mut part);
        part.end(&[]);
        rules.insert((domain.clone(), url), rule);
    }
}

/// What a check of `*.a.com` should ask for, nobody can guess.
fn wildcard(domain: &str, rule: &mut L7Rule, part: &mut Part<'_>) {
    let check = rule.parameters.health_check.as_ref();
    let on = check.is_some_and(|check| check.health_switch != Some(0));
    let named = check.is_some_and(|check| check.http_check_domain.is_some());
    if domain.starts_with('*') && on && !named {
        rule.parameters.health_check = None;
        let why =
            "a wildcard domain's check needs healthCheck.httpCheckDomain, one that matches it";
        part.tell("healthCheck.httpCheckDomain", "absent", why);
    }
}

fn session(part: &mut Part<'_>) -> Option<i64> {
    let value = part.take("session")?;
    let mut inner = part.inner(&value, "session");
    let enabled = inner.enabled();
    let time = inner.number("sessionExpireTime", 30, 3600);
    inner.end(&[]);
    match enabled {
        Some(true) => Some(time.unwrap_or(DEFAULT_SESSION)),
        Some(false) => Some(0),
        None => None,
    }
}

fn health_check(part: &mut Part<'_>, kinds: &[&str]) -> Option<HealthCheck> {
    let value = part.take("healthCheck")?;
    let mut inner = part.inner(&value, "healthCheck");
    let enabled = inner.enabled()?;
    let check = HealthCheck {
        health_switch: Some(i64::from(enabled)),
        time_out: inner.number("timeout", 2, 60),
        interval_time: inner.number("intervalTime", 2, 300),
        health_num: inner.number("healthNum", 2, 10),
        un_health_num: inner.number("unHealthNum", 2, 10),
        check_type: inner.one_of("checkType", kinds),
        check_port: inner.number("checkPort", 1, 65535),
        http_code: inner.number("httpCode", 1, 31),
        http_check_path: inner.text("httpCheckPath"),
        http_check_domain: inner.text("httpCheckDomain"),
        http_check_method: inner.one_of("httpCheckMethod", &["HEAD", "GET"]),
        http_version: inner.one_of("httpVersion", &["HTTP/1.0", "HTTP/1.1"]),
        source_ip_type: inner.number("sourceIpType", 0, 1),
    };
    if let (Some(timeout), Some(interval)) = (check.time_out, check.interval_time)
        && timeout >= interval
    {
        // The documentation's own sample has it so: told, and the API judges.
        let why = format!(
            "it must be smaller than intervalTime {interval}, or the CLB may refuse it; it is sent as it is"
        );
        inner.tell("timeout", &timeout.to_string(), &why);
    }
    inner.end(&["contextType", "sendContext", "recvContext", "extendedCode"]);
    Some(check)
}

/// One object of the whole: what is taken out of it is read, what is left is told.
struct Part<'a> {
    fields: Map<String, Value>,
    path: String,
    told: &'a mut Vec<NotApplied>,
}

impl<'a> Part<'a> {
    fn of(value: &Value, path: String, told: &'a mut Vec<NotApplied>) -> Self {
        let fields = value.as_object().cloned();
        if fields.is_none() && !value.is_null() {
            told.push(NotApplied {
                field: path.clone(),
                value: value.to_string(),
                why: "an object is accepted".to_owned(),
            });
        }
        let fields = fields.unwrap_or_default();
        Self { fields, path, told }
    }

    fn inner(&mut self, value: &Value, name: &str) -> Part<'_> {
        Part::of(value, format!("{}.{name}", self.path), self.told)
    }

    /// `null` is as good as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.fields.remove(name).filter(|value| !value.is_null())
    }

    fn tell(&mut self, name: &str, value: &str, why: &str) {
        self.told.push(NotApplied {
            field: format!("{}.{name}", self.path),
            value: value.to_owned(),
            why: why.to_owned(),
        });
    }

    fn refuse<T>(&mut self, name: &str, value: &Value, accepted: &str) -> Option<T> {
        self.tell(name, &value.to_string(), &format!("accepted is {accepted}"));
        None
    }

    fn needs<T>(&mut self, name: &str) -> Option<T> {
        self.tell(
            name,
            "absent or unreadable",
            "nothing of this listener is applied without it",
        );
        None
    }

    fn number(&mut self, name: &str, low: i64, high: i64) -> Option<i64> {
        let value = self.take(name)?;
        let number = value
            .as_i64()
            .filter(|number| (low..=high).contains(number));
        number.or_else(|| self.refuse(name, &value, &format!("a number from {low} to {high}")))
    }

    fn port(&mut self) -> Option<u16> {
        if !self.fields.contains_key("port") {
            return self.needs("port");
        }
        self.number("port", 1, 65535)
            .and_then(|port| u16::try_from(port).ok())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.take(name)?;
        if let Value::String(text) = value {
            return Some(text);
        }
        self.refuse(name, &value, "a text")
    }

    fn one_of(&mut self, name: &str, accepted: &[&str]) -> Option<String> {
        let value = self.take(name)?;
        match value.as_str().filter(|text| accepted.contains(text)) {
            Some(text) => Some(text.to_owned()),
            None => self.refuse(name, &value, &format!("one of {}", accepted.join(", "))),
        }
    }

    fn switch(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        value
            .as_bool()
            .or_else(|| self.refuse(name, &value, "true or false"))
    }

    /// `enable` as TKE writes it today, `enabled` as it did in 2020.
    fn enabled(&mut self) -> Option<bool> {
        let (new, old) = (self.switch("enable"), self.switch("enabled"));
        if let (Some(new), Some(old)) = (new, old)
            && new != old
        {
            self.tell(
                "enabled",
                &old.to_string(),
                "enable says otherwise, and holds",
            );
        }
        let either = new.or(old);
        if either.is_none() {
            self.tell(
                "enable",
                "absent or unreadable",
                "nothing of this part is applied without true or false",
            );
        }
        either
    }

    /// `field[0]`, `field[1]` …
    fn list(&mut self, name: &str) -> Vec<(String, Value)> {
        match self.take(name) {
            None => vec![],
            Some(Value::Array(all)) => {
                let named = all.into_iter().enumerate();
                let path = &self.path;
                named
                    .map(|(index, value)| (format!("{path}.{name}[{index}]"), value))
                    .collect()
            }
            Some(other) => {
                let _: Option<()> = self.refuse(name, &other, "a list");
                vec![]
            }
        }
    }

    /// Whatever nobody took.
    fn end(&mut self, not_served: &[&str]) {
        for (name, value) in std::mem::take(&mut self.fields) {
            let why = if not_served.contains(&name.as_str()) {
                NOT_SERVED
            } else {
                UNKNOWN
            };
            self.tell(&name, &value.to_string(), why);
        }
    }
}
