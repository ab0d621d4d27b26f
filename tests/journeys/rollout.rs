//! A rolling update under load.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use clb_gate_tests::kubectl;
use clb_gate_tests::load::Load;
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{Deployment, Service};
use clb_gate_tests::world::target;

use crate::stage::{LOAD_BALANCER, PATIENCE, beside};

#[test]
fn no_request_fails_while_the_deployment_rolls() {
    beside("rolling", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        kubectl::apply(&Service::direct(&world.namespace, "web", LOAD_BALANCER, 8020).yaml())
            .await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let web = |revision| {
            Deployment {
                namespace: &world.namespace,
                name: "web",
                replicas: 3,
                revision,
            }
            .yaml()
        };
        kubectl::apply(&web("1")).await?;
        world.ready("web", 3, PATIENCE).await?;
        let vip: SocketAddr = format!("{}:8020", console.vip().await?).parse()?;

        let load = Load::start(vip, 50);
        kubectl::apply(&web("2")).await?;
        kubectl::run(&[
            "rollout",
            "status",
            "deploy/web",
            "-n",
            &world.namespace,
            "--timeout=150s",
        ])
        .await?;
        let pods = world.ready("web", 3, PATIENCE).await?;
        let report = load.stop().await?;
        ensure!(
            report.failed() == 0,
            "failed: {:?} of {}",
            report.failures,
            report.requests
        );
        ensure!(report.requests > 100, "only {} requests", report.requests);

        let expected: BTreeSet<_> = pods.iter().filter_map(target).collect();
        eventually("only the new pods are bound", PATIENCE, || async {
            let there: BTreeSet<_> = console
                .targets(8020)
                .await?
                .into_iter()
                .map(|t| t.address)
                .collect();
            Ok(if there == expected {
                Ok(())
            } else {
                Err(format!("{there:?}"))
            })
        })
        .await
    });
}
