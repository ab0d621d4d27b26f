//! What self-heal is doing, for whoever follows it.

use std::{fmt, time::Duration};

use certs::plan::Awaited;

/// What is being done or waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// An object was written or deleted: which one, and why.
    Wrote {
        /// E.g. `clb-gate-ca`, `registration`.
        object: &'static str,
        /// Why, e.g. `a new CA was asked for (…); made CA generation 3`.
        why: String,
    },
    /// The API servers get time to learn of the new CA before a leaf needs it.
    Settling {
        /// How long this still takes.
        left: Duration,
    },
    /// Every replica is asked which leaf it presents.
    Looking,
    /// Replicas keep an older CA in use.
    Awaiting(Vec<Awaited>),
    /// `failurePolicy: Fail` is not set yet, and why.
    HoldingFail(String),
    /// Something failed and is tried again.
    Failing(String),
    /// Certificates and registration are as they should be.
    Settled,
}

impl Phase {
    /// Whether `next` is nothing new to whoever was told this: the same, a wait that goes on, another
    /// look at replicas that are waited for.
    pub(super) fn covers(&self, next: &Self) -> bool {
        self == next
            || matches!(
                (self, next),
                (Self::Settling { .. }, Self::Settling { .. })
                    | (Self::Awaiting(_) | Self::HoldingFail(_), Self::Looking)
            )
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrote { object, why } => write!(f, "wrote {object}: {why}"),
            Self::Settling { left } => write!(
                f,
                "waiting {:.1} s for the API servers to learn of the new CA",
                left.as_secs_f64()
            ),
            Self::Looking => f.write_str("asking every replica which leaf it presents"),
            Self::Awaiting(awaited) => {
                let texts: Vec<_> = awaited.iter().map(ToString::to_string).collect();
                write!(f, "waiting for replicas: {}", texts.join("; "))
            }
            Self::HoldingFail(why) => write!(f, "failurePolicy stays Ignore for now: {why}"),
            Self::Failing(error) => write!(f, "trying again: {error}"),
            Self::Settled => f.write_str("certificates and registration are as they should be"),
        }
    }
}
