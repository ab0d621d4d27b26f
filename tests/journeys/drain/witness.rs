//! Who saw what of pods that go: when they were asked to, when the CLB had weight 0 for them, and when their
//! application got SIGTERM.
//!
//! Only looks that come late are counted: what the CLB is seen to have was so when the answer had come, and a
//! pod's own log is stamped when the line was written. So an order that is seen was so.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::World;
use clb_gate_tests::operator::{Operator, now};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::nobody_goes;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// What the sample says first when it is to end.
const TERM: &str = "SIGTERM";

/// What was seen of a pod, in milliseconds since 1970.
#[derive(Clone, Debug)]
struct Story {
    name: String,
    /// When it was asked to go, to the second.
    asked: i64,
    /// A moment at which the CLB sent it nothing new.
    silent: Option<i64>,
    /// A moment just after its application got SIGTERM.
    term: Option<i64>,
}

/// The pods that went, by UID.
#[derive(Clone, Debug, Default)]
pub(crate) struct Went(BTreeMap<String, Story>);

/// Looks until it is told to stop.
pub(crate) struct Witness {
    stop: watch::Sender<bool>,
    looking: JoinSet<Result<Went>>,
}

struct Looks {
    pods: Api<Pod>,
    operator: Operator,
    load_balancer: String,
    ports: Vec<u16>,
    /// How long pods sleep: their logs are not read before that is nearly over.
    drain: i64,
    went: Went,
}

impl Witness {
    /// Looks at the pods of a journey, and at these listeners.
    pub(crate) fn of(world: &World, id: &str, ports: &[u16], drain: u64) -> Result<Self> {
        let looks = Looks {
            pods: world.api(),
            operator: Operator::new()?,
            load_balancer: id.to_owned(),
            ports: ports.to_vec(),
            drain: i64::try_from(drain)? * 1_000,
            went: Went::default(),
        };
        let (stop, stopped) = watch::channel(false);
        let mut looking = JoinSet::new();
        looking.spawn(looks.until(stopped));
        Ok(Self { stop, looking })
    }

    /// Looks until nobody goes any more.
    pub(crate) async fn until_all_have_gone(mut self, world: &World) -> Result<Went> {
        nobody_goes(world).await?;
        self.stop.send_replace(true);
        let ended = self.looking.join_next().await;
        ended.context("a witness")??
    }
}

impl Looks {
    async fn until(mut self, mut stopped: watch::Receiver<bool>) -> Result<Went> {
        loop {
            self.look().await?;
            tokio::select! {
                _ = stopped.changed() => return Ok(self.went),
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<()> {
        let pods = self.pods.list(&ListParams::default()).await?;
        for pod in &pods {
            self.meet(pod);
        }
        let serving = self.serving().await?;
        let seen = now()?;
        for (uid, story) in &mut self.went.0 {
            let silent = !serving.iter().any(|tag| tag.ends_with(uid.as_str()));
            story.silent = story.silent.or_else(|| silent.then_some(seen));
        }
        for pod in &pods {
            self.hear(pod, seen).await?;
        }
        Ok(())
    }

    fn meet(&mut self, pod: &Pod) {
        let meta = &pod.metadata;
        let (Some(by), Some(uid)) = (&meta.deletion_timestamp, &meta.uid) else {
            return;
        };
        let grace = meta.deletion_grace_period_seconds.unwrap_or_default();
        self.went.0.entry(uid.clone()).or_insert_with(|| Story {
            name: pod.name_any(),
            asked: by.0.as_millisecond() - grace * 1_000,
            silent: None,
            term: None,
        });
    }

    /// The tags of targets that get new connections.
    async fn serving(&self) -> Result<Vec<String>> {
        let state = self.operator.state().await?;
        let listeners = state.get(&self.load_balancer);
        let listeners = listeners.and_then(|one| one.get("listeners")?.as_array());
        let port = |one: &&Value| {
            let port = one.get("port").and_then(Value::as_u64);
            self.ports.iter().any(|own| port == Some((*own).into()))
        };
        let ours = listeners.into_iter().flatten().filter(port);
        let targets = ours
            .filter_map(|one| one.get("targets")?.as_array())
            .flatten();
        let weighs = |one: &&Value| one.get("weight").and_then(Value::as_u64) != Some(0);
        let tags = targets
            .filter(weighs)
            .filter_map(|one| one.get("tag")?.as_str());
        Ok(tags.map(str::to_owned).collect())
    }

    /// Reads the log of a pod that must have got SIGTERM soon or a moment ago.
    async fn hear(&mut self, pod: &Pod, seen: i64) -> Result<()> {
        let uid = pod.uid().unwrap_or_default();
        let Some(story) = self.went.0.get_mut(&uid) else {
            return Ok(());
        };
        if story.term.is_some() || seen < story.asked + self.drain {
            return Ok(());
        }
        let stamped = LogParams {
            timestamps: true,
            ..LogParams::default()
        };
        // A pod that is gone meanwhile has no log; then nobody heard it, which fails in the end.
        let log = self.pods.logs(&story.name, &stamped).await;
        story.term = log.ok().as_deref().and_then(term);
        Ok(())
    }
}

fn term(log: &str) -> Option<i64> {
    let mut lines = log.lines().filter_map(|line| line.split_once(' '));
    let (stamp, _) = lines.find(|(_, said)| said.starts_with(TERM))?;
    Some(stamp.parse::<Timestamp>().ok()?.as_millisecond())
}

impl Went {
    /// At least so many went, and the CLB sent none anything new when its application got SIGTERM.
    pub(crate) fn in_order(&self, least: usize, title: &str) -> Result<()> {
        ensure!(
            self.0.len() >= least,
            "only {} went: {self:?}",
            self.0.len()
        );
        let (mut late, mut early) = (0, i64::MAX);
        for story in self.0.values() {
            let (Some(silent), Some(term)) = (story.silent, story.term) else {
                anyhow::bail!("not all was seen: {story:?}")
            };
            ensure!(silent < term, "SIGTERM came first: {story:?}");
            late = late.max(silent - story.asked);
            early = early.min(term - silent);
        }
        println!(
            "{title}: {} pods went; weight 0 was seen at most {late} ms after the second in which they were asked, and at \
             least {early} ms before SIGTERM",
            self.0.len()
        );
        Ok(())
    }
}
