//! A turn: all targets turn Alive one after the other, and somebody opens their pods' conditions.

use std::time::Duration;

use anyhow::Result;
use clb_gate_tests::operator::{Call, now};
use clb_gate_tests::ours::{INSTALLED, Part};
use tokio::time::{Instant, sleep};

use crate::oracle;
use crate::process::{Process, Usage};
use crate::reference::Loop;
use crate::stage::Stage;
use crate::watching::Moments;

/// Between two looks at who is still missing.
const LOOK: Duration = Duration::from_millis(200);
/// Between two lines of progress.
const TELL: Duration = Duration::from_secs(10);
/// After the last Alive; whoever has not turned by then is missing.
const PATIENCE: i64 = 30_000;
/// The call that asks for health.
const HEALTH: &str = "DescribeTargetHealth";

/// What was seen in a turn.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// By pod, from its Alive to its condition seen True, in milliseconds.
    pub(crate) waits: Vec<i64>,
    /// When health was asked for, in milliseconds since 1970, between the first Alive and the last
    /// condition.
    pub(crate) polls: Vec<i64>,
    /// Writes to the pods.
    pub(crate) writes: u32,
    /// What the controller used.
    pub(crate) usage: Option<Usage>,
    /// For how long, in seconds.
    pub(crate) seconds: f64,
}

/// clb-gate's.
pub(crate) async fn ours(stage: &Stage) -> Result<Turn> {
    let leader = Process::leading(&stage.world.client).await;
    let used = || leader.as_ref().map(Process::usage).transpose();
    let before = used()?;
    let mut turn = measure(stage, || stage.watching.gates()).await?;
    turn.usage = used()?.zip(before).map(|(used, before)| used.since(before));
    Ok(turn)
}

/// The bare loop's, while no controller runs.
pub(crate) async fn reference(stage: &Stage) -> Result<Turn> {
    let client = &stage.world.client;
    Part::Controller.stop(client).await?;
    let outcome = undisturbed(stage).await;
    Part::Controller.scale(client, INSTALLED).await?;
    outcome
}

async fn undisturbed(stage: &Stage) -> Result<Turn> {
    // Else it would find all targets Alive before they are said to be Unknown again.
    oracle::all_unknown(&stage.operator, stage.scale).await?;
    let bare = Loop::prepare(stage).await?;
    let measured = measure(stage, || stage.watching.references());
    let (turn, ()) = tokio::try_join!(measured, bare.run())?;
    Ok(turn)
}

async fn measure(stage: &Stage, seen: impl Fn() -> Moments) -> Result<Turn> {
    let scale = stage.scale;
    let (writes, begun) = (stage.watching.writes(), Instant::now());
    let start = oracle::all_alive(&stage.operator, scale).await?;
    let last = start + i64::from(scale.seconds) * 1000;
    let mut told = Instant::now();
    let moments = loop {
        sleep(LOOK).await;
        let moments = seen();
        if moments.len() == usize::from(scale.pods) || now()? > last + PATIENCE {
            break moments;
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            println!("  {} of {}", moments.len(), scale.pods);
        }
    };
    let end = moments.values().max().copied().unwrap_or(start);
    let calls = stage.operator.all_calls_since(start).await?;
    Ok(Turn {
        waits: moments
            .iter()
            .map(|(pod, at)| at - start - scale.after(*pod))
            .collect(),
        polls: polls(stage, &calls, end),
        writes: stage.watching.writes() - writes,
        usage: None,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

fn polls(stage: &Stage, calls: &[Call], end: i64) -> Vec<i64> {
    let ours = stage.load_balancers();
    let of_ours = |call: &&Call| {
        call.load_balancers
            .iter()
            .any(|id| ours.contains(id.as_str()))
    };
    let polls = calls
        .iter()
        .filter(|call| call.action == HEALTH && call.at <= end);
    polls.filter(of_ours).map(|call| call.at).collect()
}
