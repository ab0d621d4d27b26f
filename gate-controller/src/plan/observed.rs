//! A load balancer as it was read.

use std::net::IpAddr;
use std::time::Duration;

use direct_access::listener::{self, ListenerParameters};
use direct_access::ownership::Tag;
use direct_access::{Slot, Space};

use super::Holder;
use crate::desired::RuleKey;

/// A listener as the CLB has it, with its targets.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedListener {
    /// Its id.
    pub id: String,
    /// Port.
    pub port: u16,
    /// `TCP`, `HTTP`, …
    pub protocol: String,
    /// Name: says whether it is ours.
    pub name: Option<String>,
    /// Its health check; layer 7 has it on its rules.
    pub health: HealthCheck,
    /// How it is set up, as far as it can be declared.
    pub parameters: ListenerParameters,
    /// Its targets at layer 4.
    pub targets: Vec<ObservedTarget>,
    /// Its rules at layer 7.
    pub rules: Vec<ObservedRule>,
}

/// A rule as the CLB has it.
#[derive(Clone, Debug, PartialEq)]
pub struct ObservedRule {
    /// Its id, `loc-…`.
    pub id: String,
    /// Host and path.
    pub key: RuleKey,
    /// Its health check.
    pub health: HealthCheck,
    /// How it is set up, as far as it can be declared.
    pub parameters: ListenerParameters,
    /// Its domain gets the requests for hosts that have no rule.
    pub default: bool,
    /// Its targets.
    pub targets: Vec<ObservedTarget>,
}

/// What of a health check bears on the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthCheck {
    /// Switched off by configuration.
    pub off: bool,
    /// Time that must pass after registration before an Alive can be this pod's own:
    /// `(HealthNum - 1) x IntervalTime`.
    pub earliest: Duration,
}

/// A target as the CLB has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedTarget {
    /// Address and port.
    pub address: (IpAddr, u16),
    /// Weight.
    pub weight: u8,
    /// Whose it is; `None` is foreign.
    pub tag: Option<Tag>,
}

/// A target's place: listener, rule at layer 7, address and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Listener id.
    pub listener: String,
    /// Rule id, at layer 7.
    pub rule: Option<String>,
    /// Address and port.
    pub address: (IpAddr, u16),
}

/// Seconds between two checks where the API says nothing (CLB's default).
const DEFAULT_INTERVAL: u64 = 5;
/// Good checks in a row that make a target healthy, where the API says nothing (CLB's default).
const DEFAULT_HEALTH_NUM: u64 = 3;

impl HealthCheck {
    /// What of a check, as the API has it, bears on the gate.
    pub fn of(check: Option<&listener::HealthCheck>) -> Self {
        let number = |value: Option<i64>, default| {
            value
                .and_then(|value| u64::try_from(value).ok())
                .unwrap_or(default)
        };
        let interval = number(
            check.and_then(|check| check.interval_time),
            DEFAULT_INTERVAL,
        );
        let good = number(check.and_then(|check| check.health_num), DEFAULT_HEALTH_NUM);
        Self {
            off: check.is_some_and(|check| check.health_switch == Some(0)),
            earliest: Duration::from_secs(good.saturating_sub(1) * interval),
        }
    }
}

impl Place {
    /// What the target hangs on.
    pub fn holder(&self) -> Holder {
        (self.listener.clone(), self.rule.clone())
    }
}

impl ObservedListener {
    /// Where it sits.
    pub fn slot(&self) -> Slot {
        Slot {
            space: Space::of(&self.protocol),
            port: self.port,
        }
    }

    /// Its targets, and those of its rules, each with its place.
    pub fn places(&self) -> impl Iterator<Item = (Place, &ObservedTarget)> {
        let own = self.targets.iter().map(|target| (None, target));
        let of_rules = self
            .rules
            .iter()
            .flat_map(|rule| rule.targets.iter().map(|target| (Some(&rule.id), target)));
        own.chain(of_rules).map(|(rule, target)| {
            let place = Place {
                listener: self.id.clone(),
                rule: rule.cloned(),
                address: target.address,
            };
            (place, target)
        })
    }

    /// Edits every target, with its place.
    pub fn for_each_target(&mut self, mut edit: impl FnMut(&Place, &mut ObservedTarget)) {
        let place = |rule: Option<&String>, target: &ObservedTarget, listener: &str| Place {
            listener: listener.to_owned(),
            rule: rule.cloned(),
            address: target.address,
        };
        for target in &mut self.targets {
            edit(&place(None, target, &self.id), target);
        }
        for rule in &mut self.rules {
            for target in &mut rule.targets {
                edit(&place(Some(&rule.id), target, &self.id), target);
            }
        }
    }
}
