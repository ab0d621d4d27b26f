//! TKE's object `TkeServiceConfig`: how the listeners and rules of a Service or an Ingress are set up.
//! Read leniently and merged; pure.
//!
//! Whatever is not in the object stays as it is on the CLB, also when it is taken out again (TKE's own
//! merge). What cannot be applied is named, one by one, and everything else applies.

mod fit;
mod named;
#[cfg(test)]
mod named_tests;
mod part;
mod read;
mod ruled;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::listener::ListenerParameters;
use crate::slot::{Protocol, Slot};

pub(crate) use named::Configured;
pub use named::{Named, Read, bandwidth, bandwidth_of_ingress};

/// A `TkeServiceConfig` as far as it can be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TkeServiceConfig {
    /// Of layer 4: TCP, UDP and `TCP_SSL` listeners.
    pub l4: BTreeMap<Slot, L4Listener>,
    /// Of layer 7: HTTP and HTTPS listeners.
    pub l7: BTreeMap<Slot, L7Listener>,
    /// Mbit/s of the whole CLB, 0 to 2048.
    pub bandwidth: Option<u32>,
}

/// What is declared of a layer-4 listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L4Listener {
    /// Where it is declared, e.g. `spec.loadBalancer.l4Listeners[0]`.
    pub field: String,
    /// Whose: a listener of another protocol in the same place is not meant.
    pub protocol: Protocol,
    /// How.
    pub parameters: ListenerParameters,
}

/// What is declared of a layer-7 listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L7Listener {
    /// Where it is declared, e.g. `spec.loadBalancer.l7Listeners[0]`.
    pub field: String,
    /// Whose.
    pub protocol: Protocol,
    /// The domain that answers for domains without a rule.
    pub default_server: Option<String>,
    /// By domain (empty: the CLB's own address) and path.
    pub rules: BTreeMap<(String, String), L7Rule>,
}

/// What is declared of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct L7Rule {
    /// Where it is declared, e.g. `spec.loadBalancer.l7Listeners[0].domains[0].rules[0]`.
    pub field: String,
    /// How.
    pub parameters: ListenerParameters,
    /// `HTTP`, `HTTPS` or `GRPC` towards the pods.
    pub forward_type: Option<String>,
    /// Whether clients may use HTTP/2.
    pub http2: Option<bool>,
}

/// A part of the object that is not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotApplied {
    /// Which, e.g. `spec.loadBalancer.l4Listeners[0].scheduler`.
    pub field: String,
    /// What was read.
    pub value: String,
    /// Why, and what is accepted.
    pub why: String,
}

impl TkeServiceConfig {
    /// Reads the object's `spec`, and says what of it cannot be applied. Never fails.
    pub fn parse(spec: &Value) -> (Self, Vec<NotApplied>) {
        read::config(spec)
    }

    /// What is declared of the layer-4 listener of this protocol at this port.
    pub fn l4(&self, protocol: Protocol, port: u16) -> Option<&L4Listener> {
        let declared = self.l4.get(&protocol.at(port))?;
        (declared.protocol == protocol).then_some(declared)
    }

    /// What is declared of a rule.
    pub fn rule(
        &self,
        protocol: Protocol,
        port: u16,
        (domain, url): (&str, &str),
    ) -> Option<&L7Rule> {
        let declared = self.l7.get(&protocol.at(port))?;
        let rules = (declared.protocol == protocol).then_some(&declared.rules)?;
        rules.get(&(domain.to_owned(), url.to_owned()))
    }

    /// Layer-4 listeners that it speaks of and the Service it is for does not have. Those of layer 7 are
    /// an Ingress's: one object may be for both.
    pub fn unmatched_l4(&self, has: impl Fn(Protocol, u16) -> bool) -> Vec<NotApplied> {
        let all = self.l4.iter();
        unmatched(
            all.map(|(slot, one)| (*slot, one.protocol, &one.field)),
            has,
        )
    }

    /// Layer-7 listeners that it speaks of and the Ingress it is for does not have.
    pub fn unmatched_l7(&self, has: impl Fn(Protocol, u16) -> bool) -> Vec<NotApplied> {
        let all = self.l7.iter();
        unmatched(
            all.map(|(slot, one)| (*slot, one.protocol, &one.field)),
            has,
        )
    }
}

fn unmatched<'a>(
    declared: impl Iterator<Item = (Slot, Protocol, &'a String)>,
    has: impl Fn(Protocol, u16) -> bool,
) -> Vec<NotApplied> {
    let absent = declared.filter(|(slot, protocol, _)| !has(*protocol, slot.port));
    absent
        .map(|(slot, protocol, field)| NotApplied {
            field: field.clone(),
            value: format!("{protocol}:{}", slot.port),
            why: "there is no such port here; accepted are protocol and port of a listener of this object"
                .to_owned(),
        })
        .collect()
}

impl ListenerParameters {
    /// With what `more` declares on top, field by field.
    #[must_use]
    pub fn with(&self, more: &Self) -> Self {
        let mut all = self.changed(more);
        if let (Some(base), Some(top)) = (&self.health_check, &more.health_check) {
            all.health_check = Some(base.with(top));
        }
        all
    }
}
