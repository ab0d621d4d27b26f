//! The decision of the election: what was seen and the time in, one step out. No client, no clock.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;

use super::LeaseConfig;

/// What somebody wrote into the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `None`: released.
    pub holder: Option<String>,
    /// Changes of holder so far.
    pub transitions: i32,
    /// How long the holder asks others to wait.
    pub duration: Duration,
    /// Changes with every write.
    pub resource_version: Option<String>,
}

/// A record and when we first saw it like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The record.
    pub record: Record,
    /// When, by our own clock.
    pub since: Instant,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is free or expired: write ourselves into it.
    Acquire,
    /// There is none: make one.
    Create,
    /// It is ours: renew it.
    Renew,
    /// Somebody holds it, at least until then.
    Wait {
        /// When the holder's silence becomes an expiry.
        until: Instant,
    },
}

/// The next step. `leading` tells whether our own term is still valid: a lease that carries our name
/// from an earlier term is acquired anew, which gives the new term its own number.
pub fn next(seen: Option<&Seen>, config: &LeaseConfig, leading: bool, now: Instant) -> Step {
    let Some(Seen { record, since }) = seen else {
        return Step::Create;
    };
    match record.holder.as_deref() {
        None => Step::Acquire,
        Some(holder) if holder == config.identity && leading => Step::Renew,
        Some(holder) if holder == config.identity => Step::Acquire,
        Some(_) => {
            let until = *since + patience(record.duration, config.duration);
            if until <= now {
                Step::Acquire
            } else {
                Step::Wait { until }
            }
        }
    }
}

/// The holder may ask for more patience than we are used to (another version of us may), but not for
/// so much that a mistyped number blocks the cluster, and never for less.
pub(super) fn patience(asked: Duration, usual: Duration) -> Duration {
    asked.clamp(usual, usual * 4)
}

/// Keeps the time of the first sighting as long as the record stays the same.
pub fn observe(before: Option<Seen>, record: Record, now: Instant) -> Seen {
    before
        .filter(|seen| seen.record == record)
        .unwrap_or(Seen { record, since: now })
}

/// What a Lease says; absent fields are zero.
pub fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        transitions: spec.lease_transitions.unwrap_or_default(),
        duration: Duration::from_secs(seconds.unwrap_or_default()),
        resource_version: lease.metadata.resource_version.clone(),
    }
}
