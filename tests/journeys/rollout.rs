//! A rolling update under load.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::ensure;
use clb_gate_tests::kubectl;
use clb_gate_tests::load::Load;
use clb_gate_tests::sim::Console;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::target;

use crate::stage::{LOAD_BALANCER, PATIENCE, beside, deployment, rolled, serve, targets_are};

#[test]
fn no_request_fails_while_the_deployment_rolls() {
    beside("rolling", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8020);
        serve(&world, service, 3).await?;
        let vip: SocketAddr = format!("{}:8020", console.vip().await?).parse()?;

        let load = Load::start(vip, 50);
        kubectl::apply(&deployment(&world, "web", 3, "2")).await?;
        rolled(&world).await?;
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
        targets_are(&console, 8020, &expected).await
    });
}
