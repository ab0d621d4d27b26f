//! From the object's JSON to what can be applied, field by field: one bad field spoils no other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value;

use super::part::Part;
use super::{L4Listener, L7Listener, L7Rule, NotApplied, TkeServiceConfig};
use crate::listener::{HealthCheck, ListenerParameters};
use crate::slot::Protocol;

/// Seconds of session persistence where only `enable: true` is said (TKE's documentation).
const DEFAULT_SESSION: i64 = 30;

/// What a check may be.
#[derive(Clone, Copy)]
struct Kinds {
    accepted: &'static [&'static str],
    /// Whether it may be over HTTP: then it has more fields.
    http: bool,
    /// Whether it may be in the user's own words, and on a port of its own.
    layer4: bool,
}

const STREAM: Kinds = Kinds {
    accepted: &["TCP", "HTTP", "CUSTOM"],
    http: true,
    layer4: true,
};
const DATAGRAM: Kinds = Kinds {
    accepted: &["PING", "CUSTOM"],
    http: false,
    layer4: true,
};
const RULE: Kinds = Kinds {
    accepted: &["TCP", "HTTP"],
    http: true,
    layer4: false,
};
const OF_HTTP: [&str; 5] = [
    "httpCode",
    "httpCheckPath",
    "httpCheckDomain",
    "httpCheckMethod",
    "httpVersion",
];
const OF_LAYER4: [&str; 4] = ["checkPort", "contextType", "sendContext", "recvContext"];

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
    let bandwidth = part.number("internetMaxBandwidthOut", 0, 2048);
    config.bandwidth = bandwidth.and_then(|number| u32::try_from(number).ok());
    let (l4, l7) = (part.list("l4Listeners"), part.list("l7Listeners"));
    part.end(&[]);
    for (field, value) in l4 {
        let mut section = Part::of(&value, field.clone(), &mut told);
        if let Some((port, listener)) = l4_listener(&mut section, field) {
            let place = (listener.protocol, port);
            section.first(&mut config.l4, place, listener);
        }
    }
    for (field, value) in l7 {
        if let Some((port, listener)) = l7_listener(&value, field.clone(), &mut told) {
            let place = (listener.protocol, port);
            let mut section = Part::of(&Value::Null, field, &mut told);
            section.first(&mut config.l7, place, listener);
        }
    }
    (config, told)
}

fn l4_listener(section: &mut Part<'_>, field: String) -> Option<(u16, L4Listener)> {
    let protocol = section.one_of("protocol", &["TCP", "UDP", "TCP_SSL"]);
    let port = section.port();
    let kinds = match protocol.as_deref() {
        Some("UDP") => DATAGRAM,
        _ => STREAM,
    };
    let parameters = ListenerParameters {
        scheduler: section.one_of("scheduler", &["WRR", "LEAST_CONN"]),
        session_expire_time: session(section),
        health_check: health_check(section, kinds),
        ..ListenerParameters::default()
    };
    section.end(&["proxyProtocol", "listenerName"]);
    let protocol = match protocol.as_deref() {
        Some("TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("TCP_SSL") => Protocol::TcpSsl,
        _ => return section.needs("protocol"),
    };
    Some((
        port?,
        L4Listener {
            field,
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
    let mut section = Part::of(value, field.clone(), told);
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
        "listenerName",
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
        field,
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
        let mut part = Part::of(&value, field.clone(), told);
        let url = part.text("url").unwrap_or_else(|| "/".to_owned());
        let mut rule = L7Rule {
            field,
            forward_type: part.one_of("forwardType", &["HTTP", "HTTPS", "GRPC"]),
            http2,
            parameters: ListenerParameters {
                scheduler: part.one_of("scheduler", &["WRR", "LEAST_CONN", "IP_HASH"]),
                session_expire_time: session(&mut part),
                health_check: health_check(&mut part, RULE),
                ..ListenerParameters::default()
            },
        };
        overlap(&rule, &mut part);
        wildcard(&domain, &mut rule, &mut part);
        part.end(&[]);
        match rules.entry((domain.clone(), url)) {
            Entry::Vacant(free) => _ = free.insert(rule),
            Entry::Occupied(known) => {
                let why = "this path of this domain was declared before; the first holds";
                part.tell("url", &known.key().1, why);
            }
        }
    }
}

/// The documentation's own sample has it so: told, and the API judges.
fn overlap(rule: &L7Rule, part: &mut Part<'_>) {
    if let Some(check) = &rule.parameters.health_check
        && let (Some(timeout), Some(interval)) = (check.time_out, check.interval_time)
        && timeout >= interval
    {
        part.tell(
            "healthCheck.timeout",
            &timeout.to_string(),
            &super::fit::too_long(interval),
        );
    }
}

/// What a check of `*.a.com` should ask for, nobody can guess.
fn wildcard(domain: &str, rule: &mut L7Rule, part: &mut Part<'_>) {
    let check = rule.parameters.health_check.as_ref();
    let on = check.is_some_and(|check| check.health_switch != Some(0));
    let fits = check.is_some_and(HealthCheck::fits_a_wildcard);
    if domain.starts_with('*') && on && !fits {
        rule.parameters.health_check = None;
        let why = "a wildcard domain's check needs healthCheck.httpCheckDomain, one that matches it, or checkType: TCP";
        part.tell("healthCheck.httpCheckDomain", "absent", why);
    }
}

fn session(part: &mut Part<'_>) -> Option<i64> {
    let mut inner = part.inner("session")?;
    let enabled = inner.enabled();
    let time = inner.number("sessionExpireTime", 30, 3600);
    inner.end(&[]);
    match enabled {
        Some(true) => Some(time.unwrap_or(DEFAULT_SESSION)),
        Some(false) => Some(0),
        None => None,
    }
}

fn health_check(part: &mut Part<'_>, kinds: Kinds) -> Option<HealthCheck> {
    let mut inner = part.inner("healthCheck")?;
    let enabled = inner.enabled()?;
    let mut check = HealthCheck {
        health_switch: Some(i64::from(enabled)),
        time_out: inner.number("timeout", 2, 60),
        interval_time: inner.number("intervalTime", 2, 300),
        health_num: inner.number("healthNum", 2, 10),
        un_health_num: inner.number("unHealthNum", 2, 10),
        check_type: inner.one_of("checkType", kinds.accepted),
        source_ip_type: inner.number("sourceIpType", 0, 1),
        ..HealthCheck::default()
    };
    if kinds.http {
        check.http_code = inner.number("httpCode", 1, 31);
        check.http_check_path = inner.path("httpCheckPath");
        check.http_check_domain = inner.text("httpCheckDomain");
        check.http_check_method = inner.one_of("httpCheckMethod", &["HEAD", "GET"]);
        check.http_version = inner.one_of("httpVersion", &["HTTP/1.0", "HTTP/1.1"]);
    } else {
        inner.no_field_of(
            &OF_HTTP,
            "it is of checks over HTTP, which this listener cannot have",
        );
    }
    if kinds.layer4 {
        check.check_port = inner.number("checkPort", 1, 65535);
        check.context_type = inner.one_of("contextType", &["TEXT", "HEX"]);
        let hex = check.context_type.as_deref() == Some("HEX");
        check.send_context = inner.context("sendContext", hex);
        check.recv_context = inner.context("recvContext", hex);
    } else {
        inner.no_field_of(
            &OF_LAYER4,
            "it is of layer-4 listeners; a rule's check has none",
        );
    }
    inner.end(&["extendedCode"]);
    Some(check)
}
