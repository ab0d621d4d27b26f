//! Reads the cluster past the caches, for the moments when a cache that lost objects would do harm.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use direct_access::{Judgement, ServiceFacts, exposures};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::{Api, Client};
use runtime::CallError;

use crate::cluster::Cluster;
use crate::desired::{Desired, by_namespace, wanted};
use crate::pod::PodRecord;

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
        let services = self.services(None).await?;
        let pods = self.pods().await?;
        let ledger: BTreeSet<_> = [load_balancer.to_owned()].into();
        let settings = self.cluster.settings();
        let made = self.cluster.made();
        let mut all = wanted(&services, &by_namespace(&pods), &settings, &ledger, &made);
        Ok(all.load_balancers.remove(load_balancer).unwrap_or_default())
    }

    /// Whether something in this namespace still selects the pod.
    pub async fn selects(&self, pod: &PodRecord) -> Result<bool, CallError> {
        let settings = self.cluster.settings();
        let services = self.services(Some(&pod.namespace)).await?;
        Ok(services
            .iter()
            .any(|service| match exposures(service, &settings) {
                Judgement::Served(_) => pod.selected_by(&service.selector),
                Judgement::NotOurs(reason) => reason.holds() && pod.selected_by(&service.selector),
            }))
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
