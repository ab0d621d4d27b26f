//! What the gates should say, by what is seen.

use direct_access::condition::Status;
use direct_access::gate::ORPHAN_AFTER;
use direct_access::network::PodNetwork;
use direct_access::{IngressFacts, ServiceFacts, Settings};
use tokio::time::Instant;

use super::*;
use crate::desired::tests::{compute_in, front, service};
use crate::desired::{Asked, by_namespace, wanted};
use crate::lifecycle::Made;
use crate::pod::tests::pod;

const NOW: &str = "2026-01-01T00:10:00Z";

fn judged(pods: &[PodRecord], unselected: &Durations, exposed: bool) -> Verdict {
    judged_in(&Settings::default(), pods, unselected, exposed)
}

fn judged_in(
    settings: &Settings,
    pods: &[PodRecord],
    unselected: &Durations,
    exposed: bool,
) -> Verdict {
    let services = if exposed {
        vec![service("web")]
    } else {
        vec![]
    };
    judged_behind(&services, settings, pods, unselected)
}

fn judged_behind(
    services: &[ServiceFacts],
    settings: &Settings,
    pods: &[PodRecord],
    unselected: &Durations,
) -> Verdict {
    let wanted = compute_in(settings, services, pods);
    judge(
        &wanted.exposures,
        &by_namespace(pods),
        &Views::default(),
        settings.conclusion,
        Times {
            now: NOW.parse().unwrap(),
            unselected,
        },
    )
}

#[test]
fn pods_without_the_gate_are_told_apart() {
    let opted_out = {
        let mut pod = PodRecord {
            gated: false,
            ..pod("c", 3)
        };
        Arc::make_mut(&mut pod.labels).insert(names::INJECT_LABEL.to_owned(), "false".to_owned());
        pod
    };
    let pods = [
        PodRecord {
            gated: false,
            ..pod("a", 1)
        },
        PodRecord {
            gated: false,
            network: PodNetwork::of(true, None, false),
            ..pod("b", 2)
        },
        opted_out,
    ];
    let verdict = judged(&pods, &HashMap::new(), true);
    assert_eq!(
        verdict.ungated.iter().map(|p| &p.name).collect::<Vec<_>>(),
        ["a"]
    );
    assert_eq!(
        verdict
            .unreachable
            .iter()
            .map(|(p, why)| (p.name.as_str(), *why))
            .collect::<Vec<_>>(),
        [("b", Refusal::HostNetwork)]
    );
    assert!(verdict.writes.is_empty());
}

#[test]
fn a_weight_that_is_none_is_told_where_it_would_count() {
    let heavy = PodRecord {
        bad_weight: Some("heavy".into()),
        ..pod("a", 1)
    };
    let ungated = PodRecord {
        gated: false,
        ..heavy.clone()
    };
    for (pod, exposed, told) in [(&heavy, true, 1), (&ungated, true, 1), (&heavy, false, 0)] {
        let verdict = judged(std::slice::from_ref(pod), &HashMap::new(), exposed);
        assert_eq!(verdict.misweighted.len(), told);
    }
}

#[test]
fn a_weight_under_rules_that_is_none_is_told_where_there_are_rules() {
    let pods = [PodRecord {
        bad_rule_weight: Some("heavy".into()),
        ..pod("a", 1)
    }];
    let told = |services: &[ServiceFacts], ingresses: &[IngressFacts]| {
        let asked = Asked {
            services: services.iter().collect(),
            ingresses: ingresses.iter().collect(),
            certificates: None,
        };
        let grouped = by_namespace(&pods);
        let (settings, made) = (Settings::default(), Made::default());
        let ledger = BTreeSet::new();
        let wanted = wanted(&asked, &grouped, &settings, &ledger, &made);
        let (views, unselected) = (Views::default(), HashMap::new());
        let times = Times {
            now: NOW.parse().unwrap(),
            unselected: &unselected,
        };
        let verdict = judge(
            &wanted.exposures,
            &grouped,
            &views,
            settings.conclusion,
            times,
        );
        verdict.misweighted.len()
    };
    let services = [service("web")];
    assert_eq!(told(&services, &[]), 0, "a Service has no rules");
    assert_eq!(told(&services, &[front()]), 1);
    assert_eq!(told(&[], &[front()]), 0, "leads nowhere");
}

#[test]
fn an_unbound_pod_waits() {
    let verdict = judged(&[pod("a", 1)], &HashMap::new(), true);
    let (_, condition) = &verdict.writes[0];
    assert_eq!(condition.status, Status::False);
    let waits = verdict.counted.waiting["WaitingForBinding"];
    assert_eq!((waits.pods, verdict.counted.bindings["missing"]), (1, 1));
}

#[test]
fn a_deadline_counts_from_when_the_containers_were_ready() {
    let mut hurried = service("web");
    let deadline = (names::GATE_DEADLINE.to_owned(), "10m".to_owned());
    hurried.annotations.extend([deadline]);
    for (since, status) in [
        (Some("2026-01-01T00:00:00Z"), Status::True),
        (Some("2026-01-01T00:00:01Z"), Status::False),
        (None, Status::False),
    ] {
        let pod = PodRecord {
            containers_ready_since: since.map(|since| since.parse().unwrap()),
            ..pod("a", 1)
        };
        let services = [hurried.clone()];
        let verdict = judged_behind(&services, &Settings::default(), &[pod], &HashMap::new());
        assert_eq!(verdict.writes[0].1.status, status, "{since:?}");
    }
}

#[test]
fn a_missing_named_port_is_said() {
    let portless = PodRecord {
        ports: vec![],
        ..pod("a", 1)
    };
    let verdict = judged(&[portless], &HashMap::new(), true);
    assert!(verdict.writes[0].1.message.contains("no container port"));
}

#[test]
fn a_gated_pod_that_cannot_be_reached_says_why() {
    let (settings, _) = Settings::parse(&[("network".to_owned(), "mixed".to_owned())].into());
    let verdict = judged_in(&settings, &[pod("a", 1)], &HashMap::new(), true);
    let (_, condition) = &verdict.writes[0];
    assert_eq!(condition.status, Status::False);
    for part in ["cannot reach this pod", "tke-route-eni"] {
        assert!(condition.message.contains(part), "{}", condition.message);
    }
}

#[test]
fn an_orphan_ripens() {
    let pods = [pod("a", 1)];
    let young = judged(&pods, &HashMap::new(), false);
    assert!(young.writes.is_empty() && young.unselected.contains("uid-a"));
    let mut memory = Unselected::default();
    let now = Instant::now();
    memory.update(&young.unselected, now);
    let later = now + ORPHAN_AFTER;
    assert!(memory.ripe(ORPHAN_AFTER, later));
    let old = judged(&pods, &memory.durations(later), false);
    assert_eq!(old.writes[0].1.status, Status::True);
}
