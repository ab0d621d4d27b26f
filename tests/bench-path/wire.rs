//! Counting what goes from node to node: rules that count packets which arrive at a node's wire from
//! the other node, for each arm's pods. The interface's own counters also have everything else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::arm::{Arm, PerArm};

/// The table in each node's network namespace.
pub(crate) const TABLE: &str = "bench_path";
/// A node's wire.
const WIRE: &str = "eth0";
/// The hardware address of the control plane and the CLB (the test host's `network.rs`): what does not
/// come from there comes from the other node.
const CORE: &str = "02:63:6c:62:00:01";

/// The rules for all arms, for `nft -f -`. They stand before any address is translated.
pub(crate) fn rules(pods: &PerArm<BTreeSet<IpAddr>>) -> String {
    let mut text = format!("table ip {TABLE} {{\n");
    let mut chain = String::new();
    for arm in Arm::ALL {
        let addresses: Vec<_> = pods.get(arm).iter().map(ToString::to_string).collect();
        let elements = addresses.join(", ");
        let _ = write!(
            text,
            "  counter {arm} {{ }}\n  set {arm} {{ type ipv4_addr; elements = {{ {elements} }} }}\n"
        );
        for end in ["saddr", "daddr"] {
            let _ = writeln!(
                chain,
                r#"    iifname "{WIRE}" ether saddr != {CORE} ip {end} @{arm} counter name {arm}"#
            );
        }
    }
    let _ = write!(
        text,
        "  chain arriving {{\n    type filter hook prerouting priority raw;\n{chain}  }}\n}}\n"
    );
    text
}

/// The bytes that `nft -j list counters table ip ...` shows for each arm.
pub(crate) fn read(json: &str) -> Result<PerArm<u64>> {
    let shown: Shown = serde_json::from_str(json).context("reading nft's counters")?;
    let mut bytes = PerArm::default();
    for counter in shown.nftables.into_iter().filter_map(|item| item.counter) {
        if let Some(arm) = Arm::ALL.into_iter().find(|arm| arm.app() == counter.name) {
            *bytes.get_mut(arm) += counter.bytes;
        }
    }
    Ok(bytes)
}

#[derive(Deserialize)]
struct Shown {
    nftables: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    counter: Option<Counter>,
}

#[derive(Deserialize)]
struct Counter {
    name: String,
    bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_arm_has_its_own_counter_in_both_directions() {
        let pods = PerArm::new(|arm| match arm {
            Arm::Direct => BTreeSet::from(["198.18.1.2".parse().unwrap()]),
            Arm::NodePort | Arm::Local => BTreeSet::from(["198.18.2.3".parse().unwrap()]),
        });
        let rules = rules(&pods);
        assert!(rules.contains("set direct { type ipv4_addr; elements = { 198.18.1.2 } }"));
        assert_eq!(rules.matches("counter name nodeport").count(), 2);
        assert_eq!(rules.matches('{').count(), rules.matches('}').count());
    }

    #[test]
    fn counters_are_read_by_their_arm() {
        let json = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "ip", "name": "local", "table": "bench_path", "handle": 2, "packets": 3, "bytes": 180}},
            {"counter": {"family": "ip", "name": "strange", "table": "bench_path", "handle": 3, "packets": 1, "bytes": 9}}]}"#;
        let bytes = read(json).unwrap();
        assert_eq!(Arm::ALL.map(|arm| *bytes.get(arm)), [0, 0, 180]);
        assert!(read("").is_err());
    }
}
