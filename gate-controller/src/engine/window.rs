//! When to write what was added: the first change at once, a burst together. Pure.
//!
//! A pod that comes alone is bound without delay. When a whole rollout becomes ready within seconds,
//! every call would carry a pod or two, and on a serial API the last pods would wait for all of them.

use std::time::Duration;

/// After this long without an addition, the next one is the first of its kind and goes at once.
const CALM: Duration = Duration::from_secs(2);
/// A burst is over when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(600);
/// Nothing waits longer than this, however long the burst: a third of the time that the CLB's default
/// health check takes anyway. Four hundred pods that start within two seconds reach a controller on a busy
/// machine within four.
const LONGEST: Duration = Duration::from_secs(5);

/// What is waiting to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// How many targets, listeners or rules.
    pub(super) additions: usize,
    /// How many one call takes.
    pub(super) full: usize,
    /// Since when something has been waiting.
    pub(super) since_first: Duration,
    /// Since the last of it came.
    pub(super) since_news: Duration,
    /// Since additions were last written; none were in this term.
    pub(super) since_write: Option<Duration>,
}

/// Whether to write now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    /// Now.
    Now,
    /// Look again after this long: more is coming.
    Gather(Duration),
}

/// Decides whether additions are written now. What drains or is removed never asks.
pub(super) fn go(waiting: &Waiting) -> Go {
    // What began to wait soon after the last write belongs to its burst, however long that lasts.
    let calm = waiting
        .since_write
        .is_none_or(|since| since.saturating_sub(waiting.since_first) >= CALM);
    if calm || waiting.additions >= waiting.full {
        return Go::Now;
    }
    let quiet = QUIET.saturating_sub(waiting.since_news);
    let rest = LONGEST.saturating_sub(waiting.since_first);
    match quiet.min(rest) {
        Duration::ZERO => Go::Now,
        rest => Go::Gather(rest),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[rstest]
    #[case::first_of_a_term(None, 1, 0, 0, Go::Now)]
    #[case::first_after_calm(Some(2000), 1, 0, 0, Go::Now)]
    #[case::in_a_burst(Some(300), 1, 0, 0, Go::Gather(QUIET))]
    #[case::still_coming(Some(900), 40, 600, 100, Go::Gather(MILLI * 500))]
    #[case::a_long_burst(Some(4500), 300, 4600, 0, Go::Gather(MILLI * 400))]
    #[case::burst_over(Some(900), 40, 600, 600, Go::Now)]
    #[case::a_full_call(Some(300), 500, 10, 10, Go::Now)]
    #[case::long_enough(Some(1900), 40, 5000, 0, Go::Now)]
    fn the_first_goes_at_once_and_a_burst_gathers(
        #[case] since_write: Option<u64>,
        #[case] additions: usize,
        #[case] since_first: u64,
        #[case] since_news: u64,
        #[case] expected: Go,
    ) {
        let waiting = Waiting {
            additions,
            full: 500,
            since_first: Duration::from_millis(since_first),
            since_news: Duration::from_millis(since_news),
            since_write: since_write.map(Duration::from_millis),
        };
        assert_eq!(go(&waiting), expected);
    }
}
