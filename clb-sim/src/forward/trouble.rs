//! Passive checks of layer 7: a target that fails three requests in a row is passed over for ten
//! seconds, whatever its health check says (CLB documentation, "Health check overview"). Pure; time
//! is a parameter.

use std::time::Duration;
use tokio::time::Instant;

const FAILURES: u8 = 3;
const AWAY: Duration = Duration::from_secs(10);

/// How a target's last requests went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    failures: u8,
    until: Option<Instant>,
}

impl Trouble {
    /// After one more request.
    #[must_use]
    pub(super) fn after(self, good: bool, now: Instant) -> Self {
        if good {
            return Self::default();
        }
        let failures = self.failures.saturating_add(1);
        if failures < FAILURES {
            return Self { failures, ..self };
        }
        Self {
            failures: 0,
            until: Some(now + AWAY),
        }
    }

    /// Whether it is passed over.
    pub(super) fn keeps_away(self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn three_failures_in_a_row_count_for_ten_seconds() {
        let now = Instant::now();
        let after = |requests: &[bool]| {
            let start = Trouble::default();
            let all = requests.iter();
            all.fold(start, |trouble, good| trouble.after(*good, now))
        };
        assert!(!after(&[false, false]).keeps_away(now));
        assert!(!after(&[false, false, true, false, false]).keeps_away(now));
        let away = after(&[false, false, false]);
        assert!(away.keeps_away(now + AWAY - Duration::from_millis(1)));
        assert!(!away.keeps_away(now + AWAY));
        assert!(
            !away.after(true, now).keeps_away(now),
            "one that works is back"
        );
    }
}
