//! How the program counts calls without this crate knowing its metrics.

use std::time::Duration;

/// One attempt of a call.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Called<'a> {
    /// The API's action.
    pub action: &'static str,
    /// `ok`, or the label of the failure's [`Kind`](crate::Kind).
    pub outcome: &'static str,
    /// The API's error code, where it gave one.
    pub code: Option<&'a str>,
    /// From sending to the whole answer.
    pub latency: Duration,
    /// How long the limiter held the attempt back before that.
    pub limiter_wait: Duration,
    /// Whether another attempt follows.
    pub retried: bool,
}

/// Told of every attempt that left the limiter.
pub trait Observer: Send + Sync {
    /// One attempt ended.
    fn called(&self, call: Called<'_>);
}

/// Counts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn called(&self, _: Called<'_>) {}
}
