//! Facts about a pod -> what is found.

use std::sync::Arc;

use clb::HealthState::{Alive, Close, Dead, Unknown};
use direct_access::names;
use direct_access::network::{Conclusion, Mode, PodNetwork};
use rstest::rstest;

use super::*;
use crate::pod::{Farewell, Fate};

const OURS: &str = "uid-web-1";
const PLACE: &str = "lb-abcd1234 TCP:80 -> 198.18.1.5:8080";

fn explained(clb: Clb, about: &PodFacts) -> Report {
    let world = world(vec![service("web")], vec![about.pod.clone()]);
    explain_pod(&facts(world, clb), about)
}

#[rstest]
#[case(&[(5, OURS, Alive)], "healthy", Verdict::Waits)]
#[case(&[(5, OURS, Dead)], "noAnswer", Verdict::Mend)]
#[case(&[(5, OURS, Unknown)], "checking", Verdict::Waits)]
#[case(&[(5, OURS, Close)], "stopped", Verdict::Mend)]
#[case(&[], "notBoundYet", Verdict::Waits)]
#[case(&[(5, "uid-of-another", Alive)], "notBoundYet", Verdict::Waits)]
fn what_the_clb_says_is_told(
    #[case] targets: &[(u8, &str, HealthState)],
    #[case] code: &str,
    #[case] verdict: Verdict,
) {
    let report = explained(clb(None, targets), &about(pod()));
    assert_eq!((codes(&report), report.verdict), (vec![code], verdict));
}

#[test]
fn a_binding_names_everything_that_a_person_would_look_for() {
    let report = explained(clb(None, &[(5, OURS, Dead)]), &about(pod()));
    let line = &report.bindings[0];
    assert_eq!(line.for_object, "Service shop/web");
    assert_eq!(line.load_balancer.as_deref(), Some("lb-abcd1234"));
    assert_eq!(
        (line.listener.as_str(), line.listener_id.as_deref()),
        ("TCP:80", Some("lbl-80"))
    );
    assert_eq!(line.target.as_deref(), Some("198.18.1.5:8080"));
    assert_eq!(line.bound_since.as_deref(), Some("2026-11-21 07:59:00"));
    assert_eq!(
        (line.bound, line.health.as_deref()),
        (Some(true), Some("Dead"))
    );
    assert_eq!(report.findings[0].place.as_deref(), Some(PLACE));
}

#[test]
fn without_the_clb_the_condition_speaks() {
    let table = [
        (
            "Held",
            format!("0/1 bindings healthy; {PLACE}: the quota of 100"),
            "held",
        ),
        (
            "WaitingForBinding",
            format!("0/1 bindings healthy; {PLACE}: not bound yet"),
            "notBoundYet",
        ),
        (
            "WaitingForHealth",
            format!("0/1 bindings healthy; {PLACE}: bound, health check says Dead"),
            "noAnswer",
        ),
        (
            "WaitingForHealth",
            format!("0/1 bindings healthy; {PLACE}: bound, health check says Unknown"),
            "checking",
        ),
        (
            "WaitingForHealth",
            "0/2 bindings healthy; lb-other TCP:1 -> 198.18.1.5:1: not bound yet".to_owned(),
            "notKnown",
        ),
    ];
    for (reason, message, code) in table {
        let pod = PodRecord {
            condition: condition("False", reason, &message),
            ..pod()
        };
        let report = explained(unasked(), &about(pod));
        assert_eq!(codes(&report), [code], "{message}");
        assert!(
            report.notes[0].contains("the CLB was not asked"),
            "{:?}",
            report.notes
        );
    }
}

/// What the API refuses only the controller knows.
#[test]
fn what_the_controller_was_refused_counts_beside_what_the_clb_shows() {
    let message = format!("0/1 bindings healthy; {PLACE}: 198.18.1.5:8080: the API said no");
    let pod = PodRecord {
        condition: condition("False", "Held", &message),
        ..pod()
    };
    let report = explained(clb(None, &[]), &about(pod));
    assert_eq!(codes(&report), ["held"]);
    assert!(report.findings[0].says.ends_with("the API said no"));
}

