//! Does a pod that is being created get the gate?

use std::borrow::Cow;

use crate::index::ExposureIndex;
use crate::keep::Lifecycle;
use crate::names;
use crate::network::{PodNetwork, Reach, Refusal, Warning};
use crate::service::ObjectRef;

/// What of a pod the decision reads, borrowed from the review.
pub trait PodFacts {
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;
    /// What bears on whether a CLB can reach it.
    fn network(&self) -> PodNetwork;
    /// The condition types of `spec.readinessGates`; `None` where the field is absent or null.
    fn gates(&self) -> Option<impl Iterator<Item = Cow<'_, str>>>;
    /// Of its regular containers, in their order. Native sidecars end after those.
    fn lifecycles(&self) -> &[Lifecycle];
    /// `spec.terminationGracePeriodSeconds`; `None` where it is absent or null.
    fn grace(&self) -> Option<i64>;
}

/// What to do about the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection<'i> {
    /// The pod has no `spec.readinessGates`: add the array with the gate in it.
    AddArray(&'i ObjectRef, Option<Warning>),
    /// Append the gate to the array the pod has.
    Append(&'i ObjectRef, Option<Warning>),
    /// Leave the pod as it is.
    Skip(SkipReason<'i>),
}

/// Where the gate goes in a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into a new `spec.readinessGates`.
    NewArray,
    /// At the end of the one the pod has.
    Append,
    /// Nowhere: it has the gate.
    AlreadyThere,
}

/// Why a pod is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason<'i> {
    /// Nothing that is ours exposes it.
    NotExposed,
    /// The pod's label `clb-gate.io/inject: "false"`.
    OptedOut,
    /// It has the gate already.
    AlreadyGated,
    /// The CLB cannot reach it.
    Unreachable(&'i ObjectRef, Refusal),
}

impl SkipReason<'_> {
    /// The reason's name in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotExposed => "not_exposed",
            Self::OptedOut => "opted_out",
            Self::AlreadyGated => "already_gated",
            Self::Unreachable(_, refusal) => refusal.label(),
        }
    }

    /// What the person who creates the pod is told, if anything.
    pub fn warning(self) -> Option<String> {
        match self {
            Self::Unreachable(service, refusal) => Some(format!(
                "clb-gate: no readiness gate, and not bound to the CLB of Service {service}: {}",
                refusal.why()
            )),
            Self::NotExposed | Self::OptedOut | Self::AlreadyGated => None,
        }
    }
}

/// Decides whether a pod created in `namespace` gets the gate. No call, no lock, no copy of the pod.
pub fn inject<'i>(pod: &impl PodFacts, namespace: &str, index: &'i ExposureIndex) -> Injection<'i> {
    let Some(service) = index.find(namespace, |key| pod.label(key)) else {
        return Injection::Skip(SkipReason::NotExposed);
    };
    if pod.label(names::INJECT_LABEL) == Some("false") {
        return Injection::Skip(SkipReason::OptedOut);
    }
    let warning = match pod.network().reach(index.network()) {
        Reach::Eligible(_) => None,
        Reach::Warned(_, warning) => Some(warning),
        Reach::Refused(_, refusal) => {
            return Injection::Skip(SkipReason::Unreachable(service, refusal));
        }
    };
    match place(pod) {
        Place::NewArray => Injection::AddArray(service, warning),
        Place::Append => Injection::Append(service, warning),
        Place::AlreadyThere => Injection::Skip(SkipReason::AlreadyGated),
    }
}

/// Where the gate goes, once it is known that the pod gets it.
pub fn place(pod: &impl PodFacts) -> Place {
    match pod.gates().map(has_ours) {
        None => Place::NewArray,
        Some(true) => Place::AlreadyThere,
        Some(false) => Place::Append,
    }
}

