//! How pods leave their CLB: how long their targets keep weight 0, and whether the pods serve on meanwhile.

use std::fmt;
use std::time::Duration;

use crate::names;
use crate::network::ClusterFacts;
use crate::owner::Kind;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::words::Words;

/// Shorter than this, one call to the CLB that must be repeated would come too late.
const SHORTEST: u16 = 5;
/// Longer than this nobody waits for a node to be drained.
const LONGEST: u16 = 3600;

/// How the pods of an exposure leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// So many seconds a target keeps weight 0 before it is taken away while its pod still runs.
    pub seconds: u16,
    /// The pod serves on for so long: the webhook lets it sleep before it is stopped.
    pub keeps_pod: bool,
}

impl Drain {
    /// Where nobody says: a change of leader and the longest write to the CLB take less, and it is what
    /// Kubernetes gives a pod to end.
    pub const USUAL: Self = Self {
        seconds: 30,
        keeps_pod: false,
    };

    /// How long a target keeps weight 0 while its pod, which has so long to end, still runs. A pod that
    /// serves on is stopped only then, and what it has begun may end: its whole time is its connections' too.
    pub fn lasts(self, grace: Option<Duration>) -> Duration {
        let own = Duration::from_secs(self.seconds.into());
        own.max(grace.filter(|_| self.keeps_pod).unwrap_or_default())
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::USUAL
    }
}

/// What of the cluster bears on drains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drains {
    /// TKE's switch `EnablePodGracefulDeletion` is `"true"`: pods serve on where no annotation says otherwise.
    pub keep_pods: bool,
    /// The oldest kubelet, where it is too old to let a pod sleep.
    pub too_old: Option<Kubelet>,
}

impl Drains {
    pub(crate) fn of(facts: &ClusterFacts) -> Self {
        let switch = facts.tke.as_ref();
        let switch = switch.and_then(|data| data.get(names::POD_GRACEFUL_DELETION));
        let oldest = facts.nodes.oldest_kubelet;
        Self {
            keep_pods: switch.is_some_and(|value| value.trim() == "true"),
            too_old: oldest.filter(|oldest| *oldest < Kubelet::SLEEPS),
        }
    }
}

/// The minor version of a kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kubelet {
    /// `1` of 1.36.
    pub major: u16,
    /// `36` of 1.36.
    pub minor: u16,
}

impl Kubelet {
    /// The first that lets a pod sleep (`PodLifecycleSleepAction`, on by default).
    pub const SLEEPS: Self = Self {
        major: 1,
        minor: 30,
    };

    /// Reads `v1.36.0-something`.
    pub fn parse(version: &str) -> Option<Self> {
        let mut numbers = version.trim_start_matches('v').split('.');
        let mut next = || numbers.next()?.parse().ok();
        Some(Self {
            major: next()?,
            minor: next()?,
        })
    }
}

impl fmt::Display for Kubelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Reads what an object says of drains. What cannot be read is told and changes nothing.
pub(crate) fn drain(words: &Words<'_>, settings: &Settings) -> (Drain, Vec<Problem>) {
    let (mut drain, mut problems) = (Drain::USUAL, Vec::new());
    drain.keeps_pod = settings.drains.keep_pods;
    let key = match words.kind {
        Kind::Service => names::GRACE_DELETION,
        Kind::Ingress => names::ingress::GRACE_DELETION,
    };
    match words.annotations.get(key).map(String::as_str) {
        None => {}
        Some("true") => drain.keeps_pod = true,
        Some("false") => drain.keeps_pod = false,
        Some(other) => {
            let accepted = r#"accepted are "true" and "false""#;
            problems.push(words.owner().annotation_problem(key, other, accepted));
        }
    }
    if let Some(text) = words.annotations.get(names::DRAIN_SECONDS) {
        match seconds(text) {
            Some(seconds) => drain.seconds = seconds,
            None => problems.push(bad_seconds(words, text)),
        }
    }
    (drain, problems)
}

fn seconds(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let read = text.parse().ok().filter(|_| digits);
    read.filter(|seconds| (SHORTEST..=LONGEST).contains(seconds))
}

