//! Times and fingerprints as people read them.

use jiff::{SignedDuration, Timestamp};

const SECOND: i64 = 1;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// "60 days", "3 hours": one unit is enough to plan by; nobody is told "1 days".
pub(crate) fn span(span: SignedDuration) -> String {
    let seconds = span.as_secs().abs();
    let units = [
        (2 * DAY, DAY, "days"),
        (2 * HOUR, HOUR, "hours"),
        (2 * MINUTE, MINUTE, "minutes"),
        (2 * SECOND, SECOND, "seconds"),
    ];
    let fitting = units.into_iter().find(|(least, _, _)| seconds >= *least);
    match fitting {
        Some((_, unit, name)) => format!("{} {name}", seconds / unit),
        None if seconds == SECOND => "1 second".to_owned(),
        None => "no time".to_owned(),
    }
}

/// Time to go, or "for 3 hours" where it is over.
pub(super) fn left(until: Timestamp, now: Timestamp) -> String {
    let left = now.duration_until(until);
    if left.is_negative() {
        format!("expired {} ago", span(left))
    } else {
        format!("{} left", span(left))
    }
}

/// The day, which is what a life of months is planned by.
pub(crate) fn day(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..10).unwrap_or(&text).to_owned()
}

/// Seconds are as fine as anyone reads.
pub(crate) fn second(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second())
        .unwrap_or(at)
        .to_string()
}

/// Enough of a fingerprint to tell two apart.
pub(super) fn short(fingerprint: &str) -> String {
    fingerprint.get(..12).unwrap_or(fingerprint).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit_that_is_never_one() {
        let told = |seconds| span(SignedDuration::from_secs(seconds));
        assert_eq!(
            [60 * DAY, 47 * HOUR, -(3 * HOUR), 119, 90 * MINUTE, 1, 0].map(told),
            [
                "60 days",
                "47 hours",
                "3 hours",
                "119 seconds",
                "90 minutes",
                "1 second",
                "no time"
            ]
        );
    }

    #[test]
    fn what_is_over_says_so() {
        let now: Timestamp = "2026-11-21T06:00:00.5Z".parse().unwrap();
        let day_after = "2026-11-24T06:00:01Z".parse().unwrap();
        assert_eq!(left(day_after, now), "3 days left");
        assert_eq!(left(now, day_after), "expired 3 days ago");
        assert_eq!(day(now), "2026-11-21");
        assert_eq!(second(now), "2026-11-21T06:00:00Z");
    }
}
