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
    /// What `CreateLoadBalancer` said that has no effect here, to be shown again.
    #[serde(default)]
    pub(crate) more: More,
    pub(crate) created: Millis,
    /// False while it is being created (`Status` 0).
    pub(crate) active: bool,
    pub(crate) listeners: Vec<Listener>,
    /// The one write in progress. While there is one, every other write is refused.
    pub(crate) pending: Option<Pending>,
}

/// What a load balancer is besides.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct More {
    /// `Forward` 0: a classic one, which this API may read but not write.
    pub(crate) classic: bool,
    /// `ipv6`, `IPv6FullChain`; the VIP is an IPv4 address of this machine all the same.
    pub(crate) ip_version: Option<String>,
    /// The name that is given out instead of the VIP.
    pub(crate) domain: Option<String>,
    /// `DeleteProtect`: it cannot be deleted.
    pub(crate) protected: bool,
    /// `TargetRegionInfo`: the region and VPC its targets are in.
    pub(crate) target_region: Option<(String, String)>,
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
    RemoveListeners(Vec<String>),
    ChangeListener(Box<ListenerChange>),
    AddRules(String, Vec<Rule>),
    /// Of a listener, rules, and the domain that is the default from then on.
    RemoveRules(String, Vec<String>, Option<String>),
    ChangeRule(Box<RuleChange>),
    ChangeDomain(Box<DomainChange>),
    ChangeAttributes(Attributes),
    SetSecurityGroups(Vec<String>),
    /// A write that has no effect: failed, or done before.
    Nothing,
    Bind(Vec<Binding>),
    Unbind(Vec<TargetKey>),
    /// What goes, and what takes its place.
    Move(Vec<TargetKey>, Vec<Binding>),
    Weigh(Vec<(TargetKey, u8)>),
    Tag(Vec<(TargetKey, Option<String>)>),
}

/// What `ModifyListener` changes; absent things stay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ListenerChange {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    pub(crate) check: Option<HealthCheck>,
    pub(crate) scheduler: Option<Scheduler>,
    pub(crate) session_expire_s: Option<u16>,
    pub(crate) sni: Option<bool>,
    pub(crate) deregister_rst: Option<bool>,
    pub(crate) certificate: Option<serde_json::Value>,
}

/// What `ModifyRule` changes; absent things stay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct RuleChange {
    pub(crate) listener_id: String,
    pub(crate) location_id: String,
    pub(crate) url: Option<String>,
    pub(crate) check: Option<HealthCheck>,
    pub(crate) scheduler: Option<RuleScheduler>,
    pub(crate) session_expire_s: Option<u32>,
    pub(crate) forward_type: Option<String>,
    #[serde(default)]
    pub(crate) cookie: Option<String>,
}

/// What `ModifyDomainAttributes` and `ModifyDomain` change for every rule of a domain; absent things
/// stay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct DomainChange {
    pub(crate) listener_id: String,
    /// The rules that have it.
    pub(crate) location_ids: Vec<String>,
    pub(crate) domains: Option<Vec<String>>,
    pub(crate) certificate: Option<serde_json::Value>,
    pub(crate) http2: Option<bool>,
    /// The domain that is the listener's default from then on.
    pub(crate) default: Option<String>,
}

/// What `ModifyLoadBalancerAttributes` changes; absent things stay.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Attributes {
    pub(crate) name: Option<String>,
    pub(crate) pass_to_target: Option<bool>,
    pub(crate) protected: Option<bool>,
    pub(crate) target_region: Option<(String, String)>,
}

/// A target's identity: ip:port under a listener, or under one of its rules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct TargetKey {
    pub(crate) listener_id: String,
    #[serde(default)]
    pub(crate) location_id: Option<String>,
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
    pub(crate) targets: Targets,
    /// Layer 7 only.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

/// The targets of one listener or rule.
pub(crate) type Targets = BTreeMap<SocketAddr, Target>;

