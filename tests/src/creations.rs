//! Pods created, as fast as the API server takes them or steadily, and each answer looked at.
//!
//! No scheduler takes them. Each creator deletes its own in bulk now and then, so that there are never more
//! than some hundreds, however fast they come. Nothing is tried again: a creation that failed is a pod that
//! somebody's controller did not get.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams, PropagationPolicy};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::World;
use crate::operator::now;
use crate::workload::unscheduled;
use crate::world::gates;

/// How fast pods are created.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// As many at a time.
    pub at_a_time: usize,
    /// Between an answer and the next creation.
    pub pause: Duration,
}

impl Pace {
    /// As many at a time as two cores cannot answer at once: the API server sets the pace.
    pub const FULL: Self = Self {
        at_a_time: 12,
        pause: Duration::ZERO,
    };
    /// For when it is about when, not how many.
    pub const STEADY: Self = Self {
        at_a_time: 1,
        pause: Duration::from_millis(40),
    };
}

/// So many of a creator's pods are deleted at once.
const SWEEP: usize = 25;
/// Which creator made a pod.
const CREATOR: &str = "creator";
/// After a failure, so that a broken API server is not asked ten thousand times a second.
const AFTER_FAILURE: Duration = Duration::from_millis(20);
/// Failures that are told one by one.
const TOLD: usize = 5;

/// A creation that failed, or one whose pod has no gate.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it was begun, in milliseconds since 1970.
    pub begun: i64,
    /// When it was answered.
    pub ended: i64,
    /// What the API server said.
    pub why: String,
}

/// What became of all creations.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Answered with a pod that has the gate.
    pub gated: u64,
    /// Answered with a pod that has it not: nobody asked the webhook.
    pub ungated: Vec<Failure>,
    /// Not answered with a pod.
    pub failed: Vec<Failure>,
    /// For how long.
    pub lasted: Duration,
    /// The slowest answer.
    pub slowest: Duration,
}

impl Report {
    /// All creations.
    pub fn total(&self) -> u64 {
        self.gated + (self.ungated.len() + self.failed.len()) as u64
    }

    /// In a line.
    pub fn line(&self) -> String {
        let rate = u128::from(self.total()) * 1000 / self.lasted.as_millis().max(1);
        format!(
            "{} pods created in {:.0?} ({rate}/s, slowest {:.0?}): {} failed, {} without the gate",
            self.total(),
            self.lasted,
            self.slowest,
            self.failed.len(),
            self.ungated.len()
        )
    }

    /// The first failures, one by one.
    pub fn failures(&self) -> String {
        let lines = self.failed.iter().take(TOLD).map(|one| {
            let took = one.ended - one.begun;
            format!("\n  at {} for {took} ms: {}", one.begun, one.why)
        });
        lines.collect()
    }
}

/// Creations that go on until they are stopped.
pub struct Creations {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
    tally: Arc<Mutex<Report>>,
    start: Instant,
}

impl Creations {
    /// Creates pods of an app in a world.
    pub fn start(world: &World, app: &str, pace: Pace) -> Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let tally = Arc::new(Mutex::new(Report::default()));
        let mut running = JoinSet::new();
        let api = world.api::<Pod>();
        for number in 0..pace.at_a_time {
            let creator = Creator {
                api: api.clone(),
                pod: pod(app, number)?,
                all: ListParams::default().labels(&format!("app={app},{CREATOR}={number}")),
                pause: pace.pause,
                tally: Arc::clone(&tally),
            };
            running.spawn(creator.run(stopped.clone()));
        }
        Ok(Self {
            stop,
            running,
            tally,
            start: Instant::now(),
        })
    }

    /// How it stands.
    pub fn so_far(&self) -> Report {
        let mut report = self.tally.lock().clone();
        report.lasted = self.start.elapsed();
        report
    }

    /// Stops and waits for what is under way.
    pub async fn stop(mut self) -> Report {
        let lasted = self.start.elapsed();
        self.stop.send_replace(true);
        while self.running.join_next().await.is_some() {}
        let mut report = self.tally.lock().clone();
        report.lasted = lasted;
        report
    }
}

/// Marked with who creates it.
fn pod(app: &str, creator: usize) -> Result<Pod> {
    let mut pod = unscheduled(app)?;
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.insert(CREATOR.to_owned(), creator.to_string());
    Ok(pod)
}

/// One who creates a pod after the other.
struct Creator {
    api: Api<Pod>,
    pod: Pod,
    /// What it made.
    all: ListParams,
    pause: Duration,
    tally: Arc<Mutex<Report>>,
}

impl Creator {
    async fn run(self, stopped: watch::Receiver<bool>) {
        let mut made = 0_usize;
        while !*stopped.borrow() {
            let failed = self.create().await;
            made += 1;
            if made.is_multiple_of(SWEEP) {
                self.sweep().await;
            }
            sleep(if failed { AFTER_FAILURE } else { self.pause }).await;
        }
        self.sweep().await;
    }

    /// Whether it failed.
    async fn create(&self) -> bool {
        let (begun, start) = (now().unwrap_or_default(), Instant::now());
        let answer = self.api.create(&PostParams::default(), &self.pod).await;
        let failure = |why| Failure {
            begun,
            ended: now().unwrap_or_default(),
            why,
        };
        let failed = answer.is_err();
        let mut tally = self.tally.lock();
        tally.slowest = tally.slowest.max(start.elapsed());
        match answer {
            Ok(pod) if gates(&pod) == 1 => tally.gated += 1,
            Ok(_) => tally.ungated.push(failure("no gate".to_owned())),
            Err(error) => tally.failed.push(failure(error.to_string())),
        }
        failed
    }

    async fn sweep(&self) {
        let at_once = DeleteParams {
            grace_period_seconds: Some(0),
            propagation_policy: Some(PropagationPolicy::Background),
            ..DeleteParams::default()
        };
        // What is left over goes with the next ones, at last with the namespace.
        let _ = self.api.delete_collection(&at_once, &self.all).await;
    }
}
