//! Golden previews: what people and programs read.

use std::collections::BTreeMap;
use std::time::Duration;

use direct_access::listener::ListenerParameters;
use direct_access::ownership::{ClusterId, Tag};
use direct_access::{ServiceFacts, Settings, names};

use super::*;
use crate::cloud::TkeConfig;
use crate::desired::tests::{front, service};
use crate::plan::{HealthCheck, ObservedListener, ObservedTarget};
use crate::pod::tests::pod;
use crate::pod::{Fate, PodRecord};

fn us() -> ClusterId {
    ClusterId::new("us")
}

fn world(services: Vec<ServiceFacts>, pods: Vec<PodRecord>) -> World {
    World {
        cluster: us(),
        services,
        ingresses: vec![],
        pods,
        settings: Settings::default(),
        settings_problems: vec![],
        ledger: BTreeMap::new(),
        tke: TkeConfig::default(),
        notes: vec![],
    }
}

fn target(number: u8, weight: u8, uid: Option<&str>) -> ObservedTarget {
    ObservedTarget {
        address: ([198, 18, 1, number].into(), 8080),
        weight,
        tag: uid.map(|uid| Tag {
            cluster: us(),
            pod_uid: uid.to_owned(),
        }),
    }
}

fn listener(
    port: u16,
    protocol: &str,
    ours: bool,
    targets: Vec<ObservedTarget>,
) -> ObservedListener {
    ObservedListener {
        id: format!("lbl-{port}"),
        port,
        protocol: protocol.to_owned(),
        name: ours.then(|| us().listener_name()),
        health: HealthCheck {
            off: false,
            earliest: Duration::ZERO,
        },
        parameters: ListenerParameters::default(),
        targets,
        rules: vec![],
    }
}

fn there(id: &str, listeners: Vec<ObservedListener>) -> (String, Look) {
    let found = serde_json::json!({"LoadBalancerId": id, "LoadBalancerName": "shop", "Status": 1,
        "VpcId": "vpc-1", "LoadBalancerVips": ["203.0.113.7"]});
    let found = serde_json::from_value(found).unwrap();
    (
        id.to_owned(),
        Look::There(Box::new(Seen { found, listeners })),
    )
}

fn sighting(load_balancers: impl IntoIterator<Item = (String, Look)>) -> Sighting {
    Sighting {
        region: "ap-guangzhou".to_owned(),
        endpoint: "https://clb.tencentcloudapi.com".to_owned(),
        vpc: Some("vpc-1".to_owned()),
        quota: Some(200),
        load_balancers: load_balancers.into_iter().collect(),
        ..Sighting::default()
    }
}

fn on(load_balancer: &str, name: &str, port: u16) -> ServiceFacts {
    let mut service = service(name);
    let existing = names::EXISTING_LOAD_BALANCER.to_owned();
    service
        .annotations
        .insert(existing, load_balancer.to_owned());
    service.ports[0].port = port;
    service
}

/// Everything that can be said, at once.
fn busy() -> (World, Sighting) {
    let mut off = service("off");
    off.annotations.remove(names::DIRECT_ACCESS);
    let mut checked = on("lb-abcd1234", "checked", 82);
    checked.annotations.insert(
        names::LISTENER_PARAMETERS.to_owned(),
        r#"{"HealthCheck":{"IntervalTime":3,"TimeOut":2}}"#.to_owned(),
    );
    let services = vec![
        on("lb-abcd1234", "web", 80),
        on("lb-abcd1234", "other", 81),
        checked,
        on("lb-missing1", "lost", 80),
        off,
    ];
    let heavy = PodRecord {
        weight: 30,
        ..pod("heavy", 2)
    };
    let going = PodRecord {
        fate: Fate::Going,
        ..pod("going", 3)
    };
    let targets = vec![
        target(2, 10, Some("uid-heavy")),
        target(3, 10, Some("uid-going")),
        target(4, 10, Some("uid-before")),
        target(9, 10, Some("uid-gone")),
        target(200, 10, None),
    ];
    let listeners = vec![
        listener(80, "TCP", false, targets),
        listener(81, "HTTP", false, vec![]),
        listener(99, "TCP", true, vec![]),
    ];
    let mut world = world(
        services,
        vec![pod("fresh", 1), heavy, going, pod("successor", 4)],
    );
    world.ledger.insert("lb-abcd1234".to_owned(), String::new());
    world.notes.push("a note".to_owned());
    let looks = [
        there("lb-abcd1234", listeners),
        ("lb-missing1".to_owned(), Look::Missing),
    ];
    (world, sighting(looks))
}

