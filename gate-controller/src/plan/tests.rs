//! What plans lead to.

mod changes;
mod limits;
mod rules;

use proptest::prelude::*;
use rstest::rstest;

use std::net::IpAddr;

use direct_access::listener::ListenerParameters;
use direct_access::ownership::Tag;
use direct_access::{Protocol, names};

use super::*;
use crate::desired::tests::{compute, service};
use crate::desired::{DesiredRule, RuleKey};
use crate::pod::tests::pod;
use crate::pod::{Fate, PodRecord};

pub(super) fn us() -> ClusterId {
    ClusterId::new("us")
}

pub(super) fn address(number: u8) -> (IpAddr, u16) {
    ([198, 18, 1, number].into(), 8080)
}

pub(super) fn target(number: u8, weight: u8, tag: Option<&str>) -> ObservedTarget {
    let tag = tag.map(|uid| Tag {
        cluster: us(),
        pod_uid: uid.to_owned(),
    });
    ObservedTarget {
        address: address(number),
        weight,
        tag,
    }
}

pub(super) fn listener(targets: Vec<ObservedTarget>) -> ObservedListener {
    ObservedListener {
        id: "lbl-1".to_owned(),
        port: 80,
        protocol: "TCP".to_owned(),
        name: Some(us().listener_name()),
        health: HealthCheck {
            off: false,
            earliest: Duration::ZERO,
        },
        parameters: ListenerParameters::default(),
        targets,
        rules: vec![],
    }
}

pub(super) fn place(number: u8) -> Place {
    Place {
        listener: "lbl-1".to_owned(),
        rule: None,
        address: address(number),
    }
}

pub(super) fn desired(pods: &[PodRecord]) -> Desired {
    compute(&[service("web")], pods).load_balancers["lb-abcd1234"].clone()
}

pub(super) fn planned(desired: &Desired, observed: &[ObservedListener]) -> Plan {
    planned_with(desired, observed, &HashMap::new(), Manage::Listeners)
}

pub(super) fn planned_with(
    desired: &Desired,
    observed: &[ObservedListener],
    drained: &HashMap<Place, Duration>,
    manage: Manage,
) -> Plan {
    plan(&Facts {
        cluster: &us(),
        manage,
        desired,
        observed,
        drained,
        limits: &Limits::default(),
        successors: &Successors::default(),
    })
}

pub(super) fn planned_within(
    desired: &Desired,
    observed: &[ObservedListener],
    limits: &Limits,
) -> Plan {
    plan(&Facts {
        cluster: &us(),
        manage: Manage::Listeners,
        desired,
        observed,
        drained: &HashMap::new(),
        limits,
        successors: &Successors::default(),
    })
}

fn rules(paths: &[&str], pods: &[PodRecord]) -> Desired {
    let mut all = desired(pods);
    let wanted = all.listeners.get_mut(&Protocol::Http.at(80)).unwrap();
    let rule = DesiredRule {
        targets: std::mem::take(&mut wanted.targets),
        ..DesiredRule::default()
    };
    wanted.protocol = Protocol::Http;
    wanted.rules = paths.iter().map(|path| (key(path), rule.clone())).collect();
    all
}

fn key(path: &str) -> RuleKey {
    RuleKey {
        domain: "a.example".to_owned(),
        url: path.to_owned(),
    }
}

/// A CLB that does what it is told, to see where plans lead.
fn perform(listeners: &mut Vec<ObservedListener>, operation: &Operation) {
    let created: Vec<_> = (0..operation.count())
        .map(|n| format!("lbl-{}", n + 1))
        .collect();
    apply(listeners, operation, &created, &us());
}

