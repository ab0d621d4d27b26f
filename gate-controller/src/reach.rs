//! Which of the exposed pods a CLB cannot reach, and which Services mix pods of several network modes. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use direct_access::network::{Conclusion, Kind, Refusal};
use direct_access::{Exposure, ObjectRef, Owner, Problem};

use crate::desired::{PodsByNamespace, selected};
use crate::pod::{Fate, PodRecord};

/// Names of pods that an Event tells of each sort; the rest is counted.
const NAMED: usize = 3;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Survey {
    /// UIDs of live, exposed pods that the CLB cannot reach.
    pub(crate) unreachable: HashSet<String>,
    /// Services with pods of several sorts, told on them.
    pub(crate) mixed: BTreeMap<ObjectRef, Mixture>,
}

/// A Service's pods are of several sorts.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixture {
    /// Which. The pods themselves change with every rollout, which is not news.
    pub sorts: Vec<Kind>,
    /// In the user's words, with the names of pods.
    pub problem: Problem,
}

/// The pods of a Service, by where their addresses come from.
type Sorts<'a> = BTreeMap<Kind, Vec<&'a PodRecord>>;

/// Looks at the pods of every Service in namespaces where there is something to find.
pub(crate) fn survey(
    exposures: &[Exposure],
    pods: &PodsByNamespace<'_>,
    network: Conclusion,
) -> Survey {
    let mut survey = Survey::default();
    let odd = odd(pods, network);
    let mut seen = BTreeSet::new();
    for exposure in exposures {
        let service = &exposure.service;
        if !odd.contains(service.namespace.as_str()) || !seen.insert(service) {
            continue;
        }
        let mut sorts = Sorts::new();
        for pod in selected(exposure, pods) {
            let reach = pod.network.reach(network);
            if reach.refusal().is_some() {
                survey.unreachable.insert(pod.uid.clone());
            }
            sorts.entry(reach.kind()).or_default().push(pod);
        }
        if sorts.len() > 1 {
            let mixture = Mixture {
                sorts: sorts.keys().copied().collect(),
                problem: problem(exposure, &sorts, network),
            };
            survey.mixed.insert(service.clone(), mixture);
        }
    }
    survey
}

/// Namespaces with a pod that cannot be reached or with pods of several sorts: usually none, and then
/// nothing is looked at twice.
fn odd<'a>(pods: &PodsByNamespace<'a>, network: Conclusion) -> HashSet<&'a str> {
    let odd = |all: &[&PodRecord]| {
        let mut live = all.iter().filter(|pod| pod.fate == Fate::Live);
        let first = live.next().map(|pod| pod.network.reach(network).kind());
        let refused = |pod: &&&PodRecord| pod.network.reach(network).refusal().is_some();
        let other = |pod: &PodRecord| Some(pod.network.reach(network).kind()) != first;
        all.iter().any(|pod| refused(&pod)) || live.any(|pod| other(pod))
    };
    let namespaces = pods.iter().filter(|(_, all)| odd(all));
    namespaces.map(|(namespace, _)| *namespace).collect()
}

fn problem(exposure: &Exposure, sorts: &Sorts<'_>, network: Conclusion) -> Problem {
    let told: Vec<_> = sorts
        .iter()
        .map(|(kind, pods)| {
            let refusal = pods
                .iter()
                .find_map(|pod| pod.network.reach(network).refusal());
            format!("{} {} ({})", kind.as_str(), named(pods), bound(refusal))
        })
        .collect();
    let selector: Vec<_> = exposure
        .selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let accepted = format!(
        "it selects pods of {} network modes: {}; give all pods of a Service the same",
        sorts.len(),
        told.join("; ")
    );
    let owner = Owner::service(exposure.service.clone());
    owner.problem("spec.selector", &selector.join(","), &accepted)
}

fn named(pods: &[&PodRecord]) -> String {
    let names: Vec<_> = pods
        .iter()
        .take(NAMED)
        .map(|pod| pod.name.as_str())
        .collect();
    let more = pods.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!(" and {more} more"));
    format!("{}{}", names.join(", "), more.unwrap_or_default())
}

fn bound(refusal: Option<Refusal>) -> String {
    refusal.map_or_else(
        || "bound".to_owned(),
        |refusal| format!("not bound: {}", refusal.why()),
    )
}

