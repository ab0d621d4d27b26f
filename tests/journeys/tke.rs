//! Beside TKE's own controller: with `objects: tke-skipped` only what carries `mode: skip` is ours.

use anyhow::{Context, Result, ensure};
use clb::Protocol;
use clb_gate_tests::ours::{set, setting};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service as Yaml;
use clb_gate_tests::world::{gates, target};
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::stage::{LOAD_BALANCER, PATIENCE, alone, deployment, targets_are};

const MODE: &str = "service.cloud.tencent.com/mode";
const THEIR_TARGET: &str = "198.18.1.251:9999";

#[test]
fn only_what_tke_skips_is_ours() {
    alone("beside-tke", |world| async move {
        let before = setting("objects").await?;
        set("objects", "tke-skipped").await?;
        let outcome = journey(&world).await;
        set("objects", &before).await?;
        outcome
    });
}

async fn journey(world: &World) -> Result<()> {
    let console = Console::new(LOAD_BALANCER)?;
    // As TKE's controller would: a listener and a target of its own, an id and a status on the Service.
    console.create_listener(Protocol::Tcp, 8074).await?;
    console.bind_foreign(8074, THEIR_TARGET.parse()?).await?;
    let theirs = Yaml::direct(&world.namespace, "theirs", LOAD_BALANCER, 8074);
    kubectl::apply(&theirs.yaml()).await?;
    let status = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}}"#;
    let args = [
        "patch",
        "service",
        "theirs",
        "-n",
        &world.namespace,
        "--subresource=status",
    ];
    kubectl::run(&[&args[..], &["--type=merge", "-p", status]].concat()).await?;
    let before = metadata(world).await?;

    let ours = Yaml::direct(&world.namespace, "ours", LOAD_BALANCER, 8075).with(MODE, Some("skip"));
    kubectl::apply(&ours.yaml()).await?;
    world.webhooks_gate("ours", true).await?;
    world.webhooks_gate("theirs", false).await?;
    for name in ["ours", "theirs"] {
        kubectl::apply(&deployment(world, name, 1, "1")).await?;
    }
    let pods = world.ready("ours", 1, PATIENCE).await?;
    targets_are(&console, 8075, &pods.iter().filter_map(target).collect()).await?;
    let pods = world.ready("theirs", 1, PATIENCE).await?;
    ensure!(pods.iter().map(gates).sum::<usize>() == 0);

    taken_back(world, &console).await?;
    targets_are(&console, 8074, &[THEIR_TARGET.to_owned()].into()).await?;
    let after = metadata(world).await?;
    ensure!(after == before, "{before:?} became {after:?}");
    Ok(())
}

/// TKE is to serve it again: ours goes, and so does the address we showed.
async fn taken_back(world: &World, console: &Console) -> Result<()> {
    let off = format!("{MODE}-");
    kubectl::run(&["annotate", "service", "ours", "-n", &world.namespace, &off]).await?;
    eventually("what was ours is gone", PATIENCE, || async {
        let service = world.api::<Service>().get("ours").await?;
        let listener = console.listener(8075).await?;
        let status = service.status.clone().and_then(|one| one.load_balancer);
        let shown = status
            .and_then(|one| one.ingress)
            .is_some_and(|all| !all.is_empty());
        let marked = service
            .annotations()
            .keys()
            .any(|key| key.starts_with("clb-gate.io/"));
        Ok(if listener.is_none() && !shown && !marked {
            Ok(())
        } else {
            Err(format!("{listener:?} shown={shown} marked={marked}"))
        })
    })
    .await
}

/// Annotations, finalizers and status of the Service that is TKE's.
async fn metadata(world: &World) -> Result<String> {
    let service = world.api::<Service>().get("theirs").await?;
    let status = service.status.clone().context("a status")?;
    Ok(format!(
        "{:?} {:?} {:?}",
        service.annotations(),
        service.finalizers(),
        status.load_balancer
    ))
}
