//! From the setting `network` and what the cluster shows to the mode that holds, and why. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;

use super::Mode;
use crate::drain::Kubelet;
use crate::names;
use crate::settings::Network;

/// What of the cluster bears on its network mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Data of TKE's `ConfigMap` [`names::TKE_SERVICE_CONTROLLER`]; `None`: there is none, so this is not TKE.
    pub tke: Option<BTreeMap<String, String>>,
    /// The nodes.
    pub nodes: NodeCounts,
}

/// What of a node bears on the network mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// A super node, whose pods have VPC addresses of their own.
    pub super_node: bool,
    /// It advertises [`names::ENI_IP`], as the agent of VPC-CNI has it do.
    pub eni_ip: bool,
    /// It has a pod CIDR: `GlobalRouter` gives every node one, VPC-CNI alone gives none.
    pub pod_cidr: bool,
    /// The version of its kubelet, where it can be read.
    pub kubelet: Option<Kubelet>,
}

/// How many nodes are of which sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounts {
    /// Super nodes.
    pub super_nodes: usize,
    /// All others.
    pub ordinary: usize,
    /// Ordinary nodes that advertise [`names::ENI_IP`].
    pub eni_ip: usize,
    /// Ordinary nodes with a pod CIDR.
    pub pod_cidr: usize,
    /// The oldest kubelet of all nodes.
    pub oldest_kubelet: Option<Kubelet>,
}

/// The mode that holds, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conclusion {
    /// The mode.
    pub mode: Mode,
    /// From what it was concluded.
    pub evidence: Evidence,
    /// TKE's switch `GlobalRouteDirectAccess` is `"true"`: a CLB may forward to `GlobalRouter` pods.
    pub global_route: bool,
}

/// From what a mode was concluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// The setting `network` names it.
    Setting,
    /// TKE's `ConfigMap` does not exist.
    #[default]
    NotTke,
    /// All nodes are super nodes.
    SuperNodes,
    /// Nodes advertise ENI addresses, and none has a pod CIDR.
    EniNodes,
    /// Nodes advertise ENI addresses, and nodes have pod CIDRs.
    EniNodesAndPodCidrs,
    /// Nodes have pod CIDRs, and none advertises ENI addresses.
    PodCidrs,
    /// No node tells; VPC-CNI is what TKE's guides require for direct access.
    NoNodeTells,
}

impl Evidence {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setting => "the setting network names it",
            Self::NotTke => {
                "there is no ConfigMap kube-system/tke-service-controller-config, so this is not TKE"
            }
            Self::SuperNodes => "all nodes are super nodes",
            Self::EniNodes => {
                "nodes advertise tke.cloud.tencent.com/eni-ip, and none has a spec.podCIDR"
            }
            Self::EniNodesAndPodCidrs => {
                "nodes advertise tke.cloud.tencent.com/eni-ip, and nodes have a spec.podCIDR"
            }
            Self::PodCidrs => {
                "nodes have a spec.podCIDR, and none advertises tke.cloud.tencent.com/eni-ip"
            }
            Self::NoNodeTells => {
                "TKE, but no node advertises tke.cloud.tencent.com/eni-ip or has a spec.podCIDR"
            }
        }
    }
}

/// Concludes the mode. The setting wins; `auto` looks at the cluster, and in doubt counts every pod as
/// reachable: a pod that waits for its gate says why, one without a gate says nothing.
pub fn conclude(setting: Network, facts: &ClusterFacts) -> Conclusion {
    let (mode, evidence) = match setting {
        Network::Named(mode) => (mode, Evidence::Setting),
        Network::Auto => shown(facts),
    };
    let switch = facts.tke.as_ref();
    let switch = switch.and_then(|data| data.get(names::GLOBAL_ROUTE_DIRECT_ACCESS));
    Conclusion {
        mode,
        evidence,
        global_route: switch.is_some_and(|value| value.trim() == "true"),
    }
}

fn shown(facts: &ClusterFacts) -> (Mode, Evidence) {
    if facts.tke.is_none() {
        return (Mode::Routable, Evidence::NotTke);
    }
    let nodes = facts.nodes;
    if nodes.super_nodes > 0 && nodes.ordinary == 0 {
        return (Mode::Serverless, Evidence::SuperNodes);
    }
    match (nodes.eni_ip > 0, nodes.pod_cidr > 0) {
        (true, false) => (Mode::VpcCni, Evidence::EniNodes),
        (true, true) => (Mode::Mixed, Evidence::EniNodesAndPodCidrs),
        (false, true) => (Mode::GlobalRouter, Evidence::PodCidrs),
        (false, false) => (Mode::VpcCni, Evidence::NoNodeTells),
    }
}

impl NodeFacts {
    /// Prunes a node as the API server gave it.
    pub fn prune(node: Node) -> Self {
        let labels = node.metadata.labels.unwrap_or_default();
        let kind = labels.get(names::INSTANCE_TYPE).map(String::as_str);
        let status = node.status.unwrap_or_default();
        // A kubelet that restarts counts zero until the agent has registered again: the key tells.
        let advertised = [status.capacity, status.allocatable];
        let mut advertised = advertised.iter().flatten();
        let spec = node.spec.unwrap_or_default();
        let cidr = spec.pod_cidr.is_some_and(|cidr| !cidr.is_empty());
        Self {
            super_node: kind == Some(names::SUPER_NODE),
            eni_ip: advertised.any(|resources| resources.contains_key(names::ENI_IP)),
            pod_cidr: cidr || spec.pod_cidrs.is_some_and(|all| !all.is_empty()),
            kubelet: status
                .node_info
                .and_then(|info| Kubelet::parse(&info.kubelet_version)),
        }
    }
}

impl<'a> FromIterator<&'a NodeFacts> for NodeCounts {
    fn from_iter<I: IntoIterator<Item = &'a NodeFacts>>(nodes: I) -> Self {
        nodes.into_iter().copied().fold(Self::default(), Self::and)
    }
}

impl NodeCounts {
    fn and(self, node: NodeFacts) -> Self {
        let kubelets = self.oldest_kubelet.into_iter().chain(node.kubelet);
        let oldest_kubelet = kubelets.min();
        if node.super_node {
            return Self {
                super_nodes: self.super_nodes + 1,
                oldest_kubelet,
                ..self
            };
        }
        Self {
            oldest_kubelet,
            ordinary: self.ordinary + 1,
            eni_ip: self.eni_ip + usize::from(node.eni_ip),
            pod_cidr: self.pod_cidr + usize::from(node.pod_cidr),
            ..self
        }
    }
}
