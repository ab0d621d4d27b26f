//! The power of the whole cluster fails, and it comes back by itself although the API server refuses every
//! pod that no webhook has seen. A program of its own: nobody else can run meanwhile.

use std::time::Duration;

use anyhow::{Result, ensure};
use clb_gate_tests::chain::Chain;
use clb_gate_tests::ours::{INSTALLED, Part, set_policy};
use clb_gate_tests::stage::{PATIENCE, alone, serve};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{Service, unscheduled};
use clb_gate_tests::world::gates;
use clb_gate_tests::{World, power};
use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use tokio::time::Instant;

/// Nodes, webhooks and controllers start at the same time on two cores.
const BACK: Duration = Duration::from_mins(3);

#[test]
fn a_whole_cluster_comes_back_by_itself_with_fail() {
    alone("stopped", |world| async move {
        let service = Service::direct(&world.namespace, "web", "lb-demo0002", 8190);
        serve(&world, service, 2).await?;
        set_policy(&world.client, "Fail").await?;
        let outcome = Box::pin(power_fails(&world)).await;
        set_policy(&world.client, "Ignore").await?;
        outcome
    });
}

async fn power_fails(world: &World) -> Result<()> {
    power::off().await?;
    let start = Instant::now();
    power::on().await?;
    println!("power back: API server ready after {:.1?}", start.elapsed());
    first_pod(world, start).await?;
    world.ready("web", 2, BACK).await?;
    println!("  its pods are Ready after {:.1?}", start.elapsed());
    all_is_well(world).await?;
    println!("  all is well after {:.1?}", start.elapsed());

    // Not one of our pods is left, and with Fail nobody lets a pod through but in our namespace.
    let start = Instant::now();
    Part::Webhook.force_away().await?;
    Part::Controller.force_away().await?;
    println!("all of clb-gate's pods deleted at once, by force:");
    first_pod(world, start).await?;
    all_is_well(world).await?;
    println!("  all is well after {:.1?}", start.elapsed());
    Ok(())
}

/// Tries to create a pod until one is, as somebody's controller does; it must have the gate.
async fn first_pod(world: &World, start: Instant) -> Result<()> {
    let pod = unscheduled("web")?;
    let pods = world.api::<Pod>();
    let mut refused = 0;
    let made = eventually("a pod can be created", BACK, || {
        refused += 1;
        async {
            Ok(pods
                .create(&PostParams::default(), &pod)
                .await
                .map_err(|error| error.to_string()))
        }
    })
    .await?;
    println!(
        "  the first pod created after {:.1?}, refused {} times before",
        start.elapsed(),
        refused - 1
    );
    ensure!(gates(&made) == 1, "a pod without the gate");
    pods.delete(
        made.metadata.name.as_deref().unwrap_or_default(),
        &kube::api::DeleteParams::default(),
    )
    .await?;
    Ok(())
}

async fn all_is_well(world: &World) -> Result<()> {
    Part::Webhook.ready(&world.client, INSTALLED).await?;
    Part::Controller.ready(&world.client, INSTALLED).await?;
    Chain::new(&world.client)?.settled(PATIENCE).await?;
    Ok(())
}
