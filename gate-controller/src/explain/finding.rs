//! Everything that an explanation can find, with what it is and what to do about it.

use direct_access::network::Refusal;
use direct_access::{Kind, Owner};
use jiff::Timestamp;
use serde::Serialize;

use super::detail::{Port, Waits};
use crate::certificates::spell::second;

/// What to do about pods without the gate: nothing adds it to a pod that exists.
const HOW_TO_GATE: &str =
    "kubectl rollout restart its workload: the pods that come instead have the gate";

/// How much a finding matters, from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Nothing to do.
    #[default]
    Fine,
    /// It passes by itself.
    Waits,
    /// Somebody must mend it.
    Mend,
}

/// Where a binding is, in the words of the gate's condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Load balancer, listener, rule and target: `lb-demo0001 TCP:80 -> 198.18.1.5:8080`.
    pub place: String,
    /// Who asks for it.
    pub owner: Owner,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The gate is open, and the pod is Ready.
    Ready,
    /// The gate is open; the pod is not Ready for another reason.
    NotReadyOtherwise(String),
    /// The gate stays open, and the CLB's check does not pass any more.
    UnhealthyNow(At, &'static str),
    /// It is being deleted.
    Going,
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
    /// The load balancer does not exist in this region.
    LoadBalancerGone(At, String, String),
    /// The load balancer could not be read.
    LoadBalancerUnread(At, String),
    /// Somebody must mend what the text says.
    Held(At, String),
    /// It will be bound.
    NotBoundYet(At),
    /// Nothing listens on the port that the exposure leads to; what the containers declare.
    WrongPort(At, u16, Vec<Port>),
    /// The path that the health check asks for answers this; accepted are those.
    PathAnswers(At, String, u16, String),
    /// The health check asks for another path than the pod's own probe.
    PathDiffers(At, String, String),
    /// Packets do not get through.
    NoAnswer(At, u16),
    /// The health check has not said yet.
    Checking(At, &'static str),
    /// The listener is stopped.
    Stopped(At),
    /// All that is known is what the gate says of it.
    NotKnown(At),
    /// All is healthy, and the condition will be written.
    Healthy,
    /// No controller leads.
    NobodyLeads(String),
    /// The object is not ours, and why.
    NotOurs(Owner, String),
    /// What the judgement or the planner says must be mended, or will have to be soon.
    ToMend(String),
    /// The Service selects no pod: its selector.
    SelectsNothing(String, String),
    /// So many pods of the object have something in common, here of the first.
    Pods(usize, String, Box<Finding>),
    /// All is well with the object: pods behind it.
    Serves(usize),
}

impl Finding {
    /// Its name, which does not change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReadyOtherwise(_) => "notReadyOtherwise",
            Self::UnhealthyNow(..) => "unhealthyNow",
            Self::Going => "going",
            Self::Ended => "ended",
            Self::NotExposed(_) => "notExposed",
            Self::Unselected(_) => "unselected",
            Self::OptedOut => "optedOut",
            Self::Unreachable(_) => "unreachable",
            Self::OlderThanItsExposure(..) => "olderThanItsExposure",
            Self::NoWebhookAnswered => "noWebhookAnswered",
            Self::ContainersNotReady(_) => "containersNotReady",
            Self::NoAddress => "noAddress",
            Self::LoadBalancerGone(..) => "loadBalancerGone",
            Self::LoadBalancerUnread(..) => "loadBalancerUnread",
            Self::Held(..) => "held",
            Self::NotBoundYet(_) => "notBoundYet",
            Self::WrongPort(..) => "wrongPort",
            Self::PathAnswers(..) => "pathAnswers",
            Self::PathDiffers(..) => "pathDiffers",
            Self::NoAnswer(..) => "noAnswer",
            Self::Checking(..) => "checking",
            Self::Stopped(_) => "stopped",
            Self::NotKnown(_) => "notKnown",
            Self::Healthy => "healthy",
            Self::NobodyLeads(_) => "nobodyLeads",
            Self::NotOurs(..) => "notOurs",
            Self::ToMend(_) => "toMend",
            Self::SelectsNothing(..) => "selectsNothing",
            Self::Pods(_, _, inner) => inner.code(),
            Self::Serves(_) => "serves",
        }
    }

    /// How much it matters.
    pub fn weight(&self) -> Weight {
        match self {
            Self::Ready | Self::Going | Self::Ended | Self::Serves(_) | Self::OptedOut => {
                Weight::Fine
            }
            Self::Unselected(_)
            | Self::ContainersNotReady(_)
            | Self::NoAddress
            | Self::NotBoundYet(_)
            | Self::Checking(..)
            | Self::NotKnown(_)
            | Self::Healthy => Weight::Waits,
            Self::NotReadyOtherwise(_)
            | Self::UnhealthyNow(..)
            | Self::NotExposed(_)
            | Self::Unreachable(_)
            | Self::OlderThanItsExposure(..)
            | Self::NoWebhookAnswered
            | Self::LoadBalancerGone(..)
            | Self::LoadBalancerUnread(..)
            | Self::Held(..)
            | Self::WrongPort(..)
            | Self::PathAnswers(..)
            | Self::PathDiffers(..)
            | Self::NoAnswer(..)
            | Self::Stopped(_)
            | Self::NobodyLeads(_)
            | Self::NotOurs(..)
            | Self::ToMend(_)
            | Self::SelectsNothing(..) => Weight::Mend,
            Self::Pods(_, _, inner) => inner.weight(),
        }
    }

    /// Where it is, for findings about one binding.
    pub fn at(&self) -> Option<&At> {
        match self {
            Self::UnhealthyNow(at, _)
            | Self::LoadBalancerGone(at, ..)
            | Self::LoadBalancerUnread(at, _)
            | Self::Held(at, _)
            | Self::NotBoundYet(at)
            | Self::WrongPort(at, ..)
            | Self::PathAnswers(at, ..)
            | Self::PathDiffers(at, ..)
            | Self::NoAnswer(at, _)
            | Self::Checking(at, _)
            | Self::Stopped(at)
            | Self::NotKnown(at) => Some(at),
            Self::Pods(_, _, inner) => inner.at(),
            Self::Ready
            | Self::NotReadyOtherwise(_)
            | Self::Going
            | Self::Ended
            | Self::NotExposed(_)
            | Self::Unselected(_)
            | Self::OptedOut
            | Self::Unreachable(_)
            | Self::OlderThanItsExposure(..)
            | Self::NoWebhookAnswered
            | Self::ContainersNotReady(_)
            | Self::NoAddress
            | Self::Healthy
            | Self::NobodyLeads(_)
            | Self::NotOurs(..)
            | Self::ToMend(_)
            | Self::SelectsNothing(..)
            | Self::Serves(_) => None,
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::Ready => "the gate is open, and the pod is Ready".to_owned(),
            Self::NotReadyOtherwise(what) => {
                format!("the gate is open, and the pod is not Ready for another reason: {what}")
            }
            Self::UnhealthyNow(_, word) => format!(
                "the CLB's health check says {word} now; the gate, once open, stays open, as with TKE"
            ),
            Self::Going => "it is being deleted".to_owned(),
            Self::Ended => "its containers have ended".to_owned(),
            Self::NotExposed(near) => {
                format!("no direct-access Service or Ingress leads to this pod{}", near_text(near))
            }
            Self::Unselected(near) => format!(
                "it has the gate, and no direct-access Service or Ingress leads to it any more{}",
                near_text(near)
            ),
            Self::OptedOut => {
                "its label clb-gate.io/inject is \"false\": it has no gate, and counts as Ready before the CLB knows it"
                    .to_owned()
            }
            Self::Unreachable(refusal) => {
                format!("it has no gate and is not bound, because the CLB cannot reach it: {}", refusal.why())
            }
            Self::OlderThanItsExposure(owner, created) => format!(
                "it has no gate: it is older than {owner}, created {}; it is bound all the same",
                second(*created)
            ),
            Self::NoWebhookAnswered => {
                "it has no gate: no webhook answered when it was created, or direct access was switched on later; it is \
                 bound all the same"
                    .to_owned()
            }
            Self::ContainersNotReady(waits) => {
                format!("its containers are not ready, so it is not bound yet{}", waits_text(waits))
            }
            Self::NoAddress => "it has no address yet, so there is nothing to bind".to_owned(),
            Self::LoadBalancerGone(_, id, region) => {
                format!("there is no CLB {id} in region {region} for this account")
            }
            Self::LoadBalancerUnread(_, why) => format!("the CLB could not be read: {why}"),
            Self::Held(_, why) => format!("it cannot be bound: {why}"),
            Self::NotBoundYet(_) => "it is not bound yet".to_owned(),
            Self::WrongPort(_, port, declared) => format!(
                "the health check gets no answer on port {port}; {}",
                declared_text(declared)
            ),
            Self::PathAnswers(_, asked, answered, accepted) => format!(
                "the health check asks for {asked}, and the pod answers {answered}; accepted are {accepted}"
            ),
            Self::PathDiffers(_, asked, own) => format!(
                "the health check does not pass: it asks for {asked}, while the pod's own readiness probe asks for {own}"
            ),
            Self::NoAnswer(_, port) => format!(
                "the health check gets no answer on port {port}, although the pod's containers are ready"
            ),
            Self::Checking(_, word) => format!("it is bound, and its health check says {word}"),
            Self::Stopped(_) => "the listener is stopped".to_owned(),
            Self::NotKnown(_) => "neither the CLB nor the gate's condition says how it stands".to_owned(),
            Self::Healthy => "all bindings are healthy; the gate opens within seconds".to_owned(),
            Self::NobodyLeads(namespace) => format!(
                "no controller leads: the lease {namespace}/clb-gate-controller is not renewed, so nothing is bound and no gate opens"
            ),
            Self::NotOurs(owner, why) => format!("{owner} is left alone: {why}"),
            Self::ToMend(what) => what.clone(),
            Self::SelectsNothing(service, selector) => {
                format!("Service {service} selects no pod: spec.selector is {selector:?}")
            }
            Self::Pods(1, first, inner) => format!("pod {first}: {}", inner.says()),
            Self::Pods(count, first, inner) => {
                format!("{count} pods, of which {first}: {}", inner.says())
            }
            Self::Serves(1) => "1 pod is behind it".to_owned(),
            Self::Serves(count) => format!("{count} pods are behind it"),
        }
    }

    /// What to do about it, where there is something.
    pub fn cure(&self) -> Option<String> {
        Some(match self {
            Self::Ready
            | Self::Going
            | Self::Ended
            | Self::Serves(_)
            | Self::Healthy
            | Self::ToMend(_) => return None,
            Self::NotReadyOtherwise(_) => "see kubectl describe pod".to_owned(),
            Self::UnhealthyNow(at, _) => format!(
                "see whether the application still answers, and what changed in security groups and in {}",
                at.owner
            ),
            Self::NotExposed(_) => {
                "annotate a Service of type LoadBalancer that selects the pod with service.cloud.tencent.com/direct-access: \
                 \"true\""
                    .to_owned()
            }
            Self::Unselected(_) => {
                "its gate opens after 30 s; if it should be bound, mend the selector or the annotation".to_owned()
            }
            Self::OptedOut => "remove the label from the pod template to have the gate".to_owned(),
            Self::Unreachable(refusal) => unreachable(*refusal).to_owned(),
            Self::OlderThanItsExposure(..) | Self::NoWebhookAnswered => HOW_TO_GATE.to_owned(),
            Self::ContainersNotReady(_) => "see kubectl describe pod, and kubectl logs".to_owned(),
            Self::NoAddress => "see kubectl describe pod: scheduling, volumes and the network plugin".to_owned(),
            Self::LoadBalancerGone(at, ..) => format!(
                "name one that exists in annotation {} of {}, or correct the setting region in ConfigMap clb-gate-settings",
                annotation(&at.owner),
                at.owner
            ),
            Self::LoadBalancerUnread(..) => "mend that, and ask again".to_owned(),
            Self::Held(..) => "mend that; the controller tries again by itself within seconds".to_owned(),
            Self::NotBoundYet(at) => {
                format!("wait some seconds; if it stays, see clb-gate explain {}", asked(&at.owner))
            }
            Self::WrongPort(at, ..) => format!(
                "let the target port of {} be the one that the application listens on, on all addresses",
                at.owner
            ),
            Self::PathAnswers(at, ..) | Self::PathDiffers(at, ..) => format!(
                "let {} name a path that answers, as HttpCheckPath of its health check (docs/guides/health-checks.md)",
                at.owner
            ),
            Self::NoAnswer(_, port) => format!(
                "let the CLB in on port {port}: in the security group of the pod's network interface (its node's, where it \
                 has none of its own), from the CLB's address or, with SourceIpType 1, from 100.64.0.0/10; in \
                 NetworkPolicies; and let the application listen on all addresses"
            ),
            Self::Checking(..) => {
                "wait for HealthNum checks of IntervalTime each; if it stays, see whether the CLB may reach the port".to_owned()
            }
            Self::Stopped(_) => "start it in Tencent's console".to_owned(),
            Self::NotKnown(_) => "run this with credentials for the CLB: docs/explain.md".to_owned(),
            Self::NobodyLeads(namespace) => format!(
                "see kubectl get pods -n {namespace} -l app.kubernetes.io/component=controller, and clb-gate doctor"
            ),
            Self::NotOurs(..) => "docs/annotations.md says what makes an object clb-gate's".to_owned(),
            Self::SelectsNothing(..) => {
                "let it select labels that the pod template has; kubectl get pods --show-labels shows them".to_owned()
            }
            Self::Pods(_, _, inner) => return inner.cure(),
        })
    }
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

fn annotation(owner: &Owner) -> &'static str {
    match owner.kind {
        Kind::Service => direct_access::names::EXISTING_LOAD_BALANCER,
        Kind::Ingress => direct_access::names::ingress::EXISTING_LOAD_BALANCER,
    }
}

/// As on the command line.
fn asked(owner: &Owner) -> String {
    let kind = match owner.kind {
        Kind::Service => "service",
        Kind::Ingress => "ingress",
    };
    format!("{kind} {} -n {}", owner.object.name, owner.object.namespace)
}

fn near_text(near: &[(String, String)]) -> String {
    let all: Vec<_> = near
        .iter()
        .map(|(object, why)| format!("{object} selects it, but {why}"))
        .collect();
    if all.is_empty() {
        return String::new();
    }
    format!("; {}", all.join("; "))
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

fn declared_text(declared: &[Port]) -> String {
    let all: Vec<_> = declared
        .iter()
        .map(|port| match &port.name {
            Some(name) => format!("{} ({name})", port.number),
            None => port.number.to_string(),
        })
        .collect();
    if all.is_empty() {
        return "nothing listens there".to_owned();
    }
    format!("the pod's containers declare {}", all.join(", "))
}
