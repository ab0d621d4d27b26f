//! The ground the journeys stand on: nodes, pods, names and Services of the test host are real.

use std::collections::BTreeSet;
use std::result;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::IMAGE;
use clb_gate_tests::world::{GATE, target};
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stage::{PATIENCE, beside};

const REPLICAS: usize = 4;

/// What a look found, or why not yet.
type Look<T> = result::Result<T, String>;

#[test]
fn pods_on_both_nodes_answer_directly_and_through_the_service_once_gates_are_open() {
    beside("host", |world| async move {
        kubectl::apply(&objects(&world.namespace)).await?;
        let pods = eventually("every pod answers", PATIENCE, || answering(&world)).await?;
        let nodes = pods
            .iter()
            .filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
        let nodes: BTreeSet<_> = nodes.collect();
        ensure!(nodes.len() == 2, "pods are on {nodes:?} only");
        ensure!(
            ready_endpoints(&world).await? == 0,
            "ready before the gate is open"
        );

        for pod in &pods {
            open_gate(&world, pod).await?;
        }

        eventually("every endpoint is ready", PATIENCE, || async {
            let ready = ready_endpoints(&world).await?;
            Ok((ready == REPLICAS)
                .then_some(())
                .ok_or_else(|| format!("{ready} are")))
        })
        .await?;
        eventually("every pod answers through the Service", PATIENCE, || {
            through_the_service(&world)
        })
        .await
    });
}

/// Pods whose gate nobody but this journey opens: their Service is none of clb-gate's.
fn objects(namespace: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec:
  replicas: {REPLICAS}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      readinessGates: [{{conditionType: {GATE}}}]
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: DoNotSchedule
          labelSelector: {{matchLabels: {{app: web}}}}
      containers:
        - {{name: sample, image: {IMAGE}, imagePullPolicy: IfNotPresent}}
---
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: {namespace}}}
spec: {{selector: {{app: web}}, ports: [{{port: 80, targetPort: 8080}}]}}
"
    )
}

/// All pods, once each says its own name and the caller's address and knows the simulator's name.
async fn answering(world: &World) -> Result<Look<Vec<Pod>>> {
    let pods = world.pods("web").await?;
    let addresses: Vec<_> = pods.iter().filter_map(target).collect();
    if addresses.len() != REPLICAS {
        return Ok(Err(format!("{} have an address", addresses.len())));
    }
    for (pod, address) in pods.iter().zip(addresses) {
        let expected = format!("{} 198.18.0.1", pod.name_any());
        for (path, expected) in [
            ("/", expected.as_str()),
            ("/resolve?name=clb.sim.test", "198.18.0.1"),
        ] {
            let answer = get(&address, path)
                .await
                .unwrap_or_else(|e| format!("{e:#}"));
            if answer.trim() != expected {
                return Ok(Err(format!("{address}{path}: {answer}")));
            }
        }
    }
    Ok(Ok(pods))
}

/// Each connection goes to a pod at random.
async fn through_the_service(world: &World) -> Result<Look<()>> {
    let service = world.api::<Service>().get("web").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip);
    let address = format!("{}:80", address.context("the Service has no address")?);
    let mut answers = BTreeSet::new();
    for _ in 0..20 {
        answers.extend(get(&address, "/").await.ok());
    }
    let all = answers.len() == REPLICAS;
    Ok(all.then_some(()).ok_or_else(|| format!("{answers:?}")))
}

async fn ready_endpoints(world: &World) -> Result<usize> {
    let api = world.api::<EndpointSlice>();
    let slices = api.list(&ListParams::default()).await?;
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter());
    let ready = endpoints.filter_map(|endpoint| endpoint.conditions.as_ref()?.ready);
    Ok(ready.filter(|ready| *ready).count())
}

async fn open_gate(world: &World, pod: &Pod) -> Result<()> {
    let patch = json!({"status": {"conditions": [{"type": GATE, "status": "True"}]}});
    world
        .api::<Pod>()
        .patch_status(
            &pod.name_any(),
            &PatchParams::default(),
            &Patch::Strategic(patch),
        )
        .await?;
    Ok(())
}

/// The body of an answer; a connection of its own each time.
async fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: host\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    Ok(body.to_owned())
}