#[test]
fn what_is_missing_is_made_in_two_steps() {
    let desired = desired(&[pod("a", 1)]);
    let first = planned(&desired, &[]);
    assert!(matches!(
        first.operations[..],
        [Operation::CreateListeners(ref new)] if new.ports == [80]
    ));
    let second = planned(&desired, &[listener(vec![])]);
    let [Operation::Register(added)] = &second.operations[..] else {
        panic!("{second:?}")
    };
    assert_eq!(
        (added[0].place.clone(), added[0].pod_uid.as_str()),
        (place(1), "uid-a")
    );
    let last = planned(&desired, &[listener(vec![target(1, 10, Some("uid-a"))])]);
    assert_eq!(last.operations, []);
}

#[rstest]
#[case(None)]
#[case(Some(Fate::Ended))]
fn a_pod_that_is_gone_leaves_at_once(#[case] fate: Option<Fate>) {
    let pods: Vec<_> = fate
        .map(|fate| PodRecord {
            fate,
            ..pod("a", 1)
        })
        .into_iter()
        .collect();
    let there = [listener(vec![target(1, 10, Some("uid-a"))])];
    let plan = planned(&desired(&pods), &there);
    assert_eq!(
        plan.operations,
        [Operation::Deregister(vec![(place(1), Removal::PodGone)])]
    );
}

#[test]
fn a_reused_address_is_freed_before_it_is_bound_anew() {
    let desired = desired(&[pod("b", 1)]);
    let stale = [listener(vec![target(1, 10, Some("uid-a"))])];
    let first = planned(&desired, &stale);
    let freed = Operation::Deregister(vec![(place(1), Removal::AddressReused)]);
    assert_eq!(first.operations, [freed]);
    let second = planned(&desired, &[listener(vec![])]);
    assert!(matches!(second.operations[..], [Operation::Register(_)]));
}

#[test]
fn what_is_not_ours_is_never_touched() {
    let other = ObservedTarget {
        tag: Some(Tag {
            cluster: ClusterId::new("them"),
            pod_uid: "uid-x".to_owned(),
        }),
        ..target(3, 10, None)
    };
    let there = [listener(vec![target(1, 10, None), other])];
    let plan = planned(&desired(&[pod("a", 1)]), &there);
    assert_eq!(plan.operations, []);
    assert_eq!(
        plan.held[&Protocol::Tcp.at(80)],
        [Held::Foreign(vec![address(1)])]
    );
}

#[test]
fn an_unwanted_listener_goes_only_when_it_is_ours_and_empty() {
    let nothing = Desired::default();
    let empty = [listener(vec![])];
    let delete = Operation::DeleteListener("lbl-1".to_owned(), Protocol::Tcp.at(80));
    assert_eq!(planned(&nothing, &empty).operations, [delete]);
    let foreign = [ObservedListener {
        name: Some("mine".to_owned()),
        ..listener(vec![])
    }];
    assert_eq!(planned(&nothing, &foreign).operations, []);
    let used = [listener(vec![target(1, 10, None)])];
    assert_eq!(planned(&nothing, &used).operations, []);
}

#[test]
fn another_protocol_on_the_port_is_held() {
    let http = [ObservedListener {
        protocol: "HTTP".to_owned(),
        name: Some("somebody else's".to_owned()),
        ..listener(vec![])
    }];
    let plan = planned(&desired(&[pod("a", 1)]), &http);
    assert_eq!(
        plan.held[&Protocol::Tcp.at(80)],
        [Held::OtherProtocol("HTTP".to_owned(), Protocol::Tcp)]
    );
    assert_eq!(plan.operations, []);
    let udp = [ObservedListener {
        protocol: "UDP".to_owned(),
        name: None,
        ..listener(vec![])
    }];
    let plan = planned(&desired(&[pod("a", 1)]), &udp);
    assert!(matches!(
        plan.operations[..],
        [Operation::CreateListeners(ref new)] if new.ports == [80]
    ));
}

