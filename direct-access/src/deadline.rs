//! How long a pod waits at most: the Service's annotation [`names::GATE_DEADLINE`]. Off without it: then a
//! pod that the CLB never finds healthy never counts as Ready, and its rollout stops there.

use std::time::Duration;

use jiff::SignedDuration;

use crate::names;
use crate::problem::Problem;
use crate::service::ServiceFacts;

/// Shorter than this, the CLB's default check (15 s) could not have passed on a pod that is well.
const SHORTEST: Duration = Duration::from_secs(30);
/// Longer than this is never.
const LONGEST: Duration = Duration::from_hours(24);

/// Reads the annotation; a bad value is told and sets no deadline.
pub(crate) fn deadline(service: &ServiceFacts) -> Result<Option<Duration>, Box<Problem>> {
    let Some(value) = service.annotation(names::GATE_DEADLINE) else {
        return Ok(None);
    };
    let read = value.parse::<SignedDuration>().ok();
    let read = read.and_then(|read| Duration::try_from(read).ok());
    if let Some(read) = read.filter(|read| (SHORTEST..=LONGEST).contains(read)) {
        return Ok(Some(read));
    }
    let accepted =
        "accepted is how long a pod waits at most, 30s to 24h, e.g. 10m; none holds until then";
    Err(Box::new(service.annotation_problem(
        names::GATE_DEADLINE,
        value,
        accepted,
    )))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::service::tests::service;

    fn read(value: Option<&str>) -> Result<Option<Duration>, Box<Problem>> {
        let mut service = service("web");
        let value = value.map(|value| (names::GATE_DEADLINE.to_owned(), value.to_owned()));
        service.annotations.extend(value);
        deadline(&service)
    }

    #[rstest]
    #[case(None, None)]
    #[case(Some("10m"), Some(600))]
    #[case(Some("30s"), Some(30))]
    #[case(Some("1h30m"), Some(5400))]
    #[case(Some("24h"), Some(86400))]
    fn a_deadline_is_how_long_a_pod_waits_at_most(
        #[case] value: Option<&str>,
        #[case] seconds: Option<u64>,
    ) {
        assert_eq!(read(value).unwrap(), seconds.map(Duration::from_secs));
    }

    #[rstest]
    #[case("")]
    #[case("soon")]
    #[case("600")]
    #[case("29s")]
    #[case("25h")]
    #[case("-10m")]
    fn a_deadline_that_is_none_is_told(#[case] value: &str) {
        let problem = read(Some(value)).unwrap_err().to_string();
        for part in [
            "clb-gate.io/gate-deadline",
            &format!("{value:?}"),
            "30s to 24h",
        ] {
            assert!(problem.contains(part), "{problem}");
        }
    }
}
