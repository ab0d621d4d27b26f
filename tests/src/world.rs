//! The cluster as a journey sees it: a namespace of its own, and looks at pods and Events.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{self, Namespace, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};

use crate::kubectl;
use crate::wait::eventually;
use crate::workload::{IMAGE, Service};

/// Far longer than a watch event takes.
const MARKED: Duration = Duration::from_secs(30);

/// The readiness gate.
pub const GATE: &str = "cloud.tencent.com/load-balancer-backendgroup-ready";

/// A namespace in the cluster.
#[derive(Clone)]
pub struct World {
    /// Whose name.
    pub namespace: String,
    /// The API server.
    pub client: Client,
}

impl World {
    /// Connects and makes the namespace.
    pub async fn new(namespace: &str) -> Result<Self> {
        certs::provider::install();
        let client = Client::try_default()
            .await
            .context("no cluster: run this in the test host")?;
        let all: Api<Namespace> = Api::all(client.clone());
        let made = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        all.create(&PostParams::default(), &made).await?;
        Ok(Self {
            namespace: namespace.to_owned(),
            client,
        })
    }

    /// An API in our namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The pods of an app, by name; those that are going left out.
    pub async fn pods(&self, app: &str) -> Result<Vec<Pod>> {
        let listed = self
            .api::<Pod>()
            .list(&ListParams::default().labels(&format!("app={app}")))
            .await?;
        let mut pods = listed.items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(ResourceExt::name_any);
        Ok(pods)
    }

    /// The port of a `NodePort` Service on every node.
    pub async fn node_port(&self, service: &str) -> Result<u16> {
        let found = self.api::<v1::Service>().get(service).await?;
        let ports = found.spec.and_then(|spec| spec.ports).unwrap_or_default();
        let port = ports.into_iter().find_map(|port| port.node_port);
        let port = port.with_context(|| format!("Service {service} has no nodePort"))?;
        Ok(u16::try_from(port)?)
    }

    /// Waits until `count` pods of the app are Ready.
    pub async fn ready(&self, app: &str, count: usize, within: Duration) -> Result<Vec<Pod>> {
        eventually(&format!("{count} pods of {app} Ready"), within, || async {
            let pods = self.pods(app).await?;
            let states: Vec<_> = pods.iter().map(summary).collect();
            let ready = pods
                .iter()
                .filter(|pod| condition(pod, "Ready") == Some("True"))
                .count();
            Ok(if ready == count && pods.len() == count {
                Ok(pods)
            } else {
                Err(states.join("; "))
            })
        })
        .await
    }

    /// Waits for an Event on an object whose note has all of `parts`.
    pub async fn event(&self, object: &str, parts: &[&str], within: Duration) -> Result<Event> {
        eventually(
            &format!("an Event on {object} with {parts:?}"),
            within,
            || async {
                let events = self
                    .api::<Event>()
                    .list(&ListParams::default())
                    .await?
                    .items;
                let of_object = |event: &&Event| {
                    event.regarding.as_ref().and_then(|r| r.name.as_deref()) == Some(object)
                };
                let mine: Vec<_> = events.iter().filter(of_object).collect();
                let notes: Vec<_> = mine
                    .iter()
                    .map(|event| event.note.clone().unwrap_or_default())
                    .collect();
                let hit = mine
                    .iter()
                    .zip(&notes)
                    .find(|(_, note)| parts.iter().all(|part| note.contains(part)));
                Ok(hit
                    .map(|(event, _)| (*event).clone())
                    .ok_or_else(|| notes.join("; ")))
            },
        )
        .await
    }

    /// Waits until the webhooks know every Service applied so far: they see Services in order, so once a
    /// marker applied last has an effect, so have all before it. The marker takes `port + 1000`.
    pub async fn webhooks_know(&self, load_balancer: &str, port: u16) -> Result<()> {
        let marker = Service::direct(&self.namespace, "marker", load_balancer, port + 1000);
        kubectl::apply(&marker.yaml()).await?;
        self.webhooks_gate("marker", true).await
    }

    /// Waits until every webhook gives pods of the app the gate, or none does.
    pub async fn webhooks_gate(&self, app: &str, gated: bool) -> Result<()> {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"generateName": format!("{}-", app.to_lowercase()), "labels": {"app": app}},
            "spec": {"containers": [{"name": "sample", "image": IMAGE}]},
        }))?;
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        eventually("the webhooks know the Services", MARKED, || async {
            // Several in a row, because there are several webhooks.
            for _ in 0..6 {
                let there = gates(&self.api::<Pod>().create(&dry_run, &pod).await?);
                if (there == 1) != gated {
                    return Ok(Err(format!("a dry-run pod of {app} got {there} gates")));
                }
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Deletes the namespace, without waiting for it to be gone.
    pub async fn end(self) -> Result<()> {
        let all: Api<Namespace> = Api::all(self.client.clone());
        all.delete(&self.namespace, &DeleteParams::default())
            .await?;
        Ok(())
    }
}

/// The status of one of a pod's conditions.
pub fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a str> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .find(|one| one.type_ == kind)
        .map(|one| one.status.as_str())
}

/// Whether the pod has the gate in its spec, and how often.
pub fn gates(pod: &Pod) -> usize {
    let gates = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.readiness_gates.as_ref());
    gates.map_or(0, |gates| {
        gates
            .iter()
            .filter(|gate| gate.condition_type == GATE)
            .count()
    })
}

/// `address:8080` of a pod, as the CLB names its target.
pub fn target(pod: &Pod) -> Option<String> {
    Some(format!("{}:8080", pod.status.as_ref()?.pod_ip.as_ref()?))
}

/// A pod in a line.
pub fn summary(pod: &Pod) -> String {
    let status = pod.status.clone().unwrap_or_default();
    let message = status.conditions.iter().flatten().find(|c| c.type_ == GATE);
    let message = message.and_then(|c| c.message.clone()).unwrap_or_default();
    let gate = condition(pod, GATE).unwrap_or("-");
    let ready = condition(pod, "Ready").unwrap_or("-");
    format!(
        "{} {} ready={ready} gate={gate} {message}",
        pod.name_any(),
        status.phase.unwrap_or_default()
    )
}
