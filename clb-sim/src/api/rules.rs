//! Rules of layer-7 listeners: `CreateRule`, `ModifyRule`, `DeleteRule`, and how they are shown.

use super::Reply;
use super::listener_fields::within;
use super::params::{Params, not_empty};
use super::places::{RuleName, rule as named, rule_by_id};
use super::{certificates, rule_check, unused};
use crate::clock::beijing;
use crate::refusal::{Refusal, code};
use crate::state::health_check::{HealthCheck, HealthCheckFields};
use crate::state::parts::{Effect, Listener, Rule, RuleChange, RuleScheduler, Targets};
use crate::state::{Call, Model};
use http::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Create {
    load_balancer_id: String,
    listener_id: String,
    rules: Vec<RuleFields>,
}

impl Params for Create {}

/// `RuleInput`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct RuleFields {
    url: String,
    domain: Option<String>,
    domains: Option<Vec<String>>,
    health_check: Option<HealthCheckFields>,
    scheduler: Option<String>,
    session_expire_time: Option<i64>,
    forward_type: Option<String>,
    default_server: Option<bool>,
    http2: Option<bool>,
    certificate: Option<Value>,
    target_type: Option<String>,
    #[serde(rename = "Quic")]
    _quic: Option<bool>,
    #[serde(rename = "CookieName")]
    cookie: Option<String>,
    #[serde(rename = "MultiCertInfo")]
    _certificates: Option<Value>,
    #[serde(rename = "TrpcCallee")]
    _callee: Option<String>,
    #[serde(rename = "TrpcFunc")]
    _func: Option<String>,
}

pub(super) fn create(model: &mut Model, call: &Call, params: &Create) -> Result<Reply, Refusal> {
    not_empty("Rules", params.rules.len())?;
    model.writable(call, &params.load_balancer_id)?;
    let listener = layer7(model, &params.load_balancer_id, &params.listener_id)?;
    let quota = model.quotas().rules;
    let present = listener.rules.len();
    if present + params.rules.len() > quota {
        let message = format!(
            "listener {} has {present} rules; {} more exceed the quota of {quota} (TOTAL_LISTENER_RULE_QUOTA)",
            listener.id,
            params.rules.len()
        );
        return Err(Refusal::new(code::LIMIT_EXCEEDED, message));
    }
    let mut rules = Vec::new();
    for given in &params.rules {
        certificates::check(model, given.certificate.as_ref())?;
        rules.push(read(given, call.now)?);
    }
    check_distinct(listener, &rules)?;
    choose_default(listener, &mut rules)?;
    for rule in &mut rules {
        rule.id = model.ids.next("loc");
    }
    let ids: Vec<String> = rules.iter().map(|rule| rule.id.clone()).collect();
    let effect = Effect::AddRules(params.listener_id.clone(), rules);
    model.begin(call, &params.load_balancer_id, effect)?;
    Ok(Reply::now(json!({ "LocationIds": ids })))
}

fn read(given: &RuleFields, now: i64) -> Result<Rule, Refusal> {
    let domains = domains(given)?;
    let domain = domains.first().map_or("", String::as_str);
    let target_type = given.target_type.as_deref().unwrap_or("NODE");
    if target_type != "NODE" {
        let message =
            format!("Rules.TargetType {target_type:?}: this simulator has no target groups");
        return Err(Refusal::new(code::UNSUPPORTED, message));
    }
    Ok(Rule {
        id: String::new(),
        url: url("Rules.Url", &given.url)?,
        check: rule_check::validate(given.health_check.as_ref(), domain)?,
        domains,
        scheduler: scheduler(given.scheduler.as_deref())?.unwrap_or(RuleScheduler::Wrr),
        session_expire_s: session(given.session_expire_time)?.unwrap_or(0),
        forward_type: forward_type(given.forward_type.as_deref())?
            .unwrap_or_else(|| "HTTP".to_owned()),
        default_server: given.default_server.unwrap_or(false),
        http2: given.http2.unwrap_or(false),
        certificate: given.certificate.clone(),
        cookie: cookie(given.cookie.as_deref())?,
        created: now,
        targets: Targets::new(),
    })
}

/// `Domain` or `Domains`.
fn domains(given: &RuleFields) -> Result<Vec<String>, Refusal> {
    let domains = match (&given.domain, &given.domains) {
        (Some(_), Some(_)) => {
            return Err(Refusal::new(
                code::INVALID_PARAMETER,
                "Rules takes one of Domain and Domains, both were sent",
            ));
        }
        (Some(domain), None) => vec![domain.clone()],
        (None, Some(domains)) if !domains.is_empty() => domains.clone(),
        (None, _) => {
            return Err(Refusal::new(
                code::MISSING,
                "Rules needs one of Domain and Domains",
            ));
        }
    };
    for domain in &domains {
        within("Rules.Domain", domain, 1..=80)?;
    }
    Ok(domains)
}

