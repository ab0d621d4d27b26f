//! What an arm stands on: its namespace, Deployment, Service, `PodDisruptionBudget` and listener.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use clb::{CreateListener, HealthCheck, Protocol};

use super::arm::Arm;
use super::plan::Size;
use super::run::Options;
use crate::operator::Operator;
use crate::sim::Console;
use crate::stage::all_healthy;
use crate::workload::{IMAGE, Service};
use crate::{World, clients, kubectl};

/// One of the test host's load balancers.
const LOAD_BALANCER: &str = "lb-demo0001";
/// Name of the Service and the Deployment.
pub(super) const APP: &str = "web";
/// Twenty pods start, are bound and checked, on two busy cores.
const PATIENCE: Duration = Duration::from_mins(3);
/// The nodes' addresses: what a `NodePort` listener has for targets.
const NODES: [&str; 2] = ["198.18.0.11", "198.18.0.12"];
const GRACE_DELETION: &str = "service.cloud.tencent.com/enable-grace-deletion";
const DRAIN_SECONDS: &str = "clb-gate.io/drain-seconds";
const PARAMETERS: &str = "service.kubernetes.io/service.listenerParameters";

/// The CLB's health check, the same for all arms.
pub(super) const INTERVAL: u32 = 3;
pub(super) const TIME_OUT: u32 = 2;
pub(super) const UNHEALTHY: u32 = 2;
const HEALTHY: u32 = 2;

/// Where an arm's story plays.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) world: World,
    pub(super) operator: Operator,
    pub(super) load_balancer: String,
    /// Where clients connect to.
    pub(super) vip: SocketAddr,
    pub(super) arm: Arm,
}

impl Ground {
    /// Lays it and waits until the CLB finds every target healthy.
    pub(super) async fn lay(arm: Arm, options: &Options) -> Result<Self> {
        let world = World::new(&format!("{}-{arm}", options.name)).await?;
        clients::appear().await?;
        let console = Console::new(LOAD_BALANCER)?;
        let vip: IpAddr = console.vip().await?.parse().context("the VIP")?;
        kubectl::apply(&service(&world, arm, options)).await?;
        if arm.gated() {
            world.webhooks_know(LOAD_BALANCER, arm.port()).await?;
        }
        kubectl::apply(&workload(&world, arm, options)).await?;
        let replicas = usize::try_from(options.replicas)?;
        world.ready(APP, replicas, PATIENCE).await?;
        if arm.policy().is_some() {
            bind_nodes(&world, &console, arm).await?;
        }
        let targets = if arm.policy().is_some() {
            NODES.len()
        } else {
            replicas
        };
        all_healthy(&console, arm.port(), targets, PATIENCE).await?;
        Ok(Self {
            world,
            operator: Operator::new()?,
            load_balancer: LOAD_BALANCER.to_owned(),
            vip: SocketAddr::new(vip, arm.port()),
            arm,
        })
    }

    /// Removes it, so that the next arm has the machine for itself; a test waits for nobody.
    pub(super) async fn clear(self, size: Size) -> Result<()> {
        let namespace = &self.world.namespace;
        if self.arm.policy().is_some() {
            let console = Console::new(&self.load_balancer)?;
            console.delete_listener(self.arm.port()).await?;
        }
        if size == Size::Short {
            return self.world.end().await;
        }
        let delete = ["delete", "namespace", namespace, "--timeout=180s"];
        kubectl::run(&delete).await.map(drop)
    }
}

fn service(world: &World, arm: Arm, options: &Options) -> String {
    let namespace = &world.namespace;
    let Some(policy) = arm.policy() else {
        let direct = Service::direct(namespace, APP, LOAD_BALANCER, arm.port());
        let seconds = options.drain_seconds.map(|seconds| seconds.to_string());
        let check = format!(
            r#"{{"HealthCheck":{{"IntervalTime":{INTERVAL},"TimeOut":{TIME_OUT},"HealthNum":{HEALTHY},"UnHealthNum":{UNHEALTHY}}}}}"#
        );
        return direct
            .with(PARAMETERS, Some(&check))
            .with(GRACE_DELETION, arm.drains().then_some("true"))
            .with(DRAIN_SECONDS, seconds.as_deref().filter(|_| arm.drains()))
            .yaml();
    };
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: {APP}, namespace: {namespace}}}
spec:
  type: NodePort
  externalTrafficPolicy: {policy}
  selector: {{app: {APP}}}
  ports: [{{port: 80, targetPort: http}}]
"
    )
}

/// The application ends as ordinary ones do: `FINISH`, explained in the sample.
fn workload(world: &World, arm: Arm, options: &Options) -> String {
    let namespace = &world.namespace;
    let replicas = options.replicas;
    let inject = if arm.policy().is_none() && !arm.gated() {
        ", clb-gate.io/inject: 'false'"
    } else {
        ""
    };
    let sleep = options.pre_stop.filter(|_| arm.drains());
    let sleep = sleep.map_or(String::new(), |seconds| {
        format!("          lifecycle: {{preStop: {{sleep: {{seconds: {seconds}}}}}}}\n")
    });
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {APP}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {APP}}}}}
  strategy: {{rollingUpdate: {{maxSurge: 25%, maxUnavailable: 0}}}}
  template:
    metadata:
      labels: {{app: {APP}{inject}}}
    spec:
      terminationGracePeriodSeconds: 30
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector: {{matchLabels: {{app: {APP}}}}}
      containers:
        - name: sample
          image: {IMAGE}
          imagePullPolicy: IfNotPresent
          env: [{{name: FINISH, value: 'true'}}, {{name: GRACE, value: '5'}}]
          ports: [{{name: http, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /healthz, port: http}}, periodSeconds: 1, timeoutSeconds: 5}}
{sleep}---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: {APP}, namespace: {namespace}}}
spec: {{maxUnavailable: 25%, selector: {{matchLabels: {{app: {APP}}}}}}}
"
    )
}

/// As a controller without direct access does: the targets are all nodes. Probes come from 100.64.0.0/10,
/// because the VIP lies in kube-proxy's `clusterCIDR` here.
async fn bind_nodes(world: &World, console: &Console, arm: Arm) -> Result<()> {
    let create = CreateListener {
        health_check: Some(HealthCheck {
            interval_time: Some(INTERVAL),
            time_out: Some(TIME_OUT),
            health_num: Some(HEALTHY),
            un_health_num: Some(UNHEALTHY),
            source_ip_type: Some(1),
            ..HealthCheck::default()
        }),
        ..CreateListener::new(
            console.load_balancer.clone(),
            Protocol::Tcp,
            arm.port(),
            format!("nodes-{}", arm.port()),
        )
    };
    console.create(&create).await?;
    let port = world.node_port(APP).await?;
    for node in NODES {
        let target = SocketAddr::new(node.parse()?, port);
        console.bind(arm.port(), target, 10).await?;
    }
    Ok(())
}
