//! Who takes over from whom, and when.

use std::net::IpAddr;

use direct_access::Protocol;
use proptest::prelude::*;

use super::tests::{address, desired, listener, place, target, us};
use super::*;
use crate::desired::tests::{compute, service};
use crate::pod::PodRecord;
use crate::pod::tests::pod;

const MINUTE: Duration = Duration::from_mins(1);

fn pods(numbers: impl IntoIterator<Item = u8>) -> Vec<PodRecord> {
    let one = |number: u8| pod(&format!("p{number}"), number);
    numbers.into_iter().map(one).collect()
}

/// Pods of another version, which the Service does not select.
fn unselected(numbers: impl IntoIterator<Item = u8>) -> Vec<PodRecord> {
    let mut all = pods(numbers);
    for pod in &mut all {
        pod.labels = std::sync::Arc::default();
    }
    all
}

fn bound(numbers: impl IntoIterator<Item = u8>) -> Vec<ObservedListener> {
    let one = |number: u8| target(number, 10, Some(&format!("uid-p{number}")));
    vec![listener(numbers.into_iter().map(one).collect())]
}

/// A minute after the swap, when these were seen healthy.
fn planned(desired: &Desired, observed: &[ObservedListener], healthy: &[u8]) -> Plan {
    planned_within(desired, observed, healthy, &Limits::default())
}

fn planned_within(
    desired: &Desired,
    observed: &[ObservedListener],
    healthy: &[u8],
    limits: &Limits,
) -> Plan {
    let healthy: Vec<_> = healthy.iter().map(|number| place(*number)).collect();
    let awaited = [(("lbl-1".to_owned(), None), MINUTE)].into();
    plan(&Facts {
        cluster: &us(),
        manage: Manage::Listeners,
        desired,
        observed,
        drained: &HashMap::new(),
        limits,
        successors: &Successors::among(observed, awaited, |place, _| healthy.contains(place)),
    })
}

/// Where targets would get weight 0 or go.
fn taken(plan: &Plan) -> Vec<(IpAddr, u16)> {
    let removing = plan.operations.iter().filter(|one| one.removes());
    let places = removing.flat_map(Operation::places);
    places.map(|place| place.address).collect()
}

#[test]
fn who_serves_goes_on_until_a_successor_is_healthy() {
    let all: Vec<_> = unselected(1..=2).into_iter().chain(pods(3..=4)).collect();
    let desired = desired(&all);
    let swapped = planned(&desired, &bound(1..=2), &[]);
    assert!(matches!(&swapped.operations[..], [Operation::Register(new)] if new.len() == 2));
    assert_eq!(swapped.live_removals, 0, "nothing to look twice at");
    assert_eq!(swapped.awaited, [("lbl-1".to_owned(), None)].into());
    assert!(swapped.again.is_some());
    let registered = planned(&desired, &bound(1..=4), &[1, 2]);
    assert_eq!(
        registered.operations,
        [],
        "the old ones' health is not theirs"
    );
    let healthy = planned(&desired, &bound(1..=4), &[1, 2, 3]);
    assert_eq!(taken(&healthy), [address(1), address(2)]);
    assert!(
        matches!(&healthy.operations[..], [Operation::Weigh(all)] if all.iter().all(|one| one.weight == 0))
    );
    assert!(healthy.shrinks_suspiciously() && healthy.awaited.is_empty());
}

#[test]
fn without_a_successor_who_serves_stays_and_the_object_is_told() {
    let all = unselected(1..=2);
    let plan = planned(&desired(&all), &bound(1..=2), &[1, 2]);
    assert_eq!(plan.operations, []);
    let [held @ Held::NoSuccessor(None, serving)] = &plan.held[&Protocol::Tcp.at(80)][..] else {
        panic!("{:?}", plan.held)
    };
    assert_eq!(serving, &[address(1), address(2)]);
    assert!(!held.covers(address(1), None));
    for part in ["198.18.1.1:8080", "no pod that is selected"] {
        assert!(held.to_string().contains(part), "{held}");
    }
    let soon = plan_at_once(&desired(&all), &bound(1..=2));
    assert!(soon.held.is_empty(), "waiting is no trouble");
}

fn plan_at_once(desired: &Desired, observed: &[ObservedListener]) -> Plan {
    plan(&Facts {
        cluster: &us(),
        manage: Manage::Listeners,
        desired,
        observed,
        drained: &HashMap::new(),
        limits: &Limits::default(),
        successors: &Successors::default(),
    })
}

/// The same pod, at another port: that its gate is open says nothing of it.
#[test]
fn another_target_port_takes_over_once_it_is_healthy() {
    let mut moved = pod("p1", 1);
    moved.ports = vec![("http".to_owned(), 9090)];
    moved.condition = Some(direct_access::condition::Observed {
        status: "True".to_owned(),
        ..direct_access::condition::Observed::default()
    });
    let desired = desired(&[moved]);
    let mut there = bound([1]);
    assert!(taken(&planned(&desired, &there, &[1])).is_empty());
    let at_new_port = ObservedTarget {
        address: (address(1).0, 9090),
        ..there[0].targets[0].clone()
    };
    there[0].targets.push(at_new_port);
    assert_eq!(planned(&desired, &there, &[1]).operations, []);
    there[0].health.off = true;
    let unchecked = planned(&desired, &there, &[]);
    assert_eq!(taken(&unchecked), [address(1)]);
}

