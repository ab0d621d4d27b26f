//! What each webhook pod serves, asked from wherever this runs: in the cluster by a TLS handshake, as the
//! API server does it; from a laptop at the pod's admin port through the API server, because nobody but the
//! cluster needs to reach pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use certs::Certificate;
use certs::plan::{Presents, Replica};
use certs::served::{self, RefusedLeaf, ServedLeaf};
use direct_access::names;
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use runtime::CallError;

use crate::ask::{AskError, Right, ask, ask_within};
use crate::heal::sight::WEBHOOK_PODS;
use crate::heal::{Handshakes, Sight};

/// Where pods answer questions about themselves.
const ADMIN_PORT: u16 = 8080;
/// A pod answers at once; one whose node is gone keeps the API server trying for half a minute.
const PATIENCE: Duration = Duration::from_secs(4);

/// A webhook pod and what it showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighted {
    /// As the plan sees it.
    pub replica: Replica,
    /// It is being deleted; it serves on until nobody can have a connection to it.
    pub going: bool,
    /// Where it runs.
    pub node: Option<String>,
    /// It was asked by a TLS handshake, as the API server would.
    pub by_handshake: bool,
    /// The newer leaf that it does not serve, and why.
    pub refused: Option<RefusedLeaf>,
}

impl Sighted {
    /// Whether calls may reach it.
    pub fn serves(&self) -> bool {
        self.replica.ready || matches!(self.replica.presents, Presents::Leaf(_))
    }
}

/// A pod before it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    name: String,
    ready: bool,
    going: bool,
    node: Option<String>,
    has_address: bool,
}

/// Asks them.
#[derive(Clone)]
pub(super) struct Replicas {
    client: Client,
    namespace: String,
    /// Only where pods can be reached.
    handshakes: Option<Arc<Handshakes>>,
}

/// What a pod answered, and how it was asked.
struct Answer {
    presents: Presents,
    by_handshake: bool,
    refused: Option<RefusedLeaf>,
}

impl Replicas {
    /// `inside` says that this runs in the cluster's network.
    pub(super) fn new(client: Client, namespace: &str, inside: bool) -> Self {
        let handshakes = || Handshakes::new(client.clone(), namespace, names::WEBHOOK_SERVICE);
        Self {
            handshakes: inside.then(|| Arc::new(handshakes())),
            namespace: namespace.to_owned(),
            client,
        }
    }

    pub(super) async fn ask(&self) -> Result<Vec<Sighted>, AskError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let right = Right::core("list", "pods", (&self.namespace, ""));
        let selected = ListParams::default().labels(WEBHOOK_PODS);
        let found = ask(right, pods.list(&selected)).await?;
        let shaken = self.shaken().await?;
        let candidates = found.items.into_iter().filter_map(candidate);
        let asked = candidates.map(|pod| self.one(pod, &shaken));
        let mut all = try_join_all(asked).await?;
        all.sort_by(|a, b| a.replica.name.cmp(&b.replica.name));
        Ok(all)
    }

    /// What handshakes showed, by pod.
    async fn shaken(&self) -> Result<BTreeMap<String, Presents>, AskError> {
        let Some(handshakes) = &self.handshakes else {
            return Ok(BTreeMap::new());
        };
        let seen = handshakes.look().await.map_err(AskError::Call)?;
        let seen = seen.into_iter().map(|one| (one.name, one.presents));
        Ok(seen.collect())
    }

    /// A pod that cannot be asked is part of the answer; a missing right is not.
    async fn one(
        &self,
        pod: Candidate,
        shaken: &BTreeMap<String, Presents>,
    ) -> Result<Sighted, AskError> {
        let answer = match shaken.get(&pod.name) {
            Some(presents @ Presents::Leaf(_)) => Answer::shaken(presents.clone()),
            _ if !pod.has_address => Answer::none("it has no address yet".to_owned()),
            tried => match (self.through_the_proxy(&pod.name).await, tried) {
                // Whoever may not use the proxy has at least tried to dial.
                (Err(error), Some(presents)) if error.is_refused() => {
                    Answer::shaken(presents.clone())
                }
                (Err(error), None) if error.is_refused() && self.handshakes.is_some() => {
                    Answer::none("it is not Ready and does not answer".to_owned())
                }
                (Err(error), _) if error.is_refused() => return Err(error),
                (Err(error), _) => Answer::none(error.to_string()),
                (Ok(answer), _) => answer,
            },
        };
        Ok(Sighted {
            replica: Replica {
                name: pod.name,
                ready: pod.ready,
                presents: answer.presents,
            },
            going: pod.going,
            node: pod.node,
            by_handshake: answer.by_handshake,
            refused: answer.refused,
        })
    }

    async fn through_the_proxy(&self, pod: &str) -> Result<Answer, AskError> {
        let namespace = &self.namespace;
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}:{ADMIN_PORT}/proxy{}",
            served::PATH
        );
        let right = Right::core("get", "pods/proxy", (namespace, pod));
        let request = match http::Request::get(path).body(Vec::new()) {
            Ok(request) => request,
            Err(error) => return Ok(Answer::none(error.to_string())),
        };
        let request = self.client.request::<ServedLeaf>(request);
        let answer = ask_within(PATIENCE, right, request).await?;
        Ok(Answer {
            presents: presented(&answer),
            by_handshake: false,
            refused: answer.refused,
        })
    }
}

