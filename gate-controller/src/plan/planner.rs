//! The planner itself: one look at every listener and rule, then the operations in their order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use direct_access::Slot;
use direct_access::settings::Manage;

use super::{
    DRAIN, Facts, Held, NewListener, NewRule, ObservedListener, ObservedTarget, Operation, Place,
    Plan, Removal, Weighted,
};
use crate::desired::{DesiredListener, DesiredTarget};
use crate::pod::Fate;

/// Plans the next operations for one load balancer.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let mut builder = Builder {
        facts,
        plan: Plan::default(),
        next: Next::default(),
    };
    for listener in facts.observed {
        builder.listener(listener);
    }
    for (slot, wanted) in &facts.desired.listeners {
        builder.missing(*slot, wanted);
    }
    Plan {
        operations: builder.next.in_order(),
        ..builder.plan
    }
}

struct Builder<'a> {
    facts: &'a Facts<'a>,
    plan: Plan,
    next: Next,
}

/// What is to be done, by kind.
#[derive(Default)]
struct Next {
    weigh: Vec<Weighted>,
    remove: Vec<(Place, Removal)>,
    create: Vec<Operation>,
    add: Vec<Weighted>,
    delete_rules: Vec<Operation>,
    delete: Vec<Operation>,
}

/// The targets that hang together under a listener or a rule: as they are, and as they should be.
struct Group<'a> {
    slot: Slot,
    listener: &'a str,
    rule: Option<&'a str>,
    there: &'a [ObservedTarget],
    wanted: &'a [DesiredTarget],
}

impl<'a> Builder<'a> {
    fn listener(&mut self, listener: &'a ObservedListener) {
        let slot = listener.slot();
        let desired = self.facts.desired.listeners.get(&slot);
        let wanted = desired.filter(|wanted| wanted.protocol.as_str() == listener.protocol);
        if let (Some(desired), None) = (desired, wanted) {
            let held = Held::OtherProtocol(listener.protocol.clone(), desired.protocol);
            self.plan.held.insert(slot, held);
            return;
        }
        self.group(&Group {
            slot,
            listener: &listener.id,
            rule: None,
            there: &listener.targets,
            wanted: wanted.map_or(&[], |wanted| &wanted.targets),
        });
        self.rules(listener, wanted);
        self.retire(listener, wanted);
    }

    fn rules(&mut self, listener: &'a ObservedListener, wanted: Option<&'a DesiredListener>) {
        let none = BTreeMap::new();
        let mut missing = wanted.map_or(&none, |wanted| &wanted.rules).clone();
        let mut empty = Vec::new();
        for rule in &listener.rules {
            missing.remove(&rule.key);
            let wanted = wanted.and_then(|wanted| wanted.rules.get(&rule.key));
            self.group(&Group {
                slot: listener.slot(),
                listener: &listener.id,
                rule: Some(&rule.id),
                there: &rule.targets,
                wanted: wanted.map_or(&[], |wanted| &wanted.targets),
            });
            if wanted.is_none() && rule.targets.is_empty() {
                empty.push(rule.id.clone());
            }
        }
        if !empty.is_empty() && self.may_remove(listener) {
            let delete = Operation::DeleteRules(listener.id.clone(), empty);
            self.next.delete_rules.push(delete);
        }
        let new: Vec<_> = missing
            .into_iter()
            .map(|(key, rule)| NewRule {
                key,
                parameters: rule.parameters,
            })
            .collect();
        if !new.is_empty() && self.facts.manage >= Manage::Listeners {
            let create = Operation::CreateRules(listener.id.clone(), new);
            self.next.create.push(create);
        }
    }

    fn group(&mut self, group: &Group<'_>) {
        let wanted: HashSet<_> = group.wanted.iter().map(|target| target.address).collect();
        self.additions(group);
        self.leftovers(group, &wanted);
    }

    /// What is wanted and missing, or has another weight, or stands in the way.
    fn additions(&mut self, group: &Group<'_>) {
        let present: HashMap<_, _> = group.there.iter().map(|t| (t.address, t)).collect();
        let mut foreign = Vec::new();
        for target in group.wanted {
            let weighted = || Weighted {
                place: group.place(target.address),
                weight: target.weight,
                pod_uid: target.pod_uid.clone(),
            };
            match present.get(&target.address) {
                None => self.next.add.push(weighted()),
                Some(there) => match self.owner(there) {
                    None => foreign.push(target.address),
                    Some(uid) if uid != target.pod_uid => {
                        let place = group.place(target.address);
                        self.next.remove.push((place, Removal::AddressReused));
                    }
                    Some(_) if there.weight != target.weight => self.next.weigh.push(weighted()),
                    Some(_) => {}
                },
            }
        }
        if !foreign.is_empty() {
            self.plan.held.insert(group.slot, Held::Foreign(foreign));
        }
    }

