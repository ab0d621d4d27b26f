//! A node on paper: an object whose Lease is kept, and no kubelet. The pods that name it stay as they are,
//! because the node seems to live; nothing else is scheduled there.

use std::time::Duration;

use anyhow::{Context, Result};
use clb_gate_tests::played::now;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

/// The node, its Lease and its host name.
pub(crate) const NAME: &str = "on-paper";
/// Where nodes' Leases are.
const LEASES: &str = "kube-node-lease";
/// As kubelets do; the node counts as dead 40 s after the last.
const EVERY: Duration = Duration::from_secs(10);

/// The node, for as long as this is kept.
pub(crate) struct OnPaper {
    nodes: Api<Node>,
    _keeping: JoinSet<()>,
}

impl OnPaper {
    /// Makes it, and begins to keep its Lease.
    pub(crate) async fn join(client: &Client) -> Result<Self> {
        let nodes: Api<Node> = Api::all(client.clone());
        let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
        let node = nodes.create(&PostParams::default(), &node()?).await;
        let node = node.with_context(|| format!("creating Node {NAME}"))?;
        let lease = leases.create(&PostParams::default(), &lease(&node)?).await;
        lease.with_context(|| format!("creating Lease {NAME}"))?;
        let ready = Patch::Strategic(json!({"status": status()}));
        let reported = nodes
            .patch_status(NAME, &PatchParams::default(), &ready)
            .await;
        reported.with_context(|| format!("reporting Node {NAME}"))?;
        let mut keeping = JoinSet::new();
        keeping.spawn(keep(leases));
        Ok(Self {
            nodes,
            _keeping: keeping,
        })
    }

    /// Takes it away; its Lease goes with it.
    pub(crate) async fn leave(self) -> Result<()> {
        self.nodes.delete(NAME, &DeleteParams::default()).await?;
        Ok(())
    }
}

fn node() -> Result<Node> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": NAME, "labels": {"kubernetes.io/hostname": NAME}},
        "spec": {"taints": [{"key": "example.com/on-paper", "effect": "NoSchedule"}]},
    }))?)
}

fn status() -> serde_json::Value {
    let (now, room) = (now(), json!({"cpu": "1", "memory": "1Gi", "pods": "10000"}));
    let ready = json!({
        "type": "Ready",
        "status": "True",
        "reason": "OnPaper",
        "message": "bench-gate keeps this node's Lease",
        "lastHeartbeatTime": now.to_string(),
        "lastTransitionTime": now.to_string(),
    });
    json!({"capacity": room, "allocatable": room, "conditions": [ready]})
}

fn lease(node: &Node) -> Result<Lease> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": NAME, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": NAME, "uid": node.uid()},
        ]},
        "spec": {"holderIdentity": NAME, "leaseDurationSeconds": 40, "renewTime": MicroTime(now())},
    }))?)
}

async fn keep(leases: Api<Lease>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let renewed = Patch::Merge(json!({"spec": {"renewTime": MicroTime(now())}}));
        let kept = leases.patch(NAME, &PatchParams::default(), &renewed).await;
        if let Err(error) = kept {
            eprintln!("the Lease of {NAME} is not renewed: {error}");
        }
    }
}
