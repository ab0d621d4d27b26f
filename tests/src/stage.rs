//! Who may run beside whom, and what a failure shows.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tokio::sync::RwLock;

use crate::sim::Console;
use crate::wait::eventually;
use crate::workload::{Deployment, Service};
use crate::world::summary;
use crate::{World, kubectl};

/// The load balancer of most journeys.
pub const LOAD_BALANCER: &str = "lb-demo0001";
/// Enough for image start, CLB health check and two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(90);

static STAGE: RwLock<()> = RwLock::const_new(());

/// Runs a journey beside others, in a namespace of its own.
pub fn beside<F: Future<Output = Result<()>>>(namespace: &str, journey: impl FnOnce(World) -> F) {
    run(async {
        let _shared = STAGE.read().await;
        play(namespace, journey).await;
    });
}

/// Runs a journey beside others that makes and removes its namespaces itself.
#[expect(
    clippy::missing_panics_doc,
    clippy::panic,
    reason = "this is how a journey fails"
)]
pub fn by_itself(journey: impl Future<Output = Result<()>>) {
    run(async {
        let _shared = STAGE.read().await;
        if let Err(error) = journey.await {
            panic!("{error:#}");
        }
    });
}

/// Runs a journey while no other runs.
pub fn alone<F: Future<Output = Result<()>>>(namespace: &str, journey: impl FnOnce(World) -> F) {
    run(async {
        let _exclusive = STAGE.write().await;
        play(namespace, journey).await;
    });
}

#[expect(clippy::expect_used, reason = "a journey that cannot start has failed")]
fn run(journey: impl Future<Output = ()>) {
    let built = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build();
    built.expect("a runtime").block_on(journey);
}

#[expect(
    clippy::expect_used,
    clippy::panic,
    reason = "this is how a journey fails"
)]
async fn play<F: Future<Output = Result<()>>>(namespace: &str, journey: impl FnOnce(World) -> F) {
    let world = World::new(namespace).await.expect("a cluster to run in");
    let result = journey(world.clone()).await;
    if let Err(error) = &result {
        show(&world, error).await;
    }
    world.end().await.expect("the namespace can be deleted");
    if let Err(error) = result {
        panic!("{namespace}: {error:#}");
    }
}

/// Applies a Service and, once the webhooks know it, the Deployment of its name; waits until all are Ready.
pub async fn serve(world: &World, service: Service<'_>, replicas: u32) -> Result<Vec<Pod>> {
    kubectl::apply(&service.yaml()).await?;
    world.webhooks_know(LOAD_BALANCER, service.port).await?;
    kubectl::apply(&deployment(world, service.name, replicas, "1")).await?;
    world.ready(service.name, replicas as usize, PATIENCE).await
}

/// A Deployment of the sample; another revision rolls it.
pub fn deployment(world: &World, name: &str, replicas: u32, revision: &str) -> String {
    let namespace = &world.namespace;
    Deployment {
        namespace,
        name,
        replicas,
        revision,
    }
    .yaml()
}

/// Rolls `web` to its second revision and waits until it is through.
pub async fn rolled(world: &World) -> Result<()> {
    let status = [
        "rollout",
        "status",
        "deploy/web",
        "-n",
        &world.namespace,
        "--timeout=180s",
    ];
    kubectl::run(&status).await.map(drop)
}

/// Waits until the targets on a port are exactly these.
pub async fn targets_are(console: &Console, port: u16, expected: &BTreeSet<String>) -> Result<()> {
    eventually("the targets are as expected", PATIENCE, || async {
        let targets = console.targets(port).await?;
        let there: BTreeSet<_> = targets.into_iter().map(|target| target.address).collect();
        Ok(if there == *expected {
            Ok(())
        } else {
            Err(format!("{there:?}, not {expected:?}"))
        })
    })
    .await
}

/// Waits until a listener has so many targets and all of them are healthy.
pub async fn all_healthy(
    console: &Console,
    port: u16,
    count: usize,
    patience: Duration,
) -> Result<()> {
    let what = format!("{count} healthy targets on {port}");
    eventually(&what, patience, || async {
        let targets = console.targets(port).await?;
        let good = targets.iter().all(|target| target.health == "Alive");
        Ok(if good && targets.len() == count {
            Ok(())
        } else {
            Err(format!("{targets:?}"))
        })
    })
    .await
}

/// What somebody who must find the cause would ask for first.
async fn show(world: &World, error: &anyhow::Error) {
    eprintln!("--- {}: {error:#}", world.namespace);
    let all: Api<Pod> = Api::all(world.client.clone());
    if let Ok(pods) = all.list(&ListParams::default()).await {
        for pod in pods {
            eprintln!(
                "{} {}",
                pod.metadata.namespace.as_deref().unwrap_or_default(),
                summary(&pod)
            );
        }
    }
    let events = [
        "get",
        "events",
        "-n",
        &world.namespace,
        "--sort-by=.lastTimestamp",
    ];
    let logs = [
        "logs",
        "-n",
        "clb-gate",
        "-l",
        "app.kubernetes.io/component=controller",
        "--tail=40",
        "--prefix",
    ];
    for args in [&events[..], &logs[..]] {
        if let Ok(printed) = kubectl::try_run(args, "").await {
            eprintln!(
                "--- kubectl {}\n{}{}",
                args.join(" "),
                printed.out,
                printed.err
            );
        }
    }
}
