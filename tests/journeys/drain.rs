//! How pods go: what the webhook gives them, in which order they leave, and who notices.

mod connections;
mod nodes;
mod witness;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::load::{Load, Report};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{Deployment, IMAGE, Service};
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{EvictParams, ListParams};

use connections::Held;
use witness::Witness;

use crate::explain::explain;
use crate::stage::{LOAD_BALANCER, PATIENCE, beside, rolled};

const WEB: u16 = 8044;
const SET: u16 = 8045;
/// So long a pod serves on, in seconds. Two busy cores need some for what takes one otherwise.
const DRAIN: u64 = 10;
/// So long the application has after SIGTERM, and how much of it the sample takes.
const GRACE: u64 = 8;
const SERVES_ON: u64 = 4;
/// Requests a second.
const RATE: u32 = 50;
/// A download: longer than the drain, and over before the application ends.
const DOWNLOAD: Duration = Duration::from_secs(12);

#[test]
fn nobody_notices_how_pods_go() {
    beside("draining", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        let vip = |port| {
            let console = console.clone();
            async move { anyhow::Ok(format!("{}:{port}", console.vip().await?).parse::<SocketAddr>()?) }
        };
        let (web, set) = (vip(WEB).await?, vip(SET).await?);
        let namespace = &world.namespace;
        kubectl::apply(&graceful(namespace, "set", SET, DRAIN).yaml()).await?;
        kubectl::apply(&graceful(namespace, "web", WEB, DRAIN).yaml()).await?;
        world.webhooks_know(LOAD_BALANCER, WEB).await?;
        kubectl::apply(&stateful(namespace, "1")).await?;
        kubectl::apply(&deployment(namespace, 4, "1")).await?;
        world.ready("set", 2, PATIENCE).await?;
        for pod in world.ready("web", 4, PATIENCE).await? {
            sleeps(&pod)?;
        }
        let witness = Witness::of(&world, LOAD_BALANCER, &[WEB, SET], DRAIN)?;
        let loads = [web, set].map(|vip| Load::start(vip, RATE));
        tokio::try_join!(all_ways(&world, web), stateful_rollout(&world))?;
        let went = witness.until_all_have_gone(&world).await?;
        for load in loads {
            unnoticed(&load.stop().await?)?;
        }
        // One evicted, one deleted, one scaled in, three rolled; and two of the StatefulSet.
        went.in_order(8, "draining")
    });
}

/// A Service whose pods serve on for so many seconds.
fn graceful<'a>(namespace: &'a str, name: &'a str, port: u16, seconds: u64) -> Service<'a> {
    let seconds = seconds.to_string();
    Service::direct(namespace, name, LOAD_BALANCER, port)
        .with(
            "service.cloud.tencent.com/enable-grace-deletion",
            Some("true"),
        )
        .with("clb-gate.io/drain-seconds", Some(&seconds))
}

fn deployment(namespace: &str, replicas: u32, revision: &str) -> String {
    let deployment = Deployment {
        namespace,
        name: "web",
        replicas,
        revision,
    };
    let ends = format!(
        "imagePullPolicy: IfNotPresent\n          env: [{{name: GRACE, value: '{SERVES_ON}'}}]"
    );
    let yaml = deployment.yaml();
    let yaml = yaml.replace("imagePullPolicy: IfNotPresent", &ends);
    yaml.replace(
        "terminationGracePeriodSeconds: 30",
        &format!("terminationGracePeriodSeconds: {GRACE}"),
    )
}

