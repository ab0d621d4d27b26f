//! From one plan to the end of it: the planner is asked again and again, each time about what the
//! operations before would have left behind, until it wants nothing more.

use std::collections::{BTreeMap, HashMap};

use direct_access::ownership::ClusterId;
use direct_access::settings::Manage;
use direct_access::{ObjectRef, Slot};

use super::describe::{Scene, describe};
use super::model::Change;
use crate::desired::Desired;
use crate::plan::{
    Facts, Held, Limits, ObservedListener, Operation, Place, Successors, apply, plan,
};

/// Weights, then removals, then listeners, then targets, then what is empty: five rounds at most. The
/// rest is in case the planner learns more steps.
const ROUNDS: usize = 12;

/// What bears on one load balancer.
pub(super) struct Outlook<'a> {
    pub(super) cluster: &'a ClusterId,
    pub(super) manage: Manage,
    pub(super) desired: &'a Desired,
    pub(super) quota: Option<usize>,
    /// Names of pods, by UID.
    pub(super) pods: &'a HashMap<&'a str, ObjectRef>,
}

/// What would come of it.
pub(super) struct Foreseen {
    /// In order.
    pub(super) changes: Vec<Change>,
    /// What waits for a person even then.
    pub(super) held: BTreeMap<Slot, Vec<Held>>,
    pub(super) warnings: BTreeMap<Slot, String>,
    /// What is not as declared and stays so.
    pub(super) unchanged: BTreeMap<Slot, Vec<String>>,
    /// Whether the safety brake would be engaged.
    pub(super) brake: bool,
    /// What would be there in the end.
    pub(super) left: Vec<ObservedListener>,
}

impl Outlook<'_> {
    /// Plans to the end. Every target at weight 0 counts as drained: it will be.
    pub(super) fn foresee(&self, observed: &[ObservedListener]) -> Foreseen {
        let limits = Limits {
            targets: self.quota,
            ..Limits::default()
        };
        let mut foreseen = Foreseen {
            changes: vec![],
            held: BTreeMap::new(),
            warnings: BTreeMap::new(),
            unchanged: BTreeMap::new(),
            brake: false,
            left: observed.to_vec(),
        };
        for _ in 0..ROUNDS {
            let next = plan(&Facts {
                cluster: self.cluster,
                manage: self.manage,
                desired: self.desired,
                observed: &foreseen.left,
                drained: &drained(&foreseen.left),
                limits: &limits,
                // Who is bound will be healthy, or somebody is told of it.
                successors: &Successors::at_a_glance(&foreseen.left, |_| true),
            });
            foreseen.brake |= next.shrinks_suspiciously();
            foreseen.held = next.held;
            foreseen.unchanged = next.unchanged;
            foreseen.warnings.extend(next.warnings);
            if next.operations.is_empty() {
                break;
            }
            for operation in &next.operations {
                self.take(operation, &mut foreseen);
            }
        }
        foreseen
    }

    fn take(&self, operation: &Operation, foreseen: &mut Foreseen) {
        let scene = Scene {
            outlook: self,
            listeners: &foreseen.left,
        };
        foreseen.changes.extend(describe(operation, &scene));
        let created = names_for(operation);
        apply(&mut foreseen.left, operation, &created, self.cluster);
    }
}

/// A listener that is not there yet has no id. No id of Tencent's begins like this.
pub(super) const NEW: &str = "new:";

fn names_for(operation: &Operation) -> Vec<String> {
    match operation {
        Operation::CreateListeners(new) => {
            let name = |port: &u16| format!("{NEW}{}", new.protocol.at(*port));
            new.ports.iter().map(name).collect()
        }
        Operation::CreateRules(listener, new) => {
            let name = |index| format!("{NEW}{listener}/{index}");
            (0..new.len()).map(name).collect()
        }
        Operation::Weigh(_)
        | Operation::Deregister(_)
        | Operation::Register(_)
        | Operation::Modify(_)
        | Operation::DeleteRules(..)
        | Operation::DeleteListener(..) => vec![],
    }
}

fn drained(listeners: &[ObservedListener]) -> HashMap<Place, std::time::Duration> {
    let all = listeners.iter().flat_map(ObservedListener::places);
    all.filter(|(_, target)| target.weight == 0)
        .map(|(place, _)| (place, std::time::Duration::MAX))
        .collect()
}