#[test]
fn an_open_gate_stays_open_and_what_the_clb_says_is_told_all_the_same() {
    let open = PodRecord {
        condition: condition(
            "True",
            "LoadBalancerNetworkGroupReady",
            &format!("1/1 bindings healthy: {PLACE}"),
        ),
        ..pod()
    };
    let mut ready = about(open);
    ready.detail.ready = true;
    let good = explained(clb(None, &[(5, OURS, Alive)]), &ready);
    assert_eq!((codes(&good), good.verdict), (vec!["ready"], Verdict::Fine));
    let dead = explained(clb(None, &[(5, OURS, Dead)]), &ready);
    assert_eq!(
        (codes(&dead), dead.verdict),
        (vec!["unhealthyNow", "ready"], Verdict::Mend)
    );
    let unasked = explained(unasked(), &ready);
    assert_eq!(codes(&unasked), ["ready"]);
    ready.detail.ready = false;
    ready.detail.other_gates = vec!["example.com/other".to_owned()];
    let other = explained(clb(None, &[(5, OURS, Alive)]), &ready);
    assert_eq!(codes(&other), ["notReadyOtherwise"]);
}

#[test]
fn a_pod_without_the_gate_is_told_why() {
    let none = PodRecord {
        gated: false,
        ..pod()
    };
    let young = about(none.clone());
    assert_eq!(
        codes(&explained(clb(None, &[(5, OURS, Alive)]), &young)),
        ["noWebhookAnswered"]
    );
    let mut opted_out = young.clone();
    let label = (names::INJECT_LABEL.to_owned(), "false".to_owned());
    Arc::make_mut(&mut opted_out.pod.labels).extend([label]);
    let report = explained(clb(None, &[(5, OURS, Alive)]), &opted_out);
    assert_eq!(
        (codes(&report), report.verdict),
        (vec!["optedOut"], Verdict::Fine)
    );
    let host = PodRecord {
        network: PodNetwork::of(true, None, false),
        ..none.clone()
    };
    assert_eq!(
        codes(&explained(clb(None, &[]), &about(host))),
        ["unreachable"]
    );
    let newer = ServiceFacts {
        created: Some(at("2026-11-21T07:30:00Z")),
        ..service("web")
    };
    let world = world(vec![newer], vec![none.clone()]);
    let report = explain_pod(&facts(world, clb(None, &[(5, OURS, Alive)])), &about(none));
    assert_eq!(codes(&report), ["olderThanItsExposure"]);
}

#[test]
fn a_pod_that_the_cluster_is_not_done_with_waits_for_the_cluster() {
    let starting = PodRecord {
        containers_ready: false,
        ..pod()
    };
    let mut starting = about(starting);
    starting.detail.waits = vec![Waits {
        container: "app".to_owned(),
        why: "ImagePullBackOff".to_owned(),
    }];
    let report = explained(clb(None, &[]), &starting);
    assert_eq!(codes(&report), ["containersNotReady"]);
    assert!(report.findings[0].says.ends_with("app (ImagePullBackOff)"));
    let nowhere = PodRecord {
        ip: None,
        containers_ready: false,
        ..pod()
    };
    assert_eq!(
        codes(&explained(clb(None, &[]), &about(nowhere))),
        ["noAddress"]
    );
    let ended = PodRecord {
        fate: Fate::Ended,
        ..pod()
    };
    assert_eq!(codes(&explained(clb(None, &[]), &about(ended))), ["ended"]);
}

#[test]
fn of_a_going_pod_is_told_what_its_load_balancers_still_hold() {
    let weighing = |weight: u8| {
        let Clb::Seen(mut looked) = clb(None, &[(5, OURS, Alive)]) else {
            panic!("not seen")
        };
        let look = looked.sighting.load_balancers.get_mut("lb-abcd1234");
        let Some(Look::There(seen)) = look else {
            panic!("not there")
        };
        seen.listeners[0].targets[0].weight = weight;
        Clb::Seen(looked)
    };
    let table = [
        (weighing(10), Verdict::Waits, "still has weight 10"),
        (weighing(0), Verdict::Fine, "has weight 0"),
        (clb(None, &[]), Verdict::Fine, "is away already"),
        (
            clb(None, &[(5, "uid-of-another", Alive)]),
            Verdict::Fine,
            "is away already",
        ),
        (missing(), Verdict::Fine, "is away already"),
        (unasked(), Verdict::Fine, "not known"),
    ];
    for (clb, verdict, says) in table {
        let going = PodRecord {
            fate: Fate::Going,
            farewell: Some(Farewell {
                asked: at("2026-11-21T07:59:30Z"),
                grace: std::time::Duration::from_mins(1),
            }),
            ..pod()
        };
        let report = explained(clb, &about(going));
        assert_eq!((codes(&report), report.verdict), (vec!["going"], verdict));
        let told = &report.findings[0].says;
        for part in ["since 2026-11-21T07:59:30Z", PLACE, says] {
            assert!(told.contains(part), "{part} in {told}");
        }
    }
}

