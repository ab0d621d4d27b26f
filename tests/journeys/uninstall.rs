//! The last journey, on its own: after `kubectl delete -k` nothing of clb-gate is left, and pods can be
//! created and become Ready as if it had never been there.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{Deployment, Service};
use clb_gate_tests::world::gates;
use clb_gate_tests::{World, kubectl};

/// The webhook serves on for 95 s after SIGTERM.
const DELETED: &str = "--timeout=200s";

#[test]
fn a_deleted_installation_leaves_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(journey()).expect("nothing is left");
}

async fn journey() -> Result<()> {
    let world = World::new("uninstall").await?;
    kubectl::apply(&Service::direct("uninstall", "web", "lb-demo0002", 8090).yaml()).await?;
    world.webhooks_know("lb-demo0002", 8090).await?;
    let web = |name, replicas| {
        Deployment {
            namespace: "uninstall",
            name,
            replicas,
            revision: "1",
        }
        .yaml()
    };
    kubectl::apply(&web("web", 1)).await?;
    let before = world.ready("web", 1, Duration::from_secs(90)).await?;
    ensure!(before.iter().map(gates).collect::<Vec<_>>() == [1]);

    let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/overlays/demo");
    kubectl::run(&["delete", "-k", &overlay.display().to_string(), DELETED]).await?;
    eventually(
        "nothing named clb-gate is left",
        Duration::from_mins(1),
        || async {
            let kinds = "namespaces,mutatingwebhookconfigurations,clusterroles,clusterrolebindings";
            let left = kubectl::run(&["get", kinds, "-A", "-o", "name"]).await?.out;
            let left: Vec<_> = left
                .lines()
                .filter(|line| line.contains("clb-gate"))
                .map(str::to_owned)
                .collect();
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(left.join(", "))
            })
        },
    )
    .await?;
    let finalizers = kubectl::run(&[
        "get",
        "services,pods",
        "-A",
        "-o",
        "jsonpath={..metadata.finalizers}",
    ])
    .await?
    .out;
    ensure!(!finalizers.contains("clb-gate"), "{finalizers}");

    world.ready("web", 1, Duration::from_secs(5)).await?;
    kubectl::run(&["scale", "deploy/web", "-n", "uninstall", "--replicas=2"]).await?;
    let after = world.ready("web", 2, Duration::from_mins(1)).await?;
    ensure!(
        after.iter().map(gates).sum::<usize>() == 1,
        "the new pod has no gate"
    );
    world.end().await
}
