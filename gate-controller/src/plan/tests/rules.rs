//! Rules of a listener at layer 7.

use direct_access::CertificateId;

use super::*;
use crate::desired::Certified;

#[test]
fn rules_are_made_filled_emptied_and_deleted() {
    let pods = [pod("a", 1)];
    let mut clb = vec![];
    let ids = |operation: &Operation| {
        let what = operation.label();
        (0..operation.count())
            .map(|n| format!("{what}-{n}"))
            .collect::<Vec<_>>()
    };
    let mut settle = |desired: &Desired| {
        for _ in 0..4 {
            for operation in planned(desired, &clb).operations {
                apply(&mut clb, &operation, &ids(&operation), &us());
            }
        }
        let rules = clb.iter().flat_map(|listener| &listener.rules);
        let urls = rules.map(|rule| (rule.key.url.clone(), rule.targets.len()));
        urls.collect::<Vec<_>>()
    };
    let two = settle(&rules(&["/", "/shop"], &pods));
    assert_eq!(two, [("/".to_owned(), 1), ("/shop".to_owned(), 1)]);
    // The pod went away for good meanwhile, so nothing needs to drain.
    assert_eq!(settle(&rules(&["/"], &[])), [("/".to_owned(), 0)]);
    assert_eq!(settle(&Desired::default()), []);
}

fn https(certificate: Certified) -> Desired {
    let mut all = rules(&["/", "/shop"], &[pod("a", 1)]);
    let wanted = all.listeners.get_mut(&Protocol::Http.at(80)).unwrap();
    wanted.protocol = Protocol::Https;
    wanted.rules.get_mut(&key("/shop")).unwrap().certificate = certificate;
    all
}

fn bare(protocol: &str) -> ObservedListener {
    ObservedListener {
        protocol: protocol.to_owned(),
        ..listener(vec![])
    }
}

#[test]
fn a_rule_is_made_once_its_certificate_is_known() {
    let unknown = https(Certified::Unknown("no such Secret".to_owned()));
    let plan = planned(&unknown, &[bare("HTTPS")]);
    let [Operation::CreateRules(_, made)] = &plan.operations[..] else {
        panic!("{plan:?}")
    };
    assert_eq!((made.len(), &made[0].key), (1, &key("/")));
    let held = &plan.held[&Protocol::Https.at(80)][0];
    assert!(
        held.to_string().contains("a.example/shop") && held.to_string().contains("no such Secret")
    );
    assert!(held.covers(address(1), Some(&key("/shop"))));
    assert!(!held.covers(address(1), Some(&key("/"))) && !held.covers(address(1), None));
    let id = CertificateId {
        server: "abcd1234".to_owned(),
        clients_ca: None,
    };
    let plan = planned(&https(Certified::Known(id.clone())), &[bare("HTTPS")]);
    let [Operation::CreateRules(_, made)] = &plan.operations[..] else {
        panic!("{plan:?}")
    };
    assert_eq!(made[1].parameters.certificate, Some((&id).into()));
}

#[test]
fn a_refused_rule_does_not_keep_the_others_waiting() {
    let rule = ("lbl-1".to_owned(), key("/shop"));
    let refused = Refused {
        rules: [(rule, "one too many (E4005)".to_owned())].into(),
        ..Refused::default()
    };
    let limits = Limits {
        refused,
        ..Limits::default()
    };
    let desired = rules(&["/", "/shop"], &[pod("a", 1)]);
    let plan = planned_within(&desired, &[bare("HTTP")], &limits);
    assert!(matches!(&plan.operations[..], [Operation::CreateRules(_, made)] if made.len() == 1));
    assert!(
        plan.held[&Protocol::Http.at(80)][0]
            .to_string()
            .contains("E4005")
    );
}

#[test]
fn below_the_level_a_missing_rule_is_held() {
    let desired = rules(&["/"], &[pod("a", 1)]);
    let plan = planned_with(&desired, &[bare("HTTP")], &HashMap::new(), Manage::Backends);
    assert_eq!(plan.operations, []);
    assert!(
        plan.held[&Protocol::Http.at(80)][0]
            .to_string()
            .contains("manage: backends")
    );
}
