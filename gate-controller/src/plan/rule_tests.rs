//! How rules of a listener are followed: certificates, the default host, and listeners of others.

use std::sync::Arc;

use direct_access::listener::ListenerParameters;
use direct_access::ownership::Tag;
use direct_access::{CertificateId, ObjectRef, Owner, Protocol};

use super::tests::{planned, planned_within, us};
use super::*;
use crate::desired::{Certified, DesiredListener, DesiredRule, Others, RuleKey};
use crate::pod::Fate;

fn key(domain: &str, url: &str) -> RuleKey {
    RuleKey {
        domain: domain.to_owned(),
        url: url.to_owned(),
    }
}

fn id(server: &str) -> CertificateId {
    CertificateId {
        server: server.to_owned(),
        clients_ca: None,
    }
}

fn rule(certificate: &str) -> DesiredRule {
    DesiredRule {
        certificate: Certified::Known(id(certificate)),
        ..DesiredRule::default()
    }
}

fn desired<const N: usize>(rules: [(RuleKey, DesiredRule); N]) -> Desired {
    let owner = Owner::ingress(ObjectRef {
        namespace: "shop".to_owned(),
        name: "front".to_owned(),
    });
    let listener = DesiredListener {
        owner,
        protocol: Protocol::Https,
        parameters: ListenerParameters {
            sni_switch: Some(1),
            ..ListenerParameters::default()
        },
        targets: vec![],
        rules: rules.into(),
    };
    Desired {
        listeners: [(Protocol::Https.at(443), listener)].into(),
        ..Desired::default()
    }
}

/// A CLB on which that is done: the first domain with a rule is the default, as the API has it.
fn settle(desired: &Desired, clb: &mut Vec<ObservedListener>) -> Vec<Operation> {
    let mut done = vec![];
    for _ in 0..9 {
        let Some(operation) = planned(desired, clb).operations.into_iter().next() else {
            return done;
        };
        let ids =
            (0..operation.count()).map(|n| format!("{}-{}-{n}", operation.label(), done.len()));
        apply(clb, &operation, &ids.collect::<Vec<_>>(), &us());
        for listener in clb.iter_mut() {
            let none = !listener.rules.iter().any(|rule| rule.default);
            if let (true, Some(first)) = (none, listener.rules.first_mut()) {
                first.default = true;
            }
        }
        done.push(operation);
    }
    panic!("never settled: {done:?}")
}

fn modified(operations: &[Operation]) -> Vec<&Modification> {
    fn one(operation: &Operation) -> Option<&Modification> {
        if let Operation::Modify(modification) = operation {
            return Some(modification);
        }
        None
    }
    operations.iter().filter_map(one).collect()
}

#[test]
fn a_listener_shows_each_domain_its_own_certificate() {
    let mut clb = vec![];
    let wanted = desired([
        (key("a.example", "/"), rule("cert-a")),
        (key("b.example", "/"), rule("cert-b")),
    ]);
    settle(&wanted, &mut clb);
    assert_eq!(clb[0].parameters.sni_switch, Some(1));
    let shown = |clb: &[ObservedListener]| -> Vec<_> {
        let rules = clb[0].rules.iter();
        rules
            .map(|rule| rule.parameters.certificate.clone())
            .collect()
    };
    assert_eq!(
        shown(&clb),
        [Some((&id("cert-a")).into()), Some((&id("cert-b")).into())]
    );
}

#[test]
fn a_certificate_is_changed_in_place_for_all_rules_of_its_domain_at_once() {
    let with = |certificate| {
        let others =
            [key("a.example", "/"), key("a.example", "/shop")].map(|key| (key, rule(certificate)));
        let [one, two] = others;
        desired([one, two, (key("b.example", "/"), rule("cert-b"))])
    };
    let mut clb = vec![];
    settle(&with("cert-a"), &mut clb);
    let done = settle(&with("cert-new"), &mut clb);
    let [Operation::Modify(modification)] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(modification.part, Part::Domain("a.example".to_owned()));
    assert_eq!(
        modification.change.certificate,
        Some((&id("cert-new")).into())
    );
    // What clients must show is changed too, and taken back.
    let mut mutual = with("cert-new");
    for rule in mutual
        .listeners
        .get_mut(&Protocol::Https.at(443))
        .unwrap()
        .rules
        .values_mut()
    {
        rule.certificate = Certified::Known(CertificateId {
            clients_ca: Some("ca-1".to_owned()),
            ..id("cert-new")
        });
    }
    assert_eq!(modified(&settle(&mutual, &mut clb)).len(), 2);
    assert_eq!(modified(&settle(&with("cert-new"), &mut clb)).len(), 2);
}

