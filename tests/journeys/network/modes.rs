//! Which pods a CLB can reach, mode by mode: who gets the gate, who is bound, and what the others are told.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::ours::{set, setting};
use clb_gate_tests::sim::Console;
use clb_gate_tests::stage::{LOAD_BALANCER, PATIENCE, alone, targets_are};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{IMAGE, Service};
use clb_gate_tests::world::{condition, gates, target};
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};

pub(crate) const ENI_IP: &str = "tke.cloud.tencent.com/eni-ip";
const SWITCHES: &str = "tke-service-controller-config";
/// The Service's port on the CLB.
const PORT: u16 = 8090;

/// The pod templates of the guides, and one of `GlobalRouter`.
pub(crate) const PLAIN: Template = Template {
    name: "plain",
    annotations: "{}",
    resources: "{}",
    host_network: false,
};
pub(crate) const ENI: Template = Template {
    name: "eni",
    annotations: "{tke.cloud.tencent.com/networks: tke-route-eni}",
    resources: "{requests: {tke.cloud.tencent.com/eni-ip: '1'}, limits: {tke.cloud.tencent.com/eni-ip: '1'}}",
    ..PLAIN
};
pub(crate) const ENI_WITHOUT_IP: Template = Template {
    name: "no-ip",
    resources: "{}",
    ..ENI
};
const HOST: Template = Template {
    name: "host",
    host_network: true,
    ..PLAIN
};

/// Of a Deployment behind the Service.
#[derive(Clone, Copy)]
pub(crate) struct Template {
    name: &'static str,
    annotations: &'static str,
    resources: &'static str,
    host_network: bool,
}

/// What a cluster is, and what must come of it.
struct Rule {
    mode: &'static str,
    global_route: bool,
    /// Who gets the gate, and part of what `kubectl` says.
    outcome: [(Template, bool, Option<&'static str>); 4],
}

const HOST_REFUSED: (Template, bool, Option<&str>) = (HOST, false, Some("spec.hostNetwork"));
const ALL: [(Template, bool, Option<&str>); 4] = [
    (PLAIN, true, None),
    (ENI, true, None),
    (ENI_WITHOUT_IP, true, None),
    HOST_REFUSED,
];

fn rules() -> [Rule; 7] {
    let rule = |mode, global_route, outcome| Rule {
        mode,
        global_route,
        outcome,
    };
    let eni_only = [
        (PLAIN, false, Some("tke-route-eni")),
        (ENI, true, None),
        (ENI_WITHOUT_IP, true, Some(ENI_IP)),
        HOST_REFUSED,
    ];
    let mixed_open = [
        (PLAIN, true, None),
        (ENI, true, None),
        (ENI_WITHOUT_IP, true, Some(ENI_IP)),
        HOST_REFUSED,
    ];
    let closed = Some("GlobalRouteDirectAccess");
    let none = [
        (PLAIN, false, closed),
        (ENI, false, closed),
        (ENI_WITHOUT_IP, false, closed),
        HOST_REFUSED,
    ];
    [
        rule("vpc-cni", false, ALL),
        rule("mixed", false, eni_only),
        rule("mixed", true, mixed_open),
        rule("global-router", false, none),
        rule("global-router", true, ALL),
        rule("serverless", false, ALL),
        rule("routable", false, ALL),
    ]
}

#[test]
fn each_network_mode_decides_who_gets_the_gate_and_is_bound() {
    alone("network", |world| async move {
        afterwards_as_before(async || journey(&world).await).await
    });
}

async fn journey(world: &World) -> Result<()> {
    advertised(world).await?;
    let service = Service {
        app: "nginx",
        ..Service::direct(&world.namespace, "nginx-service-eni", LOAD_BALANCER, PORT)
    };
    kubectl::apply(&service.yaml()).await?;
    world.webhooks_know(LOAD_BALANCER, PORT).await?;
    for rule in rules() {
        let named = format!("{} open={}", rule.mode, rule.global_route);
        switch(rule.global_route).await?;
        set("network", rule.mode).await?;
        for (template, gated, said) in rule.outcome {
            settled(world, template, gated, said)
                .await
                .with_context(|| format!("{named}: {}", template.name))?;
        }
    }
    concluded(world).await?;
    served(world).await?;
    annotation_apart(world).await
}

/// Both nodes have ENI addresses to give.
async fn advertised(world: &World) -> Result<()> {
    let nodes: Api<Node> = Api::all(world.client.clone());
    eventually("both nodes advertise ENI addresses", PATIENCE, || async {
        let all = nodes.list(&ListParams::default()).await?;
        let there = |node: &&Node| {
            let status = node.status.as_ref();
            let all = status.and_then(|status| status.allocatable.as_ref());
            all.is_some_and(|all| all.get(ENI_IP).is_some_and(|count| count.0 != "0"))
        };
        let count = all.iter().filter(there).count();
        Ok((count == 2)
            .then_some(())
            .ok_or_else(|| format!("{count} do")))
    })
    .await
}

/// Plays, and gives back the cluster as it was.
pub(crate) async fn afterwards_as_before(play: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    let before = setting("network").await?;
    let outcome = play().await;
    set("network", &before).await?;
    let switches = ["delete", "configmap", SWITCHES, "-n", "kube-system"];
    kubectl::run(&[&switches[..], &["--ignore-not-found"]].concat()).await?;
    outcome
}

/// TKE's own switches, and whether `GlobalRouter` pods may be bound.
pub(crate) async fn switch(open: bool) -> Result<()> {
    let yaml = format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: {SWITCHES}, namespace: kube-system}}
data: {{GlobalRouteDirectAccess: '{open}', EnableDefaultDirectAccess: 'true'}}
"
    );
    kubectl::apply(&yaml).await.map(drop)
}

