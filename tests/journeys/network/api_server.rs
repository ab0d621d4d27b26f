//! The API server is killed and is away for a while, under load: whoever serves goes on serving.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::load::Load;
use clb_gate_tests::sim::Console;
use clb_gate_tests::stage::{LOAD_BALANCER, PATIENCE, alone, deployment, serve, targets_are};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::{GATE, target};
use clb_gate_tests::{World, kubectl, power};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use tokio::time::sleep;

/// The Service's port on the CLB.
const PORT: u16 = 8095;
/// That of one whose health check nobody answers.
const SICK_PORT: u16 = 8096;
/// Longer than a lease is held, so that nobody leads meanwhile.
const AWAY: Duration = Duration::from_secs(20);
/// Every 3 s, at a port where nobody listens.
const NOBODY_ANSWERS: &str =
    r#"{"HealthCheck":{"IntervalTime":3,"TimeOut":2,"HealthNum":2,"UnHealthNum":2,"CheckPort":9}}"#;

#[test]
fn an_api_server_that_is_away_for_a_while_disturbs_nobody() {
    alone("away", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        let web = Service::direct(&world.namespace, "web", LOAD_BALANCER, PORT);
        let pods = serve(&world, web, 3).await?;
        let bound: BTreeSet<_> = pods.iter().filter_map(target).collect();
        let sick = sick_pod(&world).await?;
        let before = gates(&world).await?;
        let vip: SocketAddr = format!("{}:{PORT}", console.vip().await?).parse()?;

        let load = Load::start(vip, 50);
        tokio::select! {
            violated = nobody_leaves(&console, &bound) => match violated? {},
            gone = Box::pin(away_and_back(&world, &console)) => gone?,
        }
        let report = load.stop().await?;
        ensure!(
            report.failed() == 0,
            "failed: {:?} of {}",
            report.failures,
            report.requests
        );

        let after = gates(&world).await?;
        for one in &before {
            ensure!(after.contains(one), "{one:?} is not in {after:?}");
        }
        let still = after
            .iter()
            .any(|(name, status, _)| *name == sick && status == "False");
        ensure!(still, "the gate of {sick} turned: {after:?}");
        Ok(())
    });
}

/// Away for its time, back, and all of clb-gate at work again: a fourth pod is bound and becomes Ready.
async fn away_and_back(world: &World, console: &Console) -> Result<()> {
    power::api_off().await?;
    sleep(AWAY).await;
    power::api_on().await?;
    // In its first moments it may find no way to the webhook and, as failurePolicy Ignore says, do without.
    world.webhooks_gate("web", true).await?;
    kubectl::apply(&deployment(world, "web", 4, "1")).await?;
    let pods = world.ready("web", 4, PATIENCE).await?;
    targets_are(console, PORT, &pods.iter().filter_map(target).collect()).await
}

/// Looks at the targets all the time; ends only when one has gone or lost its weight.
async fn nobody_leaves(console: &Console, bound: &BTreeSet<String>) -> Result<Infallible> {
    loop {
        let targets = console.targets(PORT).await?;
        let serving = targets.into_iter().filter(|target| target.weight > 0);
        let serving: BTreeSet<_> = serving.map(|target| target.address).collect();
        ensure!(
            serving.is_superset(bound),
            "{serving:?} serve, not {bound:?}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

/// A pod that waits for ever; its name.
async fn sick_pod(world: &World) -> Result<String> {
    let sick = Service::direct(&world.namespace, "sick", LOAD_BALANCER, SICK_PORT);
    let parameters = "service.kubernetes.io/service.listenerParameters";
    kubectl::apply(&sick.with(parameters, Some(NOBODY_ANSWERS)).yaml()).await?;
    world.webhooks_gate("sick", true).await?;
    kubectl::apply(&deployment(world, "sick", 1, "1")).await?;
    eventually("the sick pod waits for its health", PATIENCE, || async {
        let waiting = gates_of(&world.pods("sick").await?);
        let bound = waiting.into_iter().find(|(_, status, _)| status == "False");
        Ok(bound
            .map(|(name, ..)| name)
            .ok_or_else(|| "none yet".to_owned()))
    })
    .await
}

/// Names, gates and since when they say so.
type Gates = Vec<(String, String, String)>;

async fn gates(world: &World) -> Result<Gates> {
    let mut pods = world.pods("web").await?;
    pods.extend(world.pods("sick").await?);
    let all = gates_of(&pods);
    ensure!(all.len() == pods.len(), "a pod has no gate: {all:?}");
    Ok(all)
}

fn gates_of(pods: &[Pod]) -> Gates {
    pods.iter().filter_map(|pod| gate(pod).ok()).collect()
}

fn gate(pod: &Pod) -> Result<(String, String, String)> {
    let status = pod.status.as_ref().context("no status")?;
    let is_gate = |one: &&PodCondition| one.type_ == GATE;
    let gate = status.conditions.iter().flatten().find(is_gate);
    let gate = gate.context("no gate")?;
    let name = pod.metadata.name.clone().unwrap_or_default();
    Ok((
        name,
        gate.status.clone(),
        format!("{:?}", gate.last_transition_time),
    ))
}
