//! From what a load balancer should hold and what it was seen to hold to the next operations. Pure.
//!
//! Order: what drains first (a pod waits for it), then what must be freed, then what is new. A target
//! or listener without our mark is foreign and never touched.

mod effect;
mod leftovers;
#[cfg(test)]
mod leftovers_tests;
mod limits;
mod modify;
mod observed;
mod operation;
mod planner;
#[cfg(test)]
mod rule_tests;
mod successor;
#[cfg(test)]
mod successor_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use direct_access::ownership::ClusterId;
use direct_access::settings::Manage;
use direct_access::{Drain, Slot};

pub use effect::{Created, apply};
pub use limits::{Batches, Holder, Limits, Refused};
pub use observed::{HealthCheck, ObservedListener, ObservedRule, ObservedTarget, Place};
pub use operation::{
    Held, Modification, NewListeners, NewRule, Operation, Part, Removal, Weighted,
};
pub use planner::plan;
pub use successor::Successors;

use crate::desired::Desired;

/// How long a target keeps weight 0 before it is taken away while its pod still runs, where no object says
/// otherwise: what is in flight ends meanwhile. A pod that is gone is taken away at once.
pub const DRAIN: Duration = Duration::from_secs(Drain::USUAL.seconds as u64);

/// Facts for one plan.
pub struct Facts<'a> {
    /// Us.
    pub cluster: &'a ClusterId,
    /// What we may own.
    pub manage: Manage,
    /// What should be there.
    pub desired: &'a Desired,
    /// What is there.
    pub observed: &'a [ObservedListener],
    /// How long each drained target has had weight 0.
    pub drained: &'a HashMap<Place, Duration>,
    /// What the API does not take now.
    pub limits: &'a Limits,
    /// Who could take over from live pods that nothing wants any more.
    pub successors: &'a Successors,
}

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order.
    pub operations: Vec<Operation>,
    /// By slot: what waits for a person.
    pub held: BTreeMap<Slot, Vec<Held>>,
    /// By slot: what will go wrong soon if nothing is done.
    pub warnings: BTreeMap<Slot, String>,
    /// By slot: what of a listener is not as declared and is not changed, and why.
    pub unchanged: BTreeMap<Slot, Vec<String>>,
    /// When to look again, if something ripens by itself.
    pub again: Option<Duration>,
    /// How many targets of live pods would be weighed 0 or removed.
    pub live_removals: usize,
    /// How many targets would be removed because their pod is not known any more.
    pub gone: usize,
    /// UIDs of those pods.
    pub unknown: BTreeSet<String>,
    /// How many of the targets are ours.
    pub ours: usize,
    /// Listeners and rules where live pods serve on until somebody takes over.
    pub awaited: BTreeSet<Holder>,
    /// Targets of going pods that keep their weight, because nothing else serves beside them.
    pub last: BTreeSet<Place>,
}

impl Plan {
    /// Whether it takes away more than pods that were seen going: then only a second, fresh read of the
    /// cluster may confirm it. A cache that lost objects looks just like a cluster that did.
    pub fn shrinks_suspiciously(&self) -> bool {
        self.live_removals > 0 || self.gone * 2 > self.ours
    }
}