    /// What is ours and not wanted: weight 0 first, away when nobody can be using it any more.
    fn leftovers(&mut self, group: &Group<'_>, wanted: &HashSet<(IpAddr, u16)>) {
        let others = &self.facts.desired.others;
        // Whether some target would still take new connections once the leftovers have weight 0.
        let serving = group
            .there
            .iter()
            .any(|t| t.weight > 0 && (wanted.contains(&t.address) || t.tag.is_none()));
        for target in group.there {
            let Some(uid) = self.owner(target) else {
                continue;
            };
            self.plan.ours += 1;
            if wanted.contains(&target.address) || others.held_pods.contains(uid) {
                continue;
            }
            let fate = others.fates.get(uid).copied();
            let left = Weighted {
                place: group.place(target.address),
                weight: target.weight,
                pod_uid: uid.to_owned(),
            };
            self.leftover(left, fate, serving);
        }
    }

    fn leftover(&mut self, left: Weighted, fate: Option<Fate>, serving: bool) {
        self.plan.live_removals += usize::from(fate == Some(Fate::Live));
        self.plan.gone += usize::from(fate.is_none());
        if matches!(fate, None | Some(Fate::Ended)) {
            self.next.remove.push((left.place, Removal::PodGone));
            return;
        }
        if left.weight > 0 {
            // The last one that serves keeps its weight: somebody may still get an answer from it.
            if serving || fate == Some(Fate::Live) {
                self.next.weigh.push(Weighted { weight: 0, ..left });
            }
            return;
        }
        let drained = self.facts.drained.get(&left.place).copied();
        match DRAIN.checked_sub(drained.unwrap_or_default()) {
            Some(rest) if !rest.is_zero() => self.again(rest),
            _ => self.next.remove.push((left.place, Removal::Drained)),
        }
    }

    /// A listener of ours that nothing wants goes once it is empty.
    fn retire(&mut self, listener: &ObservedListener, wanted: Option<&DesiredListener>) {
        let empty = listener.targets.is_empty() && listener.rules.is_empty();
        if wanted.is_none() && empty && self.may_remove(listener) {
            let delete = Operation::DeleteListener(listener.id.clone(), listener.slot());
            self.next.delete.push(delete);
        }
    }

    fn may_remove(&self, listener: &ObservedListener) -> bool {
        let held = &self.facts.desired.others.held_slots;
        self.facts.cluster.owns_listener(listener.name.as_deref())
            && !held.contains(&listener.slot())
    }

    fn missing(&mut self, slot: Slot, wanted: &DesiredListener) {
        if self.facts.observed.iter().any(|there| there.slot() == slot) {
            return;
        }
        if self.facts.manage < Manage::Listeners {
            let held = Held::NoListener(wanted.protocol);
            self.plan.held.insert(slot, held);
            return;
        }
        let new = NewListener {
            protocol: wanted.protocol,
            port: slot.port,
            parameters: wanted.parameters.clone(),
        };
        self.next
            .create
            .push(Operation::CreateListener(Box::new(new)));
    }

    /// The pod's UID where the target is ours.
    fn owner<'t>(&self, target: &'t ObservedTarget) -> Option<&'t str> {
        let tag = target.tag.as_ref()?;
        (tag.cluster == *self.facts.cluster).then_some(tag.pod_uid.as_str())
    }

    fn again(&mut self, rest: Duration) {
        let sooner = self.plan.again.map_or(rest, |known| known.min(rest));
        self.plan.again = Some(sooner);
    }
}

impl Group<'_> {
    fn place(&self, address: (IpAddr, u16)) -> Place {
        Place {
            listener: self.listener.to_owned(),
            rule: self.rule.map(str::to_owned),
            address,
        }
    }
}

impl Next {
    fn in_order(self) -> Vec<Operation> {
        let mut all = Vec::new();
        push(&mut all, self.weigh, Operation::Weigh);
        push(&mut all, self.remove, Operation::Deregister);
        all.extend(self.create);
        push(&mut all, self.add, Operation::Register);
        all.extend(self.delete_rules);
        all.extend(self.delete);
        all
    }
}

fn push<T>(all: &mut Vec<Operation>, items: Vec<T>, operation: fn(Vec<T>) -> Operation) {
    if !items.is_empty() {
        all.push(operation(items));
    }
}
