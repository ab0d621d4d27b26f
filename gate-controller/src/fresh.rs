//! Reads the cluster past the caches, for the moments when a cache that lost objects would do harm.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use direct_access::{
    Exposure, IngressFacts, IngressJudgement, Judgement, ServiceFacts, Settings, exposures,
    ingress_exposures,
};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ListParams;
use kube::{Api, Client};
use runtime::CallError;

use crate::cluster::Cluster;
use crate::desired::{Asked, Desired, PodsByNamespace, Wanted, by_namespace, wanted};
use crate::lifecycle::Made;
use crate::met::{self, Stand};
use crate::pod::PodRecord;

/// What asks for something in one namespace.
pub(crate) struct Asking {
    services: Vec<ServiceFacts>,
    ingresses: Vec<IngressFacts>,
    settings: Settings,
    made: Made,
}

impl Asking {
    /// Whether something selects the pod.
    pub(crate) fn selects(&self, pod: &PodRecord) -> bool {
        let settings = &self.settings;
        let mut services = self.services.iter();
        let by_service = services.any(|service| match exposures(service, settings) {
            Judgement::Served(_) => pod.selected_by(&service.selector),
            Judgement::NotOurs(reason) => reason.holds() && pod.selected_by(&service.selector),
        });
        let mut ingresses = self.ingresses.iter();
        by_service || ingresses.any(|ingress| leads_to(ingress, pod, &self.services, settings))
    }

    /// Whether there is nothing that exposes pods and is not among these.
    pub(crate) fn is_known(&self, exposures: &[Exposure]) -> bool {
        let known: BTreeSet<_> = exposures.iter().map(met::stand).collect();
        let now = self.wanted(&by_namespace([]));
        let mut stands = now.exposures.iter().map(met::stand);
        stands.all(|stand| known.contains(&stand))
    }

    fn wanted(&self, pods: &PodsByNamespace<'_>) -> Wanted {
        let asked = Asked {
            services: self.services.iter().collect(),
            ingresses: self.ingresses.iter().collect(),
            certificates: None,
        };
        wanted(&asked, pods, &self.settings, &BTreeSet::new(), &self.made)
    }

    /// Whether none of these exposes the pod any more. Where something cannot be read, that is not certain.
    pub(crate) fn let_go(&self, pod: &PodRecord, stands: &BTreeSet<Stand>) -> bool {
        let now = self.wanted(&by_namespace([pod]));
        let mut exposures = now.exposures.iter();
        let exposed = exposures
            .any(|one| pod.selected_by(&one.selector) && stands.contains(&met::stand(one)));
        let others = &now.others;
        let mut slots = stands.iter().map(|(_, slot, _)| slot);
        let unread = others.held_pods.contains(&pod.uid)
            || slots.any(|slot| others.held_slots.contains(slot));
        !exposed && !unread
    }
}

/// Lists are larger than other calls.
const DEADLINE: Duration = Duration::from_secs(15);
/// Pods a page, so that decoding stays small.
const PAGE: u32 = 250;

/// A reader of the API server.
#[derive(Clone)]
pub struct Fresh {
    client: Client,
    cluster: Arc<Cluster>,
}

impl Fresh {
    /// Reads through `client`, judges by the cluster's settings.
    pub fn new(client: Client, cluster: Arc<Cluster>) -> Self {
        Self { client, cluster }
    }

    /// What a load balancer should hold, by what the API server says now.
    pub async fn desired(&self, load_balancer: &str) -> Result<Desired, CallError> {
        let mut services = self.services(None).await?;
        let mut ingresses = self.ingresses(None).await?;
        // Nothing is removed for what these say, so what is known of them is fresh enough.
        self.cluster.join(&mut services, &mut ingresses);
        let pods = self.pods().await?;
        let ledger: BTreeSet<_> = [load_balancer.to_owned()].into();
        let settings = self.cluster.settings();
        let made = self.cluster.made();
        let certificates = self.cluster.certificates();
        let asked = Asked {
            services: services.iter().collect(),
            ingresses: ingresses.iter().collect(),
            certificates: Some(&certificates),
        };
        let mut all = wanted(&asked, &by_namespace(&pods), &settings, &ledger, &made);
        Ok(all.load_balancers.remove(load_balancer).unwrap_or_default())
    }

    /// What asks for something in a namespace, by what the API server says now.
    pub(crate) async fn namespace(&self, namespace: &str) -> Result<Asking, CallError> {
        let mut services = self.services(Some(namespace)).await?;
        let mut ingresses = self.ingresses(Some(namespace)).await?;
        self.cluster.join(&mut services, &mut ingresses);
        Ok(Asking {
            services,
            ingresses,
            settings: self.cluster.settings(),
            made: self.cluster.made(),
        })
    }

    async fn ingresses(&self, namespace: Option<&str>) -> Result<Vec<IngressFacts>, CallError> {
        let api: Api<Ingress> = match namespace {
            None => Api::all(self.client.clone()),
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
        };
        let listed =
            runtime::call(DEADLINE, "list Ingresses", api.list(&ListParams::default())).await?;
        Ok(listed.items.into_iter().map(IngressFacts::prune).collect())
    }

    async fn services(&self, namespace: Option<&str>) -> Result<Vec<ServiceFacts>, CallError> {
        let api: Api<Service> = match namespace {
            None => Api::all(self.client.clone()),
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
        };
        let listed =
            runtime::call(DEADLINE, "list Services", api.list(&ListParams::default())).await?;
        Ok(listed.items.into_iter().map(ServiceFacts::prune).collect())
    }

    async fn pods(&self) -> Result<Vec<PodRecord>, CallError> {
        let api: Api<Pod> = Api::all(self.client.clone());
        let mut pods = Vec::new();
        let mut next = ListParams::default().limit(PAGE);
        loop {
            let page = runtime::call(DEADLINE, "list Pods", api.list(&next)).await?;
            pods.extend(page.items.into_iter().map(PodRecord::prune));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                None => return Ok(pods),
                Some(token) => next = ListParams::default().limit(PAGE).continue_token(&token),
            }
        }
    }
}

/// Whether an Ingress leads to the pod, or may do so once somebody has mended it.
fn leads_to(
    ingress: &IngressFacts,
    pod: &PodRecord,
    services: &[ServiceFacts],
    settings: &Settings,
) -> bool {
    let find = |name: &str| services.iter().find(|service| service.name == name);
    let named = || {
        let mut all = ingress.services().into_iter().filter_map(find);
        all.any(|service| pod.selected_by(&service.selector))
    };
    match ingress_exposures(ingress, &find, settings) {
        IngressJudgement::Served(served) => {
            let mut exposures = served.exposures.iter();
            exposures.any(|one| pod.selected_by(&one.selector))
                || (!served.incomplete.is_empty() && named())
        }
        IngressJudgement::NotOurs(reason) => reason.holds() && named(),
    }
}
