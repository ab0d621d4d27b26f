//! What cannot be graceful: processes killed from the host, pods deleted with `--force`, a node cut off. Each
//! is written down, so that what fails by it can be told from what must not.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::time::sleep;

use super::blame::Wound;
use super::ground::{APP, INTERVAL, TIME_OUT, UNHEALTHY};
use super::pods::Life;
use super::steps::Stage;
use crate::{kubectl, ours};

/// The sample's port.
const PORT: u16 = 8080;
/// The nodes' wires on the bridge (the test host's `network.rs`).
const WIRES: [(&str, &str); 2] = [("node-1", "up1"), ("node-2", "up2")];
/// How long a node is cut off: longer than Kubernetes takes to call it lost (50 s).
const CUT: Duration = Duration::from_mins(1);
/// Beyond what the CLB needs to know: between two looks at it, and on two busy cores.
const SLACK: Duration = Duration::from_secs(1);

/// Something killed whose end is not known yet.
pub(super) struct Open {
    what: String,
    pod: String,
    target: SocketAddr,
    from: Duration,
}

impl Stage {
    /// Kills the processes of some pods; their kubelets start them again.
    pub(super) async fn kill(&mut self, count: usize) -> Result<()> {
        for pod in self.victims(count)? {
            self.wound("kill -9", &pod);
            ours::kill_process(&pod.uid, "/sample")?;
        }
        self.known().await;
        Ok(())
    }

    /// Deletes some pods with `--force`.
    pub(super) async fn force(&mut self, count: usize) -> Result<()> {
        let victims = self.victims(count)?;
        let namespace = self.ground.world.namespace.clone();
        let mut delete = vec!["delete", "pods", "-n", &namespace];
        delete.extend(["--force", "--grace-period=0"]);
        delete.extend(victims.iter().map(|pod| pod.name.as_str()));
        for pod in &victims {
            self.wound("delete --force", pod);
        }
        kubectl::run(&delete).await?;
        self.known().await;
        Ok(())
    }

    /// Kills the leader's process in the middle of a rollout. No request may fail by that.
    pub(super) async fn kill_leader(&mut self) -> Result<()> {
        self.restart().await?;
        sleep(Duration::from_secs(INTERVAL.into())).await;
        let client = &self.ground.world.client;
        let leader = ours::leader(client).await?;
        ours::kill_minus_nine(client, &leader).await?;
        self.rolled().await
    }

    /// Cuts a node off from everything and gives it back.
    pub(super) async fn lose(&mut self, node: &str) -> Result<()> {
        let wire = WIRES.iter().find(|(name, _)| *name == node);
        let (_, wire) = wire.with_context(|| format!("{node} has no wire"))?;
        let there: Vec<_> = self.pods.lock().there().cloned().collect();
        for pod in there {
            if pod.node.as_deref() == Some(node) {
                self.wound("node cut off", &pod);
            }
        }
        link(wire, "down").await?;
        sleep(CUT).await;
        link(wire, "up").await
    }

    /// What was killed, with when the CLB sent it nothing more.
    pub(super) fn wounds(&self) -> Vec<Wound> {
        let cloud = self.cloud.lock();
        let close = |open: &Open| {
            let latest = open.from + bound() + SLACK;
            let out = cloud.out_since(open.target, open.from);
            let out = out.filter(|out| *out <= latest);
            Wound {
                what: open.what.clone(),
                pod: open.pod.clone(),
                target: open.target,
                from: open.from,
                until: out.map_or(latest, |out| latest.min(out + SLACK)),
                live_until: latest,
                seen_out: out.is_some(),
            }
        };
        self.wounds.iter().map(close).collect()
    }

    /// Some that serve, the oldest: they have had their share of the load.
    fn victims(&self, count: usize) -> Result<Vec<Life>> {
        let serving = self.pods.lock().serving();
        ensure!(
            serving.len() > count,
            "{} pods of {APP} are Ready: too few to kill {count}",
            serving.len()
        );
        Ok(serving.into_iter().take(count).collect())
    }

    fn wound(&mut self, what: &str, pod: &Life) {
        if let Some(ip) = pod.ip {
            self.wounds.push(Open {
                what: what.to_owned(),
                pod: pod.name.clone(),
                target: SocketAddr::new(ip, PORT),
                from: self.clock.now(),
            });
        }
    }

    /// Waits as long as the CLB may take to know: a pod that is back before is Ready before.
    async fn known(&self) {
        sleep(bound() + SLACK).await;
    }
}

/// After this the CLB's own health check knows.
pub(super) fn bound() -> Duration {
    Duration::from_secs((UNHEALTHY * INTERVAL + TIME_OUT).into())
}

async fn link(wire: &str, state: &str) -> Result<()> {
    let args = ["link", "set", wire, state];
    let status = Command::new("ip").args(args).status().await?;
    ensure!(status.success(), "ip {}", args.join(" "));
    Ok(())
}
