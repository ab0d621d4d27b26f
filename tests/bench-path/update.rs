//! What clients notice while all pods of an arm are replaced and one moves to the other node: the arms
//! side by side, each under the same steady load.

use std::collections::BTreeMap;

use anyhow::Result;
use clb_gate_tests::kubectl;
use clb_gate_tests::load::{Load, Report};
use clb_gate_tests::wait::eventually;
use futures::future::try_join_all;
use kube::Api;
use kube::api::ListParams;
use serde::Serialize;

use crate::arm::{Arm, PerArm};
use crate::client::client;
use crate::stage::{GROUPS, PATIENCE, Stage, deployment};

/// Requests a second at each arm, each on a connection of its own.
const RATE: u32 = 40;

/// What became of an arm's requests meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Update {
    /// Requests.
    pub(crate) requests: u64,
    /// Those without a good answer.
    pub(crate) lost: u64,
    /// By cause.
    pub(crate) causes: BTreeMap<String, u64>,
}

/// Replaces all pods under load.
pub(crate) async fn run(stage: &Stage) -> Result<PerArm<Update>> {
    let mut loads = PerArm::new(|arm| {
        let front = stage.front(arm.port());
        Some(Load::start_from(client(0), front, RATE))
    });
    let rolled = roll(stage).await;
    let mut updates = PerArm::default();
    for arm in Arm::ALL {
        if let Some(load) = loads.get_mut(arm).take() {
            *updates.get_mut(arm) = Update::of(load.stop().await?);
        }
    }
    rolled.map(|()| updates)
}

impl Update {
    fn of(report: Report) -> Self {
        Self {
            requests: report.requests,
            lost: report.failed(),
            causes: report.failures,
        }
    }
}

/// All at once: the pods that alone were on their node come back on the other.
async fn roll(stage: &Stage) -> Result<()> {
    let [(_, _, gathering), ..] = GROUPS;
    let mut names = vec![];
    for arm in Arm::ALL {
        for (group, replicas, _) in GROUPS {
            let moved = (group, replicas, gathering);
            kubectl::apply(&deployment(&stage.world, arm, moved, 2)).await?;
            names.push(format!("deploy/{arm}-{group}"));
        }
    }
    try_join_all(names.iter().map(|name| through(stage, name))).await?;
    old_pods_are_gone(stage).await?;
    the_empty_node_is_known(stage).await
}

async fn through(stage: &Stage, name: &str) -> Result<()> {
    let namespace = &stage.world.namespace;
    let status = ["rollout", "status", name, "-n", namespace, "--timeout=180s"];
    kubectl::run(&status).await.map(drop)
}

async fn old_pods_are_gone(stage: &Stage) -> Result<()> {
    let pods: Api<k8s_openapi::api::core::v1::Pod> = stage.world.api();
    eventually("the old pods are gone", PATIENCE, || async {
        let all = pods.list(&ListParams::default()).await?.items;
        let going = all
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_some());
        let count = going.count();
        Ok(if count == 0 {
            Ok(())
        } else {
            Err(format!("{count} are going"))
        })
    })
    .await
}

/// Until the CLB has found out that a node of the `Local` arm has no pod any more; it keeps the target,
/// for nobody tells it.
async fn the_empty_node_is_known(stage: &Stage) -> Result<()> {
    eventually("the CLB finds the empty node dead", PATIENCE, || async {
        let targets = stage.console.targets(Arm::Local.port()).await?;
        let dead = targets.iter().filter(|target| target.health == "Dead");
        Ok(if dead.count() == 1 {
            Ok(())
        } else {
            Err(format!("{targets:?}"))
        })
    })
    .await
}
