//! Where a call's targets are: under a layer-4 listener, or under one of a layer-7 listener's
//! rules, named by its id or by domain and path.

use super::target_fields::TargetFields;
use crate::refusal::{Refusal, code};
use crate::state::Model;
use crate::state::parts::{Listener, Rule, Target, TargetKey, Targets};
use std::fmt;

/// How a call names a rule.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RuleName<'a> {
    pub(super) location_id: Option<&'a str>,
    pub(super) domain: Option<&'a str>,
    pub(super) url: Option<&'a str>,
}

/// A listener of layer 4, or a rule.
pub(super) struct Place<'a> {
    pub(super) listener: &'a Listener,
    pub(super) location_id: Option<&'a str>,
    pub(super) targets: &'a Targets,
}

/// The place a call means. At layer 4 what it says of rules says nothing.
pub(super) fn place<'a>(
    model: &'a Model,
    load_balancer: &str,
    listener: &str,
    name: RuleName<'_>,
) -> Result<Place<'a>, Refusal> {
    let listener = model.listener(load_balancer, listener)?;
    if !listener.protocol.has_rules() {
        return Ok(Place {
            listener,
            location_id: None,
            targets: &listener.targets,
        });
    }
    let rule = rule(listener, name)?;
    Ok(Place {
        listener,
        location_id: Some(&rule.id),
        targets: &rule.targets,
    })
}

/// The rule a call means.
pub(super) fn rule<'a>(listener: &'a Listener, name: RuleName<'_>) -> Result<&'a Rule, Refusal> {
    if let Some(id) = name.location_id.filter(|id| !id.is_empty()) {
        return rule_by_id(listener, id);
    }
    let (Some(domain), Some(url)) = (name.domain, name.url) else {
        let message = format!(
            "listener {} is {}: its targets belong to a rule, so LocationId is required (or Domain and Url, where the action takes them)",
            listener.id,
            listener.protocol.name()
        );
        return Err(Refusal::new(code::MISSING, message));
    };
    let named = |rule: &&Rule| rule.url == url && rule.domains.iter().any(|known| known == domain);
    listener.rules.iter().find(named).ok_or_else(|| {
        let message = format!(
            "no rule with Domain {domain:?} and Url {url:?} in listener {}",
            listener.id
        );
        Refusal::new(code::LOCATION_NOT_FOUND, message)
    })
}

/// The rule that has this id.
pub(super) fn rule_by_id<'a>(listener: &'a Listener, id: &str) -> Result<&'a Rule, Refusal> {
    listener.rule(id).ok_or_else(|| {
        let message = format!("LocationId {id:?} not found in listener {}", listener.id);
        Refusal::new(code::LOCATION_NOT_FOUND, message)
    })
}

impl Place<'_> {
    pub(super) fn key(&self, target: &TargetFields) -> Result<TargetKey, Refusal> {
        Ok(TargetKey {
            listener_id: self.listener.id.clone(),
            location_id: self.location_id.map(str::to_owned),
            address: target.address()?,
        })
    }

    pub(super) fn must_hold(&self, key: &TargetKey) -> Result<&Target, Refusal> {
        self.targets.get(&key.address).ok_or_else(|| {
            let message = format!("target {} is not bound to {self}", key.address);
            Refusal::new(code::INVALID_VALUE, message)
        })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "listener {}", self.listener.id)?;
        match self.location_id {
            Some(location) => write!(f, " rule {location}"),
            None => Ok(()),
        }
    }
}
