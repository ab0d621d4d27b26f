//! What clb-gate is measured against: a bare loop that asks for the health of the same targets once a
//! second and sets a condition of the same pods, and does nothing else. It knows what to write without a
//! cache, judges nothing and tells nobody. Any controller that polls is slower.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clb::{ListenerId, LoadBalancerId};
use clb_gate_tests::played::now;
use clb_gate_tests::sim::Console;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use crate::scale::{A_CALL, Scale, name, target};
use crate::stage::{PORT, Stage};
use crate::watching::REFERENCE;

/// As clb-gate asks.
const EVERY: Duration = Duration::from_secs(1);
/// As many as clb-gate has under way.
const AT_ONCE: usize = 16;

/// The loop.
pub(crate) struct Loop {
    console: Console,
    /// Load balancers and their listeners, as many as one call takes.
    calls: Vec<(Vec<LoadBalancerId>, Vec<ListenerId>)>,
    pods: Api<Pod>,
    waiting: Vec<(SocketAddr, u16)>,
}

impl Loop {
    /// Looks up what the loop needs to know.
    pub(crate) async fn prepare(stage: &Stage) -> Result<Self> {
        let console = stage.consoles.first().context("a load balancer")?.clone();
        let mut calls = Vec::new();
        for chunk in stage.consoles.chunks(A_CALL.into()) {
            let mut call = (Vec::new(), Vec::new());
            for one in chunk {
                let listener = one.listener(PORT).await?;
                let listener = listener.with_context(|| format!("no listener on {PORT}"))?;
                call.0.push(one.load_balancer.clone());
                call.1.push(listener.listener_id);
            }
            calls.push(call);
        }
        Ok(Self {
            console,
            calls,
            pods: stage.world.api(),
            waiting: all(stage.scale),
        })
    }

    /// Works until nothing waits.
    pub(crate) async fn run(mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            let next = Instant::now() + EVERY;
            let alive = self.alive().await?;
            let (turned, waiting) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|(target, _)| alive.contains(target));
            self.waiting = waiting;
            self.write(turned).await?;
            tokio::time::sleep_until(next).await;
        }
        Ok(())
    }

    async fn alive(&self) -> Result<BTreeSet<SocketAddr>> {
        let mut alive = BTreeSet::new();
        for (load_balancers, listeners) in &self.calls {
            alive.extend(self.console.alive(load_balancers, listeners).await?);
        }
        Ok(alive)
    }

    async fn write(&self, turned: Vec<(SocketAddr, u16)>) -> Result<()> {
        stream::iter(turned)
            .map(|(_, pod)| open(&self.pods, pod))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}

fn all(scale: Scale) -> Vec<(SocketAddr, u16)> {
    scale.all().map(|pod| (target(pod), pod)).collect()
}

async fn open(pods: &Api<Pod>, pod: u16) -> Result<()> {
    let name = name(pod);
    let patch = Patch::Strategic(json!({"status": {"conditions": [{
        "type": REFERENCE,
        "status": "True",
        "reason": "Healthy",
        "lastTransitionTime": now().to_string(),
    }]}}));
    let opened = pods
        .patch_status(&name, &PatchParams::default(), &patch)
        .await;
    opened.with_context(|| format!("opening {name}")).map(drop)
}
