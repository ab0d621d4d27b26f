//! The writes to a Service or an Ingress. Each is for this very object (UID); those that decide who owns what are
//! also for the very version that was looked at, so that two leaders cannot both win.

use std::time::Duration;

use direct_access::service::Ingress;
use direct_access::{IngressFacts, Kind, ServiceFacts, Word, names};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use runtime::CallError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::decide::Claim;
use super::holder::Holder;

/// A patch is small; the next pass tries again.
const DEADLINE: Duration = Duration::from_secs(5);

/// The object as it is after a write.
#[derive(Clone, Debug)]
pub(super) enum Written {
    /// A Service.
    Service(ServiceFacts),
    /// An Ingress.
    Ingress(IngressFacts),
}

/// Writes to Services and Ingresses.
#[derive(Clone)]
pub(super) struct Record {
    client: Client,
}

impl Record {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The object as the API server has it now; `None` where it is gone or another of that name.
    pub(super) async fn read(&self, holder: &Holder) -> Result<Option<Holder>, CallError> {
        let attempt = format!("get {}", holder.owner);
        let name = &holder.object().name;
        let found = match holder.owner.kind {
            Kind::Service => {
                let api = self.api::<Service>(holder);
                let found = runtime::call(DEADLINE, attempt, api.get_opt(name)).await?;
                found.map(|found| Holder::from(&ServiceFacts::prune(found)))
            }
            Kind::Ingress => {
                let api = self.api::<v1::Ingress>(holder);
                let found = runtime::call(DEADLINE, attempt, api.get_opt(name)).await?;
                found.map(|found| Holder::from(&IngressFacts::prune(found)))
            }
        };
        Ok(found.filter(|found| found.uid == holder.uid))
    }

    /// Finalizer and token, before anything is ordered.
    pub(super) async fn claim(&self, holder: &Holder, claim: &Claim) -> Result<Written, CallError> {
        self.metadata(holder, claim_patch(holder, claim)).await
    }

    /// The id, as soon as it is known.
    pub(super) async fn id(&self, holder: &Holder, id: &str) -> Result<Written, CallError> {
        let annotations = json!({(holder.key(Word::Id)): id});
        let patch = json!({"metadata": {"uid": holder.uid, "annotations": annotations}});
        self.metadata(holder, patch).await
    }

    /// Nothing of ours is left: the finalizer and what we wrote go.
    pub(super) async fn release(&self, holder: &Holder) -> Result<Written, CallError> {
        self.metadata(holder, release_patch(holder)).await
    }

    /// The address, marked first as shown by us.
    pub(super) async fn show(
        &self,
        service: &Holder,
        ingress: &Ingress,
    ) -> Result<Written, CallError> {
        self.mark(service, Some(&ingress.address)).await?;
        self.status(service, json!({"ingress": [ingress_json(ingress)]}))
            .await
    }

    /// No address, and no mark.
    pub(super) async fn clear(&self, service: &Holder) -> Result<Written, CallError> {
        self.status(service, Value::Null).await?;
        self.mark(service, None).await
    }

    /// Which address is shown by us.
    pub(super) async fn mark(
        &self,
        service: &Holder,
        address: Option<&str>,
    ) -> Result<Written, CallError> {
        let annotations = json!({(names::SHOWN_ADDRESS): address});
        let patch = json!({"metadata": {"uid": service.uid, "annotations": annotations}});
        self.metadata(service, patch).await
    }

    async fn metadata(&self, holder: &Holder, patch: Value) -> Result<Written, CallError> {
        let attempt = format!("patch {}", holder.owner);
        let name = &holder.object().name;
        let (params, patch) = (params(), Patch::Strategic(patch));
        match holder.owner.kind {
            Kind::Service => {
                let api = self.api::<Service>(holder);
                let call = api.patch(name, &params, &patch);
                let written = runtime::call(DEADLINE, attempt, call).await?;
                Ok(Written::Service(ServiceFacts::prune(written)))
            }
            Kind::Ingress => {
                let api = self.api::<v1::Ingress>(holder);
                let call = api.patch(name, &params, &patch);
                let written = runtime::call(DEADLINE, attempt, call).await?;
                Ok(Written::Ingress(IngressFacts::prune(written)))
            }
        }
    }

