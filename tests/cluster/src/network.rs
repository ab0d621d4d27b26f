//! The addresses and wires of the cluster, all from 198.18.0.0/15: the range set aside for
//! benchmarking networks (RFC 2544), which never collides with a real network.
//!
//! The bridge `core` joins the control plane, the CLB and both nodes; a node's pods have a subnet of
//! their own that everybody reaches over plain routes, as a CLB reaches pods in a VPC.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::process::capture;
use crate::way_back;

/// The bridge: control plane, CLB, DNS, and where the user's command runs.
pub(crate) const CORE: &str = "198.18.0.1";
/// The `kubernetes` Service: the first address of [`SERVICES`].
pub(crate) const KUBERNETES_SERVICE: &str = "198.19.0.1";
/// `ClusterIP`s.
pub(crate) const SERVICES: &str = "198.19.0.0/16";
/// The bridge's name.
pub(crate) const BRIDGE: &str = "core";
/// The hardware address of the control plane and the CLB on it, by which nodes know what comes from
/// there; locally administered.
pub(crate) const CORE_HARDWARE: &str = "02:63:6c:62:00:01";
/// The bridge of a node's pods.
pub(crate) const PODS_BRIDGE: &str = "pods";
/// Its hardware address, fixed so that it does not change as pods come and go.
const PODS_HARDWARE: &str = "02:63:6c:62:00:02";
/// How many nodes there are: a drained node's pods need somewhere to go, and more cost memory.
pub(crate) const NODES: [Node; 2] = [Node { number: 1 }, Node { number: 2 }];

/// Settings of every network namespace. A load test opens far more connections from one address
/// than a machine's defaults allow: about 28,000 ports and 60 s of `TIME_WAIT` each. Below 20,000 programs
/// listen: a connection that happened to have such a port would keep them from it.
const SETTINGS: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv4/ip_local_port_range", "20000 65000"),
    ("net/ipv4/tcp_tw_reuse", "1"),
    ("net/core/somaxconn", "8192"),
    ("net/ipv4/tcp_max_syn_backlog", "8192"),
    // The CLB passes clients' packets on with the clients' addresses (`way_back`): packets come from
    // where their source does not lie, even back to the client's own node.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/conf/all/accept_local", "1"),
];

/// A node's settings of its pods' bridge, [`PODS_BRIDGE`]. The bridge's ports do not see each other
/// ([`crate::node`]), so the node answers for all pods, at once, and routes between them.
const NODE_SETTINGS: &[(&str, &str)] = &[
    ("net/ipv4/conf/pods/proxy_arp_pvlan", "1"),
    ("net/ipv4/neigh/pods/proxy_delay", "0"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/pods/send_redirects", "0"),
];

/// A node's place in the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    number: u8,
}

impl Node {
    /// 1 or 2.
    pub(crate) fn number(self) -> u8 {
        self.number
    }

    /// The Kubernetes Node's name.
    pub(crate) fn name(self) -> String {
        format!("node-{}", self.number)
    }

    /// Its address on the bridge.
    pub(crate) fn address(self) -> String {
        format!("198.18.0.1{}", self.number)
    }

    /// Its pods' subnet.
    pub(crate) fn pods(self) -> String {
        format!("198.18.{}.0/24", self.number)
    }

    /// The name of its network namespace.
    pub(crate) fn namespace(self) -> String {
        format!("node{}", self.number)
    }

    /// A command that runs in the node's network namespace. Not `ip netns exec`: that one mounts a
    /// fresh /sys, in which the kubelet does not find the cgroups.
    pub(crate) fn enter(self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace()));
        command
    }
}

/// Lays all of it out.
pub(crate) async fn prepare() -> Result<()> {
    for (name, value) in SETTINGS {
        let path = format!("/proc/sys/{name}");
        fs::write(&path, value).with_context(|| format!("setting {path} to {value}"))?;
    }
    batch(&["-batch", "-"], &core_commands()).await?;
    for node in NODES {
        let namespace = node.namespace();
        batch(&["-n", &namespace, "-batch", "-"], &node_commands(node)).await?;
        let mut command = node.enter();
        command.args(["sh", "-c", &settings_script()]);
        capture(command, None).await?;
    }
    way_back::prepare().await
}

/// Whether anything answers at `address`.
pub(crate) async fn connects(address: &str) -> Result<()> {
    let limit = std::time::Duration::from_secs(1);
    tokio::time::timeout(limit, tokio::net::TcpStream::connect(address))
        .await
        .with_context(|| format!("{address} does not answer within 1 s"))?
        .with_context(|| format!("connecting to {address}"))?;
    Ok(())
}

fn core_commands() -> String {
    let mut text = format!(
        "link set lo up\n\
         link add {BRIDGE} address {CORE_HARDWARE} type bridge\n\
         addr add {CORE}/24 dev {BRIDGE}\n\
         link set {BRIDGE} up\n\
         route add {SERVICES} dev {BRIDGE}\n"
    );
    for node in NODES {
        let (number, namespace) = (node.number(), node.namespace());
        let _ = write!(
            text,
            "netns add {namespace}\n\
             link add up{number} type veth peer name eth0 netns {namespace}\n\
             link set up{number} master {BRIDGE} up\n\
             route add {} via {}\n",
            node.pods(),
            node.address(),
        );
    }
    text
}

fn node_commands(node: Node) -> String {
    let mut text = format!(
        "link set lo up\n\
         addr add {}/24 dev eth0\n\
         link set eth0 up\n\
         link add {PODS_BRIDGE} address {PODS_HARDWARE} type bridge\n\
         link set {PODS_BRIDGE} up\n\
         route add default via {CORE}\n",
        node.address(),
    );
    for other in NODES {
        if other.number() != node.number() {
            let _ = writeln!(text, "route add {} via {}", other.pods(), other.address());
        }
    }
    text
}

fn settings_script() -> String {
    // Where the kernel can take bridged packets through the filters of routed ones, a pod's packet to
    // a Service whose endpoint is its neighbour would be bridged after all, and lost.
    let bridged = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    let mut text = format!("set -e\n[ ! -e {bridged} ] || echo 0 > {bridged}\n");
    for (name, value) in SETTINGS.iter().chain(NODE_SETTINGS) {
        let _ = writeln!(text, "echo '{value}' > /proc/sys/{name}");
    }
    text
}

/// Runs a batch of `ip` commands.
pub(crate) async fn batch(args: &[&str], commands: &str) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(args);
    capture(command, Some(commands))
        .await
        .map(drop)
        .context("laying out the network")
}
