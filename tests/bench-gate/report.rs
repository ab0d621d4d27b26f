//! All that was found in a run, and what of it breaks a promise. Pure.

use std::time::Duration;

use clb_gate_tests::figures::Figures;
use serde::Serialize;

use crate::process::Usage;
use crate::scale::Scale;
use crate::turn::Turn;

/// 99 of 100 gates are seen True sooner than this after the CLB's Alive, in milliseconds.
pub(crate) const PROMISED: u32 = 1_500;
/// Calls a second and 30 load balancers; the hundredth is for calls that do not arrive as evenly as they
/// are sent.
const CALLS: f64 = 1.01;

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    /// Its size.
    pub(crate) scale: Scale,
    /// clb-gate's turn.
    pub(crate) ours: Part,
    /// The bare loop's.
    pub(crate) reference: Part,
    /// What the leading controller used in its turn; none where it ran on another machine.
    pub(crate) controller: Option<Usage>,
    /// What of it breaks a promise or makes the comparison void.
    pub(crate) broken: Vec<String>,
}

/// A turn in figures. Times are from the CLB's Alive to the condition seen True by a watch, in
/// milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Part {
    /// Pods whose condition was seen True.
    pub(crate) opened: usize,
    /// Of them, those that were True before their targets were Alive.
    pub(crate) early: usize,
    pub(crate) p50_ms: u32,
    pub(crate) p90_ms: u32,
    pub(crate) p99_ms: u32,
    pub(crate) max_ms: u32,
    /// Calls that ask for health, from the first Alive to the last condition.
    pub(crate) health_calls: usize,
    /// The same a second.
    pub(crate) health_calls_a_second: f64,
    /// Writes to the pods.
    pub(crate) writes: u32,
    /// How long the turn lasted.
    pub(crate) seconds: f64,
}

impl Report {
    /// Of two turns.
    pub(crate) fn of(scale: Scale, ours: &Turn, reference: &Turn) -> Self {
        let mut report = Self {
            scale,
            ours: Part::of(scale, ours),
            reference: Part::of(scale, reference),
            controller: ours.usage,
            broken: vec![],
        };
        report.broken = broken(&report);
        report
    }

    /// How many calls a second may ask for health.
    pub(crate) fn calls_allowed(&self) -> u16 {
        self.scale.calls()
    }
}

impl Part {
    fn of(scale: Scale, turn: &Turn) -> Self {
        let waits = turn.waits.iter();
        let positive = waits.map(|wait| Duration::from_millis(u64::try_from(*wait).unwrap_or(0)));
        let figures = Figures::new(positive.collect());
        let ms =
            |percent| u32::try_from(figures.percentile(percent).as_millis()).unwrap_or(u32::MAX);
        Self {
            opened: turn.waits.len(),
            early: turn.waits.iter().filter(|wait| **wait < 0).count(),
            p50_ms: ms(50),
            p90_ms: ms(90),
            p99_ms: ms(99),
            max_ms: ms(100),
            health_calls: turn.polls.len(),
            health_calls_a_second: a_second(&turn.polls, scale.calls()),
            writes: turn.writes,
            seconds: turn.seconds,
        }
    }
}

/// Calls a second, of which so many belong together: by how far those lie apart.
fn a_second(calls: &[i64], together: u16) -> f64 {
    let rounds = calls.len().saturating_sub(together.into());
    let span = calls.iter().max().zip(calls.iter().min());
    let span = span.map_or(0, |(last, first)| last - first);
    let (Ok(rounds), Ok(span)) = (u32::try_from(rounds), u32::try_from(span)) else {
        return f64::INFINITY;
    };
    if rounds == 0 {
        return 0.0;
    }
    f64::from(rounds) * 1000.0 / f64::from(span)
}

