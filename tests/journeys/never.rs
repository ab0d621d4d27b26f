//! A rollout to pods that the CLB can never find healthy: it stops where it is, says why, and goes on only by a deadline.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::load::Load;
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::condition;
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::apps::v1;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::explain::explain;
use crate::stage::{LOAD_BALANCER, PATIENCE, beside, deployment, serve};

const PORT: u16 = 8085;
const REPLICAS: u32 = 2;
/// Where the second revision says that it listens, and does not.
const NOBODY: &str = "containerPort: 9999";

#[test]
fn a_gate_that_can_never_pass_stops_the_rollout_until_its_deadline() {
    beside("never", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, PORT);
        let before = serve(&world, service.clone(), REPLICAS).await?;
        let vip: SocketAddr = format!("{}:{PORT}", console.vip().await?).parse()?;

        let load = Load::start(vip, 20);
        kubectl::apply(&wrong(&world)?).await?;
        let stuck = stopped(&world).await?;
        explained(&world, &stuck).await?;
        let report = load.stop().await?;
        ensure!(report.failed() == 0, "failed: {:?}", report.failures);
        ensure!(report.requests > 100, "only {} requests", report.requests);
        let all = world.pods("web").await?;
        let kept = |old: &Pod| all.iter().any(|pod| pod.uid() == old.uid() && ready(pod));
        ensure!(before.iter().all(kept), "the rollout took pods that serve");

        let deadline = service.with("clb-gate.io/gate-deadline", Some("30s"));
        kubectl::apply(&deadline.yaml()).await?;
        let_through(&world, &stuck).await?;
        println!(
            "a gate that never passes: the rollout stopped, {} requests, failed 0, wrongPort explained, let through by \
             its deadline",
            report.requests
        );
        Ok(())
    });
}

/// The second revision: only the port it names is wrong, so that its own probe passes.
fn wrong(world: &World) -> Result<String> {
    let yaml = deployment(world, "web", REPLICAS, "2")
        .replace("containerPort: 8080", NOBODY)
        .replace("path: /healthz, port: http", "path: /healthz, port: 8080")
        .replace(
            "spec:\n  replicas",
            "spec:\n  progressDeadlineSeconds: 10\n  replicas",
        );
    let changed =
        yaml.contains(NOBODY) && yaml.contains("port: 8080") && yaml.contains("progressDeadline");
    ensure!(changed, "{yaml}");
    Ok(yaml)
}

/// Waits until Kubernetes says that the rollout does not get on; the pod that it waits for.
async fn stopped(world: &World) -> Result<Pod> {
    let deployments = world.api::<v1::Deployment>();
    eventually("the rollout has stopped", PATIENCE, || async {
        let status = deployments.get("web").await?.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let over = |c: &v1::DeploymentCondition| {
            c.type_ == "Progressing" && c.reason.as_deref() == Some("ProgressDeadlineExceeded")
        };
        let whole = status.available_replicas.unwrap_or_default() >= REPLICAS.cast_signed();
        Ok(if conditions.iter().any(over) && whole {
            Ok(())
        } else {
            Err(format!(
                "{conditions:?}, {:?} available",
                status.available_replicas
            ))
        })
    })
    .await?;
    let pods = world.pods("web").await?;
    let stuck: Vec<_> = pods.into_iter().filter(|pod| !ready(pod)).collect();
    ensure!(stuck.len() == 1, "{} pods wait", stuck.len());
    stuck.into_iter().next().context("a pod that waits")
}

/// Its containers are ready, its gate is not, and the command line says why. Whether nobody listens on a port that the
/// pod declares shows only to who knocks.
async fn explained(world: &World, stuck: &Pod) -> Result<()> {
    eventually("the pod is explained", PATIENCE, || async {
        let pod = world.api::<Pod>().get(&stuck.name_any()).await?;
        ensure!(
            condition(&pod, "ContainersReady") == Some("True"),
            "its own probe fails"
        );
        let told = explain(world, "pod", &stuck.name_any(), &["--probe"]).await?;
        Ok(if told.finds("wrongPort", 3) {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        })
    })
    .await
}

async fn let_through(world: &World, stuck: &Pod) -> Result<()> {
    let name = stuck.name_any();
    eventually("the deadline lets the pod through", PATIENCE, || async {
        let pod = world.api::<Pod>().get(&name).await?;
        Ok(if ready(&pod) {
            Ok(())
        } else {
            Err(format!(
                "{:?}",
                pod.status.and_then(|status| status.conditions)
            ))
        })
    })
    .await?;
    world
        .event(
            &name,
            &["clb-gate.io/gate-deadline", "0/1 bindings healthy"],
            PATIENCE,
        )
        .await
        .map(drop)
}

fn ready(pod: &Pod) -> bool {
    condition(pod, "Ready") == Some("True")
}