    /// Of a Service alone: the statuses of Ingresses are written elsewhere.
    async fn status(&self, service: &Holder, load_balancer: Value) -> Result<Written, CallError> {
        let attempt = format!("patch the status of {}", service.owner);
        let api = self.api::<Service>(service);
        let patch = json!({
            "metadata": {"uid": service.uid},
            "status": {"loadBalancer": load_balancer},
        });
        let (params, patch) = (params(), Patch::Merge(patch));
        let call = api.patch_status(&service.object().name, &params, &patch);
        let written = runtime::call(DEADLINE, attempt, call).await?;
        Ok(Written::Service(ServiceFacts::prune(written)))
    }

    fn api<K>(&self, holder: &Holder) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned,
    {
        Api::namespaced(self.client.clone(), &holder.object().namespace)
    }
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn claim_patch(holder: &Holder, claim: &Claim) -> Value {
    let mut annotations = serde_json::Map::new();
    if let Some(token) = &claim.token {
        annotations.insert(holder.key(Word::ClientToken).to_owned(), json!(token));
    }
    if claim.lost.is_some() {
        annotations.insert(holder.key(Word::Id).to_owned(), Value::Null);
    }
    json!({"metadata": {
        "uid": holder.uid,
        "resourceVersion": holder.version.to_string(),
        // A strategic merge adds to the list and leaves other finalizers alone.
        "finalizers": [names::FINALIZER],
        "annotations": annotations,
    }})
}

fn release_patch(holder: &Holder) -> Value {
    json!({"metadata": {
        "uid": holder.uid,
        "resourceVersion": holder.version.to_string(),
        "$deleteFromPrimitiveList/finalizers": [names::FINALIZER],
        "annotations": {(holder.key(Word::Id)): null, (holder.key(Word::ClientToken)): null},
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
    use std::sync::Arc;

    use http::{Request, Response};
    use kube::client::Body;
    use parking_lot::Mutex;

    use super::*;
    use crate::desired::tests::{front, service};
    use crate::lifecycle::decide::ingress;

    #[test]
    fn a_claim_is_for_the_version_that_was_looked_at() {
        let service = Holder {
            version: 7,
            ..Holder::from(&service("web"))
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
    fn an_ingress_has_keys_of_its_own() {
        let front = Holder::from(&front());
        let claim = Claim {
            token: Some("uid-front-1".to_owned()),
            lost: None,
        };
        let claimed = &claim_patch(&front, &claim)["metadata"]["annotations"];
        assert_eq!(claimed[names::ingress::CLIENT_TOKEN], "uid-front-1");
        let released = &release_patch(&front)["metadata"]["annotations"];
        let keys: Vec<_> = released.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                names::ingress::CLIENT_TOKEN,
                names::ingress::LOAD_BALANCER_ID
            ]
        );
    }

    /// Answers every call with an object of this name, and tells method, path and what was sent.
    fn server(tell: impl Fn(String) + Clone + Send + 'static) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let (parts, tell) = (request.uri().path().to_owned(), tell.clone());
            let kind = request.headers().get("content-type").cloned();
            tell(format!("{} {parts} {kind:?}", request.method()));
            let name = parts.rsplit('/').next().unwrap_or_default().to_owned();
            let object = json!({"metadata": {"name": name, "namespace": "shop",
                "uid": format!("uid-{name}"), "resourceVersion": "8"}});
            let answer = Response::new(Body::from(object.to_string().into_bytes()));
            async { Ok::<_, std::convert::Infallible>(answer) }
        });
        Client::new(service, "default")
    }

    #[tokio::test]
    async fn each_kind_is_written_where_it_is() {
        let log = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&log);
        let record = Record::new(server(move |line| told.lock().push(line)));
        let (front, web) = (Holder::from(&front()), Holder::from(&service("web")));
        let written = record.id(&front, "lb-1").await.unwrap();
        assert!(matches!(written, Written::Ingress(one) if one.uid == "uid-front"));
        let written = record.id(&web, "lb-1").await.unwrap();
        assert!(matches!(written, Written::Service(one) if one.uid == "uid-web"));
        let read = record.read(&front).await.unwrap().unwrap();
        assert_eq!((read.owner, read.version), (front.owner.clone(), 8));
        let another = Holder {
            uid: "uid-other".to_owned(),
            ..front
        };
        assert_eq!(record.read(&another).await.unwrap(), None);
        let ingress = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/front";
        let service = "/api/v1/namespaces/shop/services/web";
        let strategic = r#"Some("application/strategic-merge-patch+json")"#;
        assert_eq!(
            *log.lock(),
            [
                format!("PATCH {ingress} {strategic}"),
                format!("PATCH {service} {strategic}"),
                format!("GET {ingress} None"),
                format!("GET {ingress} None"),
            ]
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
