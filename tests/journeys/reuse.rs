//! A new pod gets the address of one that has just gone, while the CLB still has the old pod's target
//! there: healthy, for the new pod answers its checks.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clb_gate_tests::operator::{Call, Operator, now};
use clb_gate_tests::sim::{Bound, Console};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{IMAGE, Service};
use clb_gate_tests::world::{GATE, condition, summary, target};
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tokio::process::Command;

use crate::stage::{PATIENCE, alone};

const PORT: u16 = 8080;
const PARAMETERS: &str = "service.kubernetes.io/service.listenerParameters";
/// A target is healthy after three good checks, 3 s apart.
const SLOW: &str =
    r#"{"HealthCheck":{"IntervalTime":3,"TimeOut":2,"HealthNum":3,"UnHealthNum":3}}"#;
/// So much later than its registration, at least.
const EARLIEST_MS: i64 = (3 - 1) * 3_000;
/// Added to every read and write.
const LATE_MS: u32 = 300;
/// Longer than the journey.
const LONG_MS: u32 = 600_000;
const DEREGISTER: &str = "BatchDeregisterTargets";
const REGISTER: &str = "BatchRegisterTargets";
/// Where both pods are: an address is a node's.
const NODE: &str = "node-1";

#[test]
fn a_reused_address_is_registered_anew_and_waits_for_its_own_health() {
    // Alone: nobody else takes the address, or suffers from the slowness.
    alone("address-reuse", |world| async move {
        let operator = Operator::new()?;
        let outcome = journey(&world, &operator).await;
        operator.no_faults().await?;
        late(&operator, 0).await?;
        outcome
    });
}

async fn journey(world: &World, operator: &Operator) -> Result<()> {
    let console = Console::buy("address-reuse").await?;
    let id = console.load_balancer.as_str().to_owned();
    let service = Service::direct(&world.namespace, "web", &id, PORT).with(PARAMETERS, Some(SLOW));
    kubectl::apply(&service.yaml()).await?;
    world.webhooks_know(&id, PORT).await?;
    create(world, "old").await?;
    let old = until(world, "old", "Ready").await?;
    let stale = only(&console).await?;

    let since = now()?;
    // The CLB keeps the old target until the new pod is there, and is slow.
    let keep = json!({"action": DEREGISTER, "throttle": true, "for_ms": LONG_MS});
    operator.fault(&keep).await?;
    late(operator, LATE_MS).await?;
    replace(world, &old).await?;
    still_waits(world, &console, &stale, operator).await?;

    operator.no_faults().await?;
    let new = until(world, "new", "Ready").await?;
    in_order(
        &operator.calls_since(since, &id).await?,
        opened_before(&new)?,
    )?;
    let fresh = only(&console).await?;
    ensure!(
        fresh.address == stale.address && fresh.tag != stale.tag,
        "{fresh:?} after {stale:?}"
    );
    late(operator, 0).await?;
    let all = [
        "delete",
        "service,pod",
        "--all",
        "--wait=false",
        "-n",
        &world.namespace,
    ];
    kubectl::run(&all).await?;
    gone(&console).await?;
    console.give_back().await
}

/// Adds to every call's time.
async fn late(operator: &Operator, millis: u32) -> Result<()> {
    let delays = json!({"call_ms": millis}).to_string();
    operator.ask("PUT", "delays", &delays).await.map(drop)
}

/// The old pod vanishes, and a new one has its address.
async fn replace(world: &World, old: &Pod) -> Result<()> {
    let namespace = world.namespace.as_str();
    let force = [
        "delete",
        "pod",
        "old",
        "-n",
        namespace,
        "--force",
        "--grace-period=0",
    ];
    kubectl::run(&force).await?;
    freed(old).await?;
    next_is(old)?;
    // The node would look for the new pod at the old one's hardware address until it forgets it.
    let address = address_of(old)?.to_string();
    let mut forget = Command::new("ip");
    forget.args(["-n", "node1", "neigh", "flush", "to", &address]);
    ensure!(forget.status().await?.success(), "ip neigh flush");
    create(world, "new").await?;
    let new = until(world, "new", "ContainersReady").await?;
    ensure!(
        target(&new) == target(old),
        "{:?}, not {:?}",
        target(&new),
        target(old)
    );
    Ok(())
}