#[test]
fn what_is_not_known_of_a_certificate_changes_nothing() {
    let mut clb = vec![];
    settle(
        &desired([(key("a.example", "/"), rule("cert-a"))]),
        &mut clb,
    );
    for certificate in [
        Certified::Unknown("no such Secret".to_owned()),
        Certified::Assumed,
        Certified::Sought,
        Certified::NotNeeded,
    ] {
        let rule = DesiredRule {
            certificate,
            ..DesiredRule::default()
        };
        assert_eq!(
            planned(&desired([(key("a.example", "/"), rule)]), &clb).operations,
            []
        );
    }
}

#[test]
fn a_rule_waits_for_its_certificate_and_says_so_once_it_is_known_to_be_missing() {
    let mut clb = vec![];
    settle(&desired([]), &mut clb);
    let with = |certificate| {
        let rule = DesiredRule {
            certificate,
            ..DesiredRule::default()
        };
        planned(&desired([(key("a.example", "/"), rule)]), &clb)
    };
    let sought = with(Certified::Sought);
    assert!(sought.operations.is_empty() && sought.held.is_empty());
    let unknown = with(Certified::Unknown("no such Secret".to_owned()));
    assert!(unknown.operations.is_empty());
    let held = &unknown.held[&Protocol::Https.at(443)][0];
    assert!(matches!(held, Held::Uncertified(..)) && held.to_string().contains("no such Secret"));
    assert!(matches!(
        &with(Certified::Assumed).operations[..],
        [Operation::CreateRules(..)]
    ));
}

