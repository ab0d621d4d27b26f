//! Watches the pods' gates and, beside them, what the CLB itself says of the same pods.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use clb_gate_tests::World;
use clb_gate_tests::sim::{Bound, Console};
use clb_gate_tests::world::{GATE, condition, gates, target};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use tokio::time::Instant;

use crate::story;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);

/// What was seen of each pod.
#[derive(Default)]
pub(crate) struct Sightings {
    pods: BTreeMap<String, Sighting>,
    start: Option<Instant>,
}

struct Sighting {
    first: Instant,
    closed_seen: bool,
    opened: Option<Duration>,
    line: String,
}

impl Sightings {
    /// How many pods were seen.
    pub(crate) fn pods(&self) -> usize {
        self.pods.len()
    }

    /// How many were seen with the gate closed first and open later.
    pub(crate) fn turned(&self) -> usize {
        self.pods
            .values()
            .filter(|pod| pod.closed_seen && pod.opened.is_some())
            .count()
    }

    /// Name, whether both states were seen, and how long the gate took.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, bool, Option<Duration>)> {
        self.pods
            .iter()
            .map(|(name, pod)| (name.as_str(), pod.closed_seen, pod.opened))
    }

    fn look(&mut self, pod: &Pod, bound: Option<&Bound>) {
        let now = Instant::now();
        let since = now - *self.start.get_or_insert(now);
        let open = condition(pod, GATE) == Some("True");
        let sighting = self.pods.entry(pod.name_any()).or_insert_with(|| Sighting {
            first: now,
            closed_seen: false,
            opened: None,
            line: String::new(),
        });
        sighting.closed_seen |= gates(pod) == 1 && !open;
        if open && sighting.opened.is_none() {
            sighting.opened = Some(now - sighting.first);
        }
        let line = line(pod, bound, open);
        if line != sighting.line {
            println!("  {:>6.1} s  {line}", since.as_secs_f64());
            sighting.line = line;
        }
    }
}

fn line(pod: &Pod, bound: Option<&Bound>, open: bool) -> String {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.clone())
        .unwrap_or_default();
    let clb = match bound {
        None => "not bound".to_owned(),
        Some(bound) => format!("{} weight {} {}", bound.address, bound.weight, bound.health),
    };
    format!(
        "{:<24} {phase:<8} gates {}/{}   CLB: {clb}",
        pod.name_any(),
        u8::from(open),
        gates(pod)
    )
}

/// Prints every change until `count` pods of revision-mates are Ready and no other is there.
pub(crate) async fn watch_until_ready(
    world: &World,
    (console, port): (&Console, u16),
    count: usize,
    sightings: &mut Sightings,
    within: Duration,
) -> Result<()> {
    let end = Instant::now() + within;
    let newest = newest_revision(world).await?;
    loop {
        let pods = world.pods("web").await?;
        let targets = console.targets(port).await?;
        for pod in &pods {
            let address = target(pod);
            let bound = targets
                .iter()
                .find(|t| Some(&t.address) == address.as_ref());
            sightings.look(pod, bound);
        }
        let settled = pods.len() == count
            && pods
                .iter()
                .all(|pod| condition(pod, "Ready") == Some("True") && revision(pod) == newest);
        if settled {
            return Ok(());
        }
        if Instant::now() >= end {
            story::step("not in time");
            bail!("{count} pods of the newest revision are not Ready within {within:?}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn newest_revision(world: &World) -> Result<Option<String>> {
    let deployments = world.api::<k8s_openapi::api::apps::v1::Deployment>();
    let template = deployments
        .get("web")
        .await?
        .spec
        .unwrap_or_default()
        .template;
    Ok(template
        .metadata
        .unwrap_or_default()
        .annotations
        .unwrap_or_default()
        .remove("example.com/revision"))
}

fn revision(pod: &Pod) -> Option<String> {
    pod.annotations().get("example.com/revision").cloned()
}