#[test]
fn whatever_waits_waits_for_a_leader_too() {
    let mut facts = facts(world(vec![service("web")], vec![pod()]), clb(None, &[]));
    facts.lease = Ok(None);
    assert_eq!(
        codes(&explain_pod(&facts, &about(pod()))),
        ["nobodyLeads", "notBoundYet"]
    );
    facts.lease = Ok(Some(held("gone", "2026-11-21T07:00:00Z")));
    assert_eq!(codes(&explain_pod(&facts, &about(pod())))[0], "nobodyLeads");
    facts.lease = Err("forbidden".to_owned());
    let report = explain_pod(&facts, &about(pod()));
    assert_eq!(codes(&report), ["notBoundYet"]);
    assert!(report.notes[0].contains("who leads is not known"));
}

#[test]
fn a_service_that_could_be_meant_is_named_with_its_reason() {
    let mut plain = service("web");
    plain.annotations.clear();
    let none = PodRecord {
        gated: false,
        ..pod()
    };
    let world = world(vec![plain], vec![none.clone()]);
    let report = explain_pod(&facts(world, clb(None, &[])), &about(none));
    assert_eq!(codes(&report), ["notExposed"]);
    let says = &report.findings[0].says;
    assert!(
        says.contains("Service shop/web selects it, but annotation"),
        "{says}"
    );
}

#[test]
fn a_gated_pod_that_nothing_selects_is_released_soon() {
    let report = explain_pod(
        &facts(world(vec![], vec![pod()]), clb(None, &[])),
        &about(pod()),
    );
    assert_eq!(
        (codes(&report), report.verdict),
        (vec!["unselected"], Verdict::Waits)
    );
}

#[rstest]
#[case(Some(Probed::Refused), None, 8080, "wrongPort")]
#[case(Some(Probed::Answered(200)), None, 8080, "noAnswer")]
#[case(Some(Probed::Answered(404)), None, 8080, "noAnswer")]
#[case(Some(Probed::Answered(404)), http_check(), 8080, "pathAnswers")]
#[case(Some(Probed::Answered(302)), http_check(), 8080, "noAnswer")]
#[case(Some(Probed::Unknown("who knows".to_owned())), http_check(), 8080, "pathDiffers")]
#[case(None, http_check(), 8080, "pathDiffers")]
#[case(None, None, 8080, "noAnswer")]
#[case(None, None, 9090, "wrongPort")]
fn why_a_check_does_not_pass(
    #[case] probed: Option<Probed>,
    #[case] check: Option<Check>,
    #[case] declared: u16,
    #[case] code: &str,
) {
    let mut about = about(pod());
    about.probed.extend(probed.map(|probed| (8080, probed)));
    about.detail.ports[0].number = declared;
    about.detail.asks = vec![Asks {
        port: 8080,
        path: "/ready".to_owned(),
    }];
    let report = explained(clb(check, &[(5, OURS, Dead)]), &about);
    assert_eq!(codes(&report), [code]);
}

#[test]
fn a_load_balancer_that_is_gone_or_cannot_be_read_is_told() {
    let report = explained(missing(), &about(pod()));
    assert_eq!(codes(&report), ["loadBalancerGone"]);
    assert!(
        report.findings[0]
            .says
            .contains("lb-abcd1234 in region ap-guangzhou")
    );
    let unknown = looked(
        Look::Unknown("try later".to_owned()),
        BTreeMap::new(),
        BTreeMap::new(),
    );
    assert_eq!(
        codes(&explained(unknown, &about(pod()))),
        ["loadBalancerUnread"]
    );
}

#[test]
fn what_the_network_refuses_is_told_of_gated_pods_too() {
    let mut world = world(vec![service("web")], vec![pod()]);
    world.settings.conclusion = Conclusion {
        mode: Mode::GlobalRouter,
        ..Conclusion::default()
    };
    let report = explain_pod(&facts(world, clb(None, &[])), &about(pod()));
    assert_eq!(codes(&report), ["unreachable"]);
}

#[test]
fn the_text_says_it_all() {
    let pod = PodRecord {
        condition: condition(
            "False",
            "WaitingForHealth",
            &format!("0/1 bindings healthy; {PLACE}: bound, health check says Dead"),
        ),
        ..pod()
    };
    let mut report = explained(clb(None, &[(5, OURS, Dead)]), &about(pod));
    report.events = vec!["2026-11-21T07:59:01Z Bound: Bound 198.18.1.5:8080".to_owned()];
    assert_eq!(report.to_string(), include_str!("golden_pod.txt"));
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["findings"][0]["code"], "noAnswer");
    assert_eq!(json["bindings"][0]["for"], "Service shop/web");
    assert_eq!(
        (&json["verdict"], &json["gate"]["status"]),
        (&"mend".into(), &"False".into())
    );
}
