//! What was found in a run, and what of it breaks a promise. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::arm::Arm;
use super::blame::{Wound, unexplained};
use super::tally::{Failure, Kind, Second, by_cause};

/// Pods by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Without ready containers.
    pub starting: u32,
    /// With ready containers, not Ready: the gate is closed.
    pub waiting: u32,
    /// Ready.
    pub ready: u32,
    /// Asked to go.
    pub going: u32,
}

/// A look at the cluster and the CLB, once a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The second.
    pub at: u64,
    /// Pods by state.
    pub pods: Counts,
    /// Targets that get new connections.
    pub healthy: u32,
    /// Targets at weight 0.
    pub draining: u32,
    /// Targets that are not healthy, or not yet.
    pub sick: u32,
}

/// A step of the story, in seconds since the arm's start.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// When it began.
    pub from: f64,
    /// When it was through.
    pub to: f64,
    /// What was done.
    pub what: String,
    /// Whether the Deployment rolled in it.
    pub rolls: bool,
}

/// A gate that opened, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// When it opened, since the arm's start.
    pub at: f64,
    /// From containers ready to open.
    pub took: f64,
}

/// An arm.
#[derive(Clone, Debug, Serialize)]
pub struct ArmReport {
    /// Which.
    pub arm: Arm,
    /// What it is.
    pub title: &'static str,
    /// Requests.
    pub requests: u64,
    /// Requests by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Those that were begun late.
    pub late: u64,
    /// `WebSocket`s that were told 1001.
    pub handed_over: u64,
    /// Kept connections that ended while nothing was asked on them.
    pub ended_idle: u64,
    /// Microseconds from due to answered, of single requests.
    pub p50_us: u32,
    /// The same of the slowest hundredth.
    pub p99_us: u32,
    /// Pods that answered.
    pub pods_that_answered: usize,
    /// Failures by cause.
    pub failed: BTreeMap<String, u64>,
    /// Every failure.
    pub failures: Vec<Failure>,
    /// What was killed.
    pub wounds: Vec<Wound>,
    /// The story.
    pub marks: Vec<Mark>,
    /// How long each pod waited for its gate.
    pub gates: Vec<Gate>,
    /// The load, second by second.
    pub seconds: Vec<Second>,
    /// The cluster and the CLB, second by second.
    pub samples: Vec<Sample>,
    /// Why the story ended early, if it did.
    pub broken: Option<String>,
}

/// All arms.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// Requests a second.
    pub rate: u32,
    /// Pods.
    pub replicas: u32,
    /// How many requests arm d was to make.
    pub wanted: u64,
    /// What was found.
    pub arms: Vec<ArmReport>,
    /// What breaks a promise.
    pub missed: Vec<String>,
}

impl ArmReport {
    /// How many requests failed.
    pub fn failures(&self) -> u64 {
        self.failures.len() as u64
    }

    /// The fewest targets that got new connections at any time, and when.
    pub fn lowest(&self) -> Option<(u32, u64)> {
        let all = self.samples.iter();
        all.map(|sample| (sample.healthy, sample.at)).min()
    }

    /// How long each rollout took, in seconds.
    pub fn rollouts(&self) -> Vec<f64> {
        let rolls = self.marks.iter().filter(|mark| mark.rolls);
        rolls.map(|mark| mark.to - mark.from).collect()
    }

    /// A gate time in seconds that so many percent of the pods did not exceed.
    pub fn gate(&self, percent: usize) -> Option<f64> {
        let mut gates: Vec<_> = self.gates.iter().map(|gate| gate.took).collect();
        gates.sort_by(f64::total_cmp);
        let rank = (gates.len() * percent).div_ceil(100).saturating_sub(1);
        gates.get(rank).copied()
    }

    /// What the story did around a moment.
    pub fn around(&self, moment: Duration) -> Vec<&str> {
        let at = moment.as_secs_f64();
        let near = |mark: &&Mark| mark.from - 1.0 <= at && at <= mark.to + 1.0;
        let found = self.marks.iter().filter(near);
        found.map(|mark| mark.what.as_str()).collect()
    }

    /// A failure in a line: which request, when, where, why, and what happened then.
    pub fn tell(&self, failure: &Failure) -> String {
        let place = match (&failure.pod, failure.target) {
            (Some(pod), Some(target)) => format!("{pod} ({target})"),
            (Some(pod), None) => pod.clone(),
            (None, Some(target)) => target.to_string(),
            (None, None) => "no target".to_owned(),
        };
        let because = failure.because.as_deref();
        format!(
            "{:>7.2} s  {:<20} {:<14} {place}; known at {:.2} s; then: {}{}",
            failure.due.as_secs_f64(),
            failure.kind.name(),
            failure.cause.to_string(),
            failure.known.as_secs_f64(),
            self.around(failure.due).join(", "),
            because.map_or(String::new(), |because| format!(
                "; explained by: {because}"
            ))
        )
    }
}

/// What breaks a promise: of the arms that make one, and of the run as such.
pub fn missed(arms: &[ArmReport], wanted: u64) -> Vec<String> {
    arms.iter().flat_map(|arm| broken(arm, wanted)).collect()
}

