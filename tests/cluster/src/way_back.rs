//! The way back from a pod to the CLB, for connections in which the pod sees the client's address.
//!
//! The CLB opens a connection to the pod from the client's own address, so the pod answers to the
//! client. A real CLB is part of the VPC's network, which takes such answers to the CLB. Here:
//! - A node remembers (in conntrack) which connections came from the control plane's namespace, by
//!   the hardware address of its bridge, marks the answers, and routes marked packets there; also
//!   if the client is the node itself, so the rule stands before the one for local addresses.
//! - There the answers are for somebody else's address. If a socket of the CLB waits for them
//!   (nftables' `socket transparent`), they are marked, and what is marked is delivered locally.
//! - 100.64.0.0/10, where health checks may come from, is the CLB's own.
//!
//! All of it lies in the namespaces and goes with them.

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::network::{CORE, CORE_HARDWARE, NODES, batch};
use crate::process::capture;

/// Far from the bits that kube-proxy uses (0x4000, 0x8000).
const MARK: &str = "0xc1b";
/// A routing table that nobody else has.
const TABLE: &str = "100";

/// Lays the way back in all namespaces.
pub(crate) async fn prepare() -> Result<()> {
    batch(&["-batch", "-"], &core_routes()).await?;
    filter(Command::new("nft"), &core_filter()).await?;
    for node in NODES {
        let namespace = node.namespace();
        batch(&["-n", &namespace, "-batch", "-"], &node_routes()).await?;
        let mut command = node.enter();
        command.arg("nft");
        filter(command, &node_filter()).await?;
    }
    Ok(())
}

fn core_routes() -> String {
    format!(
        "rule add pref 10 fwmark {MARK} lookup {TABLE}\n\
         route add local default dev lo table {TABLE}\n\
         route add local 100.64.0.0/10 dev lo table local\n"
    )
}

fn node_routes() -> String {
    format!(
        "rule add pref 10 fwmark {MARK} lookup {TABLE}\n\
         rule add pref 100 lookup local\n\
         rule del pref 0 lookup local\n\
         route add default via {CORE} table {TABLE}\n"
    )
}

fn core_filter() -> String {
    format!(
        "table ip clb {{
           chain arriving {{
             type filter hook prerouting priority mangle;
             meta l4proto {{ tcp, udp }} socket transparent 1 meta mark set {MARK}
           }}
         }}"
    )
}

fn node_filter() -> String {
    format!(
        r#"table ip clb {{
           chain arriving {{
             type filter hook prerouting priority mangle;
             iifname "eth0" ether saddr {CORE_HARDWARE} ct state new ct mark set {MARK}
             iifname != "eth0" ct direction reply ct mark {MARK} meta mark set {MARK}
           }}
           chain leaving {{
             type route hook output priority mangle;
             ct direction reply ct mark {MARK} meta mark set {MARK}
           }}
         }}"#
    )
}

async fn filter(mut command: Command, rules: &str) -> Result<()> {
    command.args(["-f", "-"]);
    capture(command, Some(rules))
        .await
        .map(drop)
        .context("laying the way back to the CLB")
}
