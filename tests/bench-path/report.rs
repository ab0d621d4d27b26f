//! All that was found in a run, and what of it breaks a promise. Pure.

use serde::Serialize;

use crate::arm::{Arm, PerArm};
use crate::tally::{Performance, Persistence};
use crate::update::Update;

/// A run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Report {
    /// Rounds, in each of which every arm had its turn.
    pub(crate) rounds: usize,
    /// Requests a round and arm: one at a time, and several at a time.
    pub(crate) amounts: [u32; 2],
    /// How many are several.
    pub(crate) at_a_time: usize,
    /// How requests fared.
    pub(crate) performance: PerArm<Performance>,
    /// Whether clients come back to their pods.
    pub(crate) persistence: PerArm<Persistence>,
    /// What an update of the pods cost.
    pub(crate) update: PerArm<Update>,
    /// What the API said to a pod's address that the VPC does not know; none where it took it.
    pub(crate) unknown_address: Option<String>,
    /// What of it breaks a promise or makes the comparison void.
    pub(crate) broken: Vec<String>,
}

/// What must hold of a run: the promises of direct access, and that each arm is what it is called. Times
/// are none of it.
pub(crate) fn broken(report: &Report) -> Vec<String> {
    let mut broken = promises(report);
    for arm in Arm::ALL {
        broken.extend(void(report, arm).map(|why| format!("{arm}: {why}: the comparison is void")));
    }
    broken
}

fn promises(report: &Report) -> Vec<String> {
    let found = report.performance.get(Arm::Direct);
    let kept = report.persistence.get(Arm::Direct);
    let update = report.update.get(Arm::Direct);
    let checks = [
        (
            whole(found.source_kept),
            format!("pods saw {:?}, not only their clients", found.seen),
        ),
        (
            found.wire_bytes == 0,
            format!("{} bytes went from node to node", found.wire_bytes),
        ),
        (
            whole(kept.same_pod),
            format!(
                "{:.4} of the clients' returns reached their pod",
                kept.same_pod
            ),
        ),
        (
            update.lost == 0,
            format!(
                "{} of {} requests were lost in the update: {:?}",
                update.lost, update.requests, update.causes
            ),
        ),
    ];
    let broken = checks.into_iter().filter(|(holds, _)| !holds);
    broken
        .map(|(_, why)| format!("{}: {why}", Arm::Direct))
        .collect()
}

/// Why an arm's figures say nothing.
fn void(report: &Report, arm: Arm) -> Option<String> {
    let found = report.performance.get(arm);
    if !found.failures.is_empty() {
        return Some(format!("requests failed: {:?}", found.failures));
    }
    if found.answered == 0 || report.persistence.get(arm).returns == 0 {
        return Some("nothing was answered".to_owned());
    }
    if report.update.get(arm).requests == 0 {
        return Some("nothing was asked during the update".to_owned());
    }
    let kept = found.source_kept;
    let (through, translated) = (arm.policy().is_some(), found.to_translated);
    if through && !whole(translated) {
        return Some("not every request went through a NodePort".to_owned());
    }
    if !through && translated > 0.0 {
        return Some("a node translated the destination".to_owned());
    }
    let as_called = match arm {
        Arm::Direct => true, // a promise, not a premise
        Arm::NodePort => kept <= 0.0,
        Arm::Local => whole(kept),
    };
    (!as_called).then(|| format!("{kept:.4} of the requests kept their source"))
}

/// Whether a share is all of it. Shares are quotients of counts: of a whole exactly 1.
fn whole(share: f64) -> bool {
    share >= 1.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// As a good run is.
    fn good() -> Report {
        Report {
            performance: PerArm::new(|arm| Performance {
                answered: 10,
                source_kept: if arm == Arm::NodePort { 0.0 } else { 1.0 },
                to_translated: if arm == Arm::Direct { 0.0 } else { 1.0 },
                wire_bytes: if arm == Arm::NodePort { 900 } else { 0 },
                ..Performance::default()
            }),
            persistence: PerArm::new(|arm| Persistence {
                clients: 2,
                returns: 8,
                same_pod: if arm == Arm::Direct { 1.0 } else { 0.4 },
                same_node: 1.0,
            }),
            update: PerArm::new(|arm| Update {
                requests: 100,
                lost: if arm == Arm::Local { 30 } else { 0 },
                causes: BTreeMap::new(),
            }),
            ..Report::default()
        }
    }

    fn of(change: impl FnOnce(&mut Report)) -> String {
        let mut report = good();
        change(&mut report);
        broken(&report).join("; ")
    }

    #[test]
    fn a_good_run_breaks_nothing_however_much_the_others_lose() {
        assert_eq!(of(|_| {}), "");
    }

    #[test]
    fn each_promise_of_direct_access_can_be_broken() {
        let direct = Arm::Direct;
        let cases = [
            of(|run| run.performance.get_mut(direct).source_kept = 0.999),
            of(|run| run.performance.get_mut(direct).wire_bytes = 1),
            of(|run| run.persistence.get_mut(direct).same_pod = 0.99),
            of(|run| run.update.get_mut(direct).lost = 1),
        ];
        for (case, why) in cases.iter().zip(["saw", "node to node", "returns", "lost"]) {
            assert!(case.starts_with("direct: ") && case.contains(why), "{case}");
            assert!(!case.contains("void") && !case.contains("; "), "{case}");
        }
    }

    #[test]
    fn an_arm_that_is_not_what_it_is_called_makes_the_comparison_void() {
        let failed = |run: &mut Report| {
            let failures = &mut run.performance.get_mut(Arm::Local).failures;
            failures.insert("timed out".to_owned(), 1);
        };
        let cases = [
            of(|run| run.performance.get_mut(Arm::NodePort).source_kept = 0.1),
            of(|run| run.performance.get_mut(Arm::Local).source_kept = 0.9),
            of(|run| run.performance.get_mut(Arm::NodePort).to_translated = 0.5),
            of(|run| run.performance.get_mut(Arm::Direct).to_translated = 0.1),
            of(|run| run.performance.get_mut(Arm::Local).answered = 0),
            of(|run| run.persistence.get_mut(Arm::NodePort).returns = 0),
            of(|run| run.update.get_mut(Arm::NodePort).requests = 0),
            of(failed),
        ];
        for case in cases {
            assert!(case.ends_with("the comparison is void"), "{case}");
        }
    }
}
