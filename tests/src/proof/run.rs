//! One arm from its first pod to its report.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use super::arm::Arm;
use super::client::Clock;
use super::cloud::Life;
use super::ground::Ground;
use super::load::{Amount, Load};
use super::plan::{Size, round};
use super::report::{ArmReport, Sample};
use super::steps::Stage;
use super::tally::{Failure, Tally, by_cause};
use super::{blame, cloud, pods};

/// Between two lines of progress, in seconds.
const PROGRESS: u64 = 10;
/// So many failures are looked up at a time.
const AT_A_TIME: usize = 500;
/// The simulator counts in milliseconds.
const ROUNDED: SignedDuration = SignedDuration::from_millis(1);

/// What the caller wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// The beginning of the namespaces' names.
    pub name: String,
    /// How much of the story.
    pub size: Size,
    /// Requests a second.
    pub rate: u32,
    /// Pods.
    pub replicas: u32,
    /// Arm d goes on until so many requests were made.
    pub requests: u64,
    /// `clb-gate.io/drain-seconds` of the arms that drain; clb-gate's own without.
    pub drain_seconds: Option<u32>,
    /// Seconds of sleep that are written into the pods of those arms by hand.
    pub pre_stop: Option<u32>,
}

/// What is looked at while an arm runs.
#[derive(Clone)]
struct Eyes {
    clock: Clock,
    pods: Arc<Mutex<pods::Seen>>,
    cloud: Arc<Mutex<cloud::Seen>>,
    samples: Arc<Mutex<Vec<Sample>>>,
}

/// Runs an arm.
pub async fn run(arm: Arm, options: &Options) -> Result<ArmReport> {
    eprintln!("proof: {arm} ({}): {} pods", arm.title(), options.replicas);
    let ground = Ground::lay(arm, options).await?;
    let eyes = Eyes {
        clock: Clock::start(),
        pods: Arc::default(),
        cloud: Arc::default(),
        samples: Arc::default(),
    };
    let mut stage = Stage {
        ground: ground.clone(),
        clock: eyes.clock,
        pods: Arc::clone(&eyes.pods),
        cloud: Arc::clone(&eyes.cloud),
        replicas: options.replicas,
        marks: vec![],
        wounds: vec![],
    };
    let amount = Amount {
        to: ground.vip,
        rate: options.rate,
    };
    let load = Load::start(amount, eyes.clock);
    let broken = tokio::select! {
        told = tell(&mut stage, &load, options) => told,
        ended = pods::watch(ground.clone(), eyes.clock, Arc::clone(&eyes.pods)) => ended,
        ended = cloud::watch(ground.clone(), eyes.clock, Arc::clone(&eyes.cloud)) => ended,
        ended = look(&ground, &load, &eyes) => ended,
    };
    let mut tally = load.stop().await?;
    find_out(&ground, eyes.clock, &mut tally.failures).await?;
    let report = conclude(&stage, &eyes, tally, broken.err());
    ground.clear(options.size).await?;
    Ok(report)
}

/// The story, round after round where it is to go on.
async fn tell(stage: &mut Stage, load: &Load, options: &Options) -> Result<()> {
    loop {
        for step in round(stage.ground.arm, options.size, options.replicas) {
            stage.play(step).await?;
        }
        let enough = load.with(|tally| tally.requests()) >= options.requests;
        if enough || !stage.goes_on() {
            return Ok(());
        }
    }
}

/// Once a second: what there is, where failures went, now and then a line.
async fn look(ground: &Ground, load: &Load, eyes: &Eyes) -> Result<()> {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut asked = 0;
    loop {
        ticks.tick().await;
        let Some(sample) = eyes.sample() else {
            continue;
        };
        eyes.samples.lock().push(sample);
        let mut new = load.with(|tally| tally.failures.get(asked..).unwrap_or_default().to_vec());
        new.truncate(AT_A_TIME);
        find_out(ground, eyes.clock, &mut new).await?;
        load.with(|tally| {
            let known = tally.failures.iter_mut().skip(asked).zip(&new);
            known.for_each(|(failure, new)| failure.target = new.target);
        });
        asked += new.len();
        if sample.at.is_multiple_of(PROGRESS) {
            eprintln!("proof: {} {}", ground.arm, progress(load, sample));
        }
    }
}

fn progress(load: &Load, sample: Sample) -> String {
    let (requests, failed, late) =
        load.with(|tally| (tally.requests(), tally.failed(), tally.late));
    let Sample {
        at, pods, healthy, ..
    } = sample;
    format!(
        "{at:>6} s  {requests} requests, {failed} failed, {late} late; pods: {} ready, {} to come, {} going; {healthy} healthy targets",
        pods.ready,
        pods.starting + pods.waiting,
        pods.going
    )
}

impl Eyes {
    /// None before the first look at both.
    fn sample(&self) -> Option<Sample> {
        let (cloud, pods) = (self.cloud.lock(), self.pods.lock());
        (cloud.looked && pods.looked).then(|| Sample {
            at: self.clock.now().as_secs(),
            pods: pods.counts(),
            healthy: cloud.count(Life::Serves),
            draining: cloud.count(Life::Drains),
            sick: cloud.count(Life::Sick),
        })
    }
}

/// Asks the CLB which target each failed request's connection went to.
async fn find_out(ground: &Ground, clock: Clock, failures: &mut [Failure]) -> Result<()> {
    let unknown = failures
        .iter_mut()
        .filter(|failure| failure.target.is_none());
    let mut unknown: Vec<_> = unknown
        .filter_map(|failure| Some((failure.client?, failure)))
        .collect();
    for some in unknown.chunks_mut(AT_A_TIME) {
        let mut ends = Vec::new();
        for (client, failure) in some.iter() {
            ends.push((*client, clock.wall(failure.known)? + ROUNDED));
        }
        let found = cloud::connections(&ground.operator, &ends).await?;
        for ((_, failure), target) in some.iter_mut().zip(found) {
            failure.target = target;
        }
    }
    Ok(())
}

fn conclude(
    stage: &Stage,
    eyes: &Eyes,
    mut tally: Tally,
    broken: Option<anyhow::Error>,
) -> ArmReport {
    let arm = stage.ground.arm;
    let wounds = stage.wounds();
    let pods = eyes.pods.lock();
    for failure in &mut tally.failures {
        let behind = failure
            .target
            .and_then(|target| pods.at(target.ip(), failure.connected.unwrap_or(failure.due)));
        failure.pod = behind
            .map(|pod| pod.name.clone())
            .or_else(|| failure.pod.take());
    }
    blame::assign(&mut tally.failures, &wounds);
    ArmReport {
        arm,
        title: arm.title(),
        requests: tally.requests(),
        kinds: tally.kinds.clone(),
        late: tally.late,
        handed_over: tally.handed_over,
        ended_idle: tally.ended_idle,
        p50_us: tally.percentile(50),
        p99_us: tally.percentile(99),
        pods_that_answered: tally.pods.len(),
        failed: by_cause(&tally.failures),
        wounds,
        marks: stage.marks.clone(),
        gates: pods.gate_times(),
        seconds: tally.seconds,
        failures: tally.failures,
        samples: eyes.samples.lock().clone(),
        broken: broken.map(|error| format!("{error:#}")),
    }
}
