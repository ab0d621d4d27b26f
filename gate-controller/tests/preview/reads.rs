//! What a preview asks for, and that it asks for nothing else.

use std::collections::BTreeMap;

use clb::{CreateListener, LoadBalancerId, Protocol};
use gate_controller::preview::{Action, Kubernetes, Preview, Scope, Verdict, see};
use http::Method;
use serde_json::json;

use super::world::{ApiServer, LOAD_BALANCER, World};

/// What CAM must allow whoever only looks.
pub(crate) const POLICY: &str = include_str!("../../../docs/cam/read-only.json");

async fn preview(
    world: &World,
    server: &ApiServer,
    settings: &[(&str, &str)],
) -> Result<Preview, String> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let settings: BTreeMap<_, _> = settings.iter().map(pair).collect();
    let kubernetes = Kubernetes::new(server.client(), "clb-gate");
    let read = kubernetes
        .world(&settings)
        .await
        .map_err(|error| error.to_string())?;
    let preview = see(&world.cloud(), &read, &Scope::default()).await;
    preview.map_err(|error| error.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_preview_of_changes_only_reads() {
    let (world, server) = (World::new(), ApiServer::new());
    world.furnish().await;
    let before = world.clb.state();
    world.clb.reset_calls();

    let preview = preview(&world, &server, &[]).await.unwrap();

    let counts = &preview.summary.changes;
    let expected = [
        (Action::CreateListener, 1),
        (Action::Register, 4),
        (Action::Deregister, 1),
    ];
    assert_eq!(*counts, expected.into(), "{preview}");
    assert_eq!(preview.summary.verdict, Verdict::Changes);
    let seen = preview.load_balancers.first().unwrap();
    assert_eq!((seen.foreign.targets, seen.ours.targets), (1, 1));

    let calls = world.calls();
    let policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    let allowed = policy
        .pointer("/statement/0/action")
        .unwrap()
        .as_array()
        .unwrap();
    for action in calls.keys() {
        assert!(
            allowed.contains(&format!("clb:{action}").into()),
            "{action}"
        );
    }
    assert!(
        calls.len() >= 4 && calls.keys().all(|action| action.starts_with("Describe")),
        "{calls:?}"
    );
    assert_eq!(world.clb.state(), before);
    let asked = server.asked.lock().clone();
    assert!(
        asked.len() >= 6 && asked.iter().all(|(method, _)| method == Method::GET),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_through_a_previews_client_is_refused_before_it_is_sent() {
    let world = World::new();
    let id = LoadBalancerId::new(LOAD_BALANCER);
    let create = CreateListener::new(id.clone(), Protocol::Tcp, 80, "never");
    let refused = world.guarded().create_listener(&create).await.unwrap_err();
    assert!(
        refused.to_string().contains("CreateListener is not sent"),
        "{refused}"
    );
    assert!(world.calls().is_empty());
    assert_eq!(
        world
            .guarded()
            .describe_load_balancers(&[id])
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_setting_can_be_another() {
    let (world, server) = (World::new(), ApiServer::new());
    world.furnish().await;
    let low = preview(&world, &server, &[("manage", "backends")])
        .await
        .unwrap();
    assert_eq!(low.summary.verdict, Verdict::Held);
    assert_eq!(low.summary.changes.get(&Action::CreateListener), None);
    assert!(
        low.to_string()
            .contains("what if: setting manage is \"backends\" instead of its default"),
        "{low}"
    );
    let bad = preview(&world, &server, &[("manage", "all")])
        .await
        .unwrap_err();
    assert!(
        bad.contains("--settings manage=all") && bad.contains("backends, listeners"),
        "{bad}"
    );
    let elsewhere = preview(&world, &server, &[("objects", "tke-skipped")])
        .await
        .unwrap();
    assert_eq!(elsewhere.not_ours.first().unwrap().reason, "served_by_tke");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named() {
    let (world, mut server) = (World::new(), ApiServer::new());
    server.forbidden = Some("/api/v1/pods");
    let told = preview(&world, &server, &[]).await.unwrap_err();
    let rule = r#"{apiGroups: [""], resources: ["pods"], verbs: ["list"]}"#;
    assert!(told.contains("forbidden") && told.contains(rule), "{told}");
    server.forbidden = Some("/api/v1/namespaces/kube-system/configmaps/tke-config");
    assert!(
        preview(&world, &server, &[])
            .await
            .unwrap()
            .to_string()
            .contains("TKE's region")
    );
}

#[tokio::test(start_paused = true)]
async fn the_network_is_concluded_from_what_can_be_read() {
    let (world, mut server) = (World::new(), ApiServer::new());
    let switches = "/api/v1/namespaces/kube-system/configmaps/tke-service-controller-config";
    let mixed = json!({"metadata": {"name": "n"}, "spec": {"podCIDR": "172.16.0.0/26"},
        "status": {"capacity": {"tke.cloud.tencent.com/eni-ip": "9"}}});
    server
        .objects
        .insert(switches, json!({"metadata": {}, "data": {}}));
    server
        .objects
        .insert("/api/v1/nodes", json!({"metadata": {}, "items": [mixed]}));
    let registered = |preview: &Preview| {
        let changes = &preview.summary.changes;
        changes.get(&Action::Register).copied().unwrap_or_default()
    };
    // Two pods that ask for no ENI, behind two ports.
    assert_eq!(registered(&preview(&world, &server, &[]).await.unwrap()), 0);
    let named = preview(&world, &server, &[("network", "vpc-cni")]).await;
    assert_eq!(registered(&named.unwrap()), 4);
    server.forbidden = Some("/api/v1/nodes");
    let unknown = preview(&world, &server, &[]).await.unwrap();
    assert!(
        unknown.to_string().contains("network mode may be another"),
        "{unknown}"
    );
    server.forbidden = Some(switches);
    let unknown = preview(&world, &server, &[]).await.unwrap();
    assert!(
        unknown.to_string().contains("network mode may be another"),
        "{unknown}"
    );
    assert_eq!(registered(&unknown), 4);
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_that_is_asked_for_and_made_is_told_from_end_to_end() {
    let (world, mut server) = (World::new(), ApiServer::new());
    let services = server.objects.get_mut("/api/v1/services").unwrap();
    let annotations = services
        .pointer_mut("/items/0/metadata/annotations")
        .unwrap();
    annotations
        .as_object_mut()
        .unwrap()
        .remove("service.kubernetes.io/tke-existed-lbid");
    let low = preview(&world, &server, &[]).await.unwrap();
    assert_eq!(low.not_ours.first().unwrap().reason, "no_load_balancer");

    let high = preview(&world, &server, &[("manage", "loadbalancers")])
        .await
        .unwrap();
    let counts = &high.summary.changes;
    for (action, count) in [
        (Action::CreateLoadBalancer, 1),
        (Action::CreateListener, 2),
        (Action::Register, 4),
    ] {
        assert_eq!(counts.get(&action), Some(&count), "{high}");
    }
    assert!(
        world
            .calls()
            .keys()
            .all(|action| action.starts_with("Describe"))
    );
}

/// Whoever looks ahead may not read Secrets, and need not.
#[tokio::test(start_paused = true)]
async fn hosts_of_a_service_are_foreseen_without_their_secrets() {
    let (world, mut server) = (World::new(), ApiServer::new());
    let services = server.objects.get_mut("/api/v1/services").unwrap();
    let annotations = services
        .pointer_mut("/items/0/metadata/annotations")
        .unwrap();
    let said = json!({
        "80": {"protocol": ["HTTP"], "hosts": {"a.com": {}, "b.com": {}}},
        "81": {"protocol": ["HTTPS"], "hosts": {"a.com": {"tls": "cert-a"}}},
    });
    let key = "service.cloud.tencent.com/specify-protocol".to_owned();
    let annotations = annotations.as_object_mut().unwrap();
    annotations.insert(key, said.to_string().into());
    let seen = preview(&world, &server, &[]).await.unwrap();
    let expected = [
        (Action::CreateListener, 2),
        (Action::CreateRule, 3),
        (Action::Register, 6),
    ];
    assert_eq!(seen.summary.changes, expected.into(), "{seen}");
    let asked = server.asked.lock().clone();
    assert!(asked.iter().all(|(_, path)| !path.contains("secrets")));
}
