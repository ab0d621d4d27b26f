//! How fast a load balancer follows what is wanted, beside Tencent's published figures: the engine
//! itself against the simulator, in virtual time, so that every machine prints the same.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a bench that meets the unexpected should end"
)]

mod arms;
mod pods;
mod print;
mod rows;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/sync/wire.rs"]
mod wire;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../tests/sync/world.rs"]
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clb_sim::Delays;
use parking_lot::Mutex;

use arms::{Outcome, in_virtual_time};
use pods::Surge;
use rows::{ROWS, Row};

/// How long every call and every task takes; the first is the one that the bounds are about.
const DELAYS: [Delays; 4] = [
    takes(1000, 0),
    takes(300, 0),
    takes(3000, 0),
    takes(1000, 300),
];

/// One row, run by all arms.
pub(crate) struct Result {
    pub(crate) row: Row,
    pub(crate) delays: Delays,
    /// It takes twice the latency for each binding, so one latency tells the others.
    pub(crate) one_by_one: Option<Outcome>,
    pub(crate) batched: Outcome,
    pub(crate) ours: Outcome,
}

const fn takes(call_ms: u32, task_ms: u32) -> Delays {
    Delays {
        call_ms,
        read_ms: 0,
        write_ms: 0,
        task_ms,
    }
}

fn main() -> ExitCode {
    let (arms, json) = arguments(std::env::args().skip(1));
    let delays = if arms == Arms::Quick {
        &DELAYS[..1]
    } else {
        &DELAYS
    };
    let jobs: Vec<_> = delays
        .iter()
        .flat_map(|delays| ROWS.map(|row| (row, *delays)))
        .collect();
    let results = side_by_side(&jobs, |(row, delays)| run(*row, *delays, arms));
    let surges = side_by_side(&pods::LOAD_BALANCERS, |load_balancers| {
        in_virtual_time(pods::surge(*load_balancers, DELAYS[0]))
    });
    let misses = misses(&results, &surges);
    print::all(&results, &surges);
    if let Some(path) = json {
        std::fs::write(&path, print::json(&results, &surges))
            .unwrap_or_else(|error| panic!("--json {path}: {error}"));
    }
    for miss in &misses {
        println!("MISSED: {miss}");
    }
    ExitCode::from(u8::from(!misses.is_empty()))
}

/// Which arms run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Arms {
    /// The one that makes one call a binding only where every call takes 1 s: it is most of the work.
    Usual,
    All,
    /// Without it, and only where every call takes 1 s.
    Quick,
}

fn arguments(mut all: impl Iterator<Item = String>) -> (Arms, Option<String>) {
    let (mut arms, mut json) = (Arms::Usual, None);
    while let Some(argument) = all.next() {
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--all-arms" => arms = Arms::All,
            "--quick" => arms = Arms::Quick,
            "--json" => json = Some(all.next().expect("--json FILE")),
            other => panic!(
                "unknown argument {other:?}: accepted are --all-arms, --quick and --json FILE"
            ),
        }
    }
    (arms, json)
}

fn run(row: Row, delays: Delays, arms: Arms) -> Result {
    let single = arms == Arms::All || arms == Arms::Usual && delays == DELAYS[0];
    Result {
        row,
        delays,
        one_by_one: single.then(|| in_virtual_time(arms::one_by_one(&row, delays))),
        batched: in_virtual_time(arms::batched(&row, delays)),
        ours: in_virtual_time(arms::ours(&row, delays)),
    }
}

/// What falls short of what is promised.
fn misses(results: &[Result], surges: &[Surge]) -> Vec<String> {
    let mut misses = Vec::new();
    for result in results.iter().filter(|result| result.delays == DELAYS[0]) {
        let name = result.row.name();
        if result.of_bound() > 1.1 {
            misses.push(format!(
                "{name}: {:.3}x the bound, 1.1x is promised",
                result.of_bound()
            ));
        }
        let least = if result.row.creates_rules() { 3.0 } else { 5.0 };
        if result.faster() < least {
            misses.push(format!(
                "{name}: {:.1}x faster, {least}x is promised",
                result.faster()
            ));
        }
    }
    for surge in surges.iter().filter(|surge| surge.throttled > 0) {
        let (refused, over) = (surge.throttled, surge.load_balancers);
        misses.push(format!(
            "{over} load balancers: {refused} calls refused as too many"
        ));
    }
    misses
}

impl Result {
    /// How many times the fewest calls' time it took.
    pub(crate) fn of_bound(&self) -> f64 {
        let call = f64::from(self.delays.call_ms) / 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "tens of calls")]
        let bound = self.row.bound() as f64 * call;
        self.ours.bound.as_secs_f64() / bound
    }

    /// How many times faster than Tencent's last figure.
    pub(crate) fn faster(&self) -> f64 {
        self.row.seeds[2] / self.ours.bound.as_secs_f64()
    }
}

/// As many at a time as there are cores; the results in the order of the jobs.
fn side_by_side<J: Sync, R: Send>(jobs: &[J], run: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { break };
                    let result = run(job);
                    done.lock().push((number, result));
                }
            });
        }
    });
    let mut done = done.into_inner();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}
