//! Fields that creating and modifying listeners and rules have in common.

use crate::refusal::{Refusal, code};
use crate::state::health_check::{CheckedAs, HealthCheck, HealthCheckFields};
use crate::state::parts::{Protocol, Scheduler};
use std::ops::RangeInclusive;

/// Layer 7 is checked per rule; what is sent for an HTTP or HTTPS listener has no effect.
pub(super) fn check(
    protocol: Protocol,
    given: Option<&HealthCheckFields>,
) -> Result<Option<HealthCheck>, Refusal> {
    if protocol.has_rules() {
        return Ok(None);
    }
    let by = if protocol.is_datagram() {
        CheckedAs::Datagram
    } else {
        CheckedAs::Stream
    };
    let defaults = HealthCheckFields::default();
    HealthCheck::validate(given.unwrap_or(&defaults), by).map(Some)
}

pub(super) fn scheduler(given: Option<&str>) -> Result<Option<Scheduler>, Refusal> {
    match given {
        None => Ok(None),
        Some("WRR") => Ok(Some(Scheduler::Wrr)),
        Some("LEAST_CONN") => Ok(Some(Scheduler::LeastConn)),
        Some(other) => Err(invalid(format!(
            "Scheduler {other:?} is not accepted: WRR and LEAST_CONN are"
        ))),
    }
}

pub(super) fn session(given: Option<i64>) -> Result<Option<u16>, Refusal> {
    let Some(value) = given else {
        return Ok(None);
    };
    let accepted = |value: &u16| *value == 0 || (30..=3600).contains(value);
    let seconds = u16::try_from(value).ok().filter(accepted);
    seconds.map(Some).ok_or_else(|| {
        invalid(format!(
            "SessionExpireTime {value} is out of range: 0 or 30 to 3600 are accepted"
        ))
    })
}

/// Refuses a text that is shorter or longer than the API takes.
pub(super) fn within(
    field: &str,
    given: &str,
    accepted: RangeInclusive<usize>,
) -> Result<(), Refusal> {
    let length = given.chars().count();
    if accepted.contains(&length) {
        return Ok(());
    }
    let message = format!(
        "{field} has {length} characters; {} to {} are accepted",
        accepted.start(),
        accepted.end()
    );
    Err(Refusal::new(code::LENGTH, message))
}

fn invalid(message: String) -> Refusal {
    Refusal::new(code::INVALID_VALUE, message)
}
