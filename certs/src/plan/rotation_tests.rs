//! A rotation step by step: who is waited for, who is not, and what each step shows to callers.

use super::{
    tests::{perform, replica, settle, settled, until_step},
    *,
};
use crate::{
    fixtures::{DAY, bundle, ca, leaf as make_leaf, names, now},
    parse::Certificate,
    resolver::{
        LeafResolver,
        tests::{self as tls, Caller},
    },
};
use rstest::rstest;
use std::sync::Arc;

fn step(observed: &Observed) -> Step {
    plan(observed, &names(), now())
}

fn asked(mut observed: Observed, id: &str) -> Observed {
    observed.ca_renewal.requested = Some(id.to_owned());
    observed
}

/// A rotation that has issued its leaf, with the leaf from before.
fn half_way() -> (Observed, Vec<u8>) {
    let mut observed = asked(settled(now()), "1");
    let before = observed.leaf.clone().unwrap().cert_pem;
    until_step(&mut observed, "look", now());
    (observed, before)
}

fn silent(name: &str, ready: bool) -> Replica {
    Replica {
        name: name.to_owned(),
        ready,
        presents: Presents::Nothing("connection refused".to_owned()),
    }
}

fn seen(observed: &Observed, replicas: Vec<Replica>) -> Step {
    step(&Observed {
        serving: Some(replicas),
        ..observed.clone()
    })
}

fn waits_for(step: &Step) -> String {
    if let Step::Await { awaited, .. } = step {
        awaited[0].to_string()
    } else {
        step.name().to_owned()
    }
}

fn generations(bundle: &Bundle) -> Vec<u64> {
    let generations = bundle.iter().map(|ca| ca.facts().generation.unwrap());
    generations.collect()
}

#[test]
fn an_older_ca_stays_until_every_replica_presents_the_new_leaf() {
    let (observed, before) = half_way();
    let after = observed.leaf.clone().unwrap().cert_pem;
    let mixed = seen(&observed, vec![replica("a", &after), replica("b", &before)]);
    assert_eq!(
        waits_for(&mixed),
        "b still presents an earlier leaf, signed by O=clb-gate, CN=clb-gate CA generation 1"
    );
    assert_eq!(generations(mixed.bundle()), [2, 1]);
    let all = seen(&observed, vec![replica("a", &after), replica("b", &after)]);
    assert_eq!(all.name(), "publish-bundle");
    assert_eq!(generations(all.bundle()), [2]);
}

#[test]
fn a_ready_replica_that_shows_nothing_is_waited_for_and_any_other_is_not() {
    let (observed, _) = half_way();
    assert_eq!(
        waits_for(&seen(&observed, vec![silent("a", true)])),
        "a is Ready but cannot be seen: connection refused"
    );
    let unready = seen(&observed, vec![silent("a", false)]);
    assert_eq!(generations(unready.bundle()), [2]);
    assert_eq!(seen(&observed, vec![]).name(), "publish-bundle");
}

#[rstest]
#[case::of_a_ca_that_nobody_knows(make_leaf(&ca(7, now()).0, now()))]
#[case::that_has_expired(make_leaf(&ca(1, now() - DAY * 100).0, now() - DAY * 100))]
fn a_replica_that_nobody_trusts_is_not_waited_for(#[case] leaf: LeafMaterial) {
    let (observed, _) = half_way();
    let lost = seen(&observed, vec![replica("a", &leaf.cert_pem)]);
    assert_eq!(lost.name(), "publish-bundle");
}

#[test]
fn an_older_ca_is_published_again_when_somebody_still_serves_under_it() {
    let (mut observed, before) = half_way();
    let narrow = seen(&observed, vec![]);
    perform(narrow, &mut observed, now());
    assert_eq!(
        step(&observed).name(),
        "look",
        "once more, before it is forgotten"
    );
    let wide = seen(&observed, vec![replica("late", &before)]);
    assert_eq!(wide.name(), "publish-bundle");
    assert_eq!(generations(wide.bundle()), [2, 1]);
    let unseen = seen(&observed, vec![silent("a", true)]);
    assert_eq!(unseen.name(), "await");
    assert_eq!(generations(unseen.bundle()), [2], "no cause to trust more");
}

#[test]
fn nobody_is_asked_while_nothing_depends_on_it() {
    let mut observed = settled(now());
    assert_eq!(step(&observed).name(), "keep");
    observed.serving = Some(vec![silent("a", true)]);
    assert_eq!(step(&observed).name(), "keep");
}

