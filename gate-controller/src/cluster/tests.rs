//! What the caches keep.

use direct_access::network::Mode;

use super::*;
use crate::pod::tests::pod;

fn key(pod: &PodRecord) -> Key {
    Key::new(pod.namespace.clone(), pod.name.clone())
}

#[test]
fn an_older_version_is_no_news() {
    let cluster = Cluster::default();
    let new = PodRecord {
        version: 5,
        weight: 5,
        ..pod("a", 1)
    };
    cluster.on_pod(Change::Applied(key(&new), new.clone()));
    cluster.on_pod(Change::Applied(
        key(&new),
        PodRecord {
            version: 4,
            weight: 4,
            ..new.clone()
        },
    ));
    let weights = |cluster: &Cluster| {
        cluster.with_pods(|pods| pods["shop"].iter().map(|p| p.weight).collect::<Vec<_>>())
    };
    assert_eq!(weights(&cluster), [5]);
    let successor = PodRecord {
        uid: "other".to_owned(),
        version: 3,
        weight: 3,
        ..new
    };
    cluster.on_pod(Change::Applied(key(&successor), successor));
    assert_eq!(weights(&cluster), [3]);
}

#[test]
fn an_ingress_that_was_written_is_known_before_the_watch_tells() {
    let cluster = Cluster::default();
    let front = |version| IngressFacts {
        version,
        ..crate::desired::tests::front()
    };
    let key = || Key::new("shop", "front");
    let versions = || -> Vec<_> { cluster.ingresses().iter().map(|one| one.version).collect() };
    cluster.on_ingress_written(front(5));
    assert_eq!(versions(), [] as [u64; 0], "it is gone, and stays so");
    cluster.on_ingress(Change::Applied(key(), front(5)));
    cluster.on_ingress_written(front(7));
    cluster.on_ingress(Change::Applied(key(), front(6)));
    assert_eq!(versions(), [7]);
    cluster.on_ingress(Change::Applied(key(), front(8)));
    assert_eq!(versions(), [8]);
}

#[test]
fn only_a_load_balancer_that_was_seen_to_be_made_for_it_is_an_ingresss_own() {
    let cluster = Cluster::default();
    cluster.on_settings(Settings {
        manage: direct_access::settings::Manage::LoadBalancers,
        ..Settings::default()
    });
    let mut front = crate::desired::tests::front();
    let existing = direct_access::Word::Existing.key(Kind::Ingress);
    front.annotations.remove(existing);
    let id = direct_access::Word::Id.key(Kind::Ingress).to_owned();
    front.annotations.insert(id, "lb-made".to_owned());
    cluster.on_ingress(Change::Applied(Key::new("shop", "front"), front));
    let own = || match cluster.judged_ingresses().remove(0).1 {
        IngressJudgement::Served(served) => served.load_balancer,
        IngressJudgement::NotOurs(reason) => panic!("{reason:?}"),
    };
    assert_eq!(own().id(), None);
    let made = [("uid-front".to_owned(), "lb-made".to_owned())];
    cluster.on_made(Made::of(made));
    assert_eq!(own().id(), Some("lb-made"));
}

#[test]
fn the_network_is_concluded_from_settings_and_what_the_cluster_shows() {
    let cluster = Cluster::default();
    let mode = || cluster.settings().conclusion.mode;
    let changes = cluster.changes();
    let node = NodeFacts {
        eni_ip: true,
        ..NodeFacts::default()
    };
    let key = Key::new("", "node-1");
    cluster.on_node(Change::Applied(key.clone(), node));
    assert!(mode() == Mode::Routable && !changes.has_changed().unwrap());
    cluster.on_tke(Some(BTreeMap::new()));
    assert!(mode() == Mode::VpcCni && changes.has_changed().unwrap());
    cluster.on_settings(Settings::default());
    assert_eq!(
        mode(),
        Mode::VpcCni,
        "settings that name none keep the conclusion"
    );
    cluster.on_node(Change::Deleted(key));
    assert_eq!(mode(), Mode::VpcCni);
    cluster.on_tke(None);
    assert_eq!(mode(), Mode::Routable);
}

#[test]
fn a_write_does_not_bring_a_deleted_pod_back() {
    let cluster = Cluster::default();
    cluster.on_written(pod("a", 1));
    assert!(!cluster.with_pods(|pods| pods.contains_key("shop")));
}