/// A rule: one domain and path of a layer-7 listener.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    /// The first is the one that is shown as `Domain`.
    pub(crate) domains: Vec<String>,
    pub(crate) url: String,
    pub(crate) check: HealthCheck,
    pub(crate) scheduler: RuleScheduler,
    pub(crate) session_expire_s: u32,
    pub(crate) forward_type: String,
    pub(crate) default_server: bool,
    pub(crate) http2: bool,
    pub(crate) certificate: Option<serde_json::Value>,
    /// `CookieName`, where somebody chose one.
    #[serde(default)]
    pub(crate) cookie: Option<String>,
    pub(crate) created: Millis,
    pub(crate) targets: Targets,
}

/// The cookie of layer 7's sessions, where nobody chose another name: the one that Tencent's CLB sets.
const COOKIE: &str = "tgw_l7_route";

/// How requests are spread over a rule's targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum RuleScheduler {
    Wrr,
    LeastConn,
    IpHash,
}

/// Where targets hang: a listener of layer 4, or a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) location_id: Option<&'a str>,
    pub(crate) check: Option<&'a HealthCheck>,
    pub(crate) scheduler: RuleScheduler,
    pub(crate) targets: &'a Targets,
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

impl From<Scheduler> for RuleScheduler {
    fn from(scheduler: Scheduler) -> Self {
        match scheduler {
            Scheduler::Wrr => Self::Wrr,
            Scheduler::LeastConn => Self::LeastConn,
        }
    }
}

impl RuleScheduler {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Wrr, Self::LeastConn, Self::IpHash]
            .into_iter()
            .find(|known| known.name() == text)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wrr => "WRR",
            Self::LeastConn => "LEAST_CONN",
            Self::IpHash => "IP_HASH",
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

    /// How many targets are bound.
    pub(crate) fn targets(&self) -> usize {
        let places = self.listeners.iter().flat_map(Listener::places);
        places.map(|place| place.targets.len()).sum()
    }

    pub(crate) fn listener_mut(&mut self, id: &str) -> Option<&mut Listener> {
        self.listeners.iter_mut().find(|listener| listener.id == id)
    }
}

impl Listener {
    pub(crate) fn checks(&self) -> bool {
        self.check.as_ref().is_some_and(|check| check.on)
    }

    pub(crate) fn rule(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    pub(crate) fn rule_mut(&mut self, id: &str) -> Option<&mut Rule> {
        self.rules.iter_mut().find(|rule| rule.id == id)
    }

    /// Where its targets hang: itself, or its rules.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let own = Place {
            location_id: None,
            check: self.check.as_ref(),
            scheduler: self.scheduler.into(),
            targets: &self.targets,
        };
        let own = (!self.protocol.has_rules()).then_some(own);
        own.into_iter().chain(self.rules.iter().map(Rule::place))
    }

    /// The targets under this place.
    pub(crate) fn targets_at_mut(&mut self, location_id: Option<&str>) -> Option<&mut Targets> {
        match location_id {
            None => Some(&mut self.targets),
            Some(id) => self.rule_mut(id).map(|rule| &mut rule.targets),
        }
    }

    /// The check and the targets of each place.
    pub(crate) fn places_mut(
        &mut self,
    ) -> impl Iterator<Item = (Option<&str>, Option<&HealthCheck>, &mut Targets)> {
        let own = (None, self.check.as_ref(), &mut self.targets);
        let rules = self.rules.iter_mut();
        std::iter::once(own)
            .chain(rules.map(|rule| (Some(rule.id.as_str()), Some(&rule.check), &mut rule.targets)))
    }
}

impl Rule {
    /// The domain that is shown; a rule has at least one.
    pub(crate) fn domain(&self) -> &str {
        self.domains.first().map_or("", String::as_str)
    }

    pub(crate) fn place(&self) -> Place<'_> {
        Place {
            location_id: Some(&self.id),
            check: Some(&self.check),
            scheduler: self.scheduler,
            targets: &self.targets,
        }
    }

    /// What the cookie of its sessions is called.
    pub(crate) fn cookie_name(&self) -> &str {
        self.cookie.as_deref().unwrap_or(COOKIE)
    }
}

impl TargetKey {
    /// A target of a layer-4 listener.
    #[cfg(test)]
    pub(crate) fn layer4(listener_id: &str, address: SocketAddr) -> Self {
        Self {
            listener_id: listener_id.to_owned(),
            location_id: None,
            address,
        }
    }
}
