//! The last journey, on its own: after `kubectl delete -k` or `clb-gate uninstall` nothing of clb-gate is
//! left, and pods can be created and become Ready as if it had never been there; also where the API server
//! refused every pod that no webhook had seen.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use clb_gate_tests::creations::{Creations, Pace, Report};
use clb_gate_tests::operator::now;
use clb_gate_tests::ours::{INSTALLED, Part, set_policy};
use clb_gate_tests::registration::Registration;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{Deployment, Service};
use clb_gate_tests::world::gates;
use clb_gate_tests::{World, cli, kubectl};
use futures::future::try_join;
use tokio::time::{Instant, sleep};

/// The webhook serves on for 95 s after SIGTERM.
const DELETED: &str = "--timeout=200s";
/// Far longer than what is left to be deleted takes.
const GONE: Duration = Duration::from_mins(1);
/// Pods are created for so long after an uninstall.
const AFTERWARDS: Duration = Duration::from_secs(3);

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
    for (name, port) in [("web", 8090), ("load", 8092)] {
        kubectl::apply(&Service::direct("uninstall", name, "lb-demo0002", port).yaml()).await?;
    }
    world.webhooks_gate("load", true).await?;
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

    set_policy(&world.client, "Fail").await?;
    under_load(&world, "kubectl delete -k", async || {
        kubectl::run(&["delete", "-k", &overlay(), DELETED]).await?;
        Ok(())
    })
    .await?;
    nothing_is_left().await?;

    world.ready("web", 1, Duration::from_secs(5)).await?;
    kubectl::run(&["scale", "deploy/web", "-n", "uninstall", "--replicas=2"]).await?;
    let after = world.ready("web", 2, GONE).await?;
    ensure!(
        after.iter().map(gates).sum::<usize>() == 1,
        "the new pod has no gate"
    );

    installed_again(&world).await?;
    under_load(&world, "clb-gate uninstall", async || {
        try_join(uninstall(), hurry(&world)).await.map(drop)
    })
    .await?;
    nothing_is_left().await?;
    world.end().await
}

async fn installed_again(world: &World) -> Result<()> {
    kubectl::run(&["apply", "-k", &overlay()]).await?;
    Part::Webhook.ready(&world.client, INSTALLED).await?;
    let registration = Registration::new(&world.client);
    eventually("a registration", GONE, || async {
        let found = registration.get().await?;
        Ok(found.map(drop).ok_or_else(|| "none".to_owned()))
    })
    .await?;
    set_policy(&world.client, "Fail").await?;
    world.webhooks_gate("load", true).await
}

async fn uninstall() -> Result<()> {
    cli::done(&["uninstall", "--yes", "--wait"]).await.map(drop)
}

/// Once nobody asks them any more, the webhooks need not serve on.
async fn hurry(world: &World) -> Result<()> {
    let registration = Registration::new(&world.client);
    eventually("the registration is gone", GONE, || async {
        Ok(match registration.get().await? {
            None => Ok(()),
            Some(_) => Err("it is there".to_owned()),
        })
    })
    .await?;
    Part::Webhook.force_away().await
}

/// Removes an installation while pods are created; none may be refused once it is done.
async fn under_load(
    world: &World,
    what: &str,
    removal: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let creations = Creations::start(world, "load", Pace::STEADY)?;
    sleep(AFTERWARDS).await;
    let start = Instant::now();
    let removed = removal().await;
    let (took, done) = (start.elapsed(), now()?);
    sleep(AFTERWARDS).await;
    let report = creations.stop().await;
    let during = report.failed.iter().filter(|one| one.begun <= done).count();
    println!(
        "{what} with failurePolicy Fail: done after {took:.1?}; {}; {during} failed before it was done{}",
        told(&report),
        report.failures()
    );
    removed?;
    ensure!(during == report.failed.len(), "pods are refused afterwards");
    Ok(())
}

/// Creations without the gate are right once clb-gate is gone.
fn told(report: &Report) -> String {
    format!(
        "meanwhile {} pods created, {} with the gate",
        report.total(),
        report.gated
    )
}

fn overlay() -> String {
    let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/overlays/demo");
    overlay.display().to_string()
}

async fn nothing_is_left() -> Result<()> {
    eventually("nothing named clb-gate is left", GONE, || async {
        let kinds =
            "namespaces,mutatingwebhookconfigurations,clusterroles,clusterrolebindings,roles,rolebindings";
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
    })
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
    Ok(())
}
