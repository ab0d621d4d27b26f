//! The three ways from a CLB to a pod that Tencent's article compares, and one of something for each.

use std::fmt;

use serde::Serialize;

/// A way from the CLB to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arm {
    /// The CLB's targets are the pods; clb-gate binds them.
    Direct,
    /// The targets are the nodes' ports, `externalTrafficPolicy: Cluster`: any pod on any node.
    NodePort,
    /// The same with `Local`: only pods on the node that was reached.
    Local,
}

impl Arm {
    /// In the order of the article's columns.
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::NodePort, Self::Local];

    /// The article's column.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Direct => "Direct Connection",
            Self::NodePort => "NodePort Forwarding",
            Self::Local => "Local Forwarding",
        }
    }

    /// The name of its Service and the value of its pods' label `app`.
    pub(crate) fn app(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::NodePort => "nodeport",
            Self::Local => "local",
        }
    }

    /// Its listener's port.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Direct => 8201,
            Self::NodePort => 8202,
            Self::Local => 8203,
        }
    }

    /// The port of its listener with session persistence.
    pub(crate) fn sticky_port(self) -> u16 {
        self.port() + 10
    }

    /// `externalTrafficPolicy` of its Service; none where the CLB does not go through a `NodePort`.
    pub(crate) fn policy(self) -> Option<&'static str> {
        match self {
            Self::Direct => None,
            Self::NodePort => Some("Cluster"),
            Self::Local => Some("Local"),
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.app())
    }
}

/// One of something for each arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct PerArm<T> {
    direct: T,
    nodeport: T,
    local: T,
}

impl<T> PerArm<T> {
    /// Makes each.
    pub(crate) fn new(mut make: impl FnMut(Arm) -> T) -> Self {
        Self {
            direct: make(Arm::Direct),
            nodeport: make(Arm::NodePort),
            local: make(Arm::Local),
        }
    }

    /// An arm's.
    pub(crate) fn get(&self, arm: Arm) -> &T {
        match arm {
            Arm::Direct => &self.direct,
            Arm::NodePort => &self.nodeport,
            Arm::Local => &self.local,
        }
    }

    /// An arm's, to be changed.
    pub(crate) fn get_mut(&mut self, arm: Arm) -> &mut T {
        match arm {
            Arm::Direct => &mut self.direct,
            Arm::NodePort => &mut self.nodeport,
            Arm::Local => &mut self.local,
        }
    }
}

/// The arms in another order each round, so that none always comes first.
pub(crate) fn order(round: usize) -> [Arm; 3] {
    let mut order = Arm::ALL;
    order.rotate_left(round % Arm::ALL.len());
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_first_as_often_as_the_others() {
        let firsts: Vec<_> = (0..6).map(|round| order(round)[0]).collect();
        let twice = [Arm::ALL, Arm::ALL].concat();
        assert_eq!(firsts, twice);
        let mut apart: Vec<_> = order(1).map(Arm::app).into();
        apart.sort_unstable();
        assert_eq!(apart, ["direct", "local", "nodeport"]);
    }

    #[test]
    fn no_port_is_used_twice_nor_can_be_a_node_port() {
        let ports = Arm::ALL.map(|arm| [arm.port(), arm.sticky_port()]).concat();
        let apart: std::collections::BTreeSet<_> = ports.iter().collect();
        assert_eq!(apart.len(), ports.len());
        assert!(ports.iter().all(|port| *port < 20_000));
    }
}
