//! Reads everything a check-up is made from, and writes nothing.

use std::collections::HashMap;

use direct_access::Exposure;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::answers::Way;
use super::checks::{examine, minor};
use super::facts::{Nodes, OurPod, Patient};
use super::report::Report;
use crate::ask::{Right, ask};
use crate::certificates::{self, Gatherer};
use crate::cloud::Sources;
use crate::desired::by_namespace;
use crate::explain::judged::{Judged, judged};
use crate::explain::{ExplainError, Explainer, Facts};
use crate::gates::HELD_LONG;
use crate::judge::{Times, judge};
use crate::pod::{Fate, PodRecord};
use crate::preview::{Scope, get_only, preview};

/// Stuck pods that are looked at one by one.
const LOOKED_AT: usize = 20;
/// Labels of our pods, as in the manifests.
const NAME: (&str, &str) = ("app.kubernetes.io/name", "clb-gate");
const COMPONENT: &str = "app.kubernetes.io/component";

/// Reads.
#[derive(Clone)]
pub struct Doctor {
    client: Client,
    namespace: String,
    inside: bool,
    explainer: Explainer,
}

impl Doctor {
    /// Examines the installation in `namespace`. `inside` says that this runs in the cluster's network.
    pub fn new(client: Client, namespace: &str, sources: Sources, inside: bool) -> Self {
        let client = get_only(client);
        Self {
            explainer: Explainer::new(client.clone(), namespace, sources, false),
            namespace: namespace.to_owned(),
            client,
            inside,
        }
    }

    /// Reads everything and examines it.
    pub async fn report(&self) -> Result<Report, ExplainError> {
        Ok(examine(&Box::pin(self.patient()).await?))
    }

    async fn patient(&self) -> Result<Patient, ExplainError> {
        let all = None::<&(dyn Fn(&Exposure) -> bool + Sync)>;
        let facts = self.explainer.facts(all).await?;
        let judged = judged(&facts);
        let pods = by_namespace(&facts.world.pods);
        let network = facts.world.settings.conclusion;
        let exposures = &judged.wanted.exposures;
        let times = Times {
            now: facts.now,
            unselected: &HashMap::new(),
        };
        let verdict = judge(exposures, &pods, &judged.views, network, times);
        let unreachable = verdict.unreachable.into_iter();
        let unreachable = unreachable.map(|(pod, refusal)| (pod, refusal.why()));
        let stuck = stuck(&facts, &judged);
        let looked = facts.looked();
        Ok(Patient {
            inside: self.inside,
            server: runtime::client::server_version(&self.client)
                .await
                .map_err(|error| error.to_string()),
            nodes: self.nodes().await,
            certificates: self.certificates().await,
            pods: self.pods(&facts).await,
            preview: looked.map(|looked| {
                let sighting = &looked.sighting;
                preview(&facts.world, sighting, &Scope::default())
            }),
            ungated: verdict.ungated,
            unreachable: unreachable.collect(),
            waiting: stuck.len(),
            stuck: {
                let first = stuck.into_iter().take(LOOKED_AT).cloned().collect();
                self.explainer.detailed(first).await
            },
            facts,
        })
    }

    async fn certificates(&self) -> Result<certificates::Report, String> {
        let cluster = Gatherer::new(self.client.clone(), &self.namespace, self.inside);
        let gathered = Box::pin(cluster.all()).await;
        let gathered = gathered.map_err(|error| error.to_string())?;
        Ok(certificates::report(&gathered, runtime::clock::now()))
    }

    async fn nodes(&self) -> Result<Nodes, String> {
        let api: Api<Node> = Api::all(self.client.clone());
        let right = Right::core("list", "nodes", ("", ""));
        let all = ask(right, api.list(&ListParams::default())).await;
        let all = all.map_err(|error| error.to_string())?.items;
        let kubelets = all.iter().filter_map(|node| {
            let info = node.status.as_ref()?.node_info.as_ref()?;
            Some((info.kubelet_version.clone(), node.name_any()))
        });
        Ok(Nodes {
            count: all.len(),
            oldest: kubelets.min_by_key(|(version, _)| minor(version)),
        })
    }

    /// Every pod of clb-gate that runs, and what it says of itself.
    async fn pods(&self, facts: &Facts) -> Vec<OurPod> {
        let mut pods = Vec::new();
        for pod in facts.world.pods.iter().filter(|pod| self.is_ours(pod)) {
            let way = match pod.ip {
                Some(ip) if self.inside => Way::Direct(ip),
                Some(_) | None => Way::Proxy(&self.client, &pod.namespace, &pod.name),
            };
            let answer = match pod.ip {
                Some(_) => way.ask().await,
                None => Err("it has no address yet".to_owned()),
            };
            pods.push(OurPod {
                name: pod.name.clone(),
                component: pod.labels.get(COMPONENT).cloned().unwrap_or_default(),
                answer,
            });
        }
        pods
    }

    fn is_ours(&self, pod: &PodRecord) -> bool {
        let named = pod.labels.get(NAME.0).map(String::as_str) == Some(NAME.1);
        pod.namespace == self.namespace && pod.fate == Fate::Live && named
    }
}

/// Gated pods that are ready but for the gate, for longer than a health check takes.
fn stuck<'a>(facts: &'a Facts, judged: &Judged) -> Vec<&'a PodRecord> {
    let patience = SignedDuration::try_from(HELD_LONG).unwrap_or_default();
    let exposed = |pod: &PodRecord| {
        let mut all = judged.wanted.exposures.iter();
        all.any(|one| one.service.namespace == pod.namespace && pod.selected_by(&one.selector))
    };
    let waits = |pod: &&PodRecord| {
        let open = pod
            .condition
            .as_ref()
            .is_some_and(direct_access::condition::Observed::is_true);
        let long = pod
            .containers_ready_since
            .is_some_and(|since| facts.now.duration_since(since) >= patience);
        pod.fate == Fate::Live && pod.gated && !open && pod.containers_ready && long && exposed(pod)
    };
    facts.world.pods.iter().filter(waits).collect()
}
