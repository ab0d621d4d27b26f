//! What an explanation asks for, and that it asks for nothing else.

use clb::{BatchTarget, CreateListener, LoadBalancerId, Protocol, Target};
use gate_controller::cloud::Sources;
use gate_controller::explain::{Explainer, Object, Report, Verdict};
use http::Method;
use serde_json::json;

use super::reads::POLICY;
use super::world::{ApiServer, CLUSTER, LOAD_BALANCER, World};

async fn explain(world: &World, server: &ApiServer, what: Object, name: &str) -> Report {
    let explainer = Explainer::new(server.client(), "clb-gate", Sources::default(), false);
    let explainer = explainer.over(world.cloud());
    explainer.explain(what, "shop", name).await.unwrap()
}

/// Pod `a` is bound to the listener of port 80, and to no other.
async fn bound(world: &World) {
    let person = world.person();
    let id = LoadBalancerId::new(LOAD_BALANCER);
    let name = format!("clb-gate:{CLUSTER}");
    let create = CreateListener::new(id.clone(), Protocol::Tcp, 80, name);
    let created = person.create_listener(&create).await.unwrap();
    let patience = std::time::Duration::from_secs(10);
    person.wait_task(&created.task, patience).await.unwrap();
    let listener = created.ids.into_iter().next().unwrap();
    let mut target = Target::new([10, 0, 0, 1].into(), 8080);
    target.tag = Some(format!("clb-gate:{CLUSTER}:uid-a"));
    let all = [BatchTarget::new(listener, target)];
    person.batch_register_targets(&id, &all).await.unwrap();
}

fn with_pods() -> ApiServer {
    let mut server = ApiServer::new();
    let pods = server.objects.get("/api/v1/pods").unwrap().clone();
    server.objects.insert("/api/v1/namespaces/shop/pods", pods);
    server
}

#[tokio::test(start_paused = true)]
async fn an_explanation_only_reads_and_tells_what_the_clb_has() {
    let (world, server) = (World::new(), with_pods());
    bound(&world).await;
    let before = world.clb.state();
    world.clb.reset_calls();

    let report = explain(&world, &server, Object::Pod, "a").await;

    let line = |slot: &str| {
        let mut all = report.bindings.iter();
        all.find(|one| one.listener == slot).unwrap()
    };
    let there = line("TCP:80");
    assert_eq!(there.bound, Some(true), "{report}");
    assert!(
        there.bound_since.is_some() && there.health.is_some(),
        "{report}"
    );
    assert_eq!(there.target.as_deref(), Some("10.0.0.1:8080"));
    assert_eq!(line("TCP:81").bound, Some(false), "{report}");
    let codes: Vec<_> = report.findings.iter().map(|told| told.code).collect();
    assert!(
        codes.contains(&"noWebhookAnswered") && codes.contains(&"notBoundYet"),
        "{codes:?}"
    );
    // There is no lease, so nobody will bind it.
    assert!(codes.contains(&"nobodyLeads"), "{codes:?}");
    assert_eq!(report.verdict, Verdict::Mend);

    let calls = world.calls();
    let policy: serde_json::Value = serde_json::from_str(POLICY).unwrap();
    let allowed = policy.pointer("/statement/0/action").unwrap();
    let called: Vec<_> = calls.keys().map(|action| format!("clb:{action}")).collect();
    assert_eq!(*allowed, json!(called));
    assert_eq!(world.clb.state(), before);
    let asked = server.asked.lock().clone();
    assert!(
        asked.iter().all(|(method, _)| method == Method::GET),
        "{asked:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_is_explained_with_its_pods() {
    let (world, server) = (World::new(), with_pods());
    bound(&world).await;
    let report = explain(&world, &server, Object::Service, "web").await;
    // Two ports and two pods.
    assert_eq!(report.bindings.len(), 4, "{report}");
    let ungated = report
        .findings
        .iter()
        .find(|told| told.code == "noWebhookAnswered");
    assert!(
        ungated.unwrap().says.starts_with("2 pods, of which shop/a"),
        "{report}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_or_not_allowed_is_named() {
    let (world, mut server) = (World::new(), with_pods());
    let explainer = Explainer::new(server.client(), "clb-gate", Sources::default(), false);
    let explainer = explainer.over(world.cloud());
    let none = explainer.explain(Object::Service, "shop", "none").await;
    assert_eq!(
        none.unwrap_err().to_string(),
        "there is no Service shop/none in this cluster"
    );
    server.forbidden =
        Some("/apis/coordination.k8s.io/v1/namespaces/clb-gate/leases/clb-gate-controller");
    let report = explain(&world, &server, Object::Pod, "a").await;
    let notes = report.notes.join("\n");
    assert!(
        notes.contains("who leads is not known") && notes.contains("Events are not shown"),
        "{notes}"
    );
}
