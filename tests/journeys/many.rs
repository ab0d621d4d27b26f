//! Four hundred pods behind one Service come and go at once: a handful of calls.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::operator::{Call, Operator, now};
use clb_gate_tests::played::{self, Deleted, Stand};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::{GATE, condition};
use clb_gate_tests::{World, kubectl};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use serde_json::Value;
use tokio::time::Instant;

use crate::stage::{PATIENCE, alone};

const PODS: u16 = 400;
/// What a test can ask of the API server at once without drowning it.
const AT_ONCE: usize = 32;
const PORT: u16 = 8070;
const REGISTER: &str = "BatchRegisterTargets";
/// Two, if the burst comes without a pause, which `a_burst_takes_two_calls` shows in virtual time. To a
/// controller on a busy machine it may pause, and each pause ends a call.
const A_HANDFUL: usize = 6;

#[test]
fn four_hundred_pods_are_bound_in_a_handful_of_calls_and_leave_nothing() {
    // Alone: what others ask of the API server would stretch the burst.
    alone("many", |world| async move {
        let operator = Operator::new()?;
        let console = Console::buy("many").await?;
        console.furnish(9000, "198.18.1.250:9999".parse()?).await?;
        let id = console.load_balancer.as_str();
        let before = own(&operator, id).await?;

        let _stand = Stand::open(Path::new(env!("CARGO_BIN_EXE_sample"))).await?;
        let service = Service::direct(&world.namespace, "web", id, PORT);
        kubectl::apply(&service.yaml()).await?;
        bound(&operator, id, 0).await?;
        come(&world, id, &operator).await?;
        go(&world, id, &operator).await?;

        ensure!(own(&operator, id).await? == before);
        console.give_back().await
    });
}

async fn come(world: &World, id: &str, operator: &Operator) -> Result<()> {
    let names: Vec<_> = (1..=PODS)
        .map(|number| (number, format!("web-{number:03}")))
        .collect();
    each(&names, |_, name| {
        played::create(world, "web", name, Deleted::AtOnce)
    })
    .await?;
    let (start, since) = (Instant::now(), now()?);
    each(&names, |number, name| played::start(world, name, number)).await?;
    println!(
        "{PODS} pods got their addresses within {:?}",
        start.elapsed()
    );
    let all = bound(operator, id, usize::from(PODS)).await?;
    println!("all bound after {:?}", start.elapsed());
    ensure!(all.iter().all(Option::is_some), "untagged targets");
    gates_open(world, usize::from(PODS)).await?;
    println!("all gates True after {:?}", start.elapsed());
    told(world, &names).await?;
    println!("all Events written after {:?}", start.elapsed());
    let calls = operator.calls_since(since, id).await?;
    println!("calls:\n{}", table(&calls));
    let registers = calls.iter().filter(|call| call.action == REGISTER);
    let count = registers.count();
    ensure!(count <= A_HANDFUL, "{count} {REGISTER} for {PODS} pods");
    Ok(())
}

async fn go(world: &World, id: &str, operator: &Operator) -> Result<()> {
    let (start, since) = (Instant::now(), now()?);
    played::stop_all(world, "web").await?;
    bound(operator, id, 0).await?;
    println!("all deleted and unbound after {:?}", start.elapsed());
    let calls = operator.calls_since(since, id).await?;
    println!("calls:\n{}", table(&calls));
    kubectl::run(&["delete", "service", "web", "-n", &world.namespace]).await?;
    eventually("our listener is gone", PATIENCE, || async {
        let there = operator.listener(id, PORT).await?;
        Ok(there.map_or(Ok(()), |one| Err(one.to_string())))
    })
    .await
}

/// Waits until this many targets are on the Service's listener; their tags. Not by the API: its calls are
/// counted.
async fn bound(operator: &Operator, id: &str, count: usize) -> Result<Vec<Option<String>>> {
    eventually(&format!("{count} targets"), PATIENCE, || async {
        let Some(listener) = operator.listener(id, PORT).await? else {
            return Ok(Err("no listener".to_owned()));
        };
        let targets = listener.get("targets").and_then(Value::as_array);
        let targets = targets.map_or(&[][..], Vec::as_slice);
        let tag = |one: &Value| one.get("tag").and_then(Value::as_str).map(str::to_owned);
        Ok(if targets.len() == count {
            Ok(targets.iter().map(tag).collect())
        } else {
            Err(format!("{} are", targets.len()))
        })
    })
    .await
}

async fn gates_open(world: &World, count: usize) -> Result<()> {
    eventually(&format!("{count} gates True"), PATIENCE, || async {
        let pods = world.pods("web").await?;
        let open = pods
            .iter()
            .filter(|pod| condition(pod, GATE) == Some("True"))
            .count();
        Ok(if open == count {
            Ok(())
        } else {
            Err(format!("{open} are"))
        })
    })
    .await
}

/// Every pod has its own Events.
async fn told(world: &World, names: &[(u16, String)]) -> Result<()> {
    eventually(
        "every pod has an Event of its binding",
        PATIENCE,
        || async {
            let events = world.api::<Event>().list(&ListParams::default()).await?;
            let mut told = BTreeMap::<_, usize>::new();
            let bound = events
                .iter()
                .filter(|event| event.reason.as_deref() == Some("Bound"));
            for event in bound {
                let name = event.regarding.as_ref().and_then(|pod| pod.name.clone());
                *told.entry(name).or_default() += 1;
            }
            let missing = names
                .iter()
                .filter(|(_, name)| !told.contains_key(&Some(name.clone())));
            Ok(match missing.count() {
                0 => Ok(()),
                count => Err(format!("{count} have none")),
            })
        },
    )
    .await
}

async fn each<'a, F: Future<Output = Result<()>>>(
    names: &'a [(u16, String)],
    act: impl Fn(u16, &'a str) -> F,
) -> Result<()> {
    stream::iter(names)
        .map(|(number, name)| act(*number, name))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

async fn own(operator: &Operator, id: &str) -> Result<Value> {
    let mut state = operator.state().await?;
    state.remove(id).context("bought, but not there")
}

fn table(calls: &[Call]) -> String {
    let mut lines = BTreeMap::<_, (usize, usize)>::new();
    for call in calls {
        let (count, targets) = lines.entry((&call.action, &call.outcome)).or_default();
        *count += 1;
        *targets += call.targets;
    }
    let line = |((action, outcome), (count, targets)): ((&String, &String), (usize, usize))| {
        format!("  {action} {outcome}: {count}, of {targets} targets\n")
    };
    lines.into_iter().map(line).collect()
}
