//! What can be found of a pod as a whole.

use direct_access::Owner;
use direct_access::network::Refusal;
use jiff::Timestamp;

use super::Weight;
use crate::certificates::spell::second;
use crate::explain::{Left, Stands, Waits};

/// What to do about pods without the gate: nothing adds it to a pod that exists.
const HOW_TO_GATE: &str =
    "kubectl rollout restart its workload: the pods that come instead have the gate";

/// What was found of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfPod {
    /// The gate is open, and the pod is Ready.
    Ready,
    /// The gate is open; the pod is not Ready for another reason.
    NotReadyOtherwise(String),
    /// All bindings are healthy, and the condition will be written.
    Healthy,
    /// It is being deleted: since when, and what load balancers still hold of it.
    Going(Option<Timestamp>, Vec<Left>),
    /// Its containers have ended.
    Ended,
    /// Nothing that is ours selects it; objects that could be meant, and why they do not count.
    NotExposed(Vec<(String, String)>),
    /// It has the gate, and nothing selects it.
    Unselected(Vec<(String, String)>),
    /// Its label opts out.
    OptedOut,
    /// A CLB cannot reach it.
    Unreachable(Refusal),
    /// It is older than what exposes it.
    OlderThanItsExposure(Owner, Timestamp),
    /// It is younger, so no webhook answered when it was created.
    NoWebhookAnswered,
    /// These containers are not ready.
    ContainersNotReady(Vec<Waits>),
    /// It has no address.
    NoAddress,
}

impl OfPod {
    /// Its name, which does not change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReadyOtherwise(_) => "notReadyOtherwise",
            Self::Healthy => "healthy",
            Self::Going(..) => "going",
            Self::Ended => "ended",
            Self::NotExposed(_) => "notExposed",
            Self::Unselected(_) => "unselected",
            Self::OptedOut => "optedOut",
            Self::Unreachable(_) => "unreachable",
            Self::OlderThanItsExposure(..) => "olderThanItsExposure",
            Self::NoWebhookAnswered => "noWebhookAnswered",
            Self::ContainersNotReady(_) => "containersNotReady",
            Self::NoAddress => "noAddress",
        }
    }

    /// How much it matters.
    pub fn weight(&self) -> Weight {
        match self {
            Self::Going(_, left) if served(left) => Weight::Waits,
            Self::Ready | Self::Going(..) | Self::Ended | Self::OptedOut => Weight::Fine,
            Self::Healthy | Self::Unselected(_) | Self::ContainersNotReady(_) | Self::NoAddress => {
                Weight::Waits
            }
            Self::NotReadyOtherwise(_)
            | Self::NotExposed(_)
            | Self::Unreachable(_)
            | Self::OlderThanItsExposure(..)
            | Self::NoWebhookAnswered => Weight::Mend,
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::Ready => "the gate is open, and the pod is Ready".to_owned(),
            Self::NotReadyOtherwise(what) => {
                format!("the gate is open, and the pod is not Ready for another reason: {what}")
            }
            Self::Healthy => "all bindings are healthy; the gate opens within seconds".to_owned(),
            Self::Going(asked, left) => going(*asked, left),
            Self::Ended => "its containers have ended".to_owned(),
            Self::NotExposed(near) => format!(
                "no direct-access Service or Ingress leads to this pod{}",
                near_text(near)
            ),
            Self::Unselected(near) => format!(
                "it has the gate, and no direct-access Service or Ingress leads to it any more{}",
                near_text(near)
            ),
            Self::OptedOut => "its label clb-gate.io/inject is \"false\": it has no gate, and counts as Ready before the CLB \
                               knows it"
                .to_owned(),
            Self::Unreachable(refusal) => format!(
                "it has no gate and is not bound, because the CLB cannot reach it: {}",
                refusal.why()
            ),
            Self::OlderThanItsExposure(owner, created) => format!(
                "it has no gate: it is older than {owner}, created {}; it is bound all the same",
                second(*created)
            ),
            Self::NoWebhookAnswered => "it has no gate: no webhook answered when it was created, or direct access was switched \
                                        on later; it is bound all the same"
                .to_owned(),
            Self::ContainersNotReady(waits) => format!(
                "its containers are not ready, so it is not bound yet{}",
                waits_text(waits)
            ),
            Self::NoAddress => "it has no address yet, so there is nothing to bind".to_owned(),
        }
    }

    /// What to do about it, where there is something.
    pub fn cure(&self) -> Option<&'static str> {
        Some(match self {
            Self::Going(_, left) if served(left) => {
                "weight 0 follows within seconds, unless nothing else serves there; if it stays, see clb-gate doctor"
            }
            Self::Ready | Self::Healthy | Self::Going(..) | Self::Ended => return None,
            Self::NotReadyOtherwise(_) => "see kubectl describe pod",
            Self::NotExposed(_) => {
                "annotate a Service of type LoadBalancer that selects the pod with \
                 service.cloud.tencent.com/direct-access: \"true\""
            }
            Self::Unselected(_) => {
                "its gate opens after 30 s; if it should be bound, mend the selector or the annotation"
            }
            Self::OptedOut => "remove the label from the pod template to have the gate",
            Self::Unreachable(refusal) => unreachable(*refusal),
            Self::OlderThanItsExposure(..) | Self::NoWebhookAnswered => HOW_TO_GATE,
            Self::ContainersNotReady(_) => "see kubectl describe pod, and kubectl logs",
            Self::NoAddress => {
                "see kubectl describe pod: scheduling, volumes and the network plugin"
            }
        })
    }
}

fn served(left: &[Left]) -> bool {
    let weighs = |one: &Left| matches!(one.stands, Stands::Weighs(_));
    left.iter().any(weighs)
}

fn going(asked: Option<Timestamp>, left: &[Left]) -> String {
    let since = asked.map(|asked| format!(" since {}", second(asked)));
    let left: Vec<_> = left.iter().map(|one| format!("; {one}")).collect();
    format!(
        "it is being deleted{}{}",
        since.unwrap_or_default(),
        left.concat()
    )
}

const fn unreachable(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::HostNetwork => "take hostNetwork out of the pod template",
        Refusal::NoEni => {
            "annotate the pod template with tke.cloud.tencent.com/networks: tke-route-eni, and let a container ask for \
             tke.cloud.tencent.com/eni-ip: \"1\" in requests and limits"
        }
        Refusal::GlobalRouteOff => {
            "set GlobalRouteDirectAccess: \"true\" in ConfigMap kube-system/tke-service-controller-config, after the account \
             is prepared (docs/guides/global-router.md)"
        }
    }
}

fn near_text(near: &[(String, String)]) -> String {
    let all: Vec<_> = near
        .iter()
        .map(|(object, why)| format!("; {object} selects it, but {why}"))
        .collect();
    all.concat()
}

fn waits_text(waits: &[Waits]) -> String {
    let all: Vec<_> = waits
        .iter()
        .map(|one| format!("{} ({})", one.container, one.why))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    format!(": {}", all.join(", "))
}
