//! `clb-gate uninstall`: removes what clb-gate has put into the cluster, in the order in which no pod is
//! ever refused or left waiting, and run again it goes on where it was stopped.

mod act;
mod facts;
mod objects;
#[cfg(test)]
mod tests;

use std::time::Duration;

use direct_access::Kind as OwnerKind;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;

use crate::ask::{AskError, Right, ask};

pub use act::UninstallError;
pub use facts::{Decision, Facts, Found, Held, Refusal, decide};
pub use objects::{Kind, Object, objects};

/// Objects a page: from a laptop, round trips are what takes time.
const PAGE: u32 = 500;
/// The API group of Ingresses.
const NETWORKING: &str = "networking.k8s.io";

/// An uninstall.
#[derive(Clone)]
pub struct Uninstall {
    client: Client,
    namespace: String,
    /// Services and Ingresses lose our finalizer, and their CLBs stay in the account.
    pub keep_load_balancers: bool,
    /// Return only when the namespaces are gone.
    pub wait: bool,
    /// For all of it.
    pub timeout: Duration,
}

impl Uninstall {
    /// Of an installation in `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            keep_load_balancers: false,
            wait: false,
            timeout: Duration::from_mins(5),
        }
    }

    /// Finds what there is. Reads only.
    pub async fn look(&self) -> Result<Facts, AskError> {
        let mut facts = Facts::default();
        for object in objects(&self.namespace) {
            facts.objects.extend(self.find(object).await?);
        }
        facts.holders = self
            .all(("", "services"), |service: Service| {
                facts::held(OwnerKind::Service, &service)
            })
            .await?;
        let ingresses = self
            .all((NETWORKING, "ingresses"), |ingress: Ingress| {
                facts::held(OwnerKind::Ingress, &ingress)
            })
            .await?;
        facts.holders.extend(ingresses);
        facts.waiting = self.all(("", "pods"), facts::waiting).await?;
        Ok(facts)
    }

    async fn find(&self, object: Object) -> Result<Option<Found>, AskError> {
        let request = self.api(&object);
        let request = request.get_metadata_opt(&object.name);
        let found = ask(right(&object, "get"), request).await?;
        Ok(found.map(|found| Found {
            object,
            uid: found.metadata.uid,
            labels: found.metadata.labels.unwrap_or_default(),
            going: found.metadata.deletion_timestamp.is_some(),
        }))
    }

    fn api(&self, object: &Object) -> Api<DynamicObject> {
        let resource = object.kind.resource();
        match object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// What `keep` keeps of all objects of a kind, in all namespaces.
    async fn all<K, T>(
        &self,
        (group, what): (&str, &str),
        keep: impl Fn(K) -> Option<T>,
    ) -> Result<Vec<T>, AskError>
    where
        K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let (mut all, mut next) = (Vec::new(), ListParams::default().limit(PAGE));
        loop {
            let right = Right {
                group,
                ..Right::core("list", what, ("", ""))
            };
            let page = ask(right, api.list(&next)).await?;
            all.extend(page.items.into_iter().filter_map(&keep));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                None => return Ok(all),
                Some(token) => next = ListParams::default().limit(PAGE).continue_token(&token),
            }
        }
    }
}

fn right<'a>(object: &'a Object, verb: &'a str) -> Right<'a> {
    Right {
        verb,
        group: object.kind.group(),
        resource: object.kind.plural(),
        namespace: object.namespace.unwrap_or_default(),
        name: &object.name,
    }
}