fn bad_seconds(words: &Words<'_>, text: &str) -> Problem {
    let accepted = format!(
        "accepted are whole seconds, {SHORTEST} to {LONGEST}, e.g. \"60\"; {} holds until then",
        Drain::USUAL.seconds
    );
    words
        .owner()
        .annotation_problem(names::DRAIN_SECONDS, text, &accepted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;
    use crate::network::{NodeCounts, NodeFacts};

    const KEYS: [(Kind, &str); 2] = [
        (Kind::Service, names::GRACE_DELETION),
        (Kind::Ingress, names::ingress::GRACE_DELETION),
    ];

    fn read(
        kind: Kind,
        said: &[(&str, Option<&str>)],
        by_tke: Option<&str>,
    ) -> (Drain, Vec<String>) {
        let said = said
            .iter()
            .filter_map(|(key, value)| Some((key, (*value)?)));
        let annotations: BTreeMap<_, _> = said
            .map(|(key, value)| ((*key).to_owned(), value.to_owned()))
            .collect();
        let words = Words {
            kind,
            namespace: "shop",
            name: "web",
            annotations: &annotations,
        };
        let mut settings = Settings::default();
        let switch = |value: &str| (names::POD_GRACEFUL_DELETION.to_owned(), value.to_owned());
        settings.conclude(&ClusterFacts {
            tke: Some(by_tke.map(switch).into_iter().collect()),
            ..ClusterFacts::default()
        });
        let (drain, problems) = drain(&words, &settings);
        (drain, problems.iter().map(ToString::to_string).collect())
    }

    #[rstest]
    #[case(None, None, false)]
    #[case(None, Some("false"), false)]
    #[case(None, Some("true"), true)]
    #[case(None, Some("yes"), false)]
    #[case(Some("true"), None, true)]
    #[case(Some("true"), Some("false"), true)]
    #[case(Some("false"), Some("true"), false)]
    fn the_annotation_counts_before_tkes_switch(
        #[case] said: Option<&str>,
        #[case] by_tke: Option<&str>,
        #[case] keeps_pod: bool,
    ) {
        for (kind, key) in KEYS {
            let (drain, problems) = read(kind, &[(key, said)], by_tke);
            assert_eq!((drain.keeps_pod, problems.len()), (keeps_pod, 0));
        }
    }

    #[test]
    fn a_grace_deletion_that_is_neither_is_told_and_changes_nothing() {
        for (kind, key) in KEYS {
            for by_tke in [None, Some("true")] {
                let (drain, problems) = read(kind, &[(key, Some("yes"))], by_tke);
                assert_eq!(drain.keeps_pod, by_tke.is_some());
                for part in [
                    kind.as_str(),
                    "shop/web",
                    key,
                    "\"yes\"",
                    "\"true\" and \"false\"",
                ] {
                    assert!(problems[0].contains(part), "{problems:?}");
                }
            }
        }
    }

    #[rstest]
    #[case(None, 30)]
    #[case(Some("5"), 5)]
    #[case(Some("60"), 60)]
    #[case(Some("3600"), 3600)]
    fn drain_seconds_are_5_to_3600_and_30_otherwise(
        #[case] said: Option<&str>,
        #[case] seconds: u16,
    ) {
        for (kind, _) in KEYS {
            let (drain, problems) = read(kind, &[(names::DRAIN_SECONDS, said)], None);
            assert_eq!((drain.seconds, problems.len()), (seconds, 0));
        }
    }

    #[rstest]
    #[case("")]
    #[case("4")]
    #[case("3601")]
    #[case("100000")]
    #[case("30s")]
    #[case("-30")]
    #[case("+30")]
    #[case("30.5")]
    fn drain_seconds_that_are_none_are_told_and_the_usual_holds(#[case] said: &str) {
        for (kind, _) in KEYS {
            let (drain, problems) = read(kind, &[(names::DRAIN_SECONDS, Some(said))], None);
            assert_eq!(drain.seconds, 30);
            for part in [
                "clb-gate.io/drain-seconds",
                &format!("{said:?}"),
                "5 to 3600",
            ] {
                assert!(problems[0].contains(part), "{problems:?}");
            }
        }
    }

    #[test]
    fn a_pod_that_serves_on_keeps_its_connections_for_as_long_as_it_has() {
        let grace = Some(Duration::from_mins(1));
        let drain = |keeps_pod| Drain {
            keeps_pod,
            ..Drain::USUAL
        };
        assert_eq!(drain(true).lasts(grace), Duration::from_mins(1));
        assert_eq!(drain(false).lasts(grace), Duration::from_secs(30));
        assert_eq!(drain(true).lasts(None), Duration::from_secs(30));
    }

    #[rstest]
    #[case("v1.36.0", Some((1, 36)))]
    #[case("v1.30.0-tke.1", Some((1, 30)))]
    #[case("v2.11.28", Some((2, 11)))]
    #[case("1.29", Some((1, 29)))]
    #[case("", None)]
    #[case("v1", None)]
    #[case("eklet", None)]
    fn a_kubelets_version_is_read_from_its_first_two_numbers(
        #[case] version: &str,
        #[case] read: Option<(u16, u16)>,
    ) {
        let kubelet = read.map(|(major, minor)| Kubelet { major, minor });
        assert_eq!(Kubelet::parse(version), kubelet);
    }

    #[rstest]
    #[case(&[], None)]
    #[case(&[None], None)]
    #[case(&[Some(36), Some(30)], None)]
    #[case(&[Some(36), None, Some(29), Some(28)], Some(28))]
    fn the_oldest_kubelet_says_whether_pods_may_sleep(
        #[case] minors: &[Option<u16>],
        #[case] too_old: Option<u16>,
    ) {
        let nodes: Vec<_> = minors
            .iter()
            .map(|minor| NodeFacts {
                kubelet: minor.map(|minor| Kubelet { major: 1, minor }),
                ..NodeFacts::default()
            })
            .collect();
        let drains = Drains::of(&ClusterFacts {
            nodes: nodes.iter().collect::<NodeCounts>(),
            ..ClusterFacts::default()
        });
        let too_old = too_old.map(|minor| Kubelet { major: 1, minor });
        assert_eq!(drains.too_old, too_old);
    }
}