#[test]
fn people_read_what_would_be_done_and_why() {
    let (world, sighting) = busy();
    let preview = preview(&world, &sighting, &Scope::default());
    assert_eq!(preview.to_string(), include_str!("golden/busy.txt"));
    assert_eq!(preview.summary.verdict.exit_code(), 3);
}

#[test]
fn programs_read_the_same_as_json() {
    let (world, sighting) = busy();
    let preview = preview(&world, &sighting, &Scope::default());
    let golden: serde_json::Value = serde_json::from_str(include_str!("golden/busy.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&preview.json()).unwrap();
    assert_eq!(json, golden, "{}", preview.json());
}

#[test]
fn what_is_as_it_should_be_is_said_in_two_lines() {
    let bound = target(1, 10, Some("uid-a"));
    let world = world(vec![on("lb-abcd1234", "web", 80)], vec![pod("a", 1)]);
    let sighting = sighting([there(
        "lb-abcd1234",
        vec![listener(80, "TCP", true, vec![bound])],
    )]);
    let preview = preview(&world, &sighting, &Scope::default());
    assert_eq!(preview.to_string(), include_str!("golden/settled.txt"));
    assert_eq!(preview.summary.verdict.exit_code(), 0);
}

/// The last pod of a Service whose annotation was taken away: everything of ours goes, in its order.
#[test]
fn what_would_be_undone_is_told_to_the_end() {
    let bound = target(1, 10, Some("uid-a"));
    let mut off = on("lb-abcd1234", "web", 80);
    off.annotations.remove(names::DIRECT_ACCESS);
    let mut world = world(vec![off], vec![pod("a", 1)]);
    world.ledger.insert("lb-abcd1234".to_owned(), String::new());
    let sighting = sighting([there(
        "lb-abcd1234",
        vec![listener(80, "TCP", true, vec![bound])],
    )]);
    let preview = preview(&world, &sighting, &Scope::default());
    let one = &preview.load_balancers[0];
    let actions: Vec<_> = one.changes.iter().map(|change| change.action).collect();
    assert_eq!(
        actions,
        [Action::Drain, Action::Deregister, Action::DeleteListener]
    );
    assert!(one.confirmed_first && preview.to_string().contains("safety brake"));
    assert_eq!(preview.summary.verdict, Verdict::Changes);
}

#[test]
fn what_cannot_be_read_is_not_known() {
    let world = world(vec![on("lb-abcd1234", "web", 80)], vec![pod("a", 1)]);
    let unknown = Look::Unknown("no answer".to_owned());
    let sighting = sighting([("lb-abcd1234".to_owned(), unknown)]);
    let preview = preview(&world, &sighting, &Scope::default());
    assert_eq!(preview.summary.verdict.exit_code(), 1);
    assert!(preview.to_string().contains("not known: no answer"));
}

#[test]
fn only_what_is_asked_for_is_told() {
    let (world, sighting) = busy();
    let scope = Scope::parse(Some("shop/checked"), Some("lb-abcd1234")).unwrap();
    let preview = preview(&world, &sighting, &scope);
    let services = preview.load_balancers.iter().flat_map(|one| &one.changes);
    let services: Vec<_> = services.map(|change| change.service.as_deref()).collect();
    assert!(!services.is_empty());
    assert!(
        services.iter().all(|name| *name == Some("shop/checked")),
        "{services:?}"
    );
    assert_eq!(preview.summary.verdict, Verdict::Changes);
}

#[test]
fn everything_of_one_s_own_making_is_followed_to_its_end() {
    let mut unnamed = service("web");
    unnamed.uid = "6f0c1b1e".to_owned();
    unnamed.annotations.remove(names::EXISTING_LOAD_BALANCER);
    let mut world = world(vec![unnamed.clone()], vec![pod("a", 1)]);
    world.settings.manage = direct_access::settings::Manage::LoadBalancers;
    let made = preview(&world, &sighting([]), &Scope::default());
    let actions = |preview: &Preview| -> Vec<_> {
        let all = preview.load_balancers.iter().flat_map(|one| &one.changes);
        all.map(|change| change.action).collect()
    };
    let expected = [
        Action::UpdateService,
        Action::CreateLoadBalancer,
        Action::UpdateService,
        Action::CreateListener,
        Action::Register,
    ];
    assert_eq!(actions(&made), expected, "{made}");
    assert_eq!(made.load_balancers[0].id, None);
    assert_eq!(made.load_balancers.len(), 1);

    // Made, and its Service is going: emptied, deleted, and let go.
    unnamed.going = true;
    unnamed.finalizer = true;
    let known = names::LOAD_BALANCER_ID.to_owned();
    unnamed.annotations.insert(known, "lb-made0001".to_owned());
    world.services = vec![unnamed];
    world.ledger.insert("lb-made0001".to_owned(), String::new());
    let bound = vec![target(1, 10, Some("uid-a"))];
    let (id, mut look) = there("lb-made0001", vec![listener(80, "TCP", true, bound)]);
    let Look::There(seen) = &mut look else {
        panic!()
    };
    let tag = |key: &str, value: &str| clb::ResourceTag {
        tag_key: key.to_owned(),
        tag_value: value.to_owned(),
    };
    seen.found.tags = vec![
        tag(names::CLUSTER_TAG, "us"),
        tag(names::SERVICE_TAG, "6f0c1b1e"),
    ];
    let gone = preview(&world, &sighting([(id, look)]), &Scope::default());
    let expected = [
        Action::Drain,
        Action::Deregister,
        Action::DeleteListener,
        Action::DeleteLoadBalancer,
        Action::UpdateService,
    ];
    assert_eq!(actions(&gone), expected, "{gone}");
}

#[test]
fn an_ingress_s_own_is_followed_likewise() {
    let mut web = service("web");
    web.annotations.clear();
    let mut unnamed = front();
    let existing = names::ingress::EXISTING_LOAD_BALANCER;
    unnamed.annotations.remove(existing);
    let mut world = world(vec![web], vec![pod("a", 1)]);
    world.ingresses = vec![unnamed.clone()];
    let actions = |preview: &Preview| -> Vec<_> {
        let all = preview.load_balancers.iter().flat_map(|one| &one.changes);
        all.map(|change| change.action).collect()
    };
    let below = preview(&world, &sighting([]), &Scope::default());
    assert_eq!(actions(&below), []);
    world.settings.manage = direct_access::settings::Manage::LoadBalancers;
    let made = preview(&world, &sighting([]), &Scope::default());
    let expected = [
        Action::UpdateIngress,
        Action::CreateLoadBalancer,
        Action::UpdateIngress,
        Action::CreateListener,
        Action::CreateRule,
        Action::Register,
    ];
    assert_eq!(actions(&made), expected, "{made}");
    let text = made.to_string();
    for told in [
        "a CLB for Ingress shop/front, which is not there yet",
        "~ Ingress shop/front: ",
    ] {
        assert!(text.contains(told), "{text}");
    }
    assert!(!text.contains("Service Ingress"), "{text}");

    // Made, and switched off: emptied, deleted, and let go.
    let off = names::ingress::DIRECT_ACCESS;
    unnamed.annotations.remove(off);
    unnamed.finalizer = true;
    let id = names::ingress::LOAD_BALANCER_ID.to_owned();
    unnamed.annotations.insert(id, "lb-made0001".to_owned());
    world.ingresses = vec![unnamed];
    world.ledger.insert("lb-made0001".to_owned(), String::new());
    let (id, mut look) = there("lb-made0001", vec![listener(80, "HTTP", true, vec![])]);
    let Look::There(seen) = &mut look else {
        panic!()
    };
    let tag = |key: &str, value: &str| clb::ResourceTag {
        tag_key: key.to_owned(),
        tag_value: value.to_owned(),
    };
    seen.found.tags = vec![
        tag(names::CLUSTER_TAG, "us"),
        tag(names::INGRESS_TAG, "uid-front"),
    ];
    let gone = preview(&world, &sighting([(id, look)]), &Scope::default());
    let expected = [
        Action::DeleteListener,
        Action::DeleteLoadBalancer,
        Action::UpdateIngress,
    ];
    assert_eq!(actions(&gone), expected, "{gone}");
}

#[test]
fn one_load_balancer_is_told_without_the_troubles_of_others() {
    let mut bad = on("lb-other001", "bad", 80);
    let switch = names::DIRECT_ACCESS.to_owned();
    bad.annotations.insert(switch, "yes".to_owned());
    let world = world(vec![bad, on("lb-abcd1234", "web", 80)], vec![]);
    let sighting = sighting([there(
        "lb-abcd1234",
        vec![listener(80, "TCP", true, vec![])],
    )]);
    let all = preview(&world, &sighting, &Scope::default());
    assert_eq!(all.summary.verdict, Verdict::Held);
    let scope = Scope::parse(None, Some("lb-abcd1234")).unwrap();
    let one = preview(&world, &sighting, &scope);
    assert_eq!(one.summary.verdict, Verdict::Nothing, "{one}");
}
