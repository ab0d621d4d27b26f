//! The things the model holds: load balancers, their listeners, the targets bound to them.

use super::health_check::HealthCheck;
use super::script::Probes;
use crate::clock::Millis;
use crate::health::machine::Health;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

/// A CLB.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LoadBalancer {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: Network,
    pub(crate) vip: Ipv4Addr,
    pub(crate) vpc_id: String,
    pub(crate) subnet_id: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) pass_to_target: bool,
    /// Ids of its security groups; `security` knows their rules.
    #[serde(default)]
    pub(crate) security_groups: Vec<String>,
    pub(crate) created: Millis,
    /// False while it is being created (`Status` 0).
    pub(crate) active: bool,
    pub(crate) listeners: Vec<Listener>,
    /// The one write in progress. While there is one, every other write is refused.
    pub(crate) pending: Option<Pending>,
}

/// `LoadBalancerType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Network {
    Open,
    Internal,
}

/// A write that takes effect when it is due.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) due: Millis,
    pub(crate) effect: Effect,
}

/// What a finished write changes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Effect {
    Activate,
    /// The load balancer itself goes.
    Remove,
    AddListeners(Vec<Listener>),
    RemoveListener(String),
    Bind(Vec<Binding>),
    Unbind(Vec<TargetKey>),
    Weigh(Vec<(TargetKey, u8)>),
}

/// A target's identity: ip:port under a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TargetKey {
    pub(crate) listener_id: String,
    pub(crate) address: SocketAddr,
}

/// A target to be bound.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Binding {
    pub(crate) key: TargetKey,
    pub(crate) weight: u8,
    pub(crate) tag: Option<String>,
}

/// A listener: one port of a CLB.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Listener {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// Layer 7 has its checks on rules, so none here.
    pub(crate) check: Option<HealthCheck>,
    pub(crate) scheduler: Scheduler,
    pub(crate) session_expire_s: u16,
    pub(crate) sni: bool,
    pub(crate) deregister_rst: bool,
    pub(crate) certificate: Option<serde_json::Value>,
    pub(crate) created: Millis,
    pub(crate) targets: BTreeMap<SocketAddr, Target>,
}

/// A listener's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Http,
    Https,
    TcpSsl,
    Quic,
}

/// How connections are spread over targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Scheduler {
    Wrr,
    LeastConn,
}

/// A bound target.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) weight: u8,
    pub(crate) tag: Option<String>,
    pub(crate) registered: Millis,
    /// Which binding of this ip:port it is: a probe or connection of an earlier one is not its own.
    pub(crate) generation: u64,
    /// Not kept over a restart: a CLB that starts has probed nobody.
    #[serde(skip)]
    pub(crate) health: Health,
    /// The probes it has had, where a test says what they find.
    #[serde(skip)]
    pub(crate) probes: Probes,
}

const PROTOCOLS: [Protocol; 6] = [
    Protocol::Tcp,
    Protocol::Udp,
    Protocol::Http,
    Protocol::Https,
    Protocol::TcpSsl,
    Protocol::Quic,
];

impl Protocol {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        PROTOCOLS
            .into_iter()
            .find(|protocol| protocol.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::TcpSsl => "TCP_SSL",
            Self::Quic => "QUIC",
        }
    }

    /// TCP, HTTP, HTTPS and `TCP_SSL` share one port space; UDP and QUIC another.
    pub(crate) fn is_datagram(self) -> bool {
        matches!(self, Self::Udp | Self::Quic)
    }

    /// Layer 7: targets hang on rules, not on the listener.
    pub(crate) fn has_rules(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    pub(crate) fn has_certificate(self) -> bool {
        matches!(self, Self::Https | Self::TcpSsl | Self::Quic)
    }
}

impl Scheduler {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wrr => "WRR",
            Self::LeastConn => "LEAST_CONN",
        }
    }
}

impl Network {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Internal => "INTERNAL",
        }
    }
}

impl LoadBalancer {
    pub(crate) fn listener(&self, id: &str) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.id == id)
    }

    pub(crate) fn listener_mut(&mut self, id: &str) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.id == id)
    }
}

impl Listener {
    pub(crate) fn checks(&self) -> bool {
        self.check.as_ref().is_some_and(|check| check.on)
    }
}