fn has_ours<'a>(mut gates: impl Iterator<Item = Cow<'a, str>>) -> bool {
    gates.any(|gate| gate == names::GATE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tests::service;
    use crate::settings::Settings;

    #[derive(Default)]
    struct Pod {
        labels: Vec<(&'static str, &'static str)>,
        network: PodNetwork,
        gates: Option<Vec<&'static str>>,
    }

    impl PodFacts for Pod {
        fn label(&self, key: &str) -> Option<&str> {
            self.labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v)
        }
        fn network(&self) -> PodNetwork {
            self.network
        }
        fn gates(&self) -> Option<impl Iterator<Item = Cow<'_, str>>> {
            self.gates
                .as_ref()
                .map(|gates| gates.iter().map(|gate| Cow::Borrowed(*gate)))
        }
        fn lifecycles(&self) -> &[Lifecycle] {
            &[]
        }
        fn grace(&self) -> Option<i64> {
            None
        }
    }

    fn pod() -> Pod {
        Pod {
            labels: vec![("app", "web")],
            ..Pod::default()
        }
    }

    fn index() -> ExposureIndex {
        ExposureIndex::build([&service("web")], &Settings::default())
    }

    #[test]
    fn an_exposed_pod_gets_the_gate_once() {
        let index = index();
        assert!(
            matches!(inject(&pod(), "shop", &index), Injection::AddArray(s, None) if s.name == "web")
        );
        let other = Pod {
            gates: Some(vec!["example.com/other"]),
            ..pod()
        };
        assert!(matches!(
            inject(&other, "shop", &index),
            Injection::Append(_, None)
        ));
        let empty = Pod {
            gates: Some(vec![]),
            ..pod()
        };
        assert!(matches!(
            inject(&empty, "shop", &index),
            Injection::Append(_, None)
        ));
        let gated = Pod {
            gates: Some(vec!["example.com/other", names::GATE]),
            ..pod()
        };
        assert_eq!(
            inject(&gated, "shop", &index),
            Injection::Skip(SkipReason::AlreadyGated)
        );
    }

    #[test]
    fn another_namespace_or_label_is_not_exposed() {
        let index = index();
        let skip = Injection::Skip(SkipReason::NotExposed);
        assert_eq!(inject(&pod(), "other", &index), skip);
        assert_eq!(
            inject(
                &Pod {
                    labels: vec![("app", "api")],
                    ..pod()
                },
                "shop",
                &index
            ),
            skip
        );
    }

    #[test]
    fn host_network_pods_are_told_why() {
        let index = index();
        let pod = Pod {
            network: PodNetwork {
                host_network: true,
                ..PodNetwork::default()
            },
            ..pod()
        };
        let Injection::Skip(reason) = inject(&pod, "shop", &index) else {
            panic!("injected")
        };
        assert!(reason.warning().unwrap().contains("spec.hostNetwork"));
    }

    #[test]
    fn the_cluster_s_network_decides() {
        let (settings, _) = Settings::parse(&[("network".to_owned(), "mixed".to_owned())].into());
        let index = ExposureIndex::build([&service("web")], &settings);
        assert_eq!(
            inject(&pod(), "shop", &index),
            Injection::Skip(SkipReason::Unreachable(
                &service("web").object(),
                Refusal::NoEni
            ))
        );
        let eni = |eni_ip| Pod {
            network: PodNetwork::of(false, Some("tke-route-eni"), eni_ip),
            ..pod()
        };
        let warned = inject(&eni(false), "shop", &index);
        assert!(matches!(
            warned,
            Injection::AddArray(_, Some(Warning::NoEniIp))
        ));
        let fine = inject(&eni(true), "shop", &index);
        assert!(matches!(fine, Injection::AddArray(_, None)));
    }

    #[test]
    fn the_opt_out_is_only_false() {
        let index = index();
        let with = |value| Pod {
            labels: vec![("app", "web"), (names::INJECT_LABEL, value)],
            ..pod()
        };
        let skip = Injection::Skip(SkipReason::OptedOut);
        assert_eq!(inject(&with("false"), "shop", &index), skip);
        assert!(matches!(
            inject(&with("no"), "shop", &index),
            Injection::AddArray(_, None)
        ));
    }
}
