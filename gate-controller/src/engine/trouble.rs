//! Why a writer stopped short, and how long it waits before it tries again.

use std::time::Duration;

use clb::Kind;
use runtime::Leadership;

use super::act::ActError;
use crate::cloud::{CALL_TIMEOUT, chain};

/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest: drains wait too, and their pods stop after 30 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a failure that a person must mend.
pub(super) const SLOW_PAUSE: Duration = Duration::from_secs(10);
/// How often and at what distance to look for a renewed lease before giving up: one renewal's time.
const LEASE_LOOKS: u32 = 16;
const LEASE_LOOK: Duration = Duration::from_millis(250);

/// Why a round ended early.
pub(super) struct Trouble {
    pub(super) problem: String,
    pub(super) pause: Duration,
}

impl Trouble {
    /// Something that may be over in a moment.
    pub(super) fn soon(problem: String) -> Self {
        Self {
            problem,
            pause: FIRST_PAUSE,
        }
    }

    pub(super) fn of(error: &clb::Error) -> Self {
        let pause = match error.kind() {
            Kind::Conflict
            | Kind::Throttled
            | Kind::Transient
            | Kind::UnknownOutcome
            | Kind::Gone => FIRST_PAUSE,
            Kind::Denied | Kind::Invalid | Kind::Quota => SLOW_PAUSE,
        };
        Self {
            problem: chain(error),
            pause,
        }
    }

    pub(super) fn of_act(error: &ActError) -> Self {
        match error {
            ActError::Call(error) => Self::of(error),
            ActError::Partial { .. } => Self::soon(error.to_string()),
        }
    }
}

/// No call may outlive the right to make it.
pub(super) async fn lease_left(leadership: &Leadership) -> Result<(), Trouble> {
    for _ in 0..LEASE_LOOKS {
        if leadership.remaining() >= CALL_TIMEOUT {
            return Ok(());
        }
        tokio::time::sleep(LEASE_LOOK).await;
    }
    Err(Trouble::soon(
        "the leader's lease is not renewed in time".to_owned(),
    ))
}

pub(super) fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(backoff(1), FIRST_PAUSE);
        assert_eq!(backoff(2), FIRST_PAUSE * 2);
        assert_eq!(backoff(100), LONGEST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_lease_nothing_is_called() {
        assert!(lease_left(&Leadership::undisputed()).await.is_ok());
        assert!(lease_left(&Leadership::never()).await.is_err());
    }
}
