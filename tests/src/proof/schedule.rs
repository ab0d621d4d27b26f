//! When requests are due: an open loop at a fixed rate, which waits for nobody.

use std::time::Duration;

/// A request that is begun this much later than it was due was late: the client was busy, not the server. A
/// hundredth of what a client waits, and far longer than a timer's grain.
pub const LATE: Duration = Duration::from_millis(100);

/// A rate, and how far it has been kept.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Requests in [`Schedule::per`].
    rate: u32,
    per: Duration,
    begun: u64,
}

impl Schedule {
    /// So many requests a second.
    pub fn per_second(rate: u32) -> Self {
        Self {
            rate,
            per: Duration::from_secs(1),
            begun: 0,
        }
    }

    /// When a request is due, since the start.
    pub fn when(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * self.per.as_nanos() / u128::from(self.rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The next request, if it is due by now: its number and when it was due.
    pub fn next(&mut self, now: Duration) -> Option<(u64, Duration)> {
        let (number, due) = (self.begun, self.when(self.begun));
        if self.rate == 0 || due > now {
            return None;
        }
        self.begun += 1;
        Some((number, due))
    }
}

/// Whether a request that was begun now is late.
pub fn is_late(due: Duration, now: Duration) -> bool {
    now.saturating_sub(due) > LATE
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_missed_is_due_at_once_and_nothing_is_left_out() {
        let mut schedule = Schedule::per_second(4);
        let at = Duration::from_millis;
        assert_eq!(schedule.next(at(0)), Some((0, at(0))));
        assert_eq!(schedule.next(at(249)), None);
        assert_eq!(schedule.next(at(750)), Some((1, at(250))));
        assert_eq!(schedule.next(at(750)), Some((2, at(500))));
        assert_eq!(schedule.next(at(750)), Some((3, at(750))));
        assert_eq!(schedule.next(at(750)), None);
        assert_eq!(Schedule::per_second(0).next(at(750)), None);
    }

    #[test]
    fn late_is_judged_by_when_it_was_due() {
        assert!(!is_late(LATE, LATE * 2));
        assert!(is_late(LATE, LATE * 2 + Duration::from_nanos(1)));
        assert!(!is_late(LATE, Duration::ZERO));
    }

    proptest! {
        #[test]
        fn in_whole_seconds_the_rate_is_kept_exactly(rate in 1_u32..3000, seconds in 1_u64..20, looks in 1_u64..50) {
            let mut schedule = Schedule::per_second(rate);
            let mut count = 0;
            for look in 1..=looks {
                let now = Duration::from_nanos(seconds * 1_000_000_000 * look / looks);
                while schedule.next(now).is_some() {
                    count += 1;
                }
            }
            // The one at the last moment included.
            let exact = u64::from(rate) * seconds;
            prop_assert!((exact..=exact + 1).contains(&count), "{count}");
        }
    }
}