impl Answer {
    fn shaken(presents: Presents) -> Self {
        Self {
            presents,
            by_handshake: true,
            refused: None,
        }
    }

    fn none(why: String) -> Self {
        Self {
            presents: Presents::Nothing(why),
            by_handshake: false,
            refused: None,
        }
    }
}

/// What the plan counts: whoever is neither Ready nor answers does not serve.
pub(super) fn serving(sighted: &[Sighted]) -> Vec<Replica> {
    let serving = sighted.iter().filter(|one| one.serves());
    serving.map(|one| one.replica.clone()).collect()
}

/// For a healer that runs here.
impl Sight for Replicas {
    fn look(&self) -> BoxFuture<'_, Result<Vec<Replica>, CallError>> {
        async { Ok(serving(&self.ask().await?)) }.boxed()
    }
}

/// What a pod says of itself.
fn presented(answer: &ServedLeaf) -> Presents {
    let Some(pem) = &answer.certificate else {
        return Presents::Nothing("it has no leaf to serve".to_owned());
    };
    match Certificate::from_pem(pem.as_bytes()) {
        Ok(leaf) => Presents::Leaf(Box::new(leaf)),
        Err(error) => Presents::Nothing(format!("what it serves cannot be read: {error}")),
    }
}

/// Pods that have ended serve nobody and are left out.
fn candidate(pod: Pod) -> Option<Candidate> {
    let status = pod.status.unwrap_or_default();
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|one| one.type_ == "Ready" && one.status == "True");
    Some(Candidate {
        name: pod.metadata.name?,
        ready,
        going: pod.metadata.deletion_timestamp.is_some(),
        node: pod.spec.and_then(|spec| spec.node_name),
        has_address: status.pod_ip.is_some_and(|ip| !ip.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_that_ended_are_left_out() {
        let pod = |phase: &str| {
            let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [], "nodeName": "n"},
                "status": {"phase": phase, "podIP": "10.0.0.1",
                    "conditions": [{"type": "Ready", "status": "True"}]}});
            candidate(serde_json::from_value(pod).unwrap())
        };
        assert_eq!(pod("Failed"), None);
        let running = pod("Running").unwrap();
        assert!(running.ready && running.has_address);
    }

    #[test]
    fn a_pod_without_a_leaf_or_with_an_unreadable_one_presents_nothing() {
        let mut answer = ServedLeaf::default();
        assert_eq!(
            presented(&answer),
            Presents::Nothing("it has no leaf to serve".to_owned())
        );
        answer.certificate = Some("nonsense".to_owned());
        let Presents::Nothing(why) = presented(&answer) else {
            panic!("it is nonsense")
        };
        assert!(why.contains("cannot be read"), "{why}");
    }
}
