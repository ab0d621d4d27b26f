//! What happened in the model, one log line each. The model only collects them; the shell prints.

use super::parts::TargetKey;
use crate::health::machine::Verdict;
use std::fmt;
use std::net::Ipv4Addr;

/// A change someone may want to read about.
#[derive(Debug)]
pub(crate) enum Event {
    LoadBalancerReady {
        id: String,
        vip: Ipv4Addr,
    },
    LoadBalancerDeleted {
        id: String,
    },
    ListenerCreated {
        id: String,
        load_balancer: String,
        protocol: &'static str,
        port: u16,
    },
    ListenerChanged {
        id: String,
    },
    ListenerDeleted {
        id: String,
    },
    RuleCreated {
        id: String,
        listener: String,
        domain: String,
        url: String,
    },
    RuleChanged {
        id: String,
    },
    RuleDeleted {
        id: String,
    },
    LoadBalancerChanged {
        id: String,
    },
    Tagged {
        key: TargetKey,
    },
    Bound {
        key: TargetKey,
        weight: u8,
        again: bool,
    },
    Unbound {
        key: TargetKey,
    },
    Weighed {
        key: TargetKey,
        from: u8,
        to: u8,
    },
    Judged {
        key: TargetKey,
        from: Verdict,
        to: Verdict,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadBalancerReady { id, vip } => write!(f, "{id} ready at {vip}"),
            Self::ListenerCreated {
                id,
                load_balancer,
                protocol,
                port,
            } => {
                write!(f, "{load_balancer} {id} created: {protocol} {port}")
            }
            Self::LoadBalancerDeleted { id } | Self::ListenerDeleted { id } => {
                write!(f, "{id} deleted")
            }
            Self::RuleDeleted { id } => write!(f, "{id} deleted"),
            Self::ListenerChanged { id }
            | Self::RuleChanged { id }
            | Self::LoadBalancerChanged { id } => write!(f, "{id} changed"),
            Self::RuleCreated {
                id,
                listener,
                domain,
                url,
            } => write!(f, "{listener} {id} created: {domain}{url}"),
            Self::Tagged { key } => write!(f, "{key} tagged"),
            Self::Bound {
                key,
                weight,
                again: false,
            } => write!(f, "{key} registered, weight {weight}"),
            Self::Bound {
                key,
                weight,
                again: true,
            } => {
                write!(f, "{key} registered again, weight {weight}")
            }
            Self::Unbound { key } => write!(f, "{key} deregistered"),
            Self::Weighed { key, from, to } => write!(f, "{key} weight {from} -> {to}"),
            Self::Judged { key, from, to } => write!(f, "{key} {from:?} -> {to:?}"),
        }
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.listener_id)?;
        if let Some(location) = &self.location_id {
            write!(f, "{location} ")?;
        }
        write!(f, "{}", self.address)
    }
}
