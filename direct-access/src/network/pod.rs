//! What a pod says of its network, and whether a CLB can reach it. Pure.

use super::{Conclusion, Mode};
use crate::names;

/// What of a pod bears on whether a CLB can reach it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodNetwork {
    /// `spec.hostNetwork`.
    pub host_network: bool,
    /// Its annotation [`names::NETWORKS`] asks for an ENI.
    pub eni: bool,
    /// One of its containers has [`names::ENI_IP`] in requests and limits.
    pub eni_ip: bool,
}

impl PodNetwork {
    /// From what the pod has: `spec.hostNetwork`, the annotation [`names::NETWORKS`], and whether a container
    /// has [`names::ENI_IP`] in requests and limits.
    pub fn of(host_network: bool, networks: Option<&str>, eni_ip: bool) -> Self {
        let eni = |name: &str| names::ENI_NETWORKS.contains(&name.trim());
        Self {
            host_network,
            eni: networks.is_some_and(|networks| networks.split(',').any(eni)),
            eni_ip,
        }
    }

    /// Where its address comes from.
    pub const fn kind(self, mode: Mode) -> Kind {
        if self.host_network {
            return Kind::HostNetwork;
        }
        match mode {
            Mode::VpcCni => Kind::Eni,
            Mode::Mixed if self.eni => Kind::Eni,
            Mode::Mixed | Mode::GlobalRouter => Kind::GlobalRouter,
            Mode::Serverless => Kind::Serverless,
            Mode::Routable => Kind::Routable,
        }
    }

    /// Whether a CLB can reach it.
    pub const fn reach(self, cluster: Conclusion) -> Reach {
        let kind = self.kind(cluster.mode);
        match (kind, cluster.mode) {
            (Kind::HostNetwork, _) => Reach::Refused(kind, Refusal::HostNetwork),
            (Kind::GlobalRouter, Mode::Mixed) if !cluster.global_route => {
                Reach::Refused(kind, Refusal::NoEni)
            }
            (Kind::GlobalRouter, _) if !cluster.global_route => {
                Reach::Refused(kind, Refusal::GlobalRouteOff)
            }
            (Kind::Eni, Mode::Mixed) if !self.eni_ip => Reach::Warned(kind, Warning::NoEniIp),
            _ => Reach::Eligible(kind),
        }
    }
}

/// Where a pod's address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An elastic network interface of the VPC.
    Eni,
    /// The cluster's own CIDR, routed by `GlobalRouter`.
    GlobalRouter,
    /// It is the node's.
    HostNetwork,
    /// A super node's: an address of the VPC.
    Serverless,
    /// Some address the CLB can route to.
    Routable,
}

impl Kind {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eni => "ENI",
            Self::GlobalRouter => "GlobalRouter",
            Self::HostNetwork => "host network",
            Self::Serverless => "super node",
            Self::Routable => "routable",
        }
    }
}

/// Whether a CLB can reach a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It can.
    Eligible(Kind),
    /// It can, once something else is mended.
    Warned(Kind, Warning),
    /// It cannot: no gate, and it is never bound.
    Refused(Kind, Refusal),
}

impl Reach {
    /// Where the pod's address comes from.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Eligible(kind) | Self::Warned(kind, _) | Self::Refused(kind, _) => kind,
        }
    }

    /// Why it cannot, if so.
    pub const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Refused(_, refusal) => Some(refusal),
            Self::Eligible(_) | Self::Warned(..) => None,
        }
    }
}

/// Why a CLB cannot reach a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// The pod is on the host's network.
    HostNetwork,
    /// A mixed cluster, and the pod asks for no ENI.
    NoEni,
    /// A `GlobalRouter` cluster in which direct access is off.
    GlobalRouteOff,
}

impl Refusal {
    /// The reason's name in logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::HostNetwork => "host_network",
            Self::NoEni => "no_eni",
            Self::GlobalRouteOff => "global_route_off",
        }
    }

    /// The field, what was read and what to do. Short enough for an admission warning (256 characters).
    pub const fn why(self) -> &'static str {
        match self {
            Self::HostNetwork => {
                "spec.hostNetwork is true; direct access needs a pod address of its own"
            }
            Self::NoEni => {
                "it has no ENI: annotate the pod template with tke.cloud.tencent.com/networks: tke-route-eni"
            }
            Self::GlobalRouteOff => {
                r#"ConfigMap kube-system/tke-service-controller-config lacks GlobalRouteDirectAccess: "true""#
            }
        }
    }
}

/// What should be mended in a pod that gets its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// It asks for an ENI, but the scheduler is not told.
    NoEniIp,
}

impl Warning {
    /// The field and what is accepted.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NoEniIp => {
                r#"the pod asks for an ENI but no container has tke.cloud.tencent.com/eni-ip: "1" in requests and limits, so it may land on a node without a free ENI address and not start"#
            }
        }
    }
}
