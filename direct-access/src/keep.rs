//! What a pod is given so that it serves on until its CLBs send it nothing new.

use std::fmt;

use crate::drain::Kubelet;
use crate::index::ExposureIndex;
use crate::inject::PodFacts;
use crate::service::ObjectRef;

/// How long a pod has to end that does not say (Kubernetes' default).
const USUAL_GRACE: u64 = 30;

/// What of a container's `lifecycle` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// It has none.
    None,
    /// It has one without `preStop`.
    WithoutPreStop,
    /// It has a `preStop` that sleeps so many seconds.
    Sleeps(u64),
    /// It has another `preStop`.
    Own,
}

/// What to do about a pod's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep<'i> {
    /// Nothing: no exposure asks for it, or every container has a `preStop` of its own.
    Leave,
    /// Nothing, although this Service's pods should serve on.
    Skip(&'i ObjectRef, NoSleep),
    /// Let it sleep before it is stopped.
    Sleep(Sleep),
}

/// Before it is stopped, a pod sleeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// So many seconds.
    pub seconds: u16,
    /// In these containers, by their place among the regular ones; whether they have a `lifecycle`.
    pub containers: Vec<(usize, bool)>,
    /// What `spec.terminationGracePeriodSeconds` becomes, because sleeping is deducted from it. `None`:
    /// it stays, because a container sleeps as long already.
    pub grace: Option<u64>,
}

/// Why a pod that should serve on does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSleep {
    /// It gives itself no time to end.
    NoGrace,
    /// A kubelet of the cluster is too old to let a pod sleep.
    KubeletTooOld(Kubelet),
}

impl fmt::Display for NoSleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoGrace => f.write_str(
                "spec.terminationGracePeriodSeconds is 0, so it is killed at once; give it time to end",
            ),
            Self::KubeletTooOld(kubelet) => write!(
                f,
                "the cluster's oldest kubelet is {kubelet}; {} is the first that knows preStop.sleep",
                Kubelet::SLEEPS
            ),
        }
    }
}

/// Decides how a pod that gets the gate in `namespace` is to end. No call, no lock, no copy of the pod.
pub fn keep<'i>(pod: &impl PodFacts, namespace: &str, index: &'i ExposureIndex) -> Keep<'i> {
    let asked = index.longest_drain(namespace, |key| pod.label(key));
    let Some((service, seconds)) = asked else {
        return Keep::Leave;
    };
    let grace = pod.grace();
    if grace == Some(0) {
        return Keep::Skip(service, NoSleep::NoGrace);
    }
    let containers: Vec<_> = sleepless(pod.lifecycles()).collect();
    if containers.is_empty() {
        return Keep::Leave;
    }
    if let Some(kubelet) = index.drains().too_old {
        return Keep::Skip(service, NoSleep::KubeletTooOld(kubelet));
    }
    Keep::Sleep(Sleep {
        seconds,
        containers,
        grace: longer(grace, seconds, pod.lifecycles()),
    })
}

fn sleepless(all: &[Lifecycle]) -> impl Iterator<Item = (usize, bool)> + '_ {
    let numbered = all.iter().enumerate();
    numbered.filter_map(|(number, lifecycle)| match lifecycle {
        Lifecycle::None => Some((number, false)),
        Lifecycle::WithoutPreStop => Some((number, true)),
        Lifecycle::Sleeps(_) | Lifecycle::Own => None,
    })
}

