//! The calls-per-second limit, one for each action, as the API counts them.
//!
//! A caller is given its turn the moment it asks, so turns are handed out in the order of asking,
//! and a caller whose turn comes after its deadline is told so at once instead of waiting in vain.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Calls that may be made at once after a pause. Small, because the API may count whole seconds:
/// then burst + rate calls fall into one.
const BURST: u32 = 4;

pub(crate) struct Limiter {
    interval: Duration,
    next: Mutex<HashMap<&'static str, Instant>>,
}

impl Limiter {
    pub(crate) fn new(calls_per_second: NonZeroU32) -> Self {
        Self {
            interval: Duration::from_secs(1) / calls_per_second.get(),
            next: Mutex::default(),
        }
    }

    /// When the call may be made, or `None` when that would be after `deadline`.
    pub(crate) fn turn(
        &self,
        action: &'static str,
        now: Instant,
        deadline: Instant,
    ) -> Option<Instant> {
        // A poisoned lock guards a map of instants, which is never half written.
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let free = next.get(action).copied().unwrap_or(now);
        let turn = now.max(free.checked_sub(self.interval * (BURST - 1)).unwrap_or(now));
        if turn > deadline {
            return None;
        }
        next.insert(action, now.max(free) + self.interval);
        Some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limiter() -> Limiter {
        Limiter::new(NonZeroU32::new(20).unwrap())
    }

    #[test]
    fn after_a_burst_turns_come_at_the_rate_and_in_order() {
        let (limiter, now) = (limiter(), Instant::now());
        let far = now + Duration::from_mins(1);
        let waits: Vec<u128> = (0..8)
            .map(|_| (limiter.turn("A", now, far).unwrap() - now).as_millis())
            .collect();
        assert_eq!(waits, [0, 0, 0, 0, 50, 100, 150, 200]);
        assert_eq!(
            limiter.turn("B", now, far),
            Some(now),
            "each action has its own limit"
        );
    }

    #[test]
    fn a_turn_after_the_deadline_is_refused_and_not_used_up() {
        let (limiter, now) = (limiter(), Instant::now());
        for _ in 0..4 {
            limiter.turn("A", now, now).unwrap();
        }
        assert_eq!(limiter.turn("A", now, now), None);
        let wait = Duration::from_millis(50);
        assert_eq!(limiter.turn("A", now, now + wait), Some(now + wait));
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_the_rate_and_the_burst(gaps in prop::collection::vec(0_u64..200, 1..200)) {
            let (limiter, mut now) = (limiter(), Instant::now());
            let mut turns = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                turns.push(limiter.turn("A", now, now + Duration::from_mins(10)).unwrap());
            }
            for (i, start) in turns.iter().enumerate() {
                let within = turns[i..].iter().filter(|turn| **turn - *start < Duration::from_secs(1)).count();
                prop_assert!(within <= 24, "{within} calls in one second");
            }
        }
    }
}
