//! The writes to a Service. Each is for this very Service (UID); those that decide who owns what are
//! also for the very version that was looked at, so that two leaders cannot both win.

use std::time::Duration;

use direct_access::service::Ingress;
use direct_access::{ServiceFacts, names};
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use runtime::CallError;
use serde_json::{Value, json};

use super::decide::Claim;

/// A patch is small; the next pass tries again.
const DEADLINE: Duration = Duration::from_secs(5);

/// Writes to Services.
#[derive(Clone)]
pub(super) struct Record {
    client: Client,
}

impl Record {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The Service as the API server has it now; `None` where it is gone or another of that name.
    pub(super) async fn read(
        &self,
        service: &ServiceFacts,
    ) -> Result<Option<ServiceFacts>, CallError> {
        let attempt = format!("get Service {}", service.object());
        let api = self.api(service);
        let found = runtime::call(DEADLINE, attempt, api.get_opt(&service.name)).await?;
        let found = found.map(ServiceFacts::prune);
        Ok(found.filter(|found| found.uid == service.uid))
    }

    /// Finalizer and token, before anything is ordered.
    pub(super) async fn claim(
        &self,
        service: &ServiceFacts,
        claim: &Claim,
    ) -> Result<ServiceFacts, CallError> {
        self.metadata(service, claim_patch(service, claim)).await
    }

    /// The id, as soon as it is known.
    pub(super) async fn id(
        &self,
        service: &ServiceFacts,
        id: &str,
    ) -> Result<ServiceFacts, CallError> {
        let annotations = json!({(names::LOAD_BALANCER_ID): id});
        let patch = json!({"metadata": {"uid": service.uid, "annotations": annotations}});
        self.metadata(service, patch).await
    }

    /// Nothing of ours is left: the finalizer and what we wrote go.
    pub(super) async fn release(&self, service: &ServiceFacts) -> Result<ServiceFacts, CallError> {
        self.metadata(service, release_patch(service)).await
    }

    /// The address, marked first as shown by us.
    pub(super) async fn show(
        &self,
        service: &ServiceFacts,
        ingress: &Ingress,
    ) -> Result<ServiceFacts, CallError> {
        self.mark(service, Some(&ingress.address)).await?;
        self.status(service, json!({"ingress": [ingress_json(ingress)]}))
            .await
    }

    /// No address, and no mark.
    pub(super) async fn clear(&self, service: &ServiceFacts) -> Result<ServiceFacts, CallError> {
        self.status(service, Value::Null).await?;
        self.mark(service, None).await
    }

    /// Which address is shown by us.
    pub(super) async fn mark(
        &self,
        service: &ServiceFacts,
        address: Option<&str>,
    ) -> Result<ServiceFacts, CallError> {
        let annotations = json!({(names::SHOWN_ADDRESS): address});
        let patch = json!({"metadata": {"uid": service.uid, "annotations": annotations}});
        self.metadata(service, patch).await
    }

    async fn metadata(
        &self,
        service: &ServiceFacts,
        patch: Value,
    ) -> Result<ServiceFacts, CallError> {
        let attempt = format!("patch Service {}", service.object());
        let api = self.api(service);
        let (params, patch) = (params(), Patch::Strategic(patch));
        let call = api.patch(&service.name, &params, &patch);
        runtime::call(DEADLINE, attempt, call)
            .await
            .map(ServiceFacts::prune)
    }

    async fn status(
        &self,
        service: &ServiceFacts,
        load_balancer: Value,
    ) -> Result<ServiceFacts, CallError> {
        let attempt = format!("patch the status of Service {}", service.object());
        let api = self.api(service);
        let patch = json!({
            "metadata": {"uid": service.uid},
            "status": {"loadBalancer": load_balancer},
        });
        let (params, patch) = (params(), Patch::Merge(patch));
        let call = api.patch_status(&service.name, &params, &patch);
        runtime::call(DEADLINE, attempt, call)
            .await
            .map(ServiceFacts::prune)
    }

    fn api(&self, service: &ServiceFacts) -> Api<Service> {
        Api::namespaced(self.client.clone(), &service.namespace)
    }
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn claim_patch(service: &ServiceFacts, claim: &Claim) -> Value {
    let mut annotations = serde_json::Map::new();
    if let Some(token) = &claim.token {
        annotations.insert(names::CLIENT_TOKEN.to_owned(), json!(token));
    }
    if claim.lost.is_some() {
        annotations.insert(names::LOAD_BALANCER_ID.to_owned(), Value::Null);
    }
    json!({"metadata": {
        "uid": service.uid,
        "resourceVersion": service.version.to_string(),
        // A strategic merge adds to the list and leaves other finalizers alone.
        "finalizers": [names::FINALIZER],
        "annotations": annotations,
    }})
}

fn release_patch(service: &ServiceFacts) -> Value {
    json!({"metadata": {
        "uid": service.uid,
        "resourceVersion": service.version.to_string(),
        "$deleteFromPrimitiveList/finalizers": [names::FINALIZER],
        "annotations": {(names::LOAD_BALANCER_ID): null, (names::CLIENT_TOKEN): null},
    }})
}

fn ingress_json(ingress: &Ingress) -> Value {
    let Ingress { address, mode } = ingress;
    match mode {
        Some(mode) => json!({"ip": address, "ipMode": mode}),
        None => json!({"hostname": address}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::service;
    use crate::lifecycle::decide::ingress;

    #[test]
    fn a_claim_is_for_the_version_that_was_looked_at() {
        let service = ServiceFacts {
            version: 7,
            ..service("web")
        };
        let claim = Claim {
            token: Some("uid-web-1".to_owned()),
            lost: Some("lb-gone".to_owned()),
        };
        let patch = claim_patch(&service, &claim);
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        assert_eq!(patch["metadata"]["uid"], "uid-web");
        let annotations = &patch["metadata"]["annotations"];
        assert_eq!(annotations[names::CLIENT_TOKEN], "uid-web-1");
        assert_eq!(annotations.get(names::LOAD_BALANCER_ID), Some(&Value::Null));
        let kept = Claim {
            token: None,
            lost: None,
        };
        assert_eq!(
            claim_patch(&service, &kept)["metadata"]["annotations"],
            json!({})
        );
    }

    #[test]
    fn only_an_ip_has_a_mode() {
        assert_eq!(
            ingress_json(&ingress("198.18.0.130")),
            json!({"ip": "198.18.0.130", "ipMode": "Proxy"})
        );
        assert_eq!(
            ingress_json(&ingress("lb.example.com")),
            json!({"hostname": "lb.example.com"})
        );
    }
}
