//! Security groups: what of a load balancer's traffic and probes the network lets through.
//!
//! The rules, as Tencent documents them:
//! - A load balancer's own groups judge its clients: their address, and the listener's port. A load
//!   balancer without groups takes everybody.
//! - `LoadBalancerPassToTarget` true: nothing else is asked. False: the target's groups are asked
//!   too, about the client (its address is preserved) and the target's port.
//! - A health check comes from the VIP, so with `LoadBalancerPassToTarget` false the target's groups
//!   must let the VIP in; or from 100.64.0.0/10, which needs no rule.
//! - A group lets in what one of its rules allows, and nothing else; of several groups, one that
//!   allows is enough.
//!
//! A group that somebody named but nobody described here lets everything in: without a word about
//! security groups the simulator behaves as if there were none. What is not let in vanishes: no
//! reset, no answer.

use super::parts::{LoadBalancer, Protocol};
use crate::cidr::Cidr;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

/// 100.64.0.0/10, which health checks may come from and which needs no rule.
const SHARED: (Ipv4Addr, u8) = (Ipv4Addr::new(100, 64, 0, 0), 10);

/// The groups that were described, and the addresses they protect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Security {
    /// By id, such as `sg-abc12345`.
    #[serde(default)]
    pub(crate) groups: BTreeMap<String, Vec<Rule>>,
    /// Which addresses have which groups: the groups of the targets' network interfaces.
    #[serde(default)]
    pub(crate) attached: Vec<Attachment>,
}

/// What a group lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    pub(crate) protocol: Layer4,
    /// All without; no matter for ICMP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<Ports>,
    pub(crate) source: Cidr,
}

/// A rule's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Layer4 {
    All,
    Icmp,
    Tcp,
    Udp,
}

/// Ports as people write them: `80` or `8000-8100`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Ports(RangeInclusive<u16>);

/// Addresses that have groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attachment {
    pub(crate) addresses: Cidr,
    pub(crate) groups: BTreeSet<String>,
}

/// Something on its way to a target.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packet {
    /// A client's, through a listener.
    Traffic {
        client: IpAddr,
        protocol: Protocol,
        listener_port: u16,
        target: SocketAddr,
    },
    /// A health check's.
    Probe {
        from: IpAddr,
        protocol: Layer4,
        target: SocketAddr,
    },
}

/// Whether it arrives, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed(Allowed),
    Dropped(Dropped),
}

/// Why something arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// `LoadBalancerPassToTarget` spares it the target's groups.
    PassToTarget,
    /// 100.64.0.0/10 needs no rule.
    SharedRange,
    /// Rules allow it, or there are no groups.
    Rules,
}

/// Who does not let it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    ByLoadBalancer,
    ByTarget,
}

/// What a rule looks at.
#[derive(Clone, Copy)]
struct Entry {
    source: IpAddr,
    protocol: Layer4,
    port: u16,
}

impl Verdict {
    /// Who drops it; none if it arrives.
    pub(crate) fn dropped(self) -> Option<Dropped> {
        match self {
            Self::Allowed(_) => None,
            Self::Dropped(by) => Some(by),
        }
    }
}

impl Security {
    /// Whether a packet of this load balancer arrives at its target.
    pub(crate) fn allows(&self, load_balancer: &LoadBalancer, packet: Packet) -> Verdict {
        let fence = Fence {
            groups: &load_balancer.security_groups,
            pass_to_target: load_balancer.pass_to_target,
        };
        self.judge(fence, packet)
    }

    fn judge(&self, fence: Fence<'_>, packet: Packet) -> Verdict {
        let (at_target, target) = match packet {
            Packet::Traffic {
                client,
                protocol,
                listener_port,
                target,
            } => {
                let entry = |port| Entry {
                    source: client,
                    protocol: Layer4::of(protocol),
                    port,
                };
                if !self.lets_in(fence.groups.iter(), entry(listener_port)) {
                    return Verdict::Dropped(Dropped::ByLoadBalancer);
                }
                (entry(target.port()), target)
            }
            Packet::Probe { from, .. } if is_shared(from) => {
                return Verdict::Allowed(Allowed::SharedRange);
            }
            Packet::Probe {
                from,
                protocol,
                target,
            } => {
                let port = target.port();
                let entry = Entry {
                    source: from,
                    protocol,
                    port,
                };
                (entry, target)
            }
        };
        if fence.pass_to_target {
            return Verdict::Allowed(Allowed::PassToTarget);
        }
        if self.lets_in(self.groups_of(target.ip()).into_iter(), at_target) {
            Verdict::Allowed(Allowed::Rules)
        } else {
            Verdict::Dropped(Dropped::ByTarget)
        }
    }

    fn groups_of(&self, address: IpAddr) -> BTreeSet<&String> {
        let attached = self.attached.iter();
        attached
            .filter(|attachment| attachment.addresses.contains(address))
            .flat_map(|attachment| &attachment.groups)
            .collect()
    }

    /// No groups at all, or one that allows it; a group nobody described allows everything.
    fn lets_in<'a>(&self, groups: impl Iterator<Item = &'a String>, entry: Entry) -> bool {
        let mut groups = groups.peekable();
        let none = groups.peek().is_none();
        none || groups.any(|id| {
            let rules = self.groups.get(id);
            rules.is_none_or(|rules| rules.iter().any(|rule| rule.allows(entry)))
        })
    }
}

/// What a load balancer says about security.
#[derive(Clone, Copy)]
struct Fence<'a> {
    groups: &'a [String],
    pass_to_target: bool,
}

impl Rule {
    fn allows(&self, entry: Entry) -> bool {
        let protocol = self.protocol == Layer4::All || self.protocol == entry.protocol;
        let ports = self.ports.as_ref();
        let port = entry.protocol == Layer4::Icmp
            || ports.is_none_or(|Ports(all)| all.contains(&entry.port));
        protocol && port && self.source.contains(entry.source)
    }
}

impl Layer4 {
    /// What a listener's traffic is on layer 4.
    pub(crate) fn of(protocol: Protocol) -> Self {
        if protocol.is_datagram() {
            Self::Udp
        } else {
            Self::Tcp
        }
    }
}

fn is_shared(address: IpAddr) -> bool {
    let (network, prefix) = SHARED;
    match address {
        IpAddr::V4(address) => {
            let host_bits = 32 - u32::from(prefix);
            address.to_bits() >> host_bits == network.to_bits() >> host_bits
        }
        IpAddr::V6(_) => false,
    }
}

impl TryFrom<String> for Ports {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(format!(
                "ports {text:?} are not understood: accepted are one port such as \"80\" and a range such as \"8000-8100\""
            )),
        }
    }
}

impl From<Ports> for String {
    fn from(Ports(range): Ports) -> Self {
        if range.start() == range.end() {
            range.start().to_string()
        } else {
            format!("{}-{}", range.start(), range.end())
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByLoadBalancer => "no rule of the load balancer's security groups allows it",
            Self::ByTarget => {
                "no rule of the target's security groups allows it, and LoadBalancerPassToTarget is false"
            }
        })
    }
}

#[cfg(test)]
#[path = "security_tests.rs"]
mod tests;
