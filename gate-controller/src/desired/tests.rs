//! What is wanted of a load balancer.

use std::sync::Arc;

use direct_access::names;
use direct_access::network::PodNetwork;
use direct_access::service::{PortFacts, TargetPort};

use direct_access::{
    IngressFacts, IngressJudgement, LoadBalancer, ServiceFacts, Settings, ingress_exposures,
};

use super::*;
use crate::lifecycle::Made;
use crate::pod::tests::pod;

pub(crate) fn service(name: &str) -> ServiceFacts {
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    ServiceFacts {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        load_balancer_type: true,
        selector: [pair("app", "web")].into(),
        annotations: [
            pair(names::DIRECT_ACCESS, "true"),
            pair(names::EXISTING_LOAD_BALANCER, "lb-abcd1234"),
        ]
        .into(),
        ports: vec![PortFacts {
            name: None,
            port: 80,
            protocol: "TCP".to_owned(),
            target: TargetPort::Name("http".to_owned()),
        }],
        ..ServiceFacts::default()
    }
}

/// An Ingress `shop/front` that leads `a.example/` to port 80 of Service `web`.
pub(crate) fn front() -> IngressFacts {
    use direct_access::ingress::{Backend, BackendPort, RouteFacts};
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    IngressFacts {
        namespace: "shop".to_owned(),
        name: "front".to_owned(),
        uid: "uid-front".to_owned(),
        annotations: [
            pair(names::ingress::DIRECT_ACCESS, "true"),
            pair(names::ingress::EXISTING_LOAD_BALANCER, "lb-abcd1234"),
        ]
        .into(),
        routes: vec![RouteFacts {
            field: "spec.rules[0].http.paths[0]".to_owned(),
            host: Some("a.example".to_owned()),
            path: Some("/".to_owned()),
            path_type: "Prefix".to_owned(),
            backend: Backend::Service {
                name: "web".to_owned(),
                port: BackendPort::Number(80),
            },
        }],
        ..IngressFacts::default()
    }
}

/// The same, judged beside a Service that asks for nothing itself.
pub(crate) fn judged_front() -> IngressJudgement {
    let mut web = service("web");
    web.annotations.clear();
    let find = |_: &str| Some(&web);
    ingress_exposures(&front(), &find, &Settings::default())
}

pub(crate) fn compute(services: &[ServiceFacts], pods: &[PodRecord]) -> Wanted {
    compute_in(&Settings::default(), services, pods)
}

pub(crate) fn compute_in(
    settings: &Settings,
    services: &[ServiceFacts],
    pods: &[PodRecord],
) -> Wanted {
    wanted(
        &Asked::of_services(services),
        &by_namespace(pods),
        settings,
        &BTreeSet::new(),
        &Made::default(),
    )
}

fn targets(wanted: &Wanted) -> Vec<&str> {
    let listener = &wanted.load_balancers["lb-abcd1234"].listeners[&Protocol::Tcp.at(80)];
    listener
        .targets
        .iter()
        .map(|target| target.pod_uid.as_str())
        .collect()
}

#[test]
fn ready_live_pods_of_the_selector_are_bound() {
    let pods = [
        pod("a", 1),
        PodRecord {
            fate: Fate::Going,
            ..pod("b", 2)
        },
        PodRecord {
            containers_ready: false,
            ..pod("c", 3)
        },
        PodRecord {
            network: PodNetwork::of(true, None, false),
            ..pod("d", 4)
        },
        PodRecord {
            labels: Arc::default(),
            ..pod("e", 5)
        },
        PodRecord {
            ip: None,
            ..pod("f", 6)
        },
        PodRecord {
            ports: vec![],
            ..pod("g", 7)
        },
        PodRecord {
            namespace: "other".to_owned(),
            ..pod("h", 8)
        },
    ];
    assert_eq!(targets(&compute(&[service("web")], &pods)), ["uid-a"]);
}

#[test]
fn a_pod_that_was_ready_once_stays_bound() {
    let condition = Some(direct_access::condition::Observed::default());
    let lost = PodRecord {
        containers_ready: false,
        condition,
        ..pod("a", 1)
    };
    assert_eq!(targets(&compute(&[service("web")], &[lost])), ["uid-a"]);
}

