//! The CLB world as data: load balancers, listeners, targets, tasks. No tokio and no clock in
//! here; time is a parameter, and the same calls in the same order give the same world.
//!
//! A write is checked at once, then keeps its load balancer busy for `task_ms`; only when it is
//! due does it take effect ([`Model::settle`]), as a client that does not wait for its tasks must
//! be able to notice. While it runs, every other write to that load balancer is refused.

pub(crate) mod custom_check;
pub(crate) mod event;
pub(crate) mod health_check;
pub(crate) mod ids;
pub(crate) mod parts;
mod script;
pub(crate) mod security;
pub(crate) mod tasks;

use crate::cidr::Cidr;
use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use event::Event;
use ids::Ids;
use parts::{Binding, Effect, Listener, LoadBalancer, Network, Pending, Target, TargetKey};
use script::{Probes, Script};
use security::Security;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tasks::{Task, Tasks};

/// What the operator chose; not part of the saved state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) vpc_id: String,
    pub(crate) vip_pool: Option<Cidr>,
    pub(crate) reachable: Vec<Cidr>,
    pub(crate) delays: Delays,
    pub(crate) ignore_tags: bool,
    pub(crate) listener_quota: usize,
    pub(crate) target_quota: usize,
}

/// How long things take, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// Every call, there and back. A write keeps its load balancer busy meanwhile.
    pub call_ms: u32,
    /// Reads, in addition.
    pub read_ms: u32,
    /// Writes, in addition.
    pub write_ms: u32,
    /// What an accepted write takes, in addition: its task, or the rest of a batch call.
    pub task_ms: u32,
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
    generation: u64,
    /// In a test that says itself which targets are well; nothing is probed then.
    #[serde(skip)]
    script: Option<Script>,
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
            generation: 0,
            script: None,
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

    /// The load balancer, if no other write is in progress on it.
    pub(crate) fn writable(&self, call: &Call, id: &str) -> Result<&LoadBalancer, Refusal> {
        let load_balancer = self.load_balancer(id)?;
        if load_balancer.pending.is_none() || call.operator {
            return Ok(load_balancer);
        }
        // Word for word what the real API says.
        let message = format!(
            "Loadbalancer({id}) is not in normal desState, maybe some tasks are being processed, please try later."
        );
        Err(Refusal::new(code::BUSY, message))
    }

    /// Begins a write that the caller has checked; it takes effect when its task is done.
    pub(crate) fn begin(&mut self, call: &Call, id: &str, effect: Effect) -> Result<(), Refusal> {
        self.writable(call, id)?;
        self.revision.structure += 1;
        if call.operator {
            self.apply(call.now, id, effect);
            return Ok(());
        }
        let due = self.due(call);
        if let Some(load_balancer) = self.load_balancers.get_mut(id) {
            load_balancer.pending = Some(Pending { due, effect });
        }
        self.tasks.remember(Task {
            id: call.request_id.clone(),
            deal: None,
            due,
            load_balancers: vec![id.to_owned()],
        });
        self.settle(call.now);
        Ok(())
    }

    /// When a write begun now is done.
    pub(crate) fn due(&self, call: &Call) -> Millis {
        call.now + call.latency + Millis::from(self.settings.delays.task_ms)
    }

    /// Adds a load balancer that becomes usable when its task is done.
    pub(crate) fn add_load_balancer(
        &mut self,
        call: &Call,
        new: NewLoadBalancer,
    ) -> Result<(), Refusal> {
        let due = if call.operator {
            call.now
        } else {
            self.due(call)
        };
        let load_balancer = LoadBalancer {
            vip: self.free_vip()?,
            id: new.id.clone(),
            name: new.name,
            kind: new.kind,
            vpc_id: self.settings.vpc_id.clone(),
            subnet_id: new.subnet_id,
            tags: new.tags,
            pass_to_target: new.pass_to_target,
            security_groups: Vec::new(),
            created: call.now,
            active: false,
            listeners: Vec::new(),
            pending: Some(Pending {
                due,
                effect: Effect::Activate,
            }),
        };
        self.load_balancers.insert(new.id, load_balancer);
        self.revision.structure += 1;
        self.settle(call.now);
        Ok(())
    }

    /// The operator's word on security groups; it counts at once.
    pub(crate) fn secure(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.revision.structure += 1;
    }

    /// Lets every write that is due take effect.
    pub(crate) fn settle(&mut self, now: Millis) {
        let mut due: Vec<(Millis, String, Effect)> = Vec::new();
        for (id, load_balancer) in &mut self.load_balancers {
            if let Some(pending) = load_balancer.pending.take_if(|pending| pending.due <= now) {
                due.push((pending.due, id.clone(), pending.effect));
            }
        }
        for (at, id, effect) in due {
            self.revision.structure += 1;
            self.apply(at, &id, effect);
        }
    }

    /// When the next write is due.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        let pending = |load_balancer: &LoadBalancer| {
            load_balancer.pending.as_ref().map(|pending| pending.due)
        };
        self.load_balancers.values().filter_map(pending).min()
    }

    /// Counts one probe. A probe of an earlier binding of the same ip:port is ignored.
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
        let Some(check) = &listener.check else {
            return;
        };
        let (rise, fall) = (check.rise, check.fall);
        let Some(target) = listener.targets.get_mut(&key.address) else {
            return;
        };
        if target.generation != generation {
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

    fn free_vip(&self) -> Result<Ipv4Addr, Refusal> {
        let taken: BTreeSet<Ipv4Addr> = self
            .load_balancers
            .values()
            .map(|found| found.vip)
            .collect();
        let pool = self.settings.vip_pool;
        let free = pool.and_then(|pool| pool.hosts().find(|vip| !taken.contains(vip)));
        free.ok_or_else(|| {
            let pool = pool.map(|pool| pool.to_string()).unwrap_or_default();
            let message = format!("no free VIP is left in the pool {pool}");
            Refusal::new(code::RESOURCE_INSUFFICIENT, message)
        })
    }

    fn apply(&mut self, at: Millis, id: &str, effect: Effect) {
        if matches!(effect, Effect::Remove) {
            self.load_balancers.remove(id);
            self.events
                .push(Event::LoadBalancerDeleted { id: id.to_owned() });
            return;
        }
        let Some(load_balancer) = self.load_balancers.get_mut(id) else {
            return;
        };
        let happened = match effect {
            Effect::Remove => return,
            Effect::Activate => activate(load_balancer),
            Effect::AddListeners(new) => add_listeners(load_balancer, new),
            Effect::RemoveListener(listener) => remove_listener(load_balancer, &listener),
            Effect::Bind(bindings) => bind(load_balancer, bindings, at, &mut self.generation),
            Effect::Unbind(keys) => unbind(load_balancer, keys),
            Effect::Weigh(weights) => weigh(load_balancer, weights),
        };
        self.events.extend(happened);
    }
}

