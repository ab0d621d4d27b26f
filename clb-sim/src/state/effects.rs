//! What a write does when its task is done.

use super::event::Event;
use super::forecast::Forecast;
use super::parts::{
    Attributes, Binding, DomainChange, Effect, Listener, ListenerChange, LoadBalancer, Rule,
    RuleChange, Target, TargetKey,
};
use super::script::Probes;
use super::{Model, OnReregister};
use crate::clock::Millis;
use std::net::SocketAddr;

impl Model {
    /// Lets one write take effect.
    pub(super) fn apply(&mut self, at: Millis, id: &str, effect: Effect) {
        if matches!(effect, Effect::Remove) {
            self.load_balancers.remove(id);
            self.events
                .push(Event::LoadBalancerDeleted { id: id.to_owned() });
            return;
        }
        if matches!(effect, Effect::ChangeListener(_) | Effect::ChangeRule(_)) {
            // The old check counts until now.
            self.look_at(id, at);
        }
        let keep = self.settings.behaviour.on_reregister == OnReregister::Keep;
        let Some(load_balancer) = self.load_balancers.get_mut(id) else {
            return;
        };
        let mut binder = Binder {
            at,
            keep,
            forecast: &self.forecast,
            generation: &mut self.generation,
        };
        let happened = match effect {
            Effect::Remove | Effect::Nothing => return,
            Effect::Activate => activate(load_balancer),
            Effect::AddListeners(new) => add_listeners(load_balancer, new),
            Effect::RemoveListeners(ids) => remove_listeners(load_balancer, &ids),
            Effect::ChangeListener(change) => change_listener(load_balancer, *change, at),
            Effect::AddRules(listener, rules) => add_rules(load_balancer, &listener, rules),
            Effect::RemoveRules(listener, ids, default) => {
                remove_rules(load_balancer, &listener, &ids, default.as_deref())
            }
            Effect::ChangeRule(change) => change_rule(load_balancer, *change, at),
            Effect::ChangeDomain(change) => change_domain(load_balancer, *change),
            Effect::ChangeAttributes(change) => change_attributes(load_balancer, change),
            Effect::SetSecurityGroups(groups) => {
                load_balancer.security_groups = groups;
                changed(load_balancer)
            }
            Effect::Bind(bindings) => binder.bind(load_balancer, bindings),
            Effect::Unbind(keys) => unbind(load_balancer, keys),
            Effect::Move(keys, bindings) => {
                let mut happened = unbind(load_balancer, keys);
                happened.extend(binder.bind(load_balancer, bindings));
                happened
            }
            Effect::Weigh(weights) => weigh(load_balancer, weights),
            Effect::Tag(tags) => tag(load_balancer, tags),
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

fn changed(load_balancer: &LoadBalancer) -> Vec<Event> {
    vec![Event::LoadBalancerChanged {
        id: load_balancer.id.clone(),
    }]
}

fn change_attributes(load_balancer: &mut LoadBalancer, change: Attributes) -> Vec<Event> {
    set(&mut load_balancer.name, change.name);
    set(&mut load_balancer.pass_to_target, change.pass_to_target);
    set(&mut load_balancer.more.protected, change.protected);
    if change.target_region.is_some() {
        load_balancer.more.target_region = change.target_region;
    }
    changed(load_balancer)
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

fn remove_listeners(load_balancer: &mut LoadBalancer, ids: &[String]) -> Vec<Event> {
    load_balancer
        .listeners
        .retain(|listener| !ids.contains(&listener.id));
    ids.iter()
        .map(|id| Event::ListenerDeleted { id: id.clone() })
        .collect()
}

fn change_listener(
    load_balancer: &mut LoadBalancer,
    change: ListenerChange,
    at: Millis,
) -> Vec<Event> {
    let Some(listener) = load_balancer.listener_mut(&change.id) else {
        return Vec::new();
    };
    set(&mut listener.name, change.name);
    set(&mut listener.scheduler, change.scheduler);
    set(&mut listener.session_expire_s, change.session_expire_s);
    set(&mut listener.sni, change.sni);
    set(&mut listener.deregister_rst, change.deregister_rst);
    if change.certificate.is_some() {
        listener.certificate = change.certificate;
    }
    if change.check.is_some() && change.check != listener.check {
        listener.check = change.check;
        restart(listener.targets.values_mut(), at);
    }
    vec![Event::ListenerChanged { id: change.id }]
}

fn add_rules(load_balancer: &mut LoadBalancer, listener_id: &str, rules: Vec<Rule>) -> Vec<Event> {
    let Some(listener) = load_balancer.listener_mut(listener_id) else {
        return Vec::new();
    };
    let mut events = Vec::new();
    for rule in rules {
        if rule.default_server {
            let defaults = listener.rules.iter_mut();
            defaults.for_each(|other| other.default_server = other.domains == rule.domains);
        }
        events.push(Event::RuleCreated {
            id: rule.id.clone(),
            listener: listener_id.to_owned(),
            domain: rule.domain().to_owned(),
            url: rule.url.clone(),
        });
        listener.rules.push(rule);
    }
    events
}

fn remove_rules(
    load_balancer: &mut LoadBalancer,
    listener_id: &str,
    ids: &[String],
    default: Option<&str>,
) -> Vec<Event> {
    let Some(listener) = load_balancer.listener_mut(listener_id) else {
        return Vec::new();
    };
    listener.rules.retain(|rule| !ids.contains(&rule.id));
    if let Some(domain) = default {
        set_default(listener, domain);
    }
    ids.iter()
        .map(|id| Event::RuleDeleted { id: id.clone() })
        .collect()
}

fn change_rule(load_balancer: &mut LoadBalancer, change: RuleChange, at: Millis) -> Vec<Event> {
    let listener = load_balancer.listener_mut(&change.listener_id);
    let Some(rule) = listener.and_then(|listener| listener.rule_mut(&change.location_id)) else {
        return Vec::new();
    };
    set(&mut rule.url, change.url);
    set(&mut rule.scheduler, change.scheduler);
    set(&mut rule.session_expire_s, change.session_expire_s);
    set(&mut rule.forward_type, change.forward_type);
    if change.cookie.is_some() {
        rule.cookie = change.cookie;
    }
    if let Some(check) = change.check.filter(|check| *check != rule.check) {
        rule.check = check;
        restart(rule.targets.values_mut(), at);
    }
    vec![Event::RuleChanged {
        id: change.location_id,
    }]
}

fn change_domain(load_balancer: &mut LoadBalancer, change: DomainChange) -> Vec<Event> {
    let Some(listener) = load_balancer.listener_mut(&change.listener_id) else {
        return Vec::new();
    };
    let its = |rule: &&mut Rule| change.location_ids.contains(&rule.id);
    for rule in listener.rules.iter_mut().filter(its) {
        set(&mut rule.domains, change.domains.clone());
        set(&mut rule.http2, change.http2);
        if change.certificate.is_some() {
            rule.certificate.clone_from(&change.certificate);
        }
    }
    if let Some(domain) = &change.default {
        set_default(listener, domain);
    }
    let ids = change.location_ids.into_iter();
    ids.map(|id| Event::RuleChanged { id }).collect()
}

fn set_default(listener: &mut Listener, domain: &str) {
    for rule in &mut listener.rules {
        rule.default_server = rule.domains.iter().any(|known| known == domain);
    }
}

fn set<T>(field: &mut T, wanted: Option<T>) {
    if let Some(wanted) = wanted {
        *field = wanted;
    }
}

/// Another check probes in another rhythm; the verdicts stay until it has judged.
fn restart<'a>(targets: impl Iterator<Item = &'a mut Target>, at: Millis) {
    for target in targets {
        target.probes = Probes::from(at, target.generation);
    }
}

/// Binds targets.
struct Binder<'a> {
    at: Millis,
    /// A target that is bound already stays as it is.
    keep: bool,
    forecast: &'a Forecast,
    generation: &'a mut u64,
}

impl Binder<'_> {
    /// A binding of an ip:port that is already bound keeps its health.
    fn bind(&mut self, load_balancer: &mut LoadBalancer, bindings: Vec<Binding>) -> Vec<Event> {
        let mut events = Vec::new();
        for Binding { key, weight, tag } in bindings {
            let listener = load_balancer.listener_mut(&key.listener_id);
            let Some(targets) =
                listener.and_then(|found| found.targets_at_mut(key.location_id.as_deref()))
            else {
                continue;
            };
            let known = targets.get_mut(&key.address);
            let again = known.is_some();
            match known {
                Some(target) if !self.keep => {
                    target.weight = weight;
                    target.tag = tag;
                }
                Some(_) => {}
                None => {
                    let new = self.target(&key.address, weight, tag);
                    targets.insert(key.address, new);
                }
            }
            events.push(Event::Bound { key, weight, again });
        }
        events
    }

    fn target(&mut self, address: &SocketAddr, weight: u8, tag: Option<String>) -> Target {
        *self.generation += 1;
        Target {
            weight,
            tag,
            registered: self.at,
            generation: *self.generation,
            health: self.forecast.at_first(address, self.at),
            probes: Probes::from(self.at, *self.generation),
        }
    }
}

fn unbind(load_balancer: &mut LoadBalancer, keys: Vec<TargetKey>) -> Vec<Event> {
    let mut events = Vec::new();
    for key in keys {
        let listener = load_balancer.listener_mut(&key.listener_id);
        let targets = listener.and_then(|found| found.targets_at_mut(key.location_id.as_deref()));
        if targets
            .and_then(|targets| targets.remove(&key.address))
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
        let Some(target) = target_mut(load_balancer, &key) else {
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

fn tag(load_balancer: &mut LoadBalancer, tags: Vec<(TargetKey, Option<String>)>) -> Vec<Event> {
    let mut events = Vec::new();
    for (key, tag) in tags {
        if let Some(target) = target_mut(load_balancer, &key) {
            target.tag = tag;
            events.push(Event::Tagged { key });
        }
    }
    events
}

fn target_mut<'a>(load_balancer: &'a mut LoadBalancer, key: &TargetKey) -> Option<&'a mut Target> {
    load_balancer
        .listener_mut(&key.listener_id)?
        .targets_at_mut(key.location_id.as_deref())?
        .get_mut(&key.address)
}