/// Every webhook gives such a pod the gate, or none does, and `kubectl` says why.
pub(crate) async fn settled(
    world: &World,
    template: Template,
    gated: bool,
    said: Option<&str>,
) -> Result<()> {
    let yaml = template.pod(&world.namespace);
    let args = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
    eventually("the webhooks agree", PATIENCE, || async {
        // Several in a row, because there are several webhooks.
        for _ in 0..4 {
            let printed = kubectl::try_run(&args, &yaml).await?;
            ensure!(printed.ok, "{}", printed.err);
            let pod: Pod = serde_json::from_str(&printed.out)?;
            let as_said = match said {
                Some(part) => printed.err.contains(part),
                None => !printed.err.contains("clb-gate"),
            };
            if (gates(&pod) == 1) != gated || !as_said {
                return Ok(Err(format!(
                    "{} gates, and said: {}",
                    gates(&pod),
                    printed.err
                )));
            }
        }
        Ok(Ok(()))
    })
    .await
}

/// `auto` sees nodes with ENI addresses and without pod CIDRs; outside TKE every pod is routable.
async fn concluded(world: &World) -> Result<()> {
    switch(false).await?;
    set("network", "mixed").await?;
    settled(world, PLAIN, false, Some("tke-route-eni")).await?;
    set("network", "auto").await?;
    settled(world, PLAIN, true, None).await
}

