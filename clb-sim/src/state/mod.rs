//! The CLB world as data: load balancers, listeners, targets, tasks. No tokio and no clock in
//! here; time is a parameter, and the same calls in the same order give the same world.
//!
//! A write is checked at once, then keeps its load balancer busy for `task_ms`; only when it is
//! due does it take effect ([`Model::settle`]), as a client that does not wait for its tasks must
//! be able to notice. While it runs, every other write to that load balancer is refused.

mod behaviour;
pub(crate) mod certificates;
pub(crate) mod custom_check;
mod effects;
pub(crate) mod event;
pub(crate) mod forecast;
pub(crate) mod foreign;
pub(crate) mod health_check;
pub(crate) mod ids;
pub(crate) mod parts;
mod script;
pub(crate) mod security;
pub(crate) mod tasks;
mod writes;

pub use behaviour::{Behaviour, Delays, OnAbsent, OnReregister, Quotas, Visible};

use crate::cidr::Cidr;
use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use certificates::Certificates;
use event::Event;
use forecast::Forecast;
use ids::Ids;
use parts::{Listener, LoadBalancer, More, Network, TargetKey};
use script::Script;
use security::Security;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use tasks::Tasks;

/// What the operator chose; not part of the saved state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) region: String,
    pub(crate) vpc_id: String,
    pub(crate) vip_pool: Option<Cidr>,
    pub(crate) reachable: Vec<Cidr>,
    pub(crate) delays: Delays,
    pub(crate) quotas: Quotas,
    pub(crate) behaviour: Behaviour,
}

/// The whole world.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Model {
    #[serde(skip)]
    pub(crate) settings: Settings,
    pub(crate) ids: Ids,
    pub(crate) load_balancers: BTreeMap<String, LoadBalancer>,
    pub(crate) tasks: Tasks,
    /// `ClientToken` -> what it made; a repeat answers the same.
    pub(crate) client_tokens: BTreeMap<String, Created>,
    #[serde(default)]
    pub(crate) security: Security,
    #[serde(default)]
    pub(crate) certificates: Certificates,
    /// Set at run time; they outlive the process and the flags.
    #[serde(default)]
    pub(crate) quotas: Option<Quotas>,
    /// When load balancers were deleted lately.
    #[serde(default)]
    pub(crate) deletions: VecDeque<Millis>,
    generation: u64,
    /// In a test that says itself which targets are well; nothing is probed then.
    #[serde(skip)]
    script: Option<Script>,
    /// Health that is foretold instead of probed.
    #[serde(skip)]
    pub(crate) forecast: Forecast,
    #[serde(skip)]
    writers: Vec<foreign::AtWork>,
    #[serde(skip)]
    revision: Revision,
    #[serde(skip)]
    events: Vec<Event>,
}

/// What a `CreateLoadBalancer` made, and from which parameters.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Created {
    pub(crate) request: String,
    pub(crate) load_balancers: Vec<String>,
    pub(crate) deal: String,
}

/// Counts changes, so that followers know when to look again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revision {
    /// Load balancers, listeners, targets, weights, tasks.
    pub(crate) structure: u64,
    /// Verdicts of health checks.
    pub(crate) health: u64,
}

/// Who asks, and when.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) now: Millis,
    pub(crate) request_id: String,
    /// How long the call keeps its load balancer busy besides the task.
    pub(crate) latency: Millis,
    /// The operator's own hand: at once, whatever else is in progress.
    pub(crate) operator: bool,
    pub(crate) fate: Fate,
}

/// What becomes of a write that is accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Works,
    /// Its task fails, with or without a message.
    TaskFails(Option<String>),
    /// It is answered like a success, and nothing is done.
    Silent,
    /// These listeners of a batch are not served; none named is the first.
    Partly(Vec<String>),
}

impl Call {
    /// The operator's own.
    pub(crate) fn operator(now: Millis, request_id: String) -> Self {
        Self {
            now,
            request_id,
            latency: 0,
            operator: true,
            fate: Fate::Works,
        }
    }
}

