//! When a pod that goes loses its weight, and when its target goes.

use direct_access::names;

use super::tests::{desired, listener, place, planned, planned_with, target};
use super::*;
use crate::desired::tests::{compute, service};
use crate::pod::tests::{pod, serving};
use crate::pod::{Fate, PodRecord};

#[test]
fn a_going_pod_drains_and_leaves_after_its_time() {
    let going = PodRecord {
        fate: Fate::Going,
        ..pod("a", 1)
    };
    let desired = desired(&[going, serving("b", 2)]);
    let b = target(2, 10, Some("uid-b"));
    let serving = [listener(vec![target(1, 10, Some("uid-a")), b.clone()])];
    let first = planned(&desired, &serving);
    let [Operation::Weigh(weighed)] = &first.operations[..] else {
        panic!("{first:?}")
    };
    assert_eq!((weighed[0].place.clone(), weighed[0].weight), (place(1), 0));
    assert!(!first.shrinks_suspiciously());

    let drained = [listener(vec![target(1, 0, Some("uid-a")), b])];
    let waiting = planned(&desired, &drained);
    assert_eq!((waiting.operations.len(), waiting.again), (0, Some(DRAIN)));
    let ripe = HashMap::from([(place(1), DRAIN)]);
    let last = planned_with(&desired, &drained, &ripe, Manage::Listeners);
    assert_eq!(
        last.operations,
        [Operation::Deregister(vec![(place(1), Removal::Drained)])]
    );
}

#[test]
fn a_target_keeps_weight_0_for_as_long_as_its_service_says() {
    let going = PodRecord {
        fate: Fate::Going,
        ..pod("a", 1)
    };
    let mut web = service("web");
    let says = (names::DRAIN_SECONDS.to_owned(), "90".to_owned());
    web.annotations.extend([says]);
    let desired = compute(&[web], &[going, serving("b", 2)]).load_balancers["lb-abcd1234"].clone();
    let there = [listener(vec![
        target(1, 0, Some("uid-a")),
        target(2, 10, Some("uid-b")),
    ])];
    let after = |seconds| {
        let drained = HashMap::from([(place(1), Duration::from_secs(seconds))]);
        planned_with(&desired, &there, &drained, Manage::Listeners)
    };
    let waiting = after(89);
    let rest = Some(Duration::from_secs(1));
    assert_eq!((waiting.operations, waiting.again), (vec![], rest));
    assert_eq!(
        after(90).operations,
        [Operation::Deregister(vec![(place(1), Removal::Drained)])]
    );
}

#[test]
fn weight_0_comes_before_any_other_weight() {
    let going = PodRecord {
        fate: Fate::Going,
        ..pod("b", 2)
    };
    let desired = desired(&[serving("a", 1), going]);
    let there = [listener(vec![
        target(1, 20, Some("uid-a")),
        target(2, 10, Some("uid-b")),
    ])];
    let plan = planned(&desired, &there);
    let [Operation::Weigh(weighed)] = &plan.operations[..] else {
        panic!("{plan:?}")
    };
    let weights: Vec<_> = weighed.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [0, 10]);
}

#[test]
fn the_last_serving_target_keeps_its_weight() {
    let going = PodRecord {
        fate: Fate::Going,
        ..pod("a", 1)
    };
    let last = [listener(vec![target(1, 10, Some("uid-a"))])];
    let plan = planned(&desired(&[going]), &last);
    assert_eq!((plan.operations, plan.last), (vec![], [place(1)].into()));
}

/// A pod that is deleted and its successor, which is bound before anybody knows that it answers.
#[test]
fn who_goes_keeps_its_weight_until_a_successor_is_known_to_serve() {
    let going = PodRecord {
        fate: Fate::Going,
        ..pod("a", 1)
    };
    let there = [listener(vec![
        target(1, 10, Some("uid-a")),
        target(2, 10, Some("uid-b")),
    ])];
    let waits = planned(&desired(&[going.clone(), pod("b", 2)]), &there);
    assert_eq!((waits.operations, waits.last), (vec![], [place(1)].into()));

    let ungated = PodRecord {
        gated: false,
        ..pod("b", 2)
    };
    for successor in [serving("b", 2), ungated] {
        let leaves = planned(&desired(&[going.clone(), successor]), &there);
        assert!(
            matches!(&leaves.operations[..], [Operation::Weigh(_)]),
            "{leaves:?}"
        );
    }
}
