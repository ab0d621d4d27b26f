//! The planner itself: one look at every listener and rule, then the operations in their order.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use direct_access::Slot;
use direct_access::listener::ListenerParameters;
use direct_access::settings::Manage;

use super::modify;
use super::{
    Facts, Held, Holder, Modification, NewListeners, NewRule, ObservedListener, ObservedRule,
    ObservedTarget, Operation, Part, Place, Plan, Removal, Weighted,
};
use crate::desired::{Certified, DesiredListener, DesiredRule, DesiredTarget, RuleKey};

/// Plans the next operations for one load balancer.
pub fn plan(facts: &Facts<'_>) -> Plan {
    let mut builder = Builder {
        facts,
        plan: Plan::default(),
        next: Next::default(),
        waiting: BTreeSet::new(),
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

pub(super) struct Builder<'a> {
    pub(super) facts: &'a Facts<'a>,
    pub(super) plan: Plan,
    pub(super) next: Next,
    /// Where a listener is to be replaced and the new one's certificates are not known.
    waiting: BTreeSet<Slot>,
}

/// What is to be done, by kind.
#[derive(Default)]
pub(super) struct Next {
    pub(super) weigh: Vec<Weighted>,
    pub(super) remove: Vec<(Place, Removal)>,
    listeners: Vec<NewListeners>,
    rules: Vec<Operation>,
    add: Vec<Weighted>,
    modify: Vec<Operation>,
    delete_rules: Vec<Operation>,
    delete: Vec<Operation>,
}

/// The targets that hang together under a listener or a rule: as they are, and as they should be.
pub(super) struct Group<'a> {
    pub(super) slot: Slot,
    listener: &'a str,
    rule: Option<&'a str>,
    /// Of the rule.
    pub(super) key: Option<&'a RuleKey>,
    /// Somebody asks for the listener or rule.
    pub(super) asked: bool,
    pub(super) there: &'a [ObservedTarget],
    pub(super) wanted: &'a [DesiredTarget],
}

impl<'a> Builder<'a> {
    fn listener(&mut self, listener: &'a ObservedListener) {
        let slot = listener.slot();
        let desired = self.facts.desired.listeners.get(&slot);
        let wanted = desired.filter(|wanted| wanted.protocol.as_str() == listener.protocol);
        // One of ours that speaks something else makes room: a listener's protocol cannot be changed.
        if let (Some(desired), None) = (desired, wanted)
            && !self.makes_room(listener)
        {
            let held = Held::OtherProtocol(listener.protocol.clone(), desired.protocol);
            self.hold(slot, held);
            return;
        }
        if let (Some(desired), None) = (desired, wanted) {
            self.await_certificates(slot, desired);
        }
        self.group(&Group {
            slot,
            listener: &listener.id,
            rule: None,
            key: None,
            asked: wanted.is_some(),
            there: &listener.targets,
            wanted: wanted.map_or(&[], |wanted| &wanted.targets),
        });
        self.rules(listener, wanted);
        self.retire(listener, wanted);
        if let Some(wanted) = wanted {
            let next = modify::modifications(listener, wanted, self.facts);
            self.next.modify.extend(next.operations);
            next.unchanged
                .into_iter()
                .for_each(|told| self.unchanged(slot, told));
        }
    }

    /// What serves is not taken away for rules that cannot be made yet.
    fn await_certificates(&mut self, slot: Slot, desired: &DesiredListener) {
        for (key, rule) in &desired.rules {
            match &rule.certificate {
                Certified::NotNeeded | Certified::Known(_) | Certified::Assumed => {}
                Certified::Sought => {
                    self.waiting.insert(slot);
                }
                Certified::Unknown(why) => {
                    self.waiting.insert(slot);
                    self.hold(slot, Held::Uncertified(key.clone(), why.clone()));
                }
            }
        }
    }