/// Containers sleep side by side. Where one does for as long already, by its user's wish or because we
/// were here before, its pod has been given the time for it.
fn longer(grace: Option<i64>, seconds: u16, all: &[Lifecycle]) -> Option<u64> {
    let seconds = u64::from(seconds);
    let as_long = |one: &Lifecycle| matches!(one, Lifecycle::Sleeps(own) if *own >= seconds);
    if all.iter().any(as_long) {
        return None;
    }
    // Less than 0 is 1 (API reference).
    let own = grace.map_or(USUAL_GRACE, |own| u64::try_from(own).unwrap_or(1));
    Some(own.saturating_add(seconds).min(i64::MAX.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use rstest::rstest;

    use super::*;
    use crate::names;
    use crate::network::{ClusterFacts, NodeCounts, PodNetwork};
    use crate::service::ServiceFacts;
    use crate::service::tests::service;
    use crate::settings::Settings;

    struct Pod {
        lifecycles: Vec<Lifecycle>,
        grace: Option<i64>,
    }

    impl PodFacts for Pod {
        fn label(&self, key: &str) -> Option<&str> {
            (key == "app").then_some("web")
        }
        fn network(&self) -> PodNetwork {
            PodNetwork::default()
        }
        fn gates(&self) -> Option<impl Iterator<Item = Cow<'_, str>>> {
            None::<std::iter::Empty<_>>
        }
        fn lifecycles(&self) -> &[Lifecycle] {
            &self.lifecycles
        }
        fn grace(&self) -> Option<i64> {
            self.grace
        }
    }

    fn graceful(name: &str, seconds: Option<&str>) -> ServiceFacts {
        let mut service = service(name);
        service.selector = [("app".to_owned(), "web".to_owned())].into();
        let mut say = |key: &str, value: &str| {
            service.annotations.insert(key.to_owned(), value.to_owned());
        };
        say(names::GRACE_DELETION, "true");
        if let Some(seconds) = seconds {
            say(names::DRAIN_SECONDS, seconds);
        }
        service
    }

    fn kept(lifecycles: &[Lifecycle], grace: Option<i64>) -> Option<Sleep> {
        let index = ExposureIndex::build([&graceful("web", None)], &Settings::default());
        let lifecycles = lifecycles.to_vec();
        match keep(&Pod { lifecycles, grace }, "shop", &index) {
            Keep::Leave => None,
            Keep::Skip(service, why) => panic!("{service}: {why}"),
            Keep::Sleep(sleep) => Some(sleep),
        }
    }

    #[rstest]
    #[case::plain(&[Lifecycle::None], Some(60))]
    #[case::says_nothing(&[Lifecycle::None, Lifecycle::Own], Some(60))]
    #[case::sleeps_less(&[Lifecycle::WithoutPreStop, Lifecycle::Sleeps(29)], Some(60))]
    #[case::sleeps_as_long(&[Lifecycle::WithoutPreStop, Lifecycle::Sleeps(30)], None)]
    fn the_grace_is_raised_with_a_sleep_unless_a_container_sleeps_as_long(
        #[case] lifecycles: &[Lifecycle],
        #[case] grace: Option<u64>,
    ) {
        assert_eq!(kept(lifecycles, Some(30)).unwrap().grace, grace);
        assert_eq!(kept(lifecycles, None).unwrap().grace, grace);
    }

    #[rstest]
    #[case(Some(5), 35)]
    #[case(Some(-1), 31)]
    #[case(Some(i64::MAX), i64::MAX.unsigned_abs())]
    fn any_grace_is_raised_by_the_drain(#[case] own: Option<i64>, #[case] raised: u64) {
        assert_eq!(kept(&[Lifecycle::None], own).unwrap().grace, Some(raised));
    }

    #[test]
    fn a_prestop_that_is_there_stays_as_it_is() {
        assert_eq!(kept(&[Lifecycle::Own, Lifecycle::Sleeps(1)], None), None);
        assert_eq!(kept(&[], None), None);
        let mixed = [
            Lifecycle::Own,
            Lifecycle::None,
            Lifecycle::Sleeps(3),
            Lifecycle::WithoutPreStop,
        ];
        assert_eq!(
            kept(&mixed, None).unwrap().containers,
            [(1, false), (3, true)]
        );
    }

    #[test]
    fn the_longest_drain_of_what_asks_for_one_counts() {
        let mut not_asked = graceful("d", Some("600"));
        not_asked.annotations.remove(names::GRACE_DELETION);
        let mut elsewhere = graceful("e", Some("500"));
        elsewhere.namespace = "other".to_owned();
        let all = [
            graceful("a", Some("5")),
            graceful("b", Some("70")),
            graceful("c", None),
            not_asked,
            elsewhere,
        ];
        let index = ExposureIndex::build(&all, &Settings::default());
        let pod = Pod {
            lifecycles: vec![Lifecycle::None],
            grace: None,
        };
        let Keep::Sleep(sleep) = keep(&pod, "shop", &index) else {
            panic!("not kept")
        };
        assert_eq!((sleep.seconds, sleep.grace), (70, Some(100)));
    }

    #[test]
    fn without_the_wish_nothing_changes() {
        let index = ExposureIndex::build([&service("web")], &Settings::default());
        let pod = Pod {
            lifecycles: vec![Lifecycle::None],
            grace: Some(0),
        };
        assert_eq!(keep(&pod, "shop", &index), Keep::Leave);
        assert_eq!(keep(&pod, "other", &index), Keep::Leave);
    }

    #[test]
    fn a_pod_that_cannot_sleep_is_told_why() {
        let told = |settings: &Settings, grace: Option<i64>| {
            let index = ExposureIndex::build([&graceful("web", None)], settings);
            let lifecycles = vec![Lifecycle::None];
            match keep(&Pod { lifecycles, grace }, "shop", &index) {
                Keep::Skip(_, why) => Some(why.to_string()),
                Keep::Leave | Keep::Sleep(_) => None,
            }
        };
        let mut settings = Settings::default();
        let no_grace = told(&settings, Some(0)).unwrap();
        assert!(
            no_grace.contains("terminationGracePeriodSeconds is 0"),
            "{no_grace}"
        );
        settings.conclude(&ClusterFacts {
            nodes: NodeCounts {
                oldest_kubelet: Kubelet::parse("v1.29.4"),
                ..NodeCounts::default()
            },
            ..ClusterFacts::default()
        });
        let too_old = told(&settings, None).unwrap();
        assert!(
            too_old.contains("1.29") && too_old.contains("1.30"),
            "{too_old}"
        );
    }
}