fn url(field: &str, given: &str) -> Result<String, Refusal> {
    within(field, given, 1..=200)?;
    if ["/", "~", "=", "^~"]
        .iter()
        .any(|start| given.starts_with(start))
    {
        return Ok(given.to_owned());
    }
    let message = format!("{field} {given:?} is not accepted: it starts with /");
    Err(Refusal::new(code::INVALID_VALUE, message))
}

/// Longer than a layer-4 listener's.
fn session(given: Option<i64>) -> Result<Option<u32>, Refusal> {
    let Some(value) = given else {
        return Ok(None);
    };
    let accepted = |value: &u32| *value == 0 || (30..=86_400).contains(value);
    let seconds = u32::try_from(value).ok().filter(accepted);
    seconds.map(Some).ok_or_else(|| {
        let message =
            format!("SessionExpireTime {value} is out of range: 0 or 30 to 86400 are accepted");
        Refusal::new(code::INVALID_VALUE, message)
    })
}

fn scheduler(given: Option<&str>) -> Result<Option<RuleScheduler>, Refusal> {
    let read = |text: &str| {
        RuleScheduler::parse(text).ok_or_else(|| {
            let message =
                format!("Scheduler {text:?} is not accepted: WRR, LEAST_CONN and IP_HASH are");
            Refusal::new(code::INVALID_VALUE, message)
        })
    };
    given.map(read).transpose()
}

fn forward_type(given: Option<&str>) -> Result<Option<String>, Refusal> {
    let known = ["HTTP", "HTTPS", "GRPC", "GRPCS"];
    match given {
        Some(other) if !known.contains(&other) => {
            let message = format!("ForwardType {other:?} is not accepted: one of {known:?} is");
            Err(Refusal::new(code::INVALID_VALUE, message))
        }
        given => Ok(given.map(str::to_owned)),
    }
}

/// The name of a session's cookie: a token of HTTP.
fn cookie(given: Option<&str>) -> Result<Option<String>, Refusal> {
    let Some(name) = given else {
        return Ok(None);
    };
    within("CookieName", name, 1..=80)?;
    if name.parse::<HeaderName>().is_ok() {
        return Ok(Some(name.to_owned()));
    }
    let message = format!("CookieName {name:?} is not accepted: letters, digits, - and _ are");
    Err(Refusal::new(code::INVALID_VALUE, message))
}

/// One domain and path belong to one rule.
fn check_distinct(listener: &Listener, new: &[Rule]) -> Result<(), Refusal> {
    let names = |rule: &Rule| -> Vec<(String, String)> {
        let url = &rule.url;
        rule.domains
            .iter()
            .map(|domain| (domain.clone(), url.clone()))
            .collect()
    };
    let mut taken: BTreeSet<_> = listener.rules.iter().flat_map(names).collect();
    for (domain, url) in new.iter().flat_map(names) {
        if !taken.insert((domain.clone(), url.clone())) {
            let message = format!(
                "Rules: Domain {domain:?} with Url {url:?} is already in listener {}",
                listener.id
            );
            return Err(Refusal::new(code::DUPLICATE, message));
        }
    }
    Ok(())
}