/// What a new load balancer shall be.
#[derive(Clone, Debug)]
pub(crate) struct NewLoadBalancer {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: Network,
    pub(crate) subnet_id: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) pass_to_target: bool,
    /// The only VPC without.
    pub(crate) vpc_id: Option<String>,
    /// Any that is free without.
    pub(crate) vip: Option<Ipv4Addr>,
    pub(crate) more: More,
}

impl Model {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            settings: Settings::default(),
            ids: Ids::new(seed),
            load_balancers: BTreeMap::new(),
            tasks: Tasks::default(),
            client_tokens: BTreeMap::new(),
            security: Security::default(),
            certificates: Certificates::default(),
            quotas: None,
            deletions: VecDeque::new(),
            generation: 0,
            script: None,
            forecast: Forecast::default(),
            writers: Vec::new(),
            revision: Revision::default(),
            events: Vec::new(),
        }
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(crate) fn load_balancer(&self, id: &str) -> Result<&LoadBalancer, Refusal> {
        self.load_balancers.get(id).ok_or_else(|| {
            let message = format!("LoadBalancerId {id:?}: LB not exist");
            Refusal::new(code::LB_NOT_FOUND, message)
        })
    }

    pub(crate) fn listener(&self, id: &str, listener_id: &str) -> Result<&Listener, Refusal> {
        self.load_balancer(id)?
            .listener(listener_id)
            .ok_or_else(|| {
                let message = format!("some ListenerId ({listener_id}) not found in {id}");
                Refusal::new(code::LISTENER_NOT_FOUND, message)
            })
    }

    /// What is not a load balancer's: security groups, certificates. It counts at once.
    pub(crate) fn secure(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.revision.structure += 1;
    }

    /// How much there may be: what was set last.
    pub(crate) fn quotas(&self) -> Quotas {
        self.quotas.unwrap_or(self.settings.quotas)
    }

    /// Counts one probe. A probe of an earlier binding of the same ip:port is ignored, and one that was
    /// under way when the target's health was foretold.
    pub(crate) fn record_probe(
        &mut self,
        load_balancer: &str,
        key: &TargetKey,
        generation: u64,
        good: bool,
    ) {
        let Some(listener) = self
            .load_balancers
            .get_mut(load_balancer)
            .and_then(|found| found.listener_mut(&key.listener_id))
        else {
            return;
        };
        let place = listener
            .places_mut()
            .find(|(location, ..)| *location == key.location_id.as_deref());
        let Some((_, Some(check), targets)) = place else {
            return;
        };
        let (rise, fall) = (check.rise, check.fall);
        let Some(target) = targets.get_mut(&key.address) else {
            return;
        };
        if target.generation != generation || self.forecast.covers(&key.address) {
            return;
        }
        let before = target.health.verdict;
        target.health = target.health.after(good, rise, fall);
        let after = target.health.verdict;
        if before != after {
            self.revision.health += 1;
            self.events.push(Event::Judged {
                key: key.clone(),
                from: before,
                to: after,
            });
        }
    }

    /// Whether the fake VPC knows this address. No ranges given: it knows all.
    pub(crate) fn reachable(&self, address: IpAddr) -> bool {
        self.settings.reachable.is_empty()
            || self
                .settings
                .reachable
                .iter()
                .any(|range| range.contains(address))
    }

    /// The VIP that is wanted, or any that is free.
    fn free_vip(&self, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr, Refusal> {
        let taken: BTreeSet<Ipv4Addr> = self
            .load_balancers
            .values()
            .map(|found| found.vip)
            .collect();
        let pool = self.settings.vip_pool;
        let free = pool.and_then(|pool| {
            pool.hosts()
                .find(|vip| !taken.contains(vip) && wanted.is_none_or(|wanted| wanted == *vip))
        });
        free.ok_or_else(|| {
            if let Some(wanted) = wanted {
                let message = format!("Vip {wanted} is taken or not in the pool");
                return Refusal::new(code::INVALID_VALUE, message);
            }
            let pool = pool.map(|pool| pool.to_string()).unwrap_or_default();
            let message = format!("no free VIP is left in the pool {pool}");
            Refusal::new(code::RESOURCE_INSUFFICIENT, message)
        })
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
