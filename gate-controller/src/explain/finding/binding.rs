//! What can be found of one binding of a pod.

use direct_access::{Kind, Owner, names};

use super::Weight;
use crate::explain::Port;

/// What was found of a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfBinding {
    /// The gate stays open, and the CLB's check does not pass any more.
    UnhealthyNow(&'static str),
    /// The load balancer does not exist in this region: its id and the region.
    LoadBalancerGone(String, String),
    /// The load balancer could not be read.
    LoadBalancerUnread(String),
    /// Somebody must mend what the text says.
    Held(String),
    /// It will be bound.
    NotBoundYet,
    /// Nothing listens on the port that the exposure leads to; what the containers declare.
    WrongPort(u16, Vec<Port>),
    /// What the health check asks for, what the pod answers, what is accepted.
    PathAnswers(String, u16, String),
    /// What the health check asks for, and what the pod's own probe does.
    PathDiffers(String, String),
    /// Packets do not get through to this port.
    NoAnswer(u16),
    /// The health check has not said yet.
    Checking(&'static str),
    /// The listener is stopped.
    Stopped,
    /// Neither the CLB nor the condition says how it stands.
    NotKnown,
}

impl OfBinding {
    /// Its name, which does not change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnhealthyNow(_) => "unhealthyNow",
            Self::LoadBalancerGone(..) => "loadBalancerGone",
            Self::LoadBalancerUnread(_) => "loadBalancerUnread",
            Self::Held(_) => "held",
            Self::NotBoundYet => "notBoundYet",
            Self::WrongPort(..) => "wrongPort",
            Self::PathAnswers(..) => "pathAnswers",
            Self::PathDiffers(..) => "pathDiffers",
            Self::NoAnswer(_) => "noAnswer",
            Self::Checking(_) => "checking",
            Self::Stopped => "stopped",
            Self::NotKnown => "notKnown",
        }
    }

    /// How much it matters.
    pub const fn weight(&self) -> Weight {
        match self {
            Self::NotBoundYet | Self::Checking(_) | Self::NotKnown => Weight::Waits,
            Self::UnhealthyNow(_)
            | Self::LoadBalancerGone(..)
            | Self::LoadBalancerUnread(_)
            | Self::Held(_)
            | Self::WrongPort(..)
            | Self::PathAnswers(..)
            | Self::PathDiffers(..)
            | Self::NoAnswer(_)
            | Self::Stopped => Weight::Mend,
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::UnhealthyNow(word) => format!(
                "the CLB's health check says {word} now; the gate, once open, stays open, as with TKE"
            ),
            Self::LoadBalancerGone(id, region) => {
                format!("there is no CLB {id} in region {region} for this account")
            }
            Self::LoadBalancerUnread(why) => format!("the CLB could not be read: {why}"),
            Self::Held(why) => format!("it cannot be bound: {why}"),
            Self::NotBoundYet => "it is not bound yet".to_owned(),
            Self::WrongPort(port, declared) => format!(
                "the health check gets no answer on port {port}; {}",
                declared_text(declared)
            ),
            Self::PathAnswers(asked, answered, accepted) => format!(
                "the health check asks for {asked}, and the pod answers {answered}; accepted are {accepted}"
            ),
            Self::PathDiffers(asked, own) => format!(
                "the health check does not pass: it asks for {asked}, while the pod's own readiness probe asks for {own}"
            ),
            Self::NoAnswer(port) => format!(
                "the health check gets no answer on port {port}, although the pod's containers are ready"
            ),
            Self::Checking(word) => format!("it is bound, and its health check says {word}"),
            Self::Stopped => "the listener is stopped".to_owned(),
            Self::NotKnown => {
                "neither the CLB nor the gate's condition says how it stands".to_owned()
            }
        }
    }

    /// What to do about it, where this object asks for the binding.
    pub fn cure(&self, owner: &Owner) -> String {
        match self {
            Self::UnhealthyNow(_) => format!(
                "see whether the application still answers, and what changed in security groups and in {owner}"
            ),
            Self::LoadBalancerGone(..) => format!(
                "name one that exists in annotation {} of {owner}, or correct the setting region in ConfigMap \
                 clb-gate-settings",
                annotation(owner)
            ),
            Self::LoadBalancerUnread(_) => "mend that, and ask again".to_owned(),
            Self::Held(_) => {
                "mend that; the controller tries again by itself within seconds".to_owned()
            }
            Self::NotBoundYet => format!(
                "wait some seconds; if it stays, see clb-gate explain {}",
                asked(owner)
            ),
            Self::WrongPort(..) => format!(
                "let the target port of {owner} be the one that the application listens on, on all addresses"
            ),
            Self::PathAnswers(..) | Self::PathDiffers(..) => format!(
                "let {owner} name a path that answers, as HttpCheckPath of its health check (docs/guides/health-checks.md)"
            ),
            Self::NoAnswer(port) => format!(
                "let the CLB in on port {port}: in the security group of the pod's network interface (its node's, where it \
                 has none of its own), from the CLB's address or, with SourceIpType 1, from 100.64.0.0/10; in \
                 NetworkPolicies; and let the application listen on all addresses"
            ),
            Self::Checking(_) => "wait for HealthNum checks of IntervalTime each; if it stays, see whether the CLB may reach \
                                  the port"
                .to_owned(),
            Self::Stopped => "start it in Tencent's console".to_owned(),
            Self::NotKnown => "run this with credentials for the CLB: docs/explain.md".to_owned(),
        }
    }
}

const fn annotation(owner: &Owner) -> &'static str {
    match owner.kind {
        Kind::Service => names::EXISTING_LOAD_BALANCER,
        Kind::Ingress => names::ingress::EXISTING_LOAD_BALANCER,
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