#[test]
fn the_older_service_keeps_the_port() {
    let at = |second| Some(jiff::Timestamp::from_second(second).unwrap());
    let young = ServiceFacts {
        created: at(2),
        ..service("a-young")
    };
    let old = ServiceFacts {
        created: at(1),
        ..service("z-old")
    };
    let wanted = compute(&[young.clone(), old.clone()], &[pod("a", 1)]);
    assert_eq!(
        wanted.load_balancers["lb-abcd1234"].listeners[&Protocol::Tcp.at(80)].owner,
        old.owner()
    );
    let told = |of: &ServiceFacts| wanted.conflicts[&of.owner()][0].to_string();
    for part in [
        "Service shop/a-young",
        "TCP:80",
        "older Service shop/z-old",
        "lb-abcd1234",
    ] {
        assert!(told(&young).contains(part), "{}", told(&young));
    }
    assert!(told(&old).contains("younger Service shop/a-young"));
}

#[test]
fn tcp_and_udp_of_two_services_share_a_port_without_conflict() {
    let mut udp = service("udp");
    udp.ports[0].protocol = "UDP".to_owned();
    let wanted = compute(&[service("tcp"), udp], &[pod("a", 1)]);
    assert_eq!(wanted.load_balancers["lb-abcd1234"].listeners.len(), 2);
    assert!(wanted.conflicts.is_empty());
}

fn made_for(uid: &str, ours: ServiceFacts, also: Option<ServiceFacts>) -> Wanted {
    let settings = Settings {
        manage: direct_access::settings::Manage::LoadBalancers,
        ..Settings::default()
    };
    let made = Made::of([(uid.to_owned(), "lb-made".to_owned())]);
    let pods = [pod("a", 1)];
    let services: Vec<_> = [Some(ours), also].into_iter().flatten().collect();
    let ledger = ["lb-made".to_owned()].into();
    let asked = Asked::of_services(&services);
    wanted(&asked, &by_namespace(&pods), &settings, &ledger, &made)
}

fn unnamed() -> ServiceFacts {
    let mut unnamed = service("web");
    unnamed.annotations.remove(names::EXISTING_LOAD_BALANCER);
    let id = "lb-made".to_owned();
    unnamed
        .annotations
        .insert(names::LOAD_BALANCER_ID.to_owned(), id);
    unnamed
}

#[test]
fn a_made_load_balancer_is_used_once_its_tags_were_seen() {
    let seen = made_for("uid-web", unnamed(), None);
    assert_eq!(seen.load_balancers["lb-made"].listeners.len(), 1);
    assert!(!seen.load_balancers["lb-made"].hold);
    assert_eq!(seen.exposures[0].load_balancer.id(), Some("lb-made"));
}

#[test]
fn an_unconfirmed_id_is_neither_used_nor_emptied() {
    let typed = made_for("uid-other", unnamed(), None);
    assert!(typed.load_balancers["lb-made"].hold);
    assert!(typed.load_balancers["lb-made"].listeners.is_empty());
    assert_eq!(typed.exposures[0].load_balancer, LoadBalancer::Made(None));
}

#[test]
fn a_typed_id_does_not_stop_who_is_there_by_right() {
    let mut rightful = service("rightful");
    rightful.annotations.insert(
        names::EXISTING_LOAD_BALANCER.to_owned(),
        "lb-made".to_owned(),
    );
    let both = made_for("uid-other", unnamed(), Some(rightful));
    assert!(!both.load_balancers["lb-made"].hold);
    assert_eq!(both.load_balancers["lb-made"].listeners.len(), 1);
}

#[test]
fn an_unreadable_service_holds_its_pods_and_ports() {
    let mut bad = service("web");
    bad.annotations
        .insert(names::DIRECT_ACCESS.to_owned(), "yes".to_owned());
    let ledger = ["lb-abcd1234".to_owned()].into();
    let pods = [pod("a", 1)];
    let pods = by_namespace(&pods);
    let made = Made::default();
    let wanted = wanted(
        &Asked::of_services([&bad]),
        &pods,
        &Settings::default(),
        &ledger,
        &made,
    );
    let others = &wanted.load_balancers["lb-abcd1234"].others;
    assert!(
        others.held_pods.contains("uid-a") && others.held_slots.contains(&Protocol::Tcp.at(80))
    );
    assert!(wanted.load_balancers["lb-abcd1234"].listeners.is_empty());
}
