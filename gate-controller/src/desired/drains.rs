//! Which pods were asked to go, and how long their targets keep weight 0. Pure.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use direct_access::condition::Observed;
use direct_access::{Drain, Exposure};

use super::{Leaving, PodsByNamespace};
use crate::pod::{Fate, PodRecord};

/// The pods that were asked to go and have not ended.
pub(super) fn leaving(pods: &PodsByNamespace<'_>) -> HashMap<String, Leaving> {
    let all = pods.values().flatten();
    let going = all.filter(|pod| pod.fate == Fate::Going);
    going
        .filter_map(|pod| {
            let leaving = Leaving {
                pod: pod.object(),
                asked: pod.farewell?.asked,
            };
            Some((pod.uid.clone(), leaving))
        })
        .collect()
}

/// Gated pods whose gate is not open yet: nobody knows that they serve. Only in namespaces that some pod is
/// leaving, because only there it is asked.
pub(super) fn unproven(pods: &PodsByNamespace<'_>) -> HashSet<String> {
    let left = pods
        .values()
        .filter(|all| all.iter().any(|pod| pod.fate == Fate::Going));
    let closed =
        |pod: &&&PodRecord| pod.gated && !pod.condition.as_ref().is_some_and(Observed::is_true);
    let new = left
        .flatten()
        .filter(|pod| pod.fate == Fate::Live)
        .filter(closed);
    new.map(|pod| pod.uid.clone()).collect()
}

/// How long the targets of each pod keep weight 0: the longest of what selects it. Only in namespaces where
/// something asks for another time than the usual.
pub(super) fn drains(
    exposures: &[Exposure],
    pods: &PodsByNamespace<'_>,
) -> HashMap<String, Duration> {
    let namespace = |exposure: &Exposure| exposure.service.namespace.clone();
    let other = exposures.iter().filter(|one| one.drain != Drain::USUAL);
    let other: HashSet<_> = other.map(namespace).collect();
    let mut drains = HashMap::new();
    for exposure in exposures {
        let namespace = exposure.service.namespace.as_str();
        let here = pods.get(namespace).filter(|_| other.contains(namespace));
        let selected = here.into_iter().flatten();
        for pod in selected.filter(|pod| pod.selected_by(&exposure.selector)) {
            let own = exposure.drain.lasts(pod.farewell.map(|one| one.grace));
            let longest: &mut Duration = drains.entry(pod.uid.clone()).or_default();
            *longest = own.max(*longest);
        }
    }
    drains
}

#[cfg(test)]
mod tests {
    use direct_access::{ServiceFacts, names};

    use super::super::tests::{compute, service};
    use super::*;
    use crate::pod::Farewell;
    use crate::pod::tests::pod;

    const ASKED: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

    fn going(name: &str, number: u8, grace: u64) -> PodRecord {
        PodRecord {
            fate: Fate::Going,
            farewell: Some(Farewell {
                asked: ASKED,
                grace: Duration::from_secs(grace),
            }),
            ..pod(name, number)
        }
    }

    fn asking(name: &str, port: u16, seconds: &str, grace_deletion: bool) -> ServiceFacts {
        let mut asking = service(name);
        asking.ports[0].port = port;
        let wish = grace_deletion.to_string();
        let says = [
            (names::DRAIN_SECONDS, seconds),
            (names::GRACE_DELETION, &wish),
        ];
        let says = says.map(|(key, value)| (key.to_owned(), value.to_owned()));
        asking.annotations.extend(says);
        asking
    }

    #[test]
    fn the_longest_drain_of_what_selects_a_pod_is_its_own() {
        let services = [asking("a", 80, "10", false), asking("b", 81, "90", false)];
        let pods = [going("a", 1, 600), pod("b", 2)];
        let others = compute(&services, &pods).others;
        assert_eq!(others.drain("uid-a"), Duration::from_secs(90));
        assert_eq!(others.drain("uid-b"), Duration::from_secs(90));
        assert_eq!(others.drain("uid-of-none"), Duration::from_secs(30));
        let shorter = compute(&services[..1], &pods).others;
        assert_eq!(shorter.drain("uid-a"), Duration::from_secs(10));
        // One that says nothing asks for the usual time.
        let beside = [asking("a", 80, "10", false), service("web")];
        let beside = compute(&beside, &pods).others;
        assert_eq!(beside.drain("uid-a"), Duration::from_secs(30));
    }

    #[test]
    fn a_pod_that_serves_on_keeps_its_targets_until_it_has_ended() {
        let services = [asking("a", 80, "10", true)];
        let others = compute(&services, &[going("a", 1, 40), pod("b", 2)]).others;
        assert_eq!(others.drain("uid-a"), Duration::from_secs(40));
        assert_eq!(others.drain("uid-b"), Duration::from_secs(10));
    }

    #[test]
    fn only_pods_that_were_asked_to_go_and_still_run_are_leaving() {
        let ended = PodRecord {
            fate: Fate::Ended,
            ..going("c", 3, 30)
        };
        let pods = [going("a", 1, 30), pod("b", 2), ended];
        let leaving = &compute(&[service("web")], &pods).others.leaving;
        let names: Vec<_> = leaving.values().map(|one| one.pod.name.as_str()).collect();
        assert_eq!(names, ["a"]);
        assert_eq!(leaving["uid-a"].asked, ASKED);
    }
}