    fn makes_room(&self, listener: &ObservedListener) -> bool {
        let foreign = |(_, target): (Place, &ObservedTarget)| self.owner(target).is_none();
        self.facts.manage >= Manage::Listeners
            && self.may_remove(listener)
            && !listener.places().any(foreign)
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
                key: Some(&rule.key),
                asked: wanted.is_some(),
                there: &rule.targets,
                wanted: wanted.map_or(&[], |wanted| &wanted.targets),
            });
            if wanted.is_none() && rule.targets.is_empty() {
                empty.push(rule);
            }
        }
        if self.may_remove(listener) {
            let stays = self.default(listener, wanted, &empty);
            empty.retain(|rule| stays.as_ref() != Some(&rule.key.domain));
            // A call takes so many: the default's come last.
            empty.sort_by_key(|rule| rule.default);
            if !empty.is_empty() {
                let ids = empty.iter().map(|rule| rule.id.clone()).collect();
                let delete = Operation::DeleteRules(listener.id.clone(), ids);
                self.next.delete_rules.push(delete);
            }
        }
        let mut new = Vec::new();
        for (key, rule) in missing {
            match self.new_rule(listener, &key, rule) {
                Ok(rule) => new.extend(rule),
                Err(held) => self.hold(listener.slot(), held),
            }
        }
        if !new.is_empty() {
            let create = Operation::CreateRules(listener.id.clone(), new);
            self.next.rules.push(create);
        }
    }

    /// Looks after the default domain of a listener of ours: the one that is wanted as such; where
    /// nobody wants one and the present one's rules go, one that is wanted at all. The API deletes none
    /// that others depend on: returned is the domain whose rules stay for now.
    fn default(
        &mut self,
        listener: &ObservedListener,
        wanted: Option<&DesiredListener>,
        empty: &[&ObservedRule],
    ) -> Option<String> {
        let present = listener.rules.iter().find(|rule| rule.default)?;
        let present = &present.key.domain;
        let goes = |rule: &ObservedRule| empty.iter().any(|gone| gone.id == rule.id);
        let stays = |rule: &&ObservedRule| !goes(rule);
        if !listener.rules.iter().any(|rule| !goes(rule)) {
            return None;
        }
        let asked = |rule: &&ObservedRule, default: bool| {
            let rule = wanted.and_then(|wanted| wanted.rules.get(&rule.key));
            rule.is_some_and(|rule| rule.default || !default)
        };
        let mut left = listener.rules.iter().filter(stays);
        let named = left.clone().find(|rule| asked(rule, true));
        let next = match named {
            Some(named) => named,
            None if left.clone().any(|rule| rule.key.domain == *present) => return None,
            None => match left.find(|rule| asked(rule, false)) {
                Some(next) => next,
                None => return Some(present.clone()),
            },
        };
        let next = &next.key.domain;
        if next == present || self.facts.manage < Manage::Listeners {
            return None;
        }
        let modification = Modification {
            listener: listener.id.clone(),
            part: Part::Default(next.clone()),
            change: ListenerParameters::default(),
        };
        if let Some((_, why)) = self.facts.limits.refused.changes.get(&modification.place()) {
            let told = format!("the default host is {present:?} and not {next:?}: {why}");
            self.unchanged(listener.slot(), told);
            return Some(present.clone());
        }
        let modify = Operation::Modify(Box::new(modification));
        self.next.modify.push(modify);
        None
    }

    fn unchanged(&mut self, slot: Slot, told: String) {
        self.plan.unchanged.entry(slot).or_default().push(told);
    }

    /// None while its certificate is being looked up; or why it cannot be made now.
    fn new_rule(
        &self,
        listener: &ObservedListener,
        key: &RuleKey,
        rule: DesiredRule,
    ) -> Result<Option<NewRule>, Held> {
        let hold = |why: &str| Err(Held::Rule(key.clone(), why.to_owned()));
        if self.facts.manage < Manage::Listeners {
            let why = "there is no such rule, and the setting manage: backends may not create one";
            return hold(why);
        }
        // A rule has no mark to tell it from others by: there, nobody could take it away again.
        if !self.facts.cluster.owns_listener(listener.name.as_deref()) {
            let why = "there is no such rule, and clb-gate did not make the listener and makes no rules there; make \
                       the rule there, and pods are bound to it, or choose another port";
            return hold(why);
        }
        let refused = &self.facts.limits.refused.rules;
        if let Some(why) = refused.get(&(listener.id.clone(), key.clone())) {
            return hold(why);
        }
        let certificate = match rule.certificate {
            Certified::NotNeeded | Certified::Assumed => None,
            Certified::Known(id) => Some((&id).into()),
            Certified::Sought => return Ok(None),
            Certified::Unknown(why) => return Err(Held::Uncertified(key.clone(), why)),
        };
        // With what the API would refuse there would be no rule; it is tried once there is one.
        let parameters = rule
            .parameters
            .without_overlap(&ListenerParameters::default());
        Ok(Some(NewRule {
            key: key.clone(),
            parameters: ListenerParameters {
                certificate,
                ..parameters
            },
            default: rule.default,
        }))
    }

    fn group(&mut self, group: &Group<'_>) {
        let wanted: HashSet<_> = group.wanted.iter().map(|target| target.address).collect();
        self.additions(group);
        self.leftovers(group, &wanted);
    }

    /// What is wanted and missing, or has another weight, or stands in the way.
    fn additions(&mut self, group: &Group<'_>) {
        let present: HashMap<_, _> = group.there.iter().map(|t| (t.address, t)).collect();
        let (mut missing, mut foreign) = (Vec::new(), Vec::new());
        for target in group.wanted {
            let weighted = || Weighted {
                place: group.place(target.address),
                weight: target.weight,
                pod_uid: target.pod_uid.clone(),
            };
            match present.get(&target.address) {
                None => missing.push(weighted()),
                Some(there) => match self.owner(there) {
                    None => foreign.push(target.address),
                    Some(uid) if uid != target.pod_uid => {
                        let place = group.place(target.address);
                        self.next.remove.push((place, Removal::AddressReused));
                        self.doubt(uid, self.facts.desired.others.fates.get(uid).copied());
                    }
                    Some(_) if there.weight != target.weight => self.next.weigh.push(weighted()),
                    Some(_) => {}
                },
            }
        }
        if !foreign.is_empty() {
            self.hold(group.slot, Held::Foreign(foreign));
        }
        self.foresee(group, missing.len());
        self.add(group, missing);
    }

    /// Binds what fits; the rest is held with the reason.
    fn add(&mut self, group: &Group<'_>, missing: Vec<Weighted>) {
        let limits = self.facts.limits;
        if let Some(why) = limits.refused.slots.get(&group.slot) {
            if !missing.is_empty() {
                self.hold(group.slot, Held::Refused(why.clone()));
            }
            return;
        }
        let most = limits.most(&group.holder());
        let room = most.map(|most| most.saturating_sub(group.there.len()));
        let mut without_room = Vec::new();
        let mut taken = 0;
        for target in missing {
            let address = target.place.address;
            if let Some(why) = limits.refused.places.get(&target.place) {
                let held = Held::RefusedTargets(vec![address], why.clone());
                self.hold(group.slot, held);
            } else if room.is_some_and(|room| taken >= room) {
                without_room.push(address);
            } else {
                taken += 1;
                self.next.add.push(target);
            }
        }
        if let (Some(most), false) = (most, without_room.is_empty()) {
            self.hold(group.slot, Held::Quota(most, without_room));
        }
    }

    /// A rollout's surge (25 % is a Deployment's default) comes on top of what is there and what
    /// drains: better told before it is hit.
    fn foresee(&mut self, group: &Group<'_>, missing: usize) {
        let Some(most) = self.facts.limits.most(&group.holder()) else {
            return;
        };
        let (there, wanted) = (group.there.len(), group.wanted.len());
        let needed = there + missing + wanted.div_ceil(4);
        if wanted > 0 && needed > most {
            let warning = format!(
                "{there} targets are bound, {missing} more are wanted, and a rollout adds up to {} at a time (25 %): \
                 that is more than the quota of {most} targets a listener or rule; raise TOTAL_TARGET_BIND_QUOTA \
                 with Tencent Cloud before the next rollout",
                wanted.div_ceil(4)
            );
            self.plan.warnings.insert(group.slot, warning);
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
            && !self.incomplete(listener.slot())
    }

    pub(super) fn incomplete(&self, slot: Slot) -> bool {
        self.facts.desired.incomplete.contains(&slot) || self.waiting.contains(&slot)
    }

    fn missing(&mut self, slot: Slot, wanted: &DesiredListener) {
        if self.facts.observed.iter().any(|there| there.slot() == slot) {
            return;
        }
        if self.facts.manage < Manage::Listeners {
            self.hold(slot, Held::NoListener(wanted.protocol));
            return;
        }
        if let Some(why) = self.facts.limits.refused.slots.get(&slot) {
            self.hold(slot, Held::Refused(why.clone()));
            return;
        }
        // With what the API would refuse there would be no listener; it is tried once there is one.
        let parameters = wanted
            .parameters
            .without_overlap(&ListenerParameters::default());
        let alike = |new: &&mut NewListeners| {
            new.protocol == wanted.protocol && new.parameters == parameters
        };
        if let Some(new) = self.next.listeners.iter_mut().find(alike) {
            new.ports.push(slot.port);
            return;
        }
        self.next.listeners.push(NewListeners {
            protocol: wanted.protocol,
            ports: vec![slot.port],
            parameters,
        });
    }

    pub(super) fn hold(&mut self, slot: Slot, held: Held) {
        self.plan.held.entry(slot).or_default().push(held);
    }

    /// The pod's UID where the target is ours.
    pub(super) fn owner<'t>(&self, target: &'t ObservedTarget) -> Option<&'t str> {
        let tag = target.tag.as_ref()?;
        (tag.cluster == *self.facts.cluster).then_some(tag.pod_uid.as_str())
    }

    pub(super) fn again(&mut self, rest: Duration) {
        let sooner = self.plan.again.map_or(rest, |known| known.min(rest));
        self.plan.again = Some(sooner);
    }
}

impl Group<'_> {
    pub(super) fn holder(&self) -> Holder {
        (self.listener.to_owned(), self.rule.map(str::to_owned))
    }

    pub(super) fn place(&self, address: (IpAddr, u16)) -> Place {
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
        // A call takes so many: the pods that wait for theirs come first.
        let mut weigh = self.weigh;
        weigh.sort_by_key(|target| target.weight != 0);
        push(&mut all, weigh, Operation::Weigh);
        push(&mut all, self.remove, Operation::Deregister);
        let new = self.listeners.into_iter().map(Box::new);
        all.extend(new.map(Operation::CreateListeners));
        all.extend(self.rules);
        push(&mut all, self.add, Operation::Register);
        all.extend(self.modify);
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
