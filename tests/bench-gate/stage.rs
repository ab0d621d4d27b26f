//! What stands before the clock starts: load balancers with a Service each, and pods on a node on paper
//! behind them, bound by clb-gate, their gates shut.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use clb_gate_tests::operator::Operator;
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::{World, kubectl};
use serde_json::Value;
use tokio::time::Instant;

use crate::node::OnPaper;
use crate::oracle;
use crate::pods;
use crate::scale::{Scale, app};
use crate::watching::Watching;

/// The port of every Service, each on a load balancer of its own.
pub(crate) const PORT: u16 = 8080;
/// Thousands of bindings, some hundreds a call.
const BOUND: Duration = Duration::from_mins(5);
/// Between two looks at all that the simulator has.
const LOOK: Duration = Duration::from_secs(1);

/// What is measured.
pub(crate) struct Stage {
    pub(crate) scale: Scale,
    pub(crate) world: World,
    pub(crate) operator: Operator,
    pub(crate) consoles: Vec<Console>,
    pub(crate) watching: Watching,
    node: OnPaper,
}

impl Stage {
    /// Sets it up and waits until nothing moves.
    pub(crate) async fn set(scale: Scale) -> Result<Self> {
        let begun = Instant::now();
        let world = World::new("bench-gate").await?;
        let stage = Self {
            scale,
            operator: Operator::new()?,
            node: OnPaper::join(&world.client).await?,
            watching: Watching::start(&world),
            consoles: buy(scale).await?,
            world,
        };
        // Before they are bound, so that nobody probes them.
        oracle::all_unknown(&stage.operator, scale).await?;
        stage.serve().await?;
        println!("{} pods are created", scale.pods);
        pods::create(&stage.world, scale).await?;
        stage.bound().await?;
        println!("All are bound");
        stage.watching.settled(scale).await?;
        println!("All gates are shut, after {:.0?}", begun.elapsed());
        Ok(stage)
    }

    /// The ids of the load balancers.
    pub(crate) fn load_balancers(&self) -> BTreeSet<&str> {
        let consoles = self.consoles.iter();
        consoles.map(|one| one.load_balancer.as_str()).collect()
    }

    /// Takes everything away.
    pub(crate) async fn clear(self) -> Result<()> {
        pods::delete(&self.world, self.scale).await?;
        self.node.leave().await?;
        self.operator.ask("DELETE", "forecast", "").await?;
        self.world.end().await?;
        for console in &self.consoles {
            console.give_back().await?;
        }
        Ok(())
    }

    async fn serve(&self) -> Result<()> {
        let namespace = &self.world.namespace;
        let services = self.consoles.iter().zip(0..).map(|(console, number)| {
            let (name, id) = (app(number), console.load_balancer.as_str());
            Service::direct(namespace, &name, id, PORT).yaml()
        });
        let services: Vec<_> = services.collect();
        kubectl::apply(&services.join("---\n")).await?;
        let first = self.consoles.first().context("a load balancer")?;
        let id = first.load_balancer.as_str();
        self.world.webhooks_know(id, PORT).await
    }

    /// Waits until the simulator has a target for every pod.
    async fn bound(&self) -> Result<()> {
        eventually("all pods are bound", BOUND, || async {
            tokio::time::sleep(LOOK).await;
            let state = self.operator.state().await?;
            let ours = self.load_balancers();
            let ours = state.iter().filter(|(id, _)| ours.contains(id.as_str()));
            let there: usize = ours.map(|(_, one)| targets(one)).sum();
            Ok(if there == usize::from(self.scale.pods) {
                Ok(())
            } else {
                Err(format!("{there} are"))
            })
        })
        .await
    }
}

async fn buy(scale: Scale) -> Result<Vec<Console>> {
    let mut consoles = Vec::new();
    for number in 0..scale.load_balancers {
        consoles.push(Console::buy(&app(number)).await?);
    }
    Ok(consoles)
}

/// How many targets a load balancer has.
fn targets(load_balancer: &Value) -> usize {
    let list = |of: &Value, key: &str| of.get(key).and_then(Value::as_array).cloned();
    let listeners = list(load_balancer, "listeners").unwrap_or_default();
    let targets = listeners.iter().filter_map(|one| list(one, "targets"));
    targets.map(|all| all.len()).sum()
}