fn broken(report: &ArmReport, wanted: u64) -> Vec<String> {
    let mut all = vec![];
    if let Some(why) = &report.broken {
        all.push(format!("the story ended early: {why}"));
    }
    if report.requests == 0 {
        all.push("no request was made".to_owned());
    }
    match report.arm {
        Arm::NodePort | Arm::Local | Arm::Direct | Arm::Gate => {}
        Arm::Drain => {
            if report.failures() > 0 {
                all.push(lost(report, &report.failures.iter().collect::<Vec<_>>()));
            }
            if report.requests < wanted {
                all.push(format!("{} requests, not {wanted}", report.requests));
            }
        }
        Arm::Crash => {
            let left: Vec<_> = unexplained(&report.failures).collect();
            if !left.is_empty() {
                all.push(lost(report, &left));
            }
            if report.wounds.is_empty() {
                all.push("nothing was killed".to_owned());
            }
        }
    }
    let arm = report.arm;
    all.into_iter()
        .map(|why| format!("arm {arm}: {why}"))
        .collect()
}

/// How many failures are told one by one; the rest are in the JSON file.
const TOLD: usize = 20;

fn lost(report: &ArmReport, failures: &[&Failure]) -> String {
    let causes = by_cause(failures.iter().copied());
    let what = if report.arm == Arm::Crash {
        "failed and nothing explains it"
    } else {
        "failed"
    };
    let mut text = format!(
        "{} of {} requests {what}: {causes:?}",
        failures.len(),
        report.requests
    );
    for failure in failures.iter().take(TOLD) {
        let _ = write!(text, "\n    {}", report.tell(failure));
    }
    if failures.len() > TOLD {
        let _ = write!(text, "\n    and {} more", failures.len() - TOLD);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tally::Cause;
    use super::*;

    pub(crate) fn empty(arm: Arm) -> ArmReport {
        ArmReport {
            arm,
            title: arm.title(),
            requests: 0,
            kinds: BTreeMap::new(),
            late: 0,
            handed_over: 0,
            ended_idle: 0,
            p50_us: 0,
            p99_us: 0,
            pods_that_answered: 0,
            failed: BTreeMap::new(),
            failures: vec![],
            wounds: vec![],
            marks: vec![],
            gates: vec![],
            seconds: vec![],
            samples: vec![],
            broken: None,
        }
    }

    pub(crate) fn failure(because: Option<&str>) -> Failure {
        Failure {
            kind: Kind::Fresh,
            cause: Cause::Refused,
            due: Duration::from_millis(2500),
            known: Duration::from_millis(2600),
            connected: None,
            client: None,
            target: Some("198.18.1.9:8080".parse().unwrap()),
            pod: Some("web-1".to_owned()),
            because: because.map(str::to_owned),
        }
    }

    fn wound() -> Wound {
        Wound {
            what: "kill -9".to_owned(),
            pod: "web-1".to_owned(),
            target: "198.18.1.9:8080".parse().unwrap(),
            from: Duration::ZERO,
            until: Duration::from_secs(8),
            live_until: Duration::from_secs(8),
            seen_out: true,
        }
    }

    #[test]
    fn a_failure_misses_where_it_was_promised_that_there_is_none() {
        for arm in Arm::ALL {
            let report = ArmReport {
                requests: 10,
                failures: vec![failure(None)],
                wounds: vec![wound()],
                ..empty(arm)
            };
            let missed = missed(&[report], 10);
            assert_eq!(missed.len(), usize::from(arm.drains()), "{arm}");
        }
    }

    #[test]
    fn crashes_may_cost_what_they_explain() {
        let mut report = ArmReport {
            requests: 10,
            failures: vec![failure(Some("kill -9"))],
            wounds: vec![wound()],
            ..empty(Arm::Crash)
        };
        assert!(missed(std::slice::from_ref(&report), 10).is_empty());
        report.wounds.clear();
        assert!(missed(&[report], 10)[0].contains("nothing was killed"));
    }

    #[test]
    fn a_miss_says_which_request_when_where_why_and_what_happened() {
        let report = ArmReport {
            requests: 10,
            failures: vec![failure(None)],
            marks: vec![Mark {
                from: 2.0,
                to: 9.0,
                what: "scale to 5".to_owned(),
                rolls: false,
            }],
            ..empty(Arm::Drain)
        };
        let missed = missed(&[report], 10).concat();
        for part in [
            "arm d",
            "1 of 10",
            "2.50 s",
            "fresh",
            "refused",
            "web-1",
            "198.18.1.9:8080",
            "scale to 5",
        ] {
            assert!(missed.contains(part), "{part}: {missed}");
        }
    }

    #[test]
    fn too_few_requests_prove_nothing() {
        let report = ArmReport {
            requests: 9,
            ..empty(Arm::Drain)
        };
        assert_eq!(missed(&[report], 10), ["arm d: 9 requests, not 10"]);
        let none = missed(&[empty(Arm::NodePort)], 10);
        assert_eq!(none, ["arm a: no request was made"]);
    }
}