fn broken(report: &Report) -> Vec<String> {
    let (ours, reference) = (&report.ours, &report.reference);
    let pods = usize::from(report.scale.pods);
    let allowed = report.calls_allowed();
    let checks = [
        (
            ours.opened == pods,
            format!("{} of {pods} gates did not open", pods - ours.opened),
        ),
        (
            ours.early == 0,
            format!(
                "{} gates were True before their targets were Alive",
                ours.early
            ),
        ),
        (
            ours.p99_ms < PROMISED,
            format!(
                "p99 from Alive to True is {} ms; promised is less than {PROMISED} ms",
                ours.p99_ms
            ),
        ),
        (
            ours.health_calls > 0,
            "no call that asks for health is in the simulator's log".to_owned(),
        ),
        (
            ours.health_calls_a_second <= CALLS * f64::from(allowed),
            format!(
                "health was asked for {:.2} times a second; promised is at most {allowed}",
                ours.health_calls_a_second
            ),
        ),
        (
            reference.opened == pods && reference.early == 0,
            format!(
                "the bare loop opened {} of {pods}, {} of them early: the comparison is void",
                reference.opened, reference.early
            ),
        ),
    ];
    let broken = checks.into_iter().filter(|(holds, _)| !holds);
    broken.map(|(_, why)| why).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SCALE: Scale = Scale {
        pods: 100,
        load_balancers: 10,
        seconds: 10,
    };

    /// A turn in which every pod waited as long as its number says, and health was asked for every second.
    fn turn() -> Turn {
        Turn {
            waits: (1..=100).collect(),
            polls: (0..=10).map(|second| second * 1000).collect(),
            writes: 100,
            usage: None,
            seconds: 15.0,
        }
    }

    /// As a good run is.
    pub(crate) fn good() -> Report {
        Report::of(SCALE, &turn(), &turn())
    }

    fn of(change: impl FnOnce(&mut Turn)) -> String {
        let mut ours = turn();
        change(&mut ours);
        Report::of(SCALE, &ours, &turn()).broken.join("; ")
    }

    #[test]
    fn a_turn_in_figures() {
        let part = good().ours;
        assert_eq!((part.opened, part.early), (100, 0));
        assert_eq!(
            (part.p50_ms, part.p90_ms, part.p99_ms, part.max_ms),
            (50, 90, 99, 100)
        );
        assert_eq!((part.health_calls, part.writes), (11, 100));
        assert_eq!(part.health_calls_a_second.to_string(), "1");
        assert!(good().broken.is_empty());
    }

    #[test]
    fn each_promise_can_be_broken() {
        let slow = |at: usize| move |turn: &mut Turn| turn.waits[at..].fill(1_500);
        assert_eq!(of(slow(99)), "", "one of a hundred may");
        assert!(of(slow(98)).starts_with("p99 from Alive to True is 1500 ms"));
        assert_eq!(
            of(|turn| turn.waits.truncate(99)),
            "1 of 100 gates did not open"
        );
        assert_eq!(
            of(|turn| turn.waits[3] = -1),
            "1 gates were True before their targets were Alive"
        );
        let twice = |turn: &mut Turn| turn.polls = (0..=20).map(|half| half * 500).collect();
        assert!(of(twice).starts_with("health was asked for 2.00 times a second"));
        assert!(of(|turn| turn.polls.clear()).starts_with("no call"));
    }

    #[test]
    fn a_bare_loop_that_fails_makes_the_comparison_void() {
        let mut reference = turn();
        reference.waits.truncate(50);
        let broken = Report::of(SCALE, &turn(), &reference).broken;
        assert_eq!(
            broken,
            ["the bare loop opened 50 of 100, 0 of them early: the comparison is void"]
        );
    }

    #[test]
    fn calls_that_belong_together_count_once() {
        // 31 load balancers: two calls each second.
        let polls: Vec<_> = (0..=10)
            .flat_map(|second| [second * 1000, second * 1000 + 5])
            .collect();
        assert!((1.99..2.0).contains(&a_second(&polls, 2)));
        assert_eq!(a_second(&[7], 1).to_string(), "0");
        assert_eq!(a_second(&[], 1).to_string(), "0");
        assert!(a_second(&[7, 7], 1).is_infinite());
    }
}
