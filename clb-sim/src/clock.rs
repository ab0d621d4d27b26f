//! The one place that reads a clock; everything else takes the time as a parameter. In a test the
//! clock is tokio's, so that it stands still or leaps when the test says so.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use tokio::time::Instant;

/// Milliseconds since 1970-01-01 UTC.
pub(crate) type Millis = i64;

/// Where the time comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// The machine's.
    Wall,
    /// Tokio's, which read `at` when it was started.
    Tokio { at: Millis, started: Instant },
}

impl Clock {
    /// Tokio's clock, set to this moment now.
    pub(crate) fn tokio(at: Timestamp) -> Self {
        Self::Tokio {
            at: at.as_millisecond(),
            started: Instant::now(),
        }
    }

    /// The present moment.
    pub(crate) fn now(self) -> Millis {
        match self {
            Self::Wall => wall(),
            Self::Tokio { at, started } => {
                at + Millis::try_from(started.elapsed().as_millis()).unwrap_or(Millis::MAX - at)
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "time is read here and nowhere else"
)]
fn wall() -> Millis {
    Timestamp::now().as_millisecond()
}

/// A moment as the API prints it, `2019-07-12 16:22:02`: Beijing time, without a zone.
pub(crate) fn beijing(at: Millis) -> String {
    let zone = TimeZone::fixed(Offset::constant(8));
    let moment = Timestamp::from_millisecond(at).unwrap_or_default();
    moment
        .to_zoned(zone)
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// The UTC date of a unix time in seconds, `2019-02-25`; none outside the calendar.
pub(crate) fn utc_date(seconds: i64) -> Option<String> {
    let moment = Timestamp::from_second(seconds).ok()?;
    Some(moment.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_the_api_does() {
        assert_eq!(beijing(1_562_919_722_000), "2019-07-12 16:22:02");
        assert_eq!(utc_date(1_551_113_065).as_deref(), Some("2019-02-25"));
        assert_eq!(utc_date(i64::MAX), None);
    }
}