/// Nothing more can be said of it than that its containers are ready, although the old pod's target,
/// which its address and port are, is healthy.
async fn still_waits(
    world: &World,
    console: &Console,
    stale: &Bound,
    operator: &Operator,
) -> Result<()> {
    let since = now()?;
    let failed = |call: &&Call| call.action == DEREGISTER && call.outcome != "ok";
    eventually(
        "the old target could not be taken away",
        PATIENCE,
        || async {
            let pod: Pod = world.api().get("new").await?;
            ensure!(
                condition(&pod, GATE) != Some("True"),
                "True by the old pod's target"
            );
            let there = only(console).await?;
            ensure!(
                (&there.address, &there.tag) == (&stale.address, &stale.tag),
                "overwritten: {there:?}"
            );
            let calls = operator
                .calls_since(since, console.load_balancer.as_str())
                .await?;
            let tries = calls.iter().filter(failed).count();
            Ok(if tries > 0 && there.health == "Alive" {
                Ok(())
            } else {
                Err(format!("{tries} tries, {there:?}"))
            })
        },
    )
    .await
}

/// The old target went before the new one came, and the gate opened no earlier than the new one's own
/// checks allow.
fn in_order(calls: &[Call], opened_before: i64) -> Result<()> {
    let done = |action: &'static str| {
        let is = move |call: &&Call| call.action == action && call.outcome == "ok";
        let times: Vec<_> = calls.iter().filter(is).map(|call| call.at).collect();
        times
    };
    let (gone, came) = (done(DEREGISTER), done(REGISTER));
    let (Some(gone), Some(came)) = (gone.first(), came.first()) else {
        bail!("deregistered at {gone:?}, registered at {came:?}")
    };
    ensure!(
        gone < came,
        "registered at {came}, while the old one went at {gone}"
    );
    println!(
        "registered {} ms after the old one went, True at most {} ms later",
        came - gone,
        opened_before - came
    );
    let earliest = came + EARLIEST_MS;
    ensure!(
        opened_before > earliest,
        "True before {opened_before}, not possible before {earliest}"
    );
    Ok(())
}

/// The end of the second in which the gate turned True: conditions tell no more.
fn opened_before(pod: &Pod) -> Result<i64> {
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    let gate = conditions.flatten().find(|one| one.type_ == GATE);
    let since = gate.and_then(|one| one.last_transition_time.clone());
    Ok(since.context("since when")?.0.as_millisecond() + 1_000)
}

async fn create(world: &World, name: &str) -> Result<()> {
    // No scheduler asked: the address is free on this node.
    let yaml = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {}, labels: {{app: web}}}}
spec:
  nodeName: {NODE}
  containers:
    - name: sample
      image: {IMAGE}
      imagePullPolicy: IfNotPresent
      env: [{{name: GRACE, value: '0'}}]
      ports: [{{name: http, containerPort: 8080}}]
      readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
",
        world.namespace
    );
    kubectl::apply(&yaml).await.map(drop)
}

async fn until(world: &World, name: &str, kind: &str) -> Result<Pod> {
    eventually(&format!("{name} is {kind}"), PATIENCE, || async {
        let pod: Pod = world.api().get(name).await?;
        Ok(if condition(&pod, kind) == Some("True") {
            Ok(pod)
        } else {
            Err(summary(&pod))
        })
    })
    .await
}

async fn only(console: &Console) -> Result<Bound> {
    let mut all = console.targets(PORT).await?;
    ensure!(all.len() == 1, "{all:?}");
    all.pop().context("a target")
}

async fn gone(console: &Console) -> Result<()> {
    eventually("nothing of ours is left", PATIENCE, || async {
        let ours = console.listener(PORT).await?;
        let marker = console.listener(PORT + 1000).await?;
        let left = ours.or(marker);
        Ok(left.map_or(Ok(()), |one| Err(format!("{one:?}"))))
    })
    .await
}

/// Waits until the node's network plugin has the pod's address back.
async fn freed(pod: &Pod) -> Result<()> {
    let lease = leases()?.join(address_of(pod)?.to_string());
    eventually("the address is free", PATIENCE, || async {
        let taken = lease.exists();
        Ok(if taken {
            Err(format!("{} is there", lease.display()))
        } else {
            Ok(())
        })
    })
    .await
}

/// The network plugin hands addresses out in turn: makes this pod's address the next.
fn next_is(pod: &Pod) -> Result<()> {
    let before = Ipv4Addr::from_bits(address_of(pod)?.to_bits() - 1);
    let last = leases()?.join("last_reserved_ip.0");
    fs::write(&last, before.to_string()).with_context(|| format!("writing {}", last.display()))
}

fn address_of(pod: &Pod) -> Result<Ipv4Addr> {
    let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    Ok(ip.context("an address")?.parse()?)
}

/// Where the network plugin of the node keeps what it handed out: a file for each address.
fn leases() -> Result<PathBuf> {
    let run = std::env::var("CLB_GATE_RUN_DIR").context("CLB_GATE_RUN_DIR: no test host")?;
    Ok(PathBuf::from(run).join(NODE).join("ipam/pods"))
}
