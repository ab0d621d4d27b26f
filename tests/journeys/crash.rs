//! The controller is killed at random points of a story; the end is the same as without.
//!
//! `CRASH_RUNS` says how often (3), `SEED` repeats what was printed. A program of its own, because it
//! takes the place of the installed controllers.

mod story;
mod victim;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clb_gate_tests::World;
use clb_gate_tests::operator::now;
use clb_gate_tests::played::Stand;
use clb_gate_tests::stage::alone;
use tokio::sync::watch;
use tokio::time::Instant;

use story::{STEPS, Scene};
use victim::{Victim, start_installed, stop_installed};

const RUNS: usize = 3;
/// Kills in a run.
const BLOWS: usize = 2;
/// A kill comes within this time from the beginning of a step: most steps take that long.
const WITHIN_MS: u64 = 4_000;

#[test]
fn a_controller_killed_anywhere_leaves_the_same_end() {
    alone("crash", |world| async move {
        let installed = stop_installed(&world).await?;
        let outcome = runs(&world).await;
        start_installed(installed).await?;
        outcome
    });
}

async fn runs(world: &World) -> Result<()> {
    let runs = number("CRASH_RUNS")?.map_or(Ok(RUNS), usize::try_from)?;
    let seed = number("SEED")?.map_or_else(|| Ok(u64::try_from(now()?)?), anyhow::Ok)?;
    let _stand = Stand::open(Path::new(env!("CARGO_BIN_EXE_sample"))).await?;
    let scene = Scene::set(world).await?;
    let mut victim = Victim::new(world)?;
    victim.kill().await?;
    victim.revive()?;
    for run in 0..runs {
        // A run's own seed repeats it as the first.
        let seed = seed.wrapping_add(u64::try_from(run)?);
        let blows = blows(seed);
        println!("run {} of {runs}, SEED={seed}: {}", run + 1, told(&blows));
        let start = Instant::now();
        let (announce, steps) = watch::channel(0);
        let (told, struck) = tokio::join!(
            scene.tell(run, announce),
            strike(&mut victim, &blows, steps)
        );
        let what = || format!("run {} with SEED={seed}", run + 1);
        told.with_context(what)?;
        struck.with_context(what)?;
        scene.nothing_is_left().await.with_context(what)?;
        println!("  all as it should be after {:.1?}", start.elapsed());
    }
    victim.kill().await?;
    scene.clear().await
}

/// When to kill: this long after the beginning of a step.
struct Blow {
    step: usize,
    after: Duration,
}

fn blows(seed: u64) -> Vec<Blow> {
    let mut state = seed;
    let mut below = |limit: u64| draw(&mut state) % limit;
    let steps = STEPS.len() as u64;
    let mut all: Vec<_> = (0..BLOWS)
        .map(|_| Blow {
            step: usize::try_from(below(steps)).unwrap_or_default(),
            after: Duration::from_millis(below(WITHIN_MS)),
        })
        .collect();
    all.sort_by_key(|blow| (blow.step, blow.after));
    all
}

/// Splitmix64 (Steele, Lea and Flood 2014): any seed will do, also one that counts up.
fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn told(blows: &[Blow]) -> String {
    let one = |blow: &Blow| {
        let step = STEPS.get(blow.step).copied().unwrap_or_default();
        format!("killed {:?} after \"{step}\"", blow.after)
    };
    blows.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Kills and starts the controller as planned, be the story over or not.
async fn strike(
    victim: &mut Victim,
    blows: &[Blow],
    mut steps: watch::Receiver<usize>,
) -> Result<()> {
    for blow in blows {
        // An error says that the story is over.
        let _ = steps.wait_for(|step| *step >= blow.step).await;
        tokio::time::sleep(blow.after).await;
        victim.kill().await?;
        victim.revive()?;
    }
    Ok(())
}

fn number(variable: &str) -> Result<Option<u64>> {
    let text = std::env::var(variable).unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse();
    number
        .map(Some)
        .with_context(|| format!("{variable} is {text:?}, not a number"))
}