#[test]
fn nobody_waits_for_a_successor_of_a_service_that_is_gone() {
    let pods = pods(1..=2);
    let mut gone = desired(&pods);
    gone.listeners.clear();
    let plan = planned(&gone, &bound(1..=2), &[]);
    assert_eq!(taken(&plan), [address(1), address(2)]);
    assert!(plan.shrinks_suspiciously());
}

#[test]
fn a_weight_of_nought_is_no_successor() {
    let mut silent = pods([3]);
    silent[0].weight = 0;
    let all: Vec<_> = unselected([1]).into_iter().chain(silent).collect();
    let mut there = bound([1, 3]);
    there[0].targets[1].weight = 0;
    assert_eq!(planned(&desired(&all), &there, &[3]).operations, []);
}

/// The quota is full of those that serve on: one makes room, or nobody could ever take over.
#[test]
fn where_there_is_no_room_one_leaves_for_its_successor() {
    let all: Vec<_> = unselected(1..=2).into_iter().chain(pods(3..=4)).collect();
    let limits = Limits {
        targets: Some(2),
        ..Limits::default()
    };
    let desired = desired(&all);
    let mut there = bound(1..=2);
    let first = planned_within(&desired, &there, &[], &limits);
    assert_eq!(taken(&first).len(), 1);
    there[0].targets[1].weight = 0;
    assert_eq!(taken(&planned_within(&desired, &there, &[], &limits)), []);
    let last = bound([1]);
    let alone = Limits {
        targets: Some(1),
        ..Limits::default()
    };
    assert_eq!(taken(&planned_within(&desired, &last, &[], &alone)), []);
}

/// A leader whose caches lag knows neither the young pod that is bound nor that the old one is gone.
#[test]
fn an_address_of_an_unknown_pod_is_not_taken_without_a_second_look() {
    let wanted = compute(&[service("web")], &pods([1])).load_balancers["lb-abcd1234"].clone();
    let there = vec![listener(vec![target(1, 10, Some("uid-young"))])];
    let plan = planned(&wanted, &there, &[]);
    assert_eq!(taken(&plan), [address(1)]);
    assert_eq!(plan.unknown, ["uid-young".to_owned()].into());
}

/// One in ten that the caches do not know may be gone, or younger than they are.
#[test]
fn every_pod_that_is_not_known_is_named() {
    let plan = planned(&desired(&pods(1..=9)), &bound(1..=10), &[]);
    assert_eq!(taken(&plan), [address(10)]);
    assert!(!plan.shrinks_suspiciously(), "it is one of ten");
    assert_eq!(plan.unknown, ["uid-p10".to_owned()].into());
}

proptest! {
    /// Whatever is swapped for whatever, and whoever is healthy: as long as somebody served, somebody does,
    /// and with a healthy successor the swap comes to its end.
    #[test]
    fn a_swap_never_leaves_the_listener_without_a_server(
        old in prop::collection::btree_set(1u8..9, 1..6),
        new in prop::collection::btree_set(1u8..9, 0..6),
        healthy in prop::collection::btree_set(1u8..9, 0..6),
        quota in prop::option::of(1usize..12),
    ) {
        let gone: Vec<_> = old.difference(&new).copied().collect();
        let pods: Vec<_> = unselected(gone.iter().copied()).into_iter().chain(pods(new.clone())).collect();
        let desired = desired(&pods);
        let limits = Limits { targets: quota.map(|most| most.max(old.len())), ..Limits::default() };
        let healthy: Vec<_> = healthy.into_iter().collect();
        let mut clb = bound(old.clone());
        let drained: HashMap<_, _> = (1..9).map(|number| (place(number), DRAIN)).collect();
        for _ in 0..40 {
            let awaited = [(("lbl-1".to_owned(), None), MINUTE)].into();
            let plan = plan(&Facts {
                cluster: &us(),
                manage: Manage::Listeners,
                desired: &desired,
                observed: &clb,
                drained: &drained,
                limits: &limits,
                successors: &Successors::among(&clb, awaited, |at, _| healthy.iter().any(|number| place(*number) == *at)),
            });
            for operation in &plan.operations {
                apply(&mut clb, operation, &[], &us());
                let serves = |one: &ObservedTarget| one.weight > 0
                    && (old.iter().chain(&healthy).any(|number| address(*number) == one.address));
                prop_assert!(clb[0].targets.iter().any(serves), "{clb:?}");
            }
        }
        let succeeded = new.iter().any(|number| healthy.contains(number));
        let left = clb[0].targets.iter().filter(|one| gone.iter().any(|number| address(*number) == one.address));
        if succeeded && quota.is_none() {
            prop_assert_eq!(left.count(), 0);
        }
    }
}
