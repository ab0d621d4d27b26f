//! Which leaf every webhook pod presents: the pods are listed, and each is asked in a TLS handshake.

use std::time::Duration;

use certs::{
    Certificate, ServiceNames, handshake,
    plan::{Presents, Replica},
};
use futures::{StreamExt, future::BoxFuture, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::ListParams};
use runtime::{CallError, call};
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

/// The labels of every webhook pod, as in the manifests.
pub const WEBHOOK_PODS: &str =
    "app.kubernetes.io/name=clb-gate,app.kubernetes.io/component=webhook";
/// Name of the container port that serves, and its number where the pod names none.
const PORT: (&str, u16) = ("https", 8443);
/// A replica answers within milliseconds. One that takes longer is asked again in the next look.
const PATIENCE: Duration = Duration::from_secs(1);
/// Replicas asked at the same time.
const AT_ONCE: usize = 16;
/// For the list of pods.
const DEADLINE: Duration = Duration::from_secs(5);

/// Somebody who finds out what the replicas present.
pub trait Sight: Send + Sync {
    /// Every replica that serves or claims to: those that neither are Ready nor answer are left out.
    fn look(&self) -> BoxFuture<'_, Result<Vec<Replica>, CallError>>;
}

/// A webhook pod that may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookPod {
    /// Its name.
    pub name: String,
    /// Its address, if it has one.
    pub ip: Option<String>,
    /// The port on which it serves.
    pub port: u16,
    /// Whether the Service sends calls to it.
    pub ready: bool,
}

impl WebhookPod {
    /// What it answered, as the plan takes it; `None` if it does not serve.
    pub fn seen(self, presents: Presents) -> Option<Replica> {
        let serves = self.ready || matches!(presents, Presents::Leaf(_));
        serves.then_some(Replica {
            name: self.name,
            ready: self.ready,
            presents,
        })
    }
}

/// Lists the webhook pods that may serve; the containers of the others have ended.
pub async fn webhook_pods(client: &Client, namespace: &str) -> Result<Vec<WebhookPod>, CallError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selected = ListParams::default().labels(WEBHOOK_PODS);
    let attempt = format!("list Pods of {namespace} with {WEBHOOK_PODS}");
    let list = call(DEADLINE, attempt, pods.list(&selected)).await?;
    Ok(list.into_iter().filter_map(webhook_pod).collect())
}

fn webhook_pod(pod: Pod) -> Option<WebhookPod> {
    let status = pod.status.unwrap_or_default();
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let mut conditions = status.conditions.iter().flatten();
    let ports = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut ports = ports.flat_map(|container| container.ports.iter().flatten());
    let named = ports.find(|port| port.name.as_deref() == Some(PORT.0));
    Some(WebhookPod {
        name: pod.metadata.name.unwrap_or_default(),
        ip: status.pod_ip,
        port: named.map_or(PORT.1, |port| {
            port.container_port.try_into().unwrap_or(PORT.1)
        }),
        ready: conditions.any(|one| one.type_ == "Ready" && one.status == "True"),
    })
}

/// Looks by dialling the pods: for whoever is in the cluster's network.
pub struct Handshakes {
    client: Client,
    namespace: String,
    tls: Result<(TlsConnector, ServerName<'static>), String>,
}

impl Handshakes {
    /// Asks the webhook pods of `namespace` as the API server does, under the name of `service`.
    pub fn new(client: Client, namespace: &str, service: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            tls: tls(&ServiceNames::new(service, namespace)),
        }
    }

    async fn ask(&self, pod: WebhookPod) -> Option<Replica> {
        let presents = match timeout(PATIENCE, self.presented(&pod)).await {
            Ok(Ok(leaf)) => Presents::Leaf(Box::new(leaf)),
            Ok(Err(why)) => Presents::Nothing(why),
            Err(_) => Presents::Nothing(format!("no TLS handshake within {PATIENCE:?}")),
        };
        pod.seen(presents)
    }

    async fn presented(&self, pod: &WebhookPod) -> Result<Certificate, String> {
        let ip = pod.ip.as_deref().ok_or("it has no address")?;
        let (connector, name) = self.tls.clone()?;
        let stream = TcpStream::connect((ip, pod.port)).await;
        let stream =
            stream.map_err(|e| format!("cannot connect to {ip} port {}: {e}", pod.port))?;
        let shaken = connector.connect(name, stream).await;
        let shaken = shaken.map_err(|e| format!("no TLS handshake with {ip}: {e}"))?;
        let presented = shaken.get_ref().1.peer_certificates().unwrap_or_default();
        let leaf = presented.first().ok_or("it presents no certificate")?;
        Certificate::from_der(leaf.clone().into_owned()).map_err(|e| e.to_string())
    }
}

fn tls(names: &ServiceNames) -> Result<(TlsConnector, ServerName<'static>), String> {
    let config = handshake::client_config().map_err(|e| e.to_string())?;
    let name = ServerName::try_from(names.short().to_owned()).map_err(|e| e.to_string())?;
    Ok((TlsConnector::from(config), name))
}

impl Sight for Handshakes {
    fn look(&self) -> BoxFuture<'_, Result<Vec<Replica>, CallError>> {
        Box::pin(async {
            let pods = webhook_pods(&self.client, &self.namespace).await?;
            let asked = stream::iter(pods).map(|pod| self.ask(pod));
            let replicas = asked
                .buffer_unordered(AT_ONCE)
                .filter_map(std::future::ready);
            let mut replicas: Vec<_> = replicas.collect().await;
            replicas.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(replicas)
        })
    }
}

#[cfg(test)]
mod tests;