/// The guides' Deployment with and without eni-ip, one of `GlobalRouter` and one on the host's network
/// behind one Service of a mixed cluster: who is Ready, who is bound, what is told.
async fn served(world: &World) -> Result<()> {
    let console = Console::new(LOAD_BALANCER)?;
    switch(false).await?;
    set("network", "mixed").await?;
    settled(world, PLAIN, false, Some("tke-route-eni")).await?;
    for template in [ENI, ENI_WITHOUT_IP, PLAIN, HOST] {
        kubectl::apply(&template.deployment(&world.namespace)).await?;
    }
    let bound: BTreeSet<_> = eventually("the ENI pods are Ready", PATIENCE, || async {
        let pods = world.pods("nginx").await?;
        let eni = pods.iter().filter(|pod| gates(pod) == 1);
        let ready: BTreeSet<_> = eni
            .filter(|pod| condition(pod, "Ready") == Some("True"))
            .filter_map(target)
            .collect();
        Ok((ready.len() == 4)
            .then(|| ready.clone())
            .ok_or_else(|| format!("{ready:?}")))
    })
    .await?;
    targets_are(&console, PORT, &bound).await?;

    let pods = world.pods("nginx").await?;
    let plain = pods.iter().find(|pod| pod.name_any().starts_with("plain-"));
    let plain = plain.context("a plain pod")?;
    ensure!(gates(plain) == 0, "a GlobalRouter pod has the gate");
    world
        .event(&plain.name_any(), &["tke-route-eni"], PATIENCE)
        .await?;
    let mixture = [
        "ENI ",
        "(bound)",
        "GlobalRouter plain-",
        "host network host-",
        "not bound",
    ];
    world.event("nginx-service-eni", &mixture, PATIENCE).await?;
    let sets = world
        .api::<ReplicaSet>()
        .list(&ListParams::default())
        .await?;
    let set = sets.iter().find(|set| set.name_any().starts_with("host-"));
    let set = set.context("the ReplicaSet on the host's network")?;
    world
        .event(&set.name_any(), &["spec.hostNetwork"], PATIENCE)
        .await?;

    // The switch that lets GlobalRouter pods in binds the one that had no gate, and takes nobody away.
    switch(true).await?;
    let mut all = bound;
    all.extend(
        pods.iter()
            .filter(|pod| pod.name_any().starts_with("plain-"))
            .filter_map(target),
    );
    targets_are(&console, PORT, &all).await?;
    // Closed again: what is bound stays.
    switch(false).await?;
    settled(world, PLAIN, false, Some("tke-route-eni")).await?;
    targets_are(&console, PORT, &all).await?;
    for template in [ENI, ENI_WITHOUT_IP, PLAIN, HOST] {
        world
            .api::<Deployment>()
            .delete(template.name, &DeleteParams::default())
            .await?;
    }
    Ok(())
}

/// In a serverless cluster a Service is direct without the annotation, and not against it.
async fn annotation_apart(world: &World) -> Result<()> {
    let switch = "service.cloud.tencent.com/direct-access";
    set("network", "serverless").await?;
    let silent = Service::direct(&world.namespace, "silent", LOAD_BALANCER, PORT + 1);
    kubectl::apply(&silent.clone().with(switch, None).yaml()).await?;
    world.webhooks_gate("silent", true).await?;
    kubectl::apply(&silent.with(switch, Some("false")).yaml()).await?;
    world.webhooks_gate("silent", false).await
}

impl Template {
    fn spec(self) -> String {
        let Self {
            resources,
            host_network,
            ..
        } = self;
        // On the host's network the port is the node's: one that nobody else has there.
        let port = if host_network { 18_080 } else { 8_080 };
        format!(
            "{{hostNetwork: {host_network}, terminationGracePeriodSeconds: 1, containers: [{{name: nginx, image: {IMAGE}, \
             imagePullPolicy: IfNotPresent, env: [{{name: PORT, value: '{port}'}}], \
             ports: [{{name: http, containerPort: {port}}}], resources: {resources}}}]}}"
        )
    }

    fn pod(self, namespace: &str) -> String {
        let Self {
            name, annotations, ..
        } = self;
        let spec = self.spec();
        format!(
            "apiVersion: v1
kind: Pod
metadata: {{name: {name}-alone, namespace: {namespace}, labels: {{app: nginx}}, annotations: {annotations}}}
spec: {spec}
"
        )
    }

    /// As the guides write it, but for the image.
    fn deployment(self, namespace: &str) -> String {
        let Self {
            name, annotations, ..
        } = self;
        let replicas = if self.host_network { 1 } else { 2 };
        let spec = self.spec();
        format!(
            "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: nginx}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: nginx, variant: {name}}}}}
  template:
    metadata: {{labels: {{app: nginx, variant: {name}}}, annotations: {annotations}}}
    spec: {spec}
"
        )
    }
}
