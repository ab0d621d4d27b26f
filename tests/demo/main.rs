//! `make demo`: the main job in front of one's eyes. A sample behind a simulated CLB becomes Ready only
//! when the CLB has bound and checked it, and then rolls under load. Exits with 0 only if all of it
//! happened.

mod story;
mod watching;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clb_gate_tests::load::{Load, Report};
use clb_gate_tests::sim::Console;
use clb_gate_tests::workload::{Deployment, Service};
use clb_gate_tests::{World, kubectl};
use tokio::time::Instant;

use story::Calls;
use watching::{Sightings, watch_until_ready};

const LOAD_BALANCER: &str = "lb-demo0001";
const PORT: u16 = 80;
const REPLICAS: usize = 4;
/// Requests a second during the rollout, each on a connection of its own.
const RATE: u32 = 100;
/// From the first pod to all Ready: image start, binding and two health checks 3 s apart.
const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!(
                "\ndemo: {error:#}\nlook: kubectl get events -n shop; kubectl logs -n clb-gate deploy/clb-gate-controller"
            );
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<()> {
    let world = World::new("shop").await?;
    let console = Console::new(LOAD_BALANCER)?;
    let vip: SocketAddr = format!("{}:{PORT}", console.vip().await?).parse()?;
    let before = Calls::read(&world).await?;

    story::step("A Service with one annotation, and a Deployment of 4 behind it");
    let service = Service::direct("shop", "web", LOAD_BALANCER, PORT);
    kubectl::apply(&service.yaml()).await?;
    served(&world).await?;
    kubectl::apply(&deployment("1")).await?;
    let mut sightings = Sightings::default();
    watch_until_ready(&world, (&console, PORT), REPLICAS, &mut sightings, PATIENCE).await?;

    story::step(&format!(
        "A client at {vip}, {RATE} requests a second, while the Deployment rolls"
    ));
    let load = Load::start(vip, RATE);
    let start = Instant::now();
    kubectl::apply(&deployment("2")).await?;
    watch_until_ready(&world, (&console, PORT), REPLICAS, &mut sightings, PATIENCE).await?;
    kubectl::run(&[
        "rollout",
        "status",
        "deploy/web",
        "-n",
        "shop",
        "--timeout=120s",
    ])
    .await?;
    let rolled = start.elapsed();
    let report = load.stop().await?;
    let calls = Calls::read(&world).await?.since(&before);
    story::table(&sightings, &report, rolled, &calls);
    world.end().await?;
    promised(&sightings, &report)
}

fn deployment(revision: &str) -> String {
    let replicas = u32::try_from(REPLICAS).unwrap_or(u32::MAX);
    Deployment {
        namespace: "shop",
        name: "web",
        replicas,
        revision,
    }
    .yaml()
}

/// The controller has seen the Service once its listener is there; so have the webhooks by then.
async fn served(world: &World) -> Result<()> {
    let console = Console::new(LOAD_BALANCER)?;
    clb_gate_tests::wait::eventually("the listener is there", PATIENCE, || async {
        let listener = console.listener(PORT).await?;
        Ok(listener
            .map(|_| ())
            .ok_or_else(|| format!("no listener yet in namespace {}", world.namespace)))
    })
    .await
}

fn promised(sightings: &Sightings, report: &Report) -> Result<()> {
    let (pods, turned) = (sightings.pods(), sightings.turned());
    ensure!(
        pods == 2 * REPLICAS,
        "{pods} pods were seen, not {}",
        2 * REPLICAS
    );
    ensure!(
        turned == pods,
        "the gate was seen to go 0/1 -> 1/1 for {turned} of {pods} pods"
    );
    ensure!(
        report.failed() == 0,
        "{} of {} requests failed: {:?}",
        report.failed(),
        report.requests,
        report.failures
    );
    ensure!(report.requests > 0, "no request was made");
    Ok(())
}
