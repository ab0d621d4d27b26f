//! Which listeners and rules are not set up as declared, and what is done about it. Pure.

use std::collections::BTreeMap;

use direct_access::Slot;
use direct_access::listener::ListenerParameters;
use direct_access::settings::Manage;

use super::{Facts, Holder, Modification, ObservedListener, Operation};
use crate::desired::DesiredListener;

/// What is to be changed, and what is not although it differs.
#[derive(Debug, Default)]
pub(super) struct Modifications {
    pub(super) operations: Vec<Operation>,
    pub(super) unchanged: BTreeMap<Slot, Vec<String>>,
}

/// Compares a listener and its rules with what is declared.
pub(super) fn modifications(
    listener: &ObservedListener,
    wanted: &DesiredListener,
    facts: &Facts<'_>,
) -> Modifications {
    let mut all = Modifications::default();
    let layer7 = !wanted.protocol.has_own_targets();
    let declared = if layer7 {
        wanted.parameters.without_forwarding()
    } else {
        wanted.parameters.clone()
    };
    let own = (listener.id.clone(), None);
    all.compare(listener, own, (&declared, &listener.parameters), facts);
    for rule in &listener.rules {
        if let Some(wanted) = wanted.rules.get(&rule.key) {
            let holder = (listener.id.clone(), Some(rule.id.clone()));
            let declared = wanted.parameters.forwarding();
            all.compare(listener, holder, (&declared, &rule.parameters), facts);
        }
    }
    all
}

impl Modifications {
    fn compare(
        &mut self,
        listener: &ObservedListener,
        holder: Holder,
        (declared, there): (&ListenerParameters, &ListenerParameters),
        facts: &Facts<'_>,
    ) {
        let Some(change) = declared.change(there) else {
            return;
        };
        let (ours, may) = (
            facts.cluster.owns_listener(listener.name.as_deref()),
            facts.manage >= Manage::Listeners,
        );
        let known = facts.limits.refused.changes.get(&holder);
        let why = match known {
            _ if !ours => {
                "clb-gate did not make the listener and does not change it; change it there, or declare \
                           what it has"
            }
            _ if !may => {
                "the setting manage: backends may not change listeners; change it in Tencent's console"
            }
            Some((tried, why)) if *tried == change => why,
            Some(_) | None => {
                let (listener, rule) = holder;
                self.operations
                    .push(Operation::Modify(Box::new(Modification {
                        listener,
                        rule,
                        change,
                    })));
                return;
            }
        };
        let differences = declared.differences(there);
        let shown: Vec<_> = differences.iter().map(ToString::to_string).collect();
        let told = format!("{}: {why}", shown.join(", "));
        self.unchanged
            .entry(listener.slot())
            .or_default()
            .push(told);
    }
}