/// A listener's protocol cannot be changed: ours makes room, unless somebody else's target hangs there.
#[test]
fn a_listener_of_ours_makes_room_for_another_protocol() {
    let pods = [pod("a", 1)];
    let mut wanted = desired(&pods);
    let slot = Protocol::Tcp.at(80);
    wanted.listeners.get_mut(&slot).unwrap().protocol = Protocol::TcpSsl;
    let mut clb = vec![listener(vec![target(1, 10, Some("uid-a"))])];
    let ripe = HashMap::from([(place(1), DRAIN)]);
    for _ in 0..6 {
        for operation in planned_with(&wanted, &clb, &ripe, Manage::Listeners).operations {
            perform(&mut clb, &operation);
        }
    }
    assert_eq!((clb.len(), clb[0].protocol.as_str()), (1, "TCP_SSL"));
    assert_eq!(clb[0].targets.len(), 1);
    let foreign = [listener(vec![
        target(1, 10, Some("uid-a")),
        target(2, 10, None),
    ])];
    let held = planned(&wanted, &foreign);
    assert_eq!((held.operations.len(), held.held[&slot].len()), (0, 1));
    let at_backends = planned_with(&wanted, &clb_of_ours(), &ripe, Manage::Backends);
    assert_eq!(at_backends.operations, []);
}

fn clb_of_ours() -> Vec<ObservedListener> {
    vec![listener(vec![target(1, 10, Some("uid-a"))])]
}

/// What one port asks for cannot be read: its live targets and its listener stay, and pods still drain.
#[test]
fn a_held_slot_keeps_its_live_targets() {
    let going = PodRecord {
        fate: Fate::Going,
        ..pod("b", 2)
    };
    let mut wanted = desired(&[pod("a", 1), going]);
    wanted.listeners.clear();
    let mut others = (*wanted.others).clone();
    others.held_slots.insert(Protocol::Tcp.at(80));
    wanted.others = std::sync::Arc::new(others);
    let there = [listener(vec![
        target(1, 10, Some("uid-a")),
        target(2, 0, Some("uid-b")),
    ])];
    let ripe = HashMap::from([(place(2), DRAIN)]);
    let plan = planned_with(&wanted, &there, &ripe, Manage::Listeners);
    assert_eq!(
        plan.operations,
        [Operation::Deregister(vec![(place(2), Removal::Drained)])]
    );
}

#[test]
fn the_lower_level_creates_no_listener() {
    let desired = desired(&[pod("a", 1)]);
    let plan = planned_with(&desired, &[], &HashMap::new(), Manage::Backends);
    assert_eq!(
        (plan.operations.len(), &plan.held[&Protocol::Tcp.at(80)]),
        (0, &vec![Held::NoListener(Protocol::Tcp)])
    );
}

#[test]
fn a_service_that_lets_go_of_live_pods_needs_a_second_look() {
    let pods = [pod("a", 1), pod("b", 2)];
    let nothing = compute(&[], &pods);
    assert!(nothing.load_balancers.is_empty());
    let mut empty = desired(&pods);
    empty.listeners.clear();
    let there = [listener(vec![
        target(1, 10, Some("uid-a")),
        target(2, 10, Some("uid-b")),
    ])];
    let plan = planned(&empty, &there);
    assert!(plan.shrinks_suspiciously());
    assert!(matches!(&plan.operations[..], [Operation::Weigh(all)] if all.len() == 2));
}

#[test]
fn held_pods_stay_as_they_are() {
    let mut bad = service("web");
    bad.annotations
        .insert(names::DIRECT_ACCESS.to_owned(), "yes".to_owned());
    let pods = [pod("a", 1)];
    let grouped = crate::desired::by_namespace(&pods);
    let ledger = ["lb-abcd1234".to_owned()].into();
    let settings = direct_access::Settings::default();
    let wanted = crate::desired::wanted(
        &crate::desired::Asked::of_services([&bad]),
        &grouped,
        &settings,
        &ledger,
        &crate::lifecycle::Made::default(),
    );
    let there = [listener(vec![target(1, 10, Some("uid-a"))])];
    assert_eq!(
        planned(&wanted.load_balancers["lb-abcd1234"], &there).operations,
        []
    );
}