fn stateful(namespace: &str, revision: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: set, namespace: {namespace}}}
spec:
  replicas: 2
  serviceName: set
  podManagementPolicy: Parallel
  selector: {{matchLabels: {{app: set}}}}
  template:
    metadata:
      labels: {{app: set}}
      annotations: {{example.com/revision: '{revision}'}}
    spec:
      terminationGracePeriodSeconds: {GRACE}
      containers:
        - name: sample
          image: {IMAGE}
          imagePullPolicy: IfNotPresent
          env: [{{name: GRACE, value: '{SERVES_ON}'}}]
          ports: [{{name: http, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
"
    )
}

/// The webhook gave the pod its sleep, and the time for it.
fn sleeps(pod: &Pod) -> Result<()> {
    let spec = pod.spec.as_ref().context("a spec")?;
    let container = spec.containers.first().context("a container")?;
    let hook = container.lifecycle.as_ref();
    let hook = hook.and_then(|lifecycle| lifecycle.pre_stop.as_ref());
    let sleep = hook.and_then(|hook| hook.sleep.as_ref());
    let seconds = sleep.map(|sleep| sleep.seconds);
    let grace = spec.termination_grace_period_seconds;
    let wanted = [DRAIN, DRAIN + GRACE].map(|seconds| i64::try_from(seconds).ok());
    ensure!(
        [seconds, grace] == wanted,
        "{}: sleep {seconds:?}, grace {grace:?}",
        pod.name_any()
    );
    Ok(())
}

/// An eviction, a deletion, a scale-in and a rollout, one after another.
async fn all_ways(world: &World, vip: SocketAddr) -> Result<()> {
    let namespace = world.namespace.as_str();
    let pods = world.pods("web").await?;
    let [evicted, deleted, ..] = &pods[..] else {
        anyhow::bail!("{} pods", pods.len())
    };
    let name = evicted.name_any();
    let held = Held::by(vip, &name, DOWNLOAD).await?;
    let api = world.api::<Pod>();
    api.evict(&name, &EvictParams::default()).await?;
    tokio::try_join!(held.until_it_goes(), told(world, &name))?;
    world.ready("web", 4, PATIENCE).await?;

    let name = deleted.name_any();
    kubectl::run(&["delete", "pod", &name, "-n", namespace, "--wait=false"]).await?;
    replaced(world, &name).await?;

    kubectl::apply(&deployment(namespace, 3, "1")).await?;
    world.ready("web", 3, PATIENCE).await?;
    kubectl::apply(&deployment(namespace, 3, "2")).await?;
    rolled(world).await
}

/// An Event says that the pod drains, and so does the command line while it does.
async fn told(world: &World, pod: &str) -> Result<()> {
    let drains = ["has weight 0 on CLB", LOAD_BALANCER];
    world.event(pod, &drains, PATIENCE).await?;
    let told = explain(world, "pod", pod, &[]).await?;
    let says = ["it is being deleted since", "has weight 0 and gets no new"];
    ensure!(says.iter().all(|part| told.out.contains(part)), "{told:?}");
    Ok(())
}

/// Waits until as many as before are Ready, and this one is none of them.
async fn replaced(world: &World, name: &str) -> Result<()> {
    let pods = world.ready("web", 4, PATIENCE).await?;
    ensure!(pods.iter().all(|pod| pod.name_any() != name), "{name}");
    Ok(())
}

async fn stateful_rollout(world: &World) -> Result<()> {
    kubectl::apply(&stateful(&world.namespace, "2")).await?;
    let status = ["rollout", "status", "statefulset/set", "-n"];
    let rest = [world.namespace.as_str(), "--timeout=180s"];
    kubectl::run(&[&status[..], &rest].concat()).await.map(drop)
}

fn unnoticed(report: &Report) -> Result<()> {
    ensure!(
        report.failed() == 0,
        "failed: {:?} of {}",
        report.failures,
        report.requests
    );
    ensure!(report.requests > 500, "only {} requests", report.requests);
    Ok(())
}

/// Waits until every pod that was asked to go is gone.
async fn nobody_goes(world: &World) -> Result<()> {
    eventually("those that go are gone", PATIENCE, || async {
        let pods = world.api::<Pod>().list(&ListParams::default()).await?;
        let going = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_some());
        let names: Vec<_> = going.map(ResourceExt::name_any).collect();
        Ok(if names.is_empty() {
            Ok(())
        } else {
            Err(names.join(", "))
        })
    })
    .await
}
