//! From the annotation to a client's answer, and back to nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::target;
use clb_gate_tests::{World, kubectl, load};
use k8s_openapi::api::core::v1::Pod;

use crate::stage::{LOAD_BALANCER, PATIENCE, beside, serve};

/// The targets the CLB should have are exactly these pods, tagged and healthy.
async fn bound_exactly(console: &Console, port: u16, pods: &[Pod]) -> Result<()> {
    let expected: BTreeSet<_> = pods.iter().filter_map(target).collect();
    eventually("the targets are the pods", PATIENCE, || async {
        let targets = console.targets(port).await?;
        let there: BTreeSet<_> = targets.iter().map(|t| t.address.clone()).collect();
        let good = targets
            .iter()
            .all(|t| t.weight > 0 && t.health == "Alive" && t.tag.is_some());
        Ok(if there == expected && good {
            Ok(())
        } else {
            Err(format!("{targets:?}"))
        })
    })
    .await
}

#[test]
fn pods_are_bound_checked_ready_and_reached_through_the_vip() {
    beside("main-job", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8010);
        let pods = serve(&world, service, 3).await?;
        bound_exactly(&console, 8010, &pods).await?;
        let vip: SocketAddr = format!("{}:8010", console.vip().await?).parse()?;
        let mut answered = BTreeSet::new();
        for _ in 0..30 {
            answered.insert(load::get(vip).await.map_err(anyhow::Error::msg)?);
        }
        ensure!(answered.len() == 3, "every pod answers: {answered:?}");
        let first = pods
            .first()
            .and_then(|pod| pod.metadata.name.clone())
            .context("a pod")?;
        world
            .event(&first, &["Bound", LOAD_BALANCER], PATIENCE)
            .await?;
        world
            .event(&first, &["1/1 bindings healthy"], PATIENCE)
            .await?;
        Ok(())
    });
}

#[test]
fn the_api_s_default_health_check_is_waited_for() {
    beside("default-check", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        let parameters = "service.kubernetes.io/service.listenerParameters";
        let service =
            Service::direct(&world.namespace, "web", LOAD_BALANCER, 8011).with(parameters, None);
        let pods = serve(&world, service, 1).await?;
        bound_exactly(&console, 8011, &pods).await?;
        let listener = console.listener(8011).await?.context("a listener")?;
        let check = listener.health_check.context("a health check")?;
        ensure!(
            (check.interval_time, check.health_num) == (Some(5), Some(3)),
            "{check:?}"
        );
        Ok(())
    });
}

#[test]
fn taking_the_annotation_away_undoes_what_was_made_and_nothing_else() {
    beside("undo", |world| async move {
        let console = Console::new("lb-demo0002")?;
        let service = Service::direct(&world.namespace, "web", "lb-demo0002", 8012);
        let pods = serve(&world, service, 1).await?;
        bound_exactly(&console, 8012, &pods).await?;
        let somebody_elses = console.create_listener(clb::Protocol::Tcp, 8013).await?;

        let off = "service.cloud.tencent.com/direct-access-";
        kubectl::run(&["annotate", "service", "web", "-n", &world.namespace, off]).await?;
        gone(&console, 8012).await?;
        let kept = console
            .listener(8013)
            .await?
            .context("somebody else's listener")?;
        ensure!(kept.listener_id == somebody_elses);
        still_ready(&world).await
    });
}

async fn gone(console: &Console, port: u16) -> Result<()> {
    eventually("our listener is gone", PATIENCE, || async {
        let there = console.listener(port).await?;
        Ok(if there.is_none() {
            Ok(())
        } else {
            Err(format!("{:?}", console.targets(port).await?))
        })
    })
    .await
}

async fn still_ready(world: &World) -> Result<()> {
    world
        .ready("web", 1, Duration::from_secs(1))
        .await
        .map(drop)
}
