//! Which failed call is made again, and after how long. Pure; the client adds the waiting.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::Kind;

/// Whether a call changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It only reads, and may be made again whatever became of it.
    Read,
    /// It changes something, and is made again only when it certainly was not done.
    Write,
}

/// What to do after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again after this long.
    After(Duration),
    /// Return the failure.
    GiveUp,
}

/// Decides about attempt number `attempt` (the first is 0) that failed with `kind`.
///
/// The delays double. They stay in seconds because the call's own deadline is in seconds: whoever
/// wants to wait longer does so outside, where other work can go on.
pub fn retry(access: Access, kind: Kind, attempt: u32) -> Retry {
    match (kind, access) {
        (Kind::Throttled, _) => THROTTLED.delay(attempt),
        (Kind::Conflict, _) => CONFLICT.delay(attempt),
        (Kind::Transient, Access::Read) => TRANSIENT.delay(attempt),
        (Kind::Transient, Access::Write)
        | (Kind::Denied | Kind::Gone | Kind::Invalid | Kind::Quota | Kind::UnknownOutcome, _) => {
            Retry::GiveUp
        }
    }
}

/// Delays `first`, 2 x `first`, ... up to `most`, `times` times.
struct Backoff {
    first: Duration,
    most: Duration,
    times: u32,
}

/// The limit is per second and per account: others use it too, so it may last.
const THROTTLED: Backoff = Backoff {
    first: Duration::from_millis(500),
    most: Duration::from_secs(2),
    times: 10,
};

/// A load balancer's task takes 0.1 to 3 s.
const CONFLICT: Backoff = Backoff {
    first: Duration::from_millis(500),
    most: Duration::from_secs(4),
    times: 5,
};

/// A broken connection or a server between two restarts.
const TRANSIENT: Backoff = Backoff {
    first: Duration::from_millis(200),
    most: Duration::from_secs(1),
    times: 3,
};

impl Backoff {
    fn delay(&self, attempt: u32) -> Retry {
        if attempt >= self.times {
            return Retry::GiveUp;
        }
        let factor = 2_u32.saturating_pow(attempt);
        Retry::After(self.first.saturating_mul(factor).min(self.most))
    }
}

/// Shortens a delay by up to half, so that callers who failed together do not come back together.
pub(crate) fn jitter(delay: Duration, random: u64) -> Duration {
    let share = u32::try_from(random % 512).unwrap_or_default();
    delay * (1024 - share) / 1024
}

/// A random number of the standard library's own making; good enough to spread retries.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 8] = [
        Kind::Conflict,
        Kind::Denied,
        Kind::Gone,
        Kind::Invalid,
        Kind::Quota,
        Kind::Throttled,
        Kind::Transient,
        Kind::UnknownOutcome,
    ];

    #[test]
    fn a_conflict_waits_half_a_second_and_then_twice_as_long_each_time() {
        let delays: Vec<Retry> = (0..6)
            .map(|n| retry(Access::Write, Kind::Conflict, n))
            .collect();
        let ms = |n| Retry::After(Duration::from_millis(n));
        assert_eq!(
            delays,
            [
                ms(500),
                ms(1000),
                ms(2000),
                ms(4000),
                ms(4000),
                Retry::GiveUp
            ]
        );
    }

    #[test]
    fn only_reads_are_made_again_after_a_transient_failure() {
        assert_eq!(
            retry(Access::Read, Kind::Transient, 0),
            Retry::After(Duration::from_millis(200))
        );
        assert_eq!(retry(Access::Write, Kind::Transient, 0), Retry::GiveUp);
    }

    proptest! {
        #[test]
        fn a_write_is_made_again_only_where_it_was_certainly_not_done(kind in 0_usize..8, attempt: u32) {
            let kind = KINDS[kind];
            if let Retry::After(_) = retry(Access::Write, kind, attempt) {
                prop_assert!(matches!(kind, Kind::Throttled | Kind::Conflict));
            }
        }

        #[test]
        fn every_kind_is_given_up_in_the_end(kind in 0_usize..8, attempt in 10_u32..) {
            for access in [Access::Read, Access::Write] {
                prop_assert_eq!(retry(access, KINDS[kind], attempt), Retry::GiveUp);
            }
        }

        #[test]
        fn jitter_keeps_at_least_half(millis in 0_u64..100_000, random: u64) {
            let delay = Duration::from_millis(millis);
            let shortened = jitter(delay, random);
            prop_assert!(shortened <= delay && shortened >= delay / 2);
        }
    }
}