#[test]
fn what_is_bound_stays_where_a_changed_network_would_not_bind_it() {
    let (settings, _) =
        direct_access::Settings::parse(&[("network".to_owned(), "mixed".to_owned())].into());
    let going = PodRecord {
        fate: Fate::Going,
        ..pod("c", 3)
    };
    let pods = [pod("a", 1), pod("b", 2), going];
    let wanted = crate::desired::tests::compute_in(&settings, &[service("web")], &pods);
    let there = [listener(vec![
        target(1, 10, Some("uid-a")),
        target(3, 10, Some("uid-c")),
        target(9, 10, None),
    ])];
    let plan = planned(&wanted.load_balancers["lb-abcd1234"], &there);
    // `a` stays, `b` is not bound, `c` drains as ever.
    let [Operation::Weigh(drained)] = &plan.operations[..] else {
        panic!("{:?}", plan.operations)
    };
    assert!(drained.len() == 1 && drained[0].pod_uid == "uid-c" && drained[0].weight == 0);
    assert!(!plan.shrinks_suspiciously());
}

#[test]
fn where_something_cannot_be_read_running_pods_stay() {
    let pods = [pod("a", 1)];
    let mut desired = desired(&pods);
    desired.listeners.clear();
    let there = [listener(vec![
        target(1, 10, Some("uid-a")),
        target(2, 10, Some("uid-gone")),
    ])];
    desired.incomplete.insert(Protocol::Tcp.at(80));
    let plan = planned(&desired, &there);
    let [Operation::Deregister(gone)] = &plan.operations[..] else {
        panic!("{plan:?}")
    };
    assert_eq!((gone.len(), &gone[0].0), (1, &place(2)));
    assert!(planned(&desired, &[listener(vec![])]).operations.is_empty());
    desired.incomplete.clear();
    assert_eq!(planned(&desired, &there).operations.len(), 2);
}

proptest! {
    /// From any state, plans lead in a few rounds to exactly the live pods plus what is foreign.
    #[test]
    fn plans_converge_and_never_touch_what_is_foreign(
        live in prop::collection::btree_set(1u8..12, 0..8),
        there in prop::collection::btree_map(1u8..12, (0u8..3, 0u8..4), 0..8),
        wanted in any::<bool>(),
    ) {
        let pods: Vec<_> = live.iter().map(|n| pod(&format!("p{n}"), *n)).collect();
        let mut desired = desired(&pods);
        if !wanted {
            desired.listeners.clear();
        }
        let targets: Vec<_> = there.iter().map(|(number, (weight, owner))| match owner {
            0 => target(*number, *weight * 5, None),
            1 => target(*number, *weight * 5, Some("uid-gone")),
            _ => target(*number, *weight * 5, Some(&format!("uid-p{number}"))),
        }).collect();
        let foreign: Vec<_> = targets.iter().filter(|t| t.tag.is_none()).cloned().collect();
        let mut clb = vec![listener(targets)];
        let all_ripe: HashMap<_, _> = (1..12).map(|n| (place(n), DRAIN)).collect();
        for _ in 0..5 {
            for operation in planned_with(&desired, &clb, &all_ripe, Manage::Listeners).operations {
                perform(&mut clb, &operation);
            }
        }
        let left = planned_with(&desired, &clb, &all_ripe, Manage::Listeners);
        prop_assert_eq!(left.operations, vec![]);
        let mut now: Vec<_> = clb.iter().flat_map(|l| l.targets.clone()).collect();
        for target in &foreign {
            prop_assert!(now.contains(target));
        }
        now.retain(|t| t.tag.is_some());
        let expected = if wanted {
            live.iter().filter(|n| !foreign.iter().any(|t| t.address == address(**n))).count()
        } else { 0 };
        prop_assert_eq!(now.len(), expected);
    }
}
