//! The one place that reads the wall clock; everything else takes the time as a parameter.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// Milliseconds since 1970-01-01 UTC.
pub(crate) type Millis = i64;

/// The present moment.
#[expect(
    clippy::disallowed_methods,
    reason = "time is read here and nowhere else"
)]
pub(crate) fn now() -> Millis {
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
