//! Who serves goes on serving until a successor serves too.
//!
//! A Service whose selector or target port changes while its pods run lets go of them and wants others at
//! the same moment. The others are bound and checked seconds later: whoever took the first away at once
//! would leave nobody. So a live pod's target keeps its weight until one that is wanted in the same
//! listener or rule was seen healthy there. That a gate is open says nothing here: it may have opened for
//! another port or another Service.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::planner::{Builder, Group};
use super::{HealthCheck, Held, Holder, ObservedListener, ObservedTarget, Place};
use crate::pod::Fate;

/// How often to look whether a successor serves: as often as health is asked for.
const LOOK: Duration = Duration::from_secs(1);
/// Waiting is no trouble; this long it is: three times what the CLB's default health check takes.
const LONG: Duration = Duration::from_secs(45);

/// What is known of those that are to take over.
#[derive(Clone, Debug, Default)]
pub struct Successors {
    /// Targets that were seen healthy since they were awaited, or whose listener has its check off.
    pub healthy: HashSet<Place>,
    /// How long a successor has been awaited, by listener or rule.
    pub awaited: HashMap<Holder, Duration>,
}

impl Successors {
    /// Where somebody is awaited, all whom `healthy` knows to be, and all that nobody checks.
    pub fn among(
        listeners: &[ObservedListener],
        awaited: HashMap<Holder, Duration>,
        healthy: impl Fn(&Place, HealthCheck) -> bool,
    ) -> Self {
        let checked = listeners.iter().flat_map(checked);
        let good = checked.filter(|(place, check)| {
            awaited.contains_key(&place.holder()) && (check.off || healthy(place, *check))
        });
        Self {
            healthy: good.map(|(place, _)| place).collect(),
            awaited,
        }
    }

    /// For whoever looks once: how long somebody has been awaited is not known, so it is told at once.
    pub fn at_a_glance(listeners: &[ObservedListener], healthy: impl Fn(&Place) -> bool) -> Self {
        let places = listeners.iter().flat_map(checked);
        let awaited = places.map(|(place, _)| (place.holder(), LONG)).collect();
        Self::among(listeners, awaited, |place, _| healthy(place))
    }
}

/// Every target's place, with the health check that it must pass.
fn checked(listener: &ObservedListener) -> impl Iterator<Item = (Place, HealthCheck)> + '_ {
    listener.places().map(|(place, _)| {
        let of_rule = place.rule.as_ref().and_then(|id| {
            let mut rules = listener.rules.iter();
            rules.find(|rule| rule.id == *id)
        });
        let check = of_rule.map_or(listener.health, |rule| rule.health);
        (place, check)
    })
}

/// Whether a target that is not wanted keeps its weight until somebody takes over. Where nobody asks for the
/// listener or rule any more, nobody is waited for.
pub(super) fn awaited(group: &Group<'_>, target: &ObservedTarget, fate: Option<Fate>) -> bool {
    group.asked && fate == Some(Fate::Live) && target.weight > 0
}

impl Builder<'_> {
    /// Whether a target that is wanted here takes connections and answers them.
    pub(super) fn succeeded(&self, group: &Group<'_>) -> bool {
        let wanted: HashMap<_, _> = group.wanted.iter().map(|one| (one.address, one)).collect();
        group.there.iter().any(|there| {
            let wanted = wanted.get(&there.address);
            let its_own = wanted.is_some_and(|one| self.owner(there) == Some(&one.pod_uid));
            let healthy = &self.facts.successors.healthy;
            its_own && there.weight > 0 && healthy.contains(&group.place(there.address))
        })
    }

    /// Remembers that a successor is awaited; what takes long is told.
    pub(super) fn await_successor(&mut self, group: &Group<'_>, serving: Vec<(IpAddr, u16)>) {
        let holder = group.holder();
        let awaited = self.facts.successors.awaited.get(&holder);
        if awaited.is_some_and(|since| *since >= LONG) {
            self.hold(group.slot, Held::NoSuccessor(group.key.cloned(), serving));
        }
        self.plan.awaited.insert(holder);
        self.again(LOOK);
    }

    /// Whether one of those that serve on must make room, or no successor could ever be bound.
    pub(super) fn in_the_way(&self, group: &Group<'_>) -> bool {
        let most = self.facts.limits.most(&group.holder());
        let full = most.is_some_and(|most| group.there.len() >= most);
        let leaves = |there: &ObservedTarget| there.weight == 0 && self.owner(there).is_some();
        let missing = |address| !group.there.iter().any(|there| there.address == address);
        let awaited = group.wanted.iter().any(|one| missing(one.address));
        full && awaited && !group.there.iter().any(leaves)
    }

    /// Takes in that a target is taken away whose pod is this one. A cache that lags knows neither the
    /// pod that is there now nor that the one it knows is gone.
    pub(super) fn doubt(&mut self, uid: &str, fate: Option<Fate>) {
        self.plan.live_removals += usize::from(fate == Some(Fate::Live));
        if fate.is_none() {
            self.plan.gone += 1;
            self.plan.unknown.insert(uid.to_owned());
        }
    }
}
