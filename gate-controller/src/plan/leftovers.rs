//! Targets that are ours and not wanted any more: when they lose their weight, and when they go.

use std::collections::HashSet;
use std::net::IpAddr;

use super::planner::{Builder, Group};
use super::{ObservedTarget, Removal, Weighted, successor};
use crate::pod::Fate;

impl Builder<'_> {
    /// What is ours and not wanted: weight 0 first, away when nobody can be using it any more.
    pub(super) fn leftovers(&mut self, group: &Group<'_>, wanted: &HashSet<(IpAddr, u16)>) {
        let others = &self.facts.desired.others;
        // Whether some target would still take new connections once the leftovers have weight 0.
        let serves = |t: &ObservedTarget| {
            if wanted.contains(&t.address) {
                return self.proven(t);
            }
            t.tag.is_none() || self.serves_on(group, t)
        };
        let serving = group.there.iter().any(|t| t.weight > 0 && serves(t));
        let mut serving_on = Vec::new();
        for target in group.there {
            let Some(uid) = self.owner(target) else {
                continue;
            };
            self.plan.ours += 1;
            if wanted.contains(&target.address) || others.keeps(uid) {
                continue;
            }
            let fate = others.fates.get(uid).copied();
            if others.held_slots.contains(&group.slot) && fate == Some(Fate::Live) {
                continue;
            }
            let left = Weighted {
                place: group.place(target.address),
                weight: target.weight,
                pod_uid: uid.to_owned(),
            };
            // Something here cannot be read: what runs stays until it can.
            if fate == Some(Fate::Live) && self.incomplete(group.slot) {
                continue;
            }
            if successor::awaited(group, target, fate) {
                serving_on.push(left);
                continue;
            }
            self.leftover(left, fate, serving);
        }
        self.let_go(group, serving_on);
    }

    /// Whether it is known to answer: a pod that goes leaves to nobody else.
    fn proven(&self, target: &ObservedTarget) -> bool {
        let unproven = &self.facts.desired.others.unproven;
        self.owner(target).is_none_or(|uid| !unproven.contains(uid))
    }

    /// Whether this is one of those that stay until somebody takes over.
    fn serves_on(&self, group: &Group<'_>, target: &ObservedTarget) -> bool {
        let fate = self
            .owner(target)
            .and_then(|uid| self.facts.desired.others.fates.get(uid));
        successor::awaited(group, target, fate.copied())
    }

    /// Live pods that nothing wants here any more leave together, once somebody has taken over.
    fn let_go(&mut self, group: &Group<'_>, mut serving_on: Vec<Weighted>) {
        if serving_on.is_empty() {
            return;
        }
        let live = Some(Fate::Live);
        if self.succeeded(group) {
            for left in serving_on {
                self.leftover(left, live, true);
            }
            return;
        }
        if serving_on.len() > 1
            && self.in_the_way(group)
            && let Some(left) = serving_on.pop()
        {
            self.leftover(left, live, true);
        }
        let addresses = serving_on.iter().map(|left| left.place.address).collect();
        self.await_successor(group, addresses);
    }

    fn leftover(&mut self, left: Weighted, fate: Option<Fate>, serving: bool) {
        self.doubt(&left.pod_uid, fate);
        if matches!(fate, None | Some(Fate::Ended)) {
            self.next.remove.push((left.place, Removal::PodGone));
            return;
        }
        if left.weight > 0 {
            // The last one that serves keeps its weight: somebody may still get an answer from it.
            if serving || fate == Some(Fate::Live) {
                self.next.weigh.push(Weighted { weight: 0, ..left });
            } else {
                self.plan.last.insert(left.place);
            }
            return;
        }
        let drain = self.facts.desired.others.drain(&left.pod_uid);
        let drained = self.facts.drained.get(&left.place).copied();
        match drain.checked_sub(drained.unwrap_or_default()) {
            Some(rest) if !rest.is_zero() => self.again(rest),
            _ => self.next.remove.push((left.place, Removal::Drained)),
        }
    }
}
