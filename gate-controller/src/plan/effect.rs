//! What an operation makes of a load balancer if the API does as it says: planned with until the
//! load balancer has been read back, never believed.

use direct_access::listener::ListenerParameters;
use direct_access::ownership::{ClusterId, Tag};

use super::{
    HealthCheck, Modification, NewListeners, NewRule, ObservedListener, ObservedRule,
    ObservedTarget, Operation, Part, Place, Weighted,
};

/// Ids that the API gave to what an operation made, in the order asked for.
pub type Created = [String];

/// Applies an operation to what is there.
pub fn apply(
    listeners: &mut Vec<ObservedListener>,
    operation: &Operation,
    created: &Created,
    cluster: &ClusterId,
) {
    match operation {
        Operation::Weigh(all) => {
            for weighted in all {
                beside(listeners, &weighted.place, |targets| {
                    let there = targets
                        .iter_mut()
                        .find(|target| target.address == weighted.place.address);
                    if let Some(target) = there {
                        target.weight = weighted.weight;
                    }
                });
            }
        }
        Operation::Deregister(all) => {
            for (place, _) in all {
                beside(listeners, place, |targets| {
                    targets.retain(|target| target.address != place.address);
                });
            }
        }
        Operation::Register(all) => {
            for weighted in all {
                let bound = bound(weighted, cluster);
                beside(listeners, &weighted.place, |targets| targets.push(bound));
            }
        }
        Operation::CreateListeners(new) => listeners.extend(made(new, created, cluster)),
        Operation::CreateRules(listener, new) => {
            if let Some(listener) = listeners.iter_mut().find(|l| l.id == *listener) {
                let named = new.iter().find(|rule| rule.default);
                let domain = named.map(|rule| rule.key.domain.clone());
                listener.rules.extend(rules(new, created));
                if let Some(domain) = domain {
                    make_default(listener, &domain);
                }
            }
        }
        Operation::DeleteRules(listener, gone) => {
            if let Some(listener) = listeners.iter_mut().find(|l| l.id == *listener) {
                listener.rules.retain(|rule| !gone.contains(&rule.id));
            }
        }
        Operation::Modify(modification) => modify(listeners, modification),
        Operation::DeleteListener(id, _) => listeners.retain(|listener| listener.id != *id),
    }
}

/// Edits the targets beside this place; nothing where the listener or rule is not there any more.
fn beside(
    listeners: &mut [ObservedListener],
    place: &Place,
    edit: impl FnOnce(&mut Vec<ObservedTarget>),
) {
    let Some(listener) = listeners.iter_mut().find(|l| l.id == place.listener) else {
        return;
    };
    let targets = match &place.rule {
        None => Some(&mut listener.targets),
        Some(id) => {
            let rule = listener.rules.iter_mut().find(|rule| rule.id == *id);
            rule.map(|rule| &mut rule.targets)
        }
    };
    if let Some(targets) = targets {
        edit(targets);
    }
}

fn modify(listeners: &mut [ObservedListener], modification: &Modification) {
    let Some(listener) = listeners.iter_mut().find(|l| l.id == modification.listener) else {
        return;
    };
    let change = &modification.change;
    match &modification.part {
        Part::Listener => {
            let health = set_up(&mut listener.parameters, change);
            listener.health = health;
        }
        Part::Rule(id) => {
            for rule in listener.rules.iter_mut().filter(|rule| rule.id == *id) {
                rule.health = set_up(&mut rule.parameters, change);
            }
        }
        Part::Domain(domain) => {
            let its = |rule: &&mut ObservedRule| rule.key.domain == *domain;
            for rule in listener.rules.iter_mut().filter(its) {
                rule.parameters = rule.parameters.changed(change);
            }
        }
        Part::Default(domain) => make_default(listener, domain),
    }
}

fn set_up(parameters: &mut ListenerParameters, change: &ListenerParameters) -> HealthCheck {
    *parameters = parameters.changed(change);
    HealthCheck::of(parameters.health_check.as_ref())
}

fn make_default(listener: &mut ObservedListener, domain: &str) {
    for rule in &mut listener.rules {
        rule.default = rule.key.domain == domain;
    }
}

fn bound(weighted: &Weighted, cluster: &ClusterId) -> ObservedTarget {
    ObservedTarget {
        address: weighted.place.address,
        weight: weighted.weight,
        tag: Some(Tag {
            cluster: cluster.clone(),
            pod_uid: weighted.pod_uid.clone(),
        }),
    }
}

fn made(
    new: &NewListeners,
    created: &Created,
    cluster: &ClusterId,
) -> impl Iterator<Item = ObservedListener> {
    let one = |(port, id): (&u16, &String)| ObservedListener {
        id: id.clone(),
        port: *port,
        protocol: new.protocol.to_string(),
        name: Some(cluster.listener_name()),
        health: HealthCheck::default(),
        parameters: new.parameters.clone(),
        targets: vec![],
        rules: vec![],
    };
    new.ports.iter().zip(created).map(one)
}

fn rules(new: &[NewRule], created: &Created) -> impl Iterator<Item = ObservedRule> {
    let one = |(rule, id): (&NewRule, &String)| ObservedRule {
        id: id.clone(),
        key: rule.key.clone(),
        health: HealthCheck::default(),
        parameters: rule.parameters.clone(),
        default: rule.default,
        targets: vec![],
    };
    new.iter().zip(created).map(one)
}
