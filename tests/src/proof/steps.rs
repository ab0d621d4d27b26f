//! Playing the story's steps: kubectl, as a user has it, and the simulator's operator door.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::EvictParams;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::sleep;

use super::arm::Arm;
use super::client::Clock;
use super::cloud::Life;
use super::crash::Open;
use super::ground::{APP, Ground};
use super::plan::Step;
use super::report::Mark;
use super::{cloud, pods};
use crate::kubectl;
use crate::ours::Part;
use crate::wait::eventually;

/// Thirty pods start, are bound and checked with a slow API on two busy cores.
const PATIENCE: Duration = Duration::from_mins(4);
/// The CLB's API in [`Step::SlowCloud`]: every call so much slower,
const SLOWER_MS: u64 = 500;
/// and this share of calls refused as over the limit.
const THROTTLED: f64 = 0.2;

/// Where the story plays, and what became of it so far.
pub(super) struct Stage {
    pub(super) ground: Ground,
    pub(super) clock: Clock,
    pub(super) pods: Arc<Mutex<pods::Seen>>,
    pub(super) cloud: Arc<Mutex<cloud::Seen>>,
    pub(super) replicas: u32,
    pub(super) marks: Vec<Mark>,
    pub(super) wounds: Vec<Open>,
}

impl Stage {
    /// Plays a step and waits until all is well again.
    pub(super) async fn play(&mut self, step: Step) -> Result<()> {
        let from = self.clock.now().as_secs_f64();
        let arm = self.ground.arm;
        eprintln!("proof: {arm} {from:>6.0} s  {step}");
        self.replicas = step.replicas().unwrap_or(self.replicas);
        let done = self.step(step).await;
        let settled = match done {
            Ok(()) => self.settled().await,
            Err(error) => Err(error),
        };
        self.marks.push(Mark {
            from,
            to: self.clock.now().as_secs_f64(),
            what: step.to_string(),
            rolls: step.rolls(),
        });
        settled.with_context(|| step.to_string())
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Calm(seconds) => {
                sleep(Duration::from_secs(seconds.into())).await;
                Ok(())
            }
            Step::Roll => self.roll().await,
            Step::Scale(replicas) => self.scale(replicas).await,
            Step::Evict => self.evict().await,
            Step::DrainNode { node, everything } => self.drain(node, everything).await,
            Step::RollOurs => self.roll_ours().await,
            Step::SlowCloud => self.slow_cloud().await,
            Step::Kill(count) => self.kill(count).await,
            Step::KillLeader => self.kill_leader().await,
            Step::Force(count) => self.force(count).await,
            Step::LoseNode(node) => self.lose(node).await,
        }
    }

    /// Rolls the workload and waits until it is through.
    pub(super) async fn roll(&self) -> Result<()> {
        self.restart().await?;
        self.rolled().await
    }

    pub(super) async fn restart(&self) -> Result<()> {
        self.kubectl(&["rollout", "restart", "deploy", APP]).await
    }

    pub(super) async fn rolled(&self) -> Result<()> {
        self.kubectl(&["rollout", "status", "deploy", APP, "--timeout=300s"])
            .await
    }

    async fn scale(&self, replicas: u32) -> Result<()> {
        let replicas = format!("--replicas={replicas}");
        self.kubectl(&["scale", "deploy", APP, &replicas]).await
    }

    async fn evict(&self) -> Result<()> {
        let oldest = self.pods.lock().serving().into_iter().next();
        let name = oldest.context("no pod to evict")?.name;
        let api = self.ground.world.api::<Pod>();
        api.evict(&name, &EvictParams::default()).await?;
        eventually("the evicted pod is going", PATIENCE, || async {
            let pods = self.pods.lock();
            let stays = pods
                .there()
                .any(|pod| pod.name == name && pod.going.is_none());
            Ok(if stays {
                Err(format!("{name} stays"))
            } else {
                Ok(())
            })
        })
        .await
    }

    async fn drain(&self, node: &str, everything: bool) -> Result<()> {
        let whole = [
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--timeout=400s",
        ];
        let ours = format!("--pod-selector=app={APP}");
        let mut drain = vec!["drain", node];
        drain.extend(whole);
        if !everything {
            drain.push(&ours);
        }
        let drained = kubectl::run(&drain).await;
        let back = kubectl::run(&["uncordon", node]).await;
        drained.and(back).map(drop)
    }

    async fn roll_ours(&self) -> Result<()> {
        Part::Controller.restart().await?;
        Part::Webhook.restart().await?;
        self.roll().await?;
        Part::Controller.rolled().await?;
        Part::Webhook.rolled().await
    }

    async fn slow_cloud(&self) -> Result<()> {
        let door = &self.ground.operator;
        // The lot is drawn first: the oldest fault that hits a call is the only one.
        let throttled =
            json!({"action": "*", "chance": THROTTLED, "kinds": ["throttle"], "seed": 7});
        let slow = json!({"action": "*", "latency_ms": SLOWER_MS, "for_ms": 600_000});
        door.fault(&throttled).await?;
        door.fault(&slow).await?;
        let rolled = self.roll().await;
        door.no_faults().await?;
        rolled
    }

    /// All pods that should be there are Ready, no other stays, and the CLB sends to all of them.
    async fn settled(&self) -> Result<()> {
        let direct = self.ground.arm.policy().is_none();
        let wanted = self.replicas;
        eventually("all is well again", PATIENCE, || async {
            let counts = self.pods.lock().counts();
            let serving = self.cloud.lock().count(Life::Serves);
            let well = counts.ready == wanted
                && counts.starting + counts.waiting == 0
                && (!direct || serving >= wanted);
            Ok(if well {
                Ok(())
            } else {
                Err(format!(
                    "{counts:?}, {serving} healthy targets, not {wanted}"
                ))
            })
        })
        .await
    }

    async fn kubectl(&self, args: &[&str]) -> Result<()> {
        let here = ["-n", &self.ground.world.namespace];
        kubectl::run(&[args, &here].concat()).await.map(drop)
    }

    /// Whether this arm goes on until there were enough requests.
    pub(super) fn goes_on(&self) -> bool {
        self.ground.arm == Arm::Drain
    }
}