#[cfg(test)]
mod tests {
    use direct_access::Settings;
    use direct_access::network::{ClusterFacts, PodNetwork};
    use rstest::rstest;

    use super::*;
    use crate::desired::tests::{compute_in, service};
    use crate::pod::tests::pod;

    fn on(name: &str, number: u8, network: PodNetwork) -> PodRecord {
        PodRecord {
            network,
            ..pod(name, number)
        }
    }

    fn eni(name: &str, number: u8) -> PodRecord {
        on(
            name,
            number,
            PodNetwork::of(false, Some("tke-route-eni"), true),
        )
    }

    fn settings(network: &str, global_route: bool) -> Settings {
        let (mut settings, _) =
            Settings::parse(&[("network".to_owned(), network.to_owned())].into());
        let switch = (
            "GlobalRouteDirectAccess".to_owned(),
            global_route.to_string(),
        );
        settings.conclude(&ClusterFacts {
            tke: Some([switch].into()),
            ..ClusterFacts::default()
        });
        settings
    }

    /// Who is bound, and who is told not to be.
    #[rstest]
    #[case::vpc_cni("vpc-cni", false, &["eni", "plain"], None)]
    #[case::routable("routable", false, &["eni", "plain"], None)]
    #[case::serverless("serverless", false, &["eni", "plain"], None)]
    #[case::mixed("mixed", false, &["eni"], Some("GlobalRouter plain (not bound: it has no ENI"))]
    #[case::both("mixed", true, &["eni", "plain"], Some("ENI eni (bound); GlobalRouter plain (bound)"))]
    #[case::global_router("global-router", true, &["eni", "plain"], None)]
    #[case::switched_off("global-router", false, &[], None)]
    fn only_what_the_clb_reaches_is_bound(
        #[case] network: &str,
        #[case] global_route: bool,
        #[case] bound: &[&str],
        #[case] told: Option<&str>,
    ) {
        let pods = [eni("eni", 1), pod("plain", 2)];
        let wanted = compute_in(&settings(network, global_route), &[service("web")], &pods);
        let listeners = &wanted.load_balancers["lb-abcd1234"].listeners;
        let targets = listeners.values().flat_map(|listener| &listener.targets);
        let names: Vec<_> = targets.map(|target| target.pod.name.as_str()).collect();
        assert_eq!(names, bound);
        let mixture = wanted.mixed.values().next();
        let text = mixture
            .map(|one| one.problem.to_string())
            .unwrap_or_default();
        assert_eq!(mixture.is_some(), told.is_some(), "{text}");
        for part in told
            .into_iter()
            .chain(told.map(|_| "Service shop/web: spec.selector"))
        {
            assert!(text.contains(part), "{text}");
        }
        let left: Vec<_> = wanted.others.unreachable.iter().collect();
        assert_eq!(left.len(), 2 - bound.len(), "{left:?}");
    }

    #[test]
    fn a_host_network_pod_among_others_is_told_and_never_bound() {
        let host = PodNetwork::of(true, Some("tke-route-eni"), true);
        let pods = [pod("a", 1), on("b", 2, host)];
        let wanted = compute_in(&settings("vpc-cni", false), &[service("web")], &pods);
        let text = wanted.mixed.values().next().unwrap().problem.to_string();
        for part in [
            "ENI a (bound)",
            "host network b (not bound: spec.hostNetwork",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(wanted.others.unreachable.contains("uid-b"));
    }

    #[test]
    fn many_pods_are_counted() {
        let many: Vec<_> = (1..=5)
            .map(|number| eni(&format!("e{number}"), number))
            .collect();
        let pods: Vec<_> = many.into_iter().chain([pod("z", 9)]).collect();
        let wanted = compute_in(&settings("mixed", false), &[service("web")], &pods);
        let text = wanted.mixed.values().next().unwrap().problem.to_string();
        assert!(text.contains("ENI e1, e2, e3 and 2 more (bound)"), "{text}");
    }

    #[test]
    fn what_nothing_exposes_is_nobodys_business() {
        let pods = [eni("a", 1), pod("b", 2)];
        let wanted = compute_in(&settings("mixed", false), &[], &pods);
        assert!(wanted.mixed.is_empty() && wanted.others.unreachable.is_empty());
    }
}
