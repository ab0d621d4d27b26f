//! The kinds of faults, by name, and drawing lots from a seed.

use crate::state::ids::mix;
use serde::{Deserialize, Serialize};

/// A kind of fault, named as the field that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Error,
    Latency,
    Throttle,
    DropAnswer,
    DropRequest,
    TaskFailure,
    Partial,
    Silent,
}

pub(super) const ALL: [What; 8] = [
    What::Error,
    What::Latency,
    What::Throttle,
    What::DropAnswer,
    What::DropRequest,
    What::TaskFailure,
    What::Partial,
    What::Silent,
];

/// Lots from a seed: the same seed, the same lots.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lots {
    seed: u64,
    drawn: u64,
}

impl Lots {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.seed ^ mix(self.drawn))
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// True as often as `chance` of 1 says.
    pub(super) fn happens(&mut self, chance: f64) -> bool {
        // Millionths, so that no float is compared with what was drawn.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a chance is between 0 and 1"
        )]
        let millionths = (chance * 1e6) as u64;
        self.below(1_000_000) < millionths
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let number = self.below(u64::try_from(from.len()).ok()?);
        from.get(usize::try_from(number).ok()?).copied()
    }
}
