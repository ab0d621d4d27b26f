//! `ModifyDomain` and `ModifyDomainAttributes`: what all rules of a domain have in common.

use super::listener_fields::within;
use super::params::Params;
use super::rules::layer7;
use super::{Reply, certificates};
use crate::refusal::{Refusal, code};
use crate::state::parts::{DomainChange, Effect, Listener, Rule};
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Modify {
    load_balancer_id: String,
    listener_id: String,
    domain: String,
    new_domain: Option<String>,
    new_domains: Option<Vec<String>>,
    certificate: Option<Value>,
    http2: Option<bool>,
    default_server: Option<bool>,
    new_default_server_domain: Option<String>,
}

impl Params for Modify {
    const IGNORED: &'static [&'static str] = &["MultiCertInfo", "Quic"];
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Rename {
    load_balancer_id: String,
    listener_id: String,
    domain: String,
    new_domain: String,
}

impl Params for Rename {}

/// `ModifyDomain`.
pub(super) fn rename(model: &mut Model, call: &Call, params: &Rename) -> Result<Reply, Refusal> {
    let params = Modify {
        load_balancer_id: params.load_balancer_id.clone(),
        listener_id: params.listener_id.clone(),
        domain: params.domain.clone(),
        new_domain: Some(params.new_domain.clone()),
        ..Modify::default()
    };
    modify(model, call, &params)
}

/// `ModifyDomainAttributes`. What is not sent stays.
pub(super) fn modify(model: &mut Model, call: &Call, params: &Modify) -> Result<Reply, Refusal> {
    let listener = layer7(model, &params.load_balancer_id, &params.listener_id)?;
    let has_it = |rule: &&Rule| rule.domains.contains(&params.domain);
    let (its, others): (Vec<&Rule>, Vec<&Rule>) = listener.rules.iter().partition(has_it);
    if its.is_empty() {
        let message = format!(
            "no rule with Domain {:?} in listener {}",
            params.domain, listener.id
        );
        return Err(Refusal::new(code::LOCATION_NOT_FOUND, message));
    }
    check_tls(listener, params)?;
    certificates::check(model, params.certificate.as_ref())?;
    let domains = domains(params)?;
    check_free(domains.as_deref().unwrap_or_default(), (&its, &others))?;
    let change = DomainChange {
        listener_id: params.listener_id.clone(),
        location_ids: its.iter().map(|rule| rule.id.clone()).collect(),
        certificate: params.certificate.clone(),
        http2: params.http2,
        default: default(params, domains.as_deref(), (&its, &others))?,
        domains,
    };
    let effect = Effect::ChangeDomain(Box::new(change));
    model.begin(call, &params.load_balancer_id, effect)?;
    Ok(Reply::now(json!({})))
}

fn check_tls(listener: &Listener, params: &Modify) -> Result<(), Refusal> {
    let refuse = |message: &str| Err(Refusal::new(code::INVALID_PARAMETER, message));
    if params.certificate.is_some() && !listener.sni {
        return refuse("Certificate belongs to the domains of a listener with SniSwitch 1");
    }
    if params.http2 == Some(true) && !listener.protocol.has_certificate() {
        return refuse("Http2 is for the domains of HTTPS listeners");
    }
    Ok(())
}

fn domains(params: &Modify) -> Result<Option<Vec<String>>, Refusal> {
    let domains = match (&params.new_domain, &params.new_domains) {
        (Some(_), Some(_)) => {
            let message = "one of NewDomain and NewDomains is taken, both were sent";
            return Err(Refusal::new(code::INVALID_PARAMETER, message));
        }
        (Some(domain), None) => vec![domain.clone()],
        (None, Some(domains)) if !domains.is_empty() => domains.clone(),
        (None, _) => return Ok(None),
    };
    for domain in &domains {
        within("NewDomain", domain, 1..=80)?;
    }
    Ok(Some(domains))
}

/// One domain and path belong to one rule.
fn check_free(domains: &[String], (its, others): (&[&Rule], &[&Rule])) -> Result<(), Refusal> {
    let clash = |one: &Rule, other: &Rule| {
        one.url == other.url && other.domains.iter().any(|domain| domains.contains(domain))
    };
    let taken = its
        .iter()
        .flat_map(|one| others.iter().map(move |other| (one, other)))
        .find(|(one, other)| clash(one, other));
    let Some((rule, _)) = taken else {
        return Ok(());
    };
    let message = format!(
        "one of {domains:?} with Url {:?} is a rule already",
        rule.url
    );
    Err(Refusal::new(code::DUPLICATE, message))
}

/// A listener with rules has one default domain.
fn default(
    params: &Modify,
    renamed: Option<&[String]>,
    (its, others): (&[&Rule], &[&Rule]),
) -> Result<Option<String>, Refusal> {
    if params.default_server == Some(true) {
        let first = renamed.and_then(|domains| domains.first());
        return Ok(Some(first.unwrap_or(&params.domain).clone()));
    }
    if let Some(named) = &params.new_default_server_domain {
        if others.iter().any(|rule| rule.domains.contains(named)) {
            return Ok(Some(named.clone()));
        }
        let message =
            format!("NewDefaultServerDomain {named:?} is no other domain of the listener");
        return Err(Refusal::new(code::INVALID_VALUE, message));
    }
    let goes = params.default_server == Some(false) && its.iter().any(|rule| rule.default_server);
    if goes {
        let message = "NewDefaultServerDomain is required: a listener has one default domain";
        return Err(Refusal::new(code::MISSING, message));
    }
    Ok(None)
}
