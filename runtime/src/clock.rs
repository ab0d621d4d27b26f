//! The one place that reads the wall clock. Everything else takes the time as a parameter, so that
//! tests decide what time it is.

/// The wall clock, now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may read the clock"
)]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
