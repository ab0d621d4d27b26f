//! Which listeners and rules are not set up as declared, and what is done about it. Pure.

use std::collections::BTreeMap;

use direct_access::listener::ListenerParameters;
use direct_access::settings::Manage;

use super::{Facts, Modification, ObservedListener, ObservedRule, Operation, Part};
use crate::desired::{Certified, DesiredListener};

/// What is to be changed, and what is not although it differs.
#[derive(Debug, Default)]
pub(super) struct Modifications {
    pub(super) operations: Vec<Operation>,
    pub(super) unchanged: Vec<String>,
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
    let mut compare = |part, declared: &ListenerParameters, there: &ListenerParameters| {
        all.compare(listener, part, (declared, there), facts);
    };
    compare(Part::Listener, &declared, &listener.parameters);
    for rule in &listener.rules {
        if let Some(wanted) = wanted.rules.get(&rule.key) {
            let part = Part::Rule(rule.id.clone());
            compare(part, &wanted.parameters.forwarding(), &rule.parameters);
        }
    }
    for (domain, declared, there) in domains(listener, wanted) {
        compare(Part::Domain(domain), &declared, &there);
    }
    all
}

/// By domain: the certificate and HTTP/2 that are declared, and what is there, other than that if anything is.
fn domains(
    listener: &ObservedListener,
    wanted: &DesiredListener,
) -> Vec<(String, ListenerParameters, ListenerParameters)> {
    let mut declared: BTreeMap<_, ListenerParameters> = BTreeMap::new();
    for (key, rule) in &wanted.rules {
        let its = declared.entry(&key.domain).or_default();
        if let (Certified::Known(id), None) = (&rule.certificate, &its.certificate) {
            its.certificate = Some(id.into());
        }
        its.http2 = its.http2.or(rule.parameters.http2);
    }
    let found = |(domain, declared): (&String, ListenerParameters)| {
        let its = |rule: &&ObservedRule| rule.key.domain == *domain;
        let mut there = listener.rules.iter().filter(its).map(|one| &one.parameters);
        let first = there.next()?;
        let other = there.find(|there| declared.change(there).is_some());
        let there = other.unwrap_or(first).clone();
        Some((domain.clone(), declared, there))
    };
    declared.into_iter().filter_map(found).collect()
}

impl Modifications {
    fn compare(
        &mut self,
        listener: &ObservedListener,
        part: Part,
        (declared, there): (&ListenerParameters, &ListenerParameters),
        facts: &Facts<'_>,
    ) {
        // What the API would refuse comes last, so that it keeps nothing else back.
        let timely = declared.without_overlap(there).change(there);
        let Some(change) = timely.or_else(|| declared.change(there)) else {
            return;
        };
        let (ours, may) = (
            facts.cluster.owns_listener(listener.name.as_deref()),
            facts.manage >= Manage::Listeners,
        );
        let place = (listener.id.clone(), part);
        let known = facts.limits.refused.changes.get(&place);
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
                let (listener, part) = place;
                let modification = Modification {
                    listener,
                    part,
                    change,
                };
                self.operations
                    .push(Operation::Modify(Box::new(modification)));
                return;
            }
        };
        let differences = declared.differences(there);
        let shown: Vec<_> = differences.iter().map(ToString::to_string).collect();
        let told = format!("{}: {why}", shown.join(", "));
        self.unchanged.push(told);
    }
}