#[test]
fn a_request_is_honoured_once() {
    let mut observed = asked(settled(now()), "1");
    assert_eq!(settle(&mut observed, now())[0], "create-ca");
    assert_eq!(observed.ca_renewal.done.as_deref(), Some("1"));
    assert_eq!(settle(&mut observed, now()), ["keep"]);
    observed.leaf_renewal.requested = Some("2".to_owned());
    assert_eq!(settle(&mut observed, now()), ["issue-leaf", "keep"]);
    assert_eq!(settle(&mut observed, now()), ["keep"]);
}

#[test]
fn a_request_for_both_makes_one_leaf() {
    let mut observed = asked(settled(now()), "1");
    observed.leaf_renewal.requested = Some("2".to_owned());
    let steps = settle(&mut observed, now());
    let leaves = steps.iter().filter(|step| **step == "issue-leaf");
    assert_eq!((steps[0], leaves.count()), ("create-ca", 1));
    assert_eq!(observed.leaf_renewal.pending(), None);
}

#[test]
fn a_request_in_the_middle_of_a_rotation_is_honoured_after_it() {
    let (observed, _) = half_way();
    let mut observed = asked(observed, "2");
    assert_eq!(step(&observed).name(), "look");
    let steps = settle(&mut observed, now());
    let at = |name| steps.iter().position(|step| *step == name).unwrap();
    assert!(at("forget-cas") < at("create-ca"), "{steps:?}");
    assert_eq!(observed.ca_renewal.done.as_deref(), Some("2"));
}

#[test]
fn a_lost_ca_is_replaced_even_in_the_middle_of_a_rotation() {
    let (mut observed, _) = half_way();
    observed.ca = None;
    let step = step(&observed);
    assert_eq!(step.name(), "create-ca");
    assert_eq!(generations(step.bundle()), [2, 1], "nothing is taken away");
}

#[test]
fn a_leaf_waits_for_the_api_servers_only_where_another_ca_is_in_use() {
    let mut rotation = asked(settled(now()), "1");
    let issue = until_step(&mut rotation, "issue-leaf", now());
    assert!(matches!(issue, Step::IssueLeaf { settle: true, .. }));
    let mut repair = settled(now());
    repair.leaf = None;
    assert!(matches!(
        step(&repair),
        Step::IssueLeaf { settle: false, .. }
    ));
    repair.published = None;
    repair.ca = Some(ca(3, now()).1);
    assert!(matches!(
        step(&repair),
        Step::IssueLeaf { settle: false, .. }
    ));
}

/// Two replicas, one of which loads the new leaf only when it is waited for, seen through real TLS.
#[test]
fn a_rotation_passes_only_through_what_callers_trust() {
    let mut observed = asked(settled(now()), "1");
    let replicas: [Arc<LeafResolver>; 2] = Default::default();
    let load = |replica: &LeafResolver, observed: &Observed| {
        let leaf = observed.leaf.as_ref().unwrap();
        replica.load(leaf, &names(), now()).unwrap();
    };
    for replica in &replicas {
        load(replica, &observed);
    }
    let mut visited = vec![];
    for _ in 0..20 {
        let published = observed.published.clone().unwrap();
        let served = replicas.each_ref().map(|replica| {
            let called = Caller::trusting(&published).calls(replica);
            assert!(called.is_ok(), "after {visited:?}: {called:?}");
            let issuer = replica.serving().unwrap().issuer;
            issuer.rsplit(' ').next().unwrap().to_owned()
        });
        visited.push((served.join(""), generations(&bundle(&published))));
        let step = step(&observed);
        if step.name() == "keep" {
            break;
        }
        if step.name() == "await" {
            load(&replicas[1], &observed);
        }
        let look = matches!(step, Step::Look { .. } | Step::Await { .. });
        perform(step, &mut observed, now());
        load(&replicas[0], &observed);
        observed.serving = look.then(|| {
            let leaves = replicas.each_ref().map(presented);
            leaves.map(|leaf| replica("r", &leaf)).into()
        });
    }
    visited.dedup();
    let combination = |served: &str, trusted: &[u64]| (served.to_owned(), trusted.to_vec());
    assert_eq!(
        visited,
        [
            combination("11", &[1]),
            combination("11", &[2, 1]),
            combination("21", &[2, 1]),
            combination("22", &[2, 1]),
            combination("22", &[2]),
        ]
    );
}

fn presented(replica: &Arc<LeafResolver>) -> Vec<u8> {
    let der = tls::presented(&tls::look(replica).unwrap());
    let leaf = Certificate::from_der(der.into()).unwrap();
    leaf.to_pem().into_bytes()
}
