//! Calls per second: one token bucket per sub-account and action, as the API counts them.

use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use std::collections::BTreeMap;

/// The buckets. A call costs 1000 tokens; `rate` tokens come in each millisecond.
pub(crate) struct Buckets {
    rate: i64,
    /// Owner -> action -> what is left.
    levels: BTreeMap<String, BTreeMap<&'static str, Level>>,
}

struct Level {
    tokens: i64,
    at: Millis,
}

const CALL: i64 = 1000;

impl Buckets {
    /// `rate` calls a second for every action; 0 is no limit.
    pub(crate) fn new(rate: u32) -> Self {
        Self {
            rate: i64::from(rate),
            levels: BTreeMap::new(),
        }
    }

    pub(crate) fn take(
        &mut self,
        owner: &str,
        action: &'static str,
        now: Millis,
    ) -> Result<(), Refusal> {
        if self.rate == 0 {
            return Ok(());
        }
        let full = self.rate * CALL;
        if !self.levels.contains_key(owner) {
            self.levels.insert(owner.to_owned(), BTreeMap::new());
        }
        let Some(levels) = self.levels.get_mut(owner) else {
            return Ok(());
        };
        let level = levels.entry(action).or_insert(Level {
            tokens: full,
            at: now,
        });
        // A clock that jumps back gives nothing and costs nothing.
        let passed = (now - level.at).clamp(0, CALL);
        level.tokens = (level.tokens + passed * self.rate).min(full);
        level.at = now;
        if level.tokens < CALL {
            return Err(refusal(self.rate));
        }
        level.tokens -= CALL;
        Ok(())
    }
}

/// What a call over the limit is told.
pub(super) fn refusal(rate: i64) -> Refusal {
    let message = format!(
        "Your current request times equals to `{}` in a second, which exceeds the frequency limit `{rate}` for a second. Please reduce the frequency of calls.",
        rate + 1
    );
    Refusal::new(code::RATE, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_action_has_its_own_bucket() {
        let mut buckets = Buckets::new(2);
        assert!(buckets.take("me", "A", 0).is_ok() && buckets.take("me", "A", 0).is_ok());
        let refusal = buckets.take("me", "A", 0).unwrap_err();
        assert_eq!(refusal.code, code::RATE);
        assert!(
            refusal
                .message
                .starts_with("Your current request times equals to")
        );
        assert!(buckets.take("me", "B", 0).is_ok());
        assert!(buckets.take("you", "A", 0).is_ok());
        assert!(buckets.take("me", "A", 499).is_err());
        assert!(buckets.take("me", "A", 500).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let mut buckets = Buckets::new(0);
        assert!((0..1000).all(|_| buckets.take("me", "A", 0).is_ok()));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_plus_rate(gaps in prop::collection::vec(0_i64..200, 1..300), rate in 1_u32..50) {
            let mut buckets = Buckets::new(rate);
            let (mut now, mut passed) = (0, 0_i64);
            for gap in gaps {
                now += gap;
                passed += i64::from(buckets.take("me", "A", now).is_ok());
            }
            let rate = i64::from(rate);
            prop_assert!(passed <= rate + now * rate / 1000 + 1);
        }
    }
}
