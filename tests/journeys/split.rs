//! Weights that pods give themselves show in how connections are split among them, and follow a change.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{IMAGE, Service};
use clb_gate_tests::world::target;
use clb_gate_tests::{World, kubectl, load};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;

use crate::stage::{LOAD_BALANCER, PATIENCE, beside};

const PORT: u16 = 8019;
const WEIGHT: &str = "service.cloud.tencent.com/custom-weight";
/// What the pods ask for, one each.
const WEIGHTS: [u8; 3] = [10, 30, 60];
const CONNECTIONS: u32 = 10_000;
/// At a time: the split is looked at, not the speed.
const AT_A_TIME: usize = 16;
/// Chi-square with two degrees of freedom: an honest split goes beyond it once in a thousand times.
const TOO_FAR: f64 = 13.816;

type Weighted<'a> = BTreeMap<&'a str, u8>;

#[test]
fn connections_are_split_by_the_weights_of_pods() {
    beside("split", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        kubectl::apply(&Service::direct(&world.namespace, "split", LOAD_BALANCER, PORT).yaml())
            .await?;
        world.webhooks_know(LOAD_BALANCER, PORT).await?;
        for weight in WEIGHTS {
            kubectl::apply(&pod(&world, weight)).await?;
        }
        world.ready("split", WEIGHTS.len(), PATIENCE).await?;
        split(
            &world,
            &console,
            [("w10", 10), ("w30", 30), ("w60", 60)].into(),
        )
        .await?;

        for (name, weight) in [("w10", "40"), ("w60", "0")] {
            let change = format!("{WEIGHT}={weight}");
            let annotate = ["annotate", "pod", name, &change, "--overwrite"];
            kubectl::run(&[&annotate[..], &["-n", &world.namespace]].concat()).await?;
        }
        split(
            &world,
            &console,
            [("w10", 40), ("w30", 30), ("w60", 0)].into(),
        )
        .await
    });
}

/// Waits until the CLB has these weights and looks at who answers.
async fn split(world: &World, console: &Console, weights: Weighted<'_>) -> Result<()> {
    let pods = world.api::<Pod>();
    eventually("the CLB has the weights", PATIENCE, || async {
        let bound = console.targets(PORT).await?;
        for (name, weight) in &weights {
            let address = target(&pods.get(name).await?).context("an address")?;
            let there = bound.iter().find(|one| one.address == address);
            if there.map(|one| one.weight) != Some(*weight) {
                return Ok(Err(format!("{name} {address}: {there:?}")));
            }
        }
        Ok(Ok(()))
    })
    .await?;
    let vip = format!("{}:{PORT}", console.vip().await?).parse()?;
    let seen = connect(vip).await?;
    let far = distance(&weights, &seen);
    println!("{CONNECTIONS} connections by weights {weights:?}: {seen:?}, chi-square {far:.2}");
    ensure!(far < TOO_FAR, "chi-square {far}, not below {TOO_FAR}");
    Ok(())
}

/// Who answered how often.
async fn connect(vip: SocketAddr) -> Result<BTreeMap<String, u32>> {
    let answers = futures::stream::iter(0..CONNECTIONS).map(|_| load::get(vip));
    let mut answers = answers.buffer_unordered(AT_A_TIME);
    let mut seen = BTreeMap::new();
    while let Some(answer) = answers.next().await {
        let pod = answer.map_err(anyhow::Error::msg)?;
        *seen.entry(pod).or_default() += 1;
    }
    Ok(seen)
}

/// Chi-square of what was seen against the weights; without end where somebody answered who should not.
fn distance(weights: &Weighted<'_>, seen: &BTreeMap<String, u32>) -> f64 {
    let whole: u32 = weights.values().map(|weight| u32::from(*weight)).sum();
    let of = |name: &str| f64::from(seen.get(name).copied().unwrap_or_default());
    let all = weights.iter().map(|(name, weight)| {
        let expected = f64::from(CONNECTIONS) * f64::from(*weight) / f64::from(whole);
        match (expected > 0.0, of(name) > 0.0) {
            (true, _) => (of(name) - expected).powi(2) / expected,
            (false, true) => f64::INFINITY,
            (false, false) => 0.0,
        }
    });
    all.sum()
}

fn pod(world: &World, weight: u8) -> String {
    let namespace = &world.namespace;
    format!(
        "apiVersion: v1
kind: Pod
metadata:
  name: w{weight}
  namespace: {namespace}
  labels: {{app: split}}
  annotations: {{{WEIGHT}: '{weight}'}}
spec:
  containers:
    - {{name: sample, image: {IMAGE}, imagePullPolicy: IfNotPresent, ports: [{{name: http, containerPort: 8080}}]}}
"
    )
}