#[test]
fn a_refused_certificate_is_told_and_not_asked_for_again() {
    let mut clb = vec![];
    settle(
        &desired([(key("a.example", "/"), rule("cert-a"))]),
        &mut clb,
    );
    let wanted = desired([(key("a.example", "/"), rule("cert-gone"))]);
    let operations = planned(&wanted, &clb).operations;
    let modification = modified(&operations)[0];
    let mut limits = Limits::default();
    let known = (
        modification.change.clone(),
        "no such certificate".to_owned(),
    );
    limits.refused.changes.insert(modification.place(), known);
    let plan = planned_within(&wanted, &clb, &limits);
    assert_eq!(plan.operations, []);
    let told = &plan.unchanged[&Protocol::Https.at(443)][0];
    for part in ["cert-a", "cert-gone", "no such certificate"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn all_that_is_not_changed_on_a_listener_is_told() {
    let mut clb = vec![];
    let (a, own) = (key("a.example", "/"), key("z.example", "/"));
    let wanted = |certificate, default| {
        let last = DesiredRule {
            default,
            ..rule("cert")
        };
        desired([(a.clone(), rule(certificate)), (own.clone(), last)])
    };
    settle(&wanted("cert", false), &mut clb);
    let other = wanted("cert-gone", true);
    let operations = planned(&other, &clb).operations;
    let mut limits = Limits::default();
    for modification in modified(&operations) {
        let refused = (modification.change.clone(), "refused".to_owned());
        limits.refused.changes.insert(modification.place(), refused);
    }
    let plan = planned_within(&other, &clb, &limits);
    assert_eq!(plan.operations, []);
    let told = plan.unchanged[&Protocol::Https.at(443)].concat();
    for part in ["z.example", "cert-gone"] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn the_default_host_is_passed_on_before_its_last_rule_goes() {
    let mut clb = vec![];
    let (a, b) = (key("a.example", "/"), key("b.example", "/"));
    settle(
        &desired([(a.clone(), rule("cert")), (b.clone(), rule("cert"))]),
        &mut clb,
    );
    assert!(clb[0].rules[0].default && clb[0].rules[0].key == a);
    let done = settle(&desired([(b, rule("cert"))]), &mut clb);
    let [Operation::Modify(passed), Operation::DeleteRules(_, gone)] = &done[..] else {
        panic!("{done:?}")
    };
    assert_eq!(passed.part, Part::Default("b.example".to_owned()));
    assert_eq!((gone.len(), clb[0].rules.len()), (1, 1));
    // The last ones go together.
    let done = settle(&Desired::default(), &mut clb);
    assert!(
        matches!(
            &done[..],
            [Operation::DeleteRules(..), Operation::DeleteListener(..)]
        ),
        "{done:?}"
    );
}

#[test]
fn who_asks_for_the_default_gets_it_also_later() {
    let mut clb = vec![];
    let (a, own) = (key("a.example", "/"), key("z.example", "/"));
    let both = |default| {
        let last = DesiredRule {
            default,
            ..rule("cert")
        };
        desired([(a.clone(), rule("cert")), (own.clone(), last)])
    };
    settle(&both(false), &mut clb);
    let done = settle(&both(true), &mut clb);
    assert_eq!(
        modified(&done)[0].part,
        Part::Default("z.example".to_owned())
    );
    assert_eq!(settle(&both(true), &mut clb), []);
    // Nobody asks any more: it stays where it is.
    assert_eq!(settle(&both(false), &mut clb), []);
}

#[test]
fn a_default_host_stays_while_what_hangs_on_it_drains() {
    let mut clb = vec![];
    let (a, b) = (key("a.example", "/"), key("b.example", "/"));
    settle(
        &desired([(a.clone(), rule("cert")), (b.clone(), rule("cert"))]),
        &mut clb,
    );
    clb[0].rules[1].targets.push(ObservedTarget {
        address: ([198, 18, 1, 9].into(), 80),
        weight: 10,
        tag: None,
    });
    let done = settle(&Desired::default(), &mut clb);
    assert_eq!(done, []);
    assert_eq!(clb[0].rules.len(), 2);
}

#[test]
fn no_rule_is_made_on_a_listener_of_others() {
    let mut clb = vec![];
    settle(
        &desired([(key("a.example", "/"), rule("cert-a"))]),
        &mut clb,
    );
    clb[0].name = Some("mine".to_owned());
    let wanted = desired([
        (key("a.example", "/"), rule("cert-new")),
        (key("b.example", "/"), rule("cert-b")),
    ]);
    let plan = planned(&wanted, &clb);
    assert_eq!(plan.operations, []);
    let held = plan.held[&Protocol::Https.at(443)][0].to_string();
    assert!(
        held.contains("b.example/") && held.contains("did not make"),
        "{held}"
    );
    let told = &plan.unchanged[&Protocol::Https.at(443)][0];
    assert!(
        told.contains("cert-new") && told.contains("did not make"),
        "{told}"
    );
    assert_eq!(planned(&Desired::default(), &clb).operations, []);
}

/// Over TCP, with two pods, one of which is gone.
fn at_layer_4() -> ObservedListener {
    let target = |number: u8, uid: &str| ObservedTarget {
        address: ([10, 0, 0, number].into(), 8080),
        weight: 10,
        tag: Some(Tag {
            cluster: us(),
            pod_uid: uid.to_owned(),
        }),
    };
    ObservedListener {
        id: "lbl-old".to_owned(),
        port: 443,
        protocol: "TCP".to_owned(),
        name: Some(us().listener_name()),
        health: HealthCheck::default(),
        parameters: ListenerParameters::default(),
        targets: vec![target(1, "uid-live"), target(2, "uid-gone")],
        rules: vec![],
    }
}

#[rstest::rstest]
#[case::sought(Certified::Sought, false, 0)]
#[case::unknown(Certified::Unknown("no such Secret".to_owned()), false, 1)]
#[case::known(Certified::Known(id("cert-a")), true, 0)]
fn what_serves_makes_room_once_every_certificate_is_known(
    #[case] certificate: Certified,
    #[case] makes_room: bool,
    #[case] held: usize,
) {
    let of_a = DesiredRule {
        certificate,
        ..DesiredRule::default()
    };
    let mut wanted = desired([
        (key("a.example", "/"), of_a),
        (key("b.example", "/"), rule("cert-b")),
    ]);
    wanted.others = Arc::new(Others {
        fates: [("uid-live".to_owned(), Fate::Live)].into(),
        ..Others::default()
    });
    let mut clb = vec![at_layer_4()];
    let plan = planned(&wanted, &clb);
    let gone = matches!(&plan.operations[..], [.., Operation::Deregister(all)] if all.len() == 1);
    assert!(gone, "{:?}", plan.operations);
    let drains = |one: &Operation| matches!(one, Operation::Weigh(_));
    assert_eq!(plan.operations.iter().any(drains), makes_room);
    let all = plan.held.get(&Protocol::Https.at(443));
    assert_eq!(all.map_or(0, Vec::len), held);
    if !makes_room {
        settle(&wanted, &mut clb);
        assert_eq!((clb.len(), clb[0].targets.len()), (1, 1));
        assert_eq!(clb[0].id, "lbl-old");
    }
}