fn activate(load_balancer: &mut LoadBalancer) -> Vec<Event> {
    load_balancer.active = true;
    vec![Event::LoadBalancerReady {
        id: load_balancer.id.clone(),
        vip: load_balancer.vip,
    }]
}

fn add_listeners(load_balancer: &mut LoadBalancer, new: Vec<Listener>) -> Vec<Event> {
    let event = |listener: &Listener| Event::ListenerCreated {
        id: listener.id.clone(),
        load_balancer: load_balancer.id.clone(),
        protocol: listener.protocol.name(),
        port: listener.port,
    };
    let events = new.iter().map(event).collect();
    load_balancer.listeners.extend(new);
    events
}

fn remove_listener(load_balancer: &mut LoadBalancer, id: &str) -> Vec<Event> {
    load_balancer.listeners.retain(|listener| listener.id != id);
    vec![Event::ListenerDeleted { id: id.to_owned() }]
}

/// A binding of an ip:port that is already bound overwrites weight and tag and keeps its health.
fn bind(
    load_balancer: &mut LoadBalancer,
    bindings: Vec<Binding>,
    at: Millis,
    generation: &mut u64,
) -> Vec<Event> {
    let mut events = Vec::new();
    for Binding { key, weight, tag } in bindings {
        let Some(listener) = load_balancer.listener_mut(&key.listener_id) else {
            continue;
        };
        let known = listener.targets.get_mut(&key.address);
        let again = known.is_some();
        if let Some(target) = known {
            target.weight = weight;
            target.tag = tag;
        } else {
            *generation += 1;
            listener
                .targets
                .insert(key.address, target(weight, tag, at, *generation));
        }
        events.push(Event::Bound { key, weight, again });
    }
    events
}

fn target(weight: u8, tag: Option<String>, registered: Millis, generation: u64) -> Target {
    Target {
        weight,
        tag,
        registered,
        generation,
        health: crate::health::machine::Health::default(),
        probes: Probes::from(registered, generation),
    }
}

fn unbind(load_balancer: &mut LoadBalancer, keys: Vec<TargetKey>) -> Vec<Event> {
    let mut events = Vec::new();
    for key in keys {
        let listener = load_balancer.listener_mut(&key.listener_id);
        if listener
            .and_then(|listener| listener.targets.remove(&key.address))
            .is_some()
        {
            events.push(Event::Unbound { key });
        }
    }
    events
}

fn weigh(load_balancer: &mut LoadBalancer, weights: Vec<(TargetKey, u8)>) -> Vec<Event> {
    let mut events = Vec::new();
    for (key, weight) in weights {
        let Some(target) = target_mut(load_balancer, &key.listener_id, &key.address) else {
            continue;
        };
        if target.weight != weight {
            let from = std::mem::replace(&mut target.weight, weight);
            events.push(Event::Weighed {
                key,
                from,
                to: weight,
            });
        }
    }
    events
}

fn target_mut<'a>(
    load_balancer: &'a mut LoadBalancer,
    listener_id: &str,
    address: &SocketAddr,
) -> Option<&'a mut Target> {
    load_balancer
        .listener_mut(listener_id)?
        .targets
        .get_mut(address)
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