/// A listener with rules has one default domain: the one that is named, or else its first.
fn choose_default(listener: &Listener, new: &mut [Rule]) -> Result<(), Refusal> {
    let named: BTreeSet<&Vec<String>> = new
        .iter()
        .filter(|rule| rule.default_server)
        .map(|rule| &rule.domains)
        .collect();
    if named.len() > 1 {
        let message = "Rules names more than one DefaultServer: a listener has one default domain";
        return Err(Refusal::new(code::INVALID_PARAMETER, message));
    }
    let chosen = match (named.first(), listener.rules.is_empty()) {
        (Some(domains), _) => Some((*domains).clone()),
        (None, true) => new.first().map(|rule| rule.domains.clone()),
        (None, false) => listener
            .rules
            .iter()
            .find(|rule| rule.default_server)
            .map(|rule| rule.domains.clone()),
    };
    for rule in new {
        rule.default_server = chosen.as_ref() == Some(&rule.domains);
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Modify {
    load_balancer_id: String,
    listener_id: String,
    location_id: String,
    url: Option<String>,
    health_check: Option<HealthCheckFields>,
    scheduler: Option<String>,
    session_expire_time: Option<i64>,
    forward_type: Option<String>,
    #[serde(rename = "CookieName")]
    cookie: Option<String>,
}

impl Params for Modify {
    const IGNORED: &'static [&'static str] = &["OAuth", "TrpcCallee", "TrpcFunc"];
}

pub(super) fn modify(model: &mut Model, call: &Call, params: &Modify) -> Result<Reply, Refusal> {
    let listener = layer7(model, &params.load_balancer_id, &params.listener_id)?;
    let rule = rule_by_id(listener, &params.location_id)?;
    let url = params.url.as_deref().map(|text| url("Url", text));
    let url = url.transpose()?;
    if let Some(url) = &url {
        let same = |other: &Rule| {
            other.id != rule.id && other.url == *url && other.domains == rule.domains
        };
        if listener.rules.iter().any(same) {
            let message = format!("Url {url:?} is already a rule of listener {}", listener.id);
            return Err(Refusal::new(code::DUPLICATE, message));
        }
    }
    let check = params.health_check.as_ref();
    let check = check.map(|given| rule_check::validate(Some(given), rule.domain()));
    let change = RuleChange {
        listener_id: params.listener_id.clone(),
        location_id: params.location_id.clone(),
        url,
        check: check.transpose()?,
        scheduler: scheduler(params.scheduler.as_deref())?,
        session_expire_s: session(params.session_expire_time)?,
        forward_type: forward_type(params.forward_type.as_deref())?,
        cookie: cookie(params.cookie.as_deref())?,
    };
    let effect = Effect::ChangeRule(Box::new(change));
    model.begin(call, &params.load_balancer_id, effect)?;
    Ok(Reply::now(json!({})))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Delete {
    load_balancer_id: String,
    listener_id: String,
    location_ids: Option<Vec<String>>,
    domain: Option<String>,
    url: Option<String>,
    new_default_server_domain: Option<String>,
}

impl Params for Delete {}

/// Rules by id; or those of a domain, of which `Url` picks one.
pub(super) fn delete(model: &mut Model, call: &Call, params: &Delete) -> Result<Reply, Refusal> {
    let listener = layer7(model, &params.load_balancer_id, &params.listener_id)?;
    let ids = doomed(listener, params)?;
    let default = next_default(listener, &ids, params.new_default_server_domain.as_deref())?;
    let effect = Effect::RemoveRules(params.listener_id.clone(), ids, default);
    model.begin(call, &params.load_balancer_id, effect)?;
    Ok(Reply::now(json!({})))
}

fn doomed(listener: &Listener, params: &Delete) -> Result<Vec<String>, Refusal> {
    let ids = params.location_ids.as_deref().unwrap_or_default();
    if !ids.is_empty() {
        for id in ids {
            rule_by_id(listener, id)?;
        }
        return Ok(ids.to_vec());
    }
    if let (Some(domain), Some(url)) = (&params.domain, &params.url) {
        let name = RuleName {
            location_id: None,
            domain: Some(domain),
            url: Some(url),
        };
        return named(listener, name).map(|rule| vec![rule.id.clone()]);
    }
    let Some(domain) = &params.domain else {
        return Err(Refusal::new(
            code::MISSING,
            "one of LocationIds and Domain is needed",
        ));
    };
    let of_domain = |rule: &&Rule| rule.domains.contains(domain);
    let ids: Vec<String> = listener
        .rules
        .iter()
        .filter(of_domain)
        .map(|rule| rule.id.clone())
        .collect();
    if ids.is_empty() {
        let message = format!("no rule with Domain {domain:?} in listener {}", listener.id);
        return Err(Refusal::new(code::LOCATION_NOT_FOUND, message));
    }
    Ok(ids)
}

/// While rules are left, one of their domains is the default; when the present one goes, the
/// caller says which.
fn next_default(
    listener: &Listener,
    doomed: &[String],
    named: Option<&str>,
) -> Result<Option<String>, Refusal> {
    let left: Vec<&Rule> = listener
        .rules
        .iter()
        .filter(|rule| !doomed.contains(&rule.id))
        .collect();
    if let Some(domain) = named {
        if left
            .iter()
            .any(|rule| rule.domains.iter().any(|known| known == domain))
        {
            return Ok(Some(domain.to_owned()));
        }
        let message =
            format!("NewDefaultServerDomain {domain:?} is no domain of the rules that are left");
        return Err(Refusal::new(code::INVALID_VALUE, message));
    }
    if left.is_empty() || left.iter().any(|rule| rule.default_server) {
        return Ok(None);
    }
    let message = format!(
        "NewDefaultServerDomain is required: the default domain of listener {} would go while other rules stay",
        listener.id
    );
    Err(Refusal::new(code::INVALID_PARAMETER, message))
}

pub(super) fn layer7<'a>(
    model: &'a Model,
    id: &str,
    listener_id: &str,
) -> Result<&'a Listener, Refusal> {
    let listener = model.listener(id, listener_id)?;
    if listener.protocol.has_rules() {
        return Ok(listener);
    }
    let message = format!(
        "listener {listener_id} is {}: rules belong to HTTP and HTTPS listeners",
        listener.protocol.name()
    );
    Err(Refusal::new(code::PROTOCOL_CHECK, message))
}

/// `RuleOutput`.
pub(super) fn show(listener: &Listener, rule: &Rule) -> Value {
    let shown = json!({
        "LocationId": rule.id,
        "ListenerId": listener.id,
        "Domain": rule.domain(),
        "Domains": rule.domains,
        "Url": rule.url,
        "SessionExpireTime": rule.session_expire_s,
        "HealthCheck": HealthCheck::to_fields(&rule.check),
        "Certificate": rule.certificate.as_ref().map(unused::certificate),
        "Scheduler": rule.scheduler.name(),
        "DefaultServer": rule.default_server,
        "Http2": rule.http2,
        "ForwardType": rule.forward_type,
        "CreateTime": beijing(rule.created),
    });
    unused::with(shown, unused::of_rule())
}
