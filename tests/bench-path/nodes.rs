//! The nodes' side: commands in their network namespaces that count what passes there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::arm::{Arm, PerArm};
use crate::client::is_client;
use crate::conntrack::{self, Tracked, Whose};
use crate::wire;

/// The test host's nodes: the Kubernetes Node and its network namespace.
const NODES: [(&str, &str); 2] = [("node-1", "node1"), ("node-2", "node2")];

/// A node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The Kubernetes Node's name.
    pub(crate) name: String,
    /// All its own addresses; the first is the one that a CLB would bind.
    pub(crate) addresses: Vec<IpAddr>,
    namespace: &'static str,
}

/// All nodes, from which counts are read.
#[derive(Clone, Debug)]
pub(crate) struct Nodes(Vec<Node>);

/// What was counted up to a moment.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    wire: PerArm<u64>,
    conflicts: u64,
}

impl Nodes {
    /// Finds them.
    pub(crate) async fn find() -> Result<Self> {
        let mut nodes = vec![];
        for (name, namespace) in NODES {
            let mut node = Node {
                name: name.to_owned(),
                addresses: vec![],
                namespace,
            };
            let shown = node
                .run(&["ip", "-4", "-j", "addr", "show", "up"], "")
                .await;
            let shown = shown.context("no nodes to look at: run this in the test host")?;
            node.addresses = addresses(&shown)?;
            nodes.push(node);
        }
        Ok(Self(nodes))
    }

    /// Each.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Node> {
        self.0.iter()
    }

    /// Counts from now on what goes from node to node for these pods.
    pub(crate) async fn watch(&self, pods: &PerArm<BTreeSet<IpAddr>>) -> Result<()> {
        let rules = wire::rules(pods);
        for node in self.iter() {
            node.run(&["nft", "-f", "-"], &rules).await?;
        }
        Ok(())
    }

    /// Forgets the closed connections of these pods, and says how far the counts are.
    pub(crate) async fn mark(&self, pods: &BTreeSet<IpAddr>) -> Result<Mark> {
        for node in self.iter() {
            for pod in pods {
                node.forget(*pod).await?;
            }
        }
        self.read().await
    }

    /// What an arm's connections have cost since: bytes from node to node, and entries.
    pub(crate) async fn since(
        &self,
        mark: &Mark,
        arm: Arm,
        pods: &BTreeSet<IpAddr>,
    ) -> Result<(u64, Tracked)> {
        let now = self.read().await?;
        let mut tracked = Tracked {
            conflicts: now.conflicts.saturating_sub(mark.conflicts),
            ..Tracked::default()
        };
        for node in self.iter() {
            let listing = node.run(&["conntrack", "-L", "-p", "tcp"], "").await?;
            let others = self.others(node);
            let whose = Whose {
                pods,
                others: &others,
                is_client,
            };
            let entries = conntrack::entries(&listing);
            tracked = tracked.plus(conntrack::tracked(&entries, whose));
        }
        let wire = now.wire.get(arm).saturating_sub(*mark.wire.get(arm));
        Ok((wire, tracked))
    }

    async fn read(&self) -> Result<Mark> {
        let mut mark = Mark {
            wire: PerArm::default(),
            conflicts: 0,
        };
        let list = ["nft", "-j", "list", "counters", "table", "ip", wire::TABLE];
        for node in self.iter() {
            let bytes = wire::read(&node.run(&list, "").await?)?;
            for arm in Arm::ALL {
                *mark.wire.get_mut(arm) += *bytes.get(arm);
            }
            let statistics = node.run(&["conntrack", "-S"], "").await?;
            mark.conflicts += conntrack::conflicts(&statistics);
        }
        Ok(mark)
    }

    fn others(&self, this: &Node) -> BTreeSet<IpAddr> {
        let others = self.iter().filter(|node| node.name != this.name);
        others.flat_map(|node| node.addresses.clone()).collect()
    }
}

impl Node {
    async fn forget(&self, pod: IpAddr) -> Result<()> {
        let pod = pod.to_string();
        let delete = ["conntrack", "-D", "-p", "tcp", "--reply-src", &pod];
        // It exits with 1 where there was none, which is no failure.
        self.start(&delete, "").await.map(drop)
    }

    async fn run(&self, words: &[&str], input: &str) -> Result<String> {
        let output = self.start(words, input).await?;
        ensure!(
            output.status.success(),
            "{}: {}: {}",
            self.namespace,
            words.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn start(&self, words: &[&str], input: &str) -> Result<std::process::Output> {
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.namespace))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start nsenter")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let output = child.wait_with_output().await;
        output.with_context(|| words.join(" "))
    }
}

/// Those in what `ip -4 -j addr` printed, loopback left out.
fn addresses(json: &str) -> Result<Vec<IpAddr>> {
    let interfaces: Vec<Interface> = serde_json::from_str(json).context("reading addresses")?;
    let all = interfaces.into_iter().flat_map(|one| one.addr_info);
    let mut addresses: Vec<_> = all.map(|info| info.local).collect();
    addresses.retain(|address| !address.is_loopback());
    Ok(addresses)
}

#[derive(Deserialize)]
struct Interface {
    #[serde(default)]
    addr_info: Vec<Info>,
}

#[derive(Deserialize)]
struct Info {
    local: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_s_addresses_are_those_of_its_wire_and_its_bridge() {
        let json = r#"[{"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},{},
            {"ifname":"eth0","addr_info":[{"family":"inet","local":"198.18.0.11","prefixlen":24}]},
            {"ifname":"pods","addr_info":[{"family":"inet","local":"198.18.1.1","prefixlen":24}]}]"#;
        let found: Vec<_> = addresses(json)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found, ["198.18.0.11", "198.18.1.1"]);
        assert!(addresses("").is_err());
    }
}
