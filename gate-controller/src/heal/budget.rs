//! How often we write before we suspect that somebody fights us. Pure, and counted by our own clock.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// The time over which writes are counted.
const WINDOW: Duration = Duration::from_mins(1);
/// Writes in a window that are nobody's fight: a rotation takes four, and a person or a test that
/// breaks things as fast as they are healed stays below two a second.
const USUAL: usize = 120;
/// Between writes while somebody fights: enough to prevail in the end, too little to be a load.
const PATIENCE: Duration = Duration::from_secs(10);

/// Recent writes.
#[derive(Debug, Default)]
pub(super) struct Budget {
    writes: VecDeque<Instant>,
}

/// Whether to write now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    /// Write.
    Go,
    /// Somebody undoes our work: write no earlier than then.
    BackOff {
        /// When.
        until: Instant,
    },
}

impl Budget {
    /// Whether a write may go out at `now`.
    pub(super) fn allowance(&mut self, now: Instant) -> Allowance {
        while self.writes.front().is_some_and(|at| *at + WINDOW <= now) {
            self.writes.pop_front();
        }
        match self.writes.back() {
            Some(last) if self.writes.len() >= USUAL && *last + PATIENCE > now => {
                let until = *last + PATIENCE;
                Allowance::BackOff { until }
            }
            _ => Allowance::Go,
        }
    }

    /// Whether the last window was an ordinary one.
    pub(super) fn is_calm(&self) -> bool {
        self.writes.len() < USUAL / 2
    }

    /// Notes a write.
    pub(super) fn spend(&mut self, now: Instant) {
        self.writes.push_back(now);
        if self.writes.len() > USUAL {
            self.writes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_fine_and_a_fight_is_slowed_down_until_it_ends() {
        let start = Instant::now();
        let mut budget = Budget::default();
        for i in 0..USUAL {
            let at = start + Duration::from_millis(i as u64);
            assert_eq!(budget.allowance(at), Allowance::Go);
            budget.spend(at);
        }
        let last = start + Duration::from_millis(USUAL as u64 - 1);
        let until = last + PATIENCE;
        assert_eq!(budget.allowance(last), Allowance::BackOff { until });
        assert_eq!(budget.allowance(until), Allowance::Go);
        budget.spend(until);
        let again = until + Duration::from_secs(1);
        assert!(matches!(budget.allowance(again), Allowance::BackOff { .. }));
        assert_eq!(budget.allowance(start + WINDOW * 2), Allowance::Go);
    }
}
