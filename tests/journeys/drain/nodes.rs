//! Nodes are drained one after another; then a pod is killed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::load::Load;
use clb_gate_tests::ours::{Part, address};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::world::target;
use clb_gate_tests::{World, kubectl};
use kube::ResourceExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{RATE, deployment, graceful, unnoticed};
use crate::drain::witness::Witness;
use crate::stage::{LOAD_BALANCER, PATIENCE, alone};

const PORT: u16 = 8046;
const REPLICAS: u32 = 4;
/// So long a pod serves on, in seconds.
const DRAIN: u64 = 8;
const NODES: [&str; 2] = ["node-1", "node-2"];
/// Two missed checks, 3 s apart, of which the last may take 2 s: then the CLB's own check has seen it.
const CHECKED: u64 = 2 * 3 + 2;
/// How many targets were measured until their weight was 0, and how many never had it in time.
const DRAINED: &str = "clb_gate_drain_seconds_count";
const UNDRAINED: &str = "clb_gate_undrained_targets_total";
/// How long the load goes on once the dead pod's target is away.
const AFTER: Duration = Duration::from_secs(3);

#[test]
fn nodes_are_drained_unnoticed_and_a_killed_pod_is_counted() {
    // Alone: nobody else's pods find a node closed, and nobody else's are counted.
    alone("drained-nodes", |world| async move {
        let outcome = journey(&world).await;
        for node in NODES {
            kubectl::run(&["uncordon", node]).await?;
        }
        outcome
    });
}

async fn journey(world: &World) -> Result<()> {
    let console = Console::new(LOAD_BALANCER)?;
    let vip: SocketAddr = format!("{}:{PORT}", console.vip().await?).parse()?;
    let namespace = world.namespace.as_str();
    kubectl::apply(&graceful(namespace, "web", PORT, DRAIN).yaml()).await?;
    kubectl::apply(&budget(namespace)).await?;
    world.webhooks_know(LOAD_BALANCER, PORT).await?;
    kubectl::apply(&deployment(namespace, REPLICAS, "1")).await?;
    world.ready("web", 4, PATIENCE).await?;

    let measured = counted(world, DRAINED).await?;
    let witness = Witness::of(world, LOAD_BALANCER, &[PORT], DRAIN)?;
    let load = Load::start(vip, RATE);
    let [first, second] = NODES;
    let took = (drained(world, first).await?, drained(world, second).await?);
    let went = witness.until_all_have_gone(world).await?;
    let report = load.stop().await?;
    println!(
        "kubectl drain {first} and {second} with a budget: {:.1} s and {:.1} s, {} of {} requests failed",
        took.0.as_secs_f64(),
        took.1.as_secs_f64(),
        report.failed(),
        report.requests
    );
    unnoticed(&report)?;
    // All pods were on one of the two when it was drained.
    went.in_order(4, "kubectl drain")?;
    let all = counted(world, DRAINED).await?;
    ensure!(all >= measured + 4, "{all} measured after {measured}");
    killed(world, &console, vip).await
}

fn budget(namespace: &str) -> String {
    format!(
        "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web, namespace: {namespace}}}
spec: {{minAvailable: 2, selector: {{matchLabels: {{app: web}}}}}}
"
    )
}

/// Drains a node of our pods, opens it again, and says how long kubectl took.
async fn drained(world: &World, node: &str) -> Result<Duration> {
    let started = Instant::now();
    let drain = [
        "drain",
        node,
        "--pod-selector=app=web",
        "--ignore-daemonsets",
        "--timeout=180s",
    ];
    kubectl::run(&drain).await?;
    let took = started.elapsed();
    kubectl::run(&["uncordon", node]).await?;
    world.ready("web", 4, PATIENCE).await?;
    Ok(took)
}

/// A pod that is killed fails at most what came to it until the CLB's own check has seen it, and is counted.
async fn killed(world: &World, console: &Console, vip: SocketAddr) -> Result<()> {
    let before = counted(world, UNDRAINED).await?;
    let victim = world.pods("web").await?.pop().context("a pod")?;
    let dead = target(&victim).context("an address")?;
    let load = Load::start(vip, RATE);
    let name = victim.name_any();
    let kill = ["delete", "pod", &name, "-n", &world.namespace];
    let forced = ["--force", "--grace-period=0"];
    kubectl::run(&[&kill[..], &forced].concat()).await?;
    eventually("its target is away", PATIENCE, || async {
        let targets = console.targets(PORT).await?;
        let there = targets.iter().any(|target| target.address == dead);
        Ok(if there {
            Err(format!("{targets:?}"))
        } else {
            Ok(())
        })
    })
    .await?;
    let (during, later) = (load.stop().await?, Load::start(vip, RATE));
    tokio::time::sleep(AFTER).await;
    let later = later.stop().await?;
    ensure!(later.failed() == 0, "still failing: {:?}", later.failures);
    let most = u64::from(RATE) * CHECKED;
    ensure!(during.failed() <= most, "failed: {:?}", during.failures);
    eventually("the killed pod is counted", PATIENCE, || async {
        let after = counted(world, UNDRAINED).await?;
        Ok(if after > before {
            Ok(())
        } else {
            Err(format!("{after} after {before}"))
        })
    })
    .await?;
    println!(
        "kubectl delete --force: {} of {} requests failed, at most {most} may",
        during.failed(),
        during.requests
    );
    Ok(())
}

/// What all controllers together count.
async fn counted(world: &World, metric: &str) -> Result<u64> {
    let mut sum = 0;
    for pod in Part::Controller.pods(&world.client).await? {
        let ip = address(&pod).context("a controller's address")?;
        let mut stream = TcpStream::connect((ip, 8080)).await?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
        let mut shown = String::new();
        stream.read_to_string(&mut shown).await?;
        let mut lines = shown.lines();
        let own = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
        sum += own.context("the counter")?.parse::<u64>()?;
    }
    Ok(sum)
}
