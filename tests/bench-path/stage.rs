//! What stands before anything is measured: for each arm three pods, two on one node and one on the
//! other, a Service, and two listeners on the CLB, of which one keeps clients with their target.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use clb::{CreateListener, HealthCheck, Protocol};
use clb_gate_tests::ours::address;
use clb_gate_tests::sim::Console;
use clb_gate_tests::stage::all_healthy;
use clb_gate_tests::workload::{IMAGE, QUICK, Service};
use clb_gate_tests::{World, kubectl};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1;
use kube::ResourceExt;

use crate::arm::{Arm, PerArm};
use crate::client;
use crate::nodes::Nodes;
use crate::tally::Map;

/// One of the test host's load balancers.
pub(crate) const LOAD_BALANCER: &str = "lb-demo0001";
/// Image start, binding and two health checks 3 s apart, on two busy cores.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// `SessionExpireTime` in seconds: longer than the run keeps coming back.
const SESSION: u32 = 600;
/// An arm's pods.
const PODS: usize = 3;

/// An arm's Deployments: name, replicas, node. The second is moved to the first one's node by an update.
pub(crate) const GROUPS: [(&str, u32, &str); 2] = [("two", 2, "node-1"), ("one", 1, "node-2")];

/// What is measured.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) console: Console,
    pub(crate) nodes: Nodes,
    vip: IpAddr,
    /// Of each arm's pods.
    pub(crate) maps: PerArm<Map>,
    /// Their addresses.
    pub(crate) pods: PerArm<std::collections::BTreeSet<IpAddr>>,
}

impl Stage {
    /// Sets it up and waits until the CLB finds every target healthy.
    pub(crate) async fn set() -> Result<Self> {
        let world = World::new("path").await?;
        let console = Console::new(LOAD_BALANCER)?;
        let vip = console.vip().await?.parse().context("the VIP")?;
        serve(&world).await?;
        let nodes = Nodes::find().await?;
        // Only now: where the test host's nodes are, the addresses are in its namespace.
        client::appear().await?;
        let mut stage = Self {
            nodes,
            world,
            console,
            vip,
            maps: PerArm::default(),
            pods: PerArm::default(),
        };
        stage.bind_nodes().await?;
        stage.look().await?;
        stage.nodes.watch(&stage.pods).await?;
        Ok(stage)
    }

    /// Where clients connect to.
    pub(crate) fn front(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.vip, port)
    }

    /// Looks where the pods are.
    async fn look(&mut self) -> Result<()> {
        for arm in Arm::ALL {
            let pods = self.world.pods(arm.app()).await?;
            *self.pods.get_mut(arm) = pods.iter().filter_map(address).collect();
            *self.maps.get_mut(arm) = Map {
                pods: pods.iter().filter_map(place).collect(),
                addresses: self.addresses(),
            };
        }
        Ok(())
    }

    fn addresses(&self) -> BTreeMap<IpAddr, String> {
        let nodes = self.nodes.iter();
        let named = nodes.flat_map(|node| {
            let named = |address: &IpAddr| (*address, node.name.clone());
            node.addresses.iter().map(named)
        });
        named.collect()
    }

    /// Gives the arms that go through a `NodePort` their listeners, as a controller without direct access
    /// does: the targets are all nodes.
    async fn bind_nodes(&self) -> Result<()> {
        for arm in Arm::ALL {
            if arm.policy().is_some() {
                let port = self.world.node_port(arm.app()).await?;
                for (listener, session) in [(arm.port(), None), (arm.sticky_port(), Some(SESSION))]
                {
                    self.bind(listener, session, port).await?;
                }
            }
            let count = if arm.policy().is_some() { 2 } else { PODS };
            for port in [arm.port(), arm.sticky_port()] {
                all_healthy(&self.console, port, count, PATIENCE).await?;
            }
        }
        Ok(())
    }

    async fn bind(&self, listener: u16, session: Option<u32>, node_port: u16) -> Result<()> {
        let create = CreateListener {
            health_check: Some(check()),
            session_expire_time: session,
            ..CreateListener::new(
                self.console.load_balancer.clone(),
                Protocol::Tcp,
                listener,
                format!("nodes-{listener}"),
            )
        };
        self.console.create(&create).await?;
        for node in self.nodes.iter() {
            let address = node.addresses.first().context("a node's address")?;
            let target = SocketAddr::new(*address, node_port);
            self.console.bind(listener, target, 10).await?;
        }
        Ok(())
    }
}

/// The Services first, so that clb-gate knows the direct ones before their pods come.
async fn serve(world: &World) -> Result<()> {
    for arm in Arm::ALL {
        kubectl::apply(&service(world, arm)).await?;
    }
    world
        .webhooks_know(LOAD_BALANCER, Arm::Direct.port())
        .await?;
    for arm in Arm::ALL {
        for (group, replicas, node) in GROUPS {
            kubectl::apply(&deployment(world, arm, (group, replicas, node), 1)).await?;
        }
    }
    let ready = Arm::ALL.map(|arm| world.ready(arm.app(), PODS, PATIENCE));
    try_join_all(ready).await.map(drop)
}

fn service(world: &World, arm: Arm) -> String {
    let namespace = &world.namespace;
    let Some(policy) = arm.policy() else {
        let parameters = "service.kubernetes.io/service.listenerParameters";
        let sticky = QUICK.replacen('{', &format!(r#"{{"SessionExpireTime":{SESSION},"#), 1);
        let plain = Service::direct(namespace, "direct", LOAD_BALANCER, arm.port());
        let kept = Service {
            app: arm.app(),
            ..Service::direct(namespace, "direct-kept", LOAD_BALANCER, arm.sticky_port())
        };
        let kept = kept.with(parameters, Some(&sticky));
        return format!("{}---\n{}", plain.yaml(), kept.yaml());
    };
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {arm}, namespace: {namespace}}}
spec:
  type: NodePort
  externalTrafficPolicy: {policy}
  selector: {{app: {arm}}}
  ports: [{{port: 80, targetPort: http}}]
"
    )
}

/// A Deployment of the sample on one node; another revision rolls it.
pub(crate) fn deployment(
    world: &World,
    arm: Arm,
    (group, replicas, node): (&str, u32, &str),
    revision: u32,
) -> String {
    let namespace = &world.namespace;
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {arm}-{group}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {arm}, group: {group}}}}}
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
  template:
    metadata:
      labels: {{app: {arm}, group: {group}}}
      annotations: {{example.com/revision: '{revision}'}}
    spec:
      nodeSelector: {{kubernetes.io/hostname: {node}}}
      terminationGracePeriodSeconds: 30
      containers:
        - name: sample
          image: {IMAGE}
          imagePullPolicy: IfNotPresent
          ports: [{{name: http, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1}}
"
    )
}

/// As quick as the direct arm's, and from 100.64.0.0/10, one of the two sources of Tencent's health
/// checks. The other is the VIP: here it lies in kube-proxy's `clusterCIDR`, and what a pod sends to a
/// `NodePort` is passed on to any node even where the policy is `Local`.
fn check() -> HealthCheck {
    HealthCheck {
        interval_time: Some(3),
        time_out: Some(2),
        health_num: Some(2),
        un_health_num: Some(2),
        source_ip_type: Some(1),
        ..HealthCheck::default()
    }
}

/// A pod's name and its node's.
fn place(pod: &v1::Pod) -> Option<(String, String)> {
    let node = pod.spec.as_ref()?.node_name.clone()?;
    Some((pod.name_any(), node))
}
