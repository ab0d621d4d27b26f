//! An API server in memory, with webhook pods that serve whatever the leaf Secret holds.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use certs::layout::LEAF_CERT_KEY;
use certs::served::ServedLeaf;
use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

const CORE: &str = "/api/v1/namespaces/clb-gate";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/clb-gate/leases";

/// Objects by path, compare-and-swap by resourceVersion.
#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    /// Pods by name; `Some`: keeps serving this.
    pods: BTreeMap<String, Option<ServedLeaf>>,
    /// Writes to these paths are forbidden.
    forbidden: Vec<&'static str>,
}

#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<State>>);

impl Server {
    /// Our namespace and two webhook pods, nothing else.
    pub(super) fn new() -> Self {
        let server = Self::default();
        let namespace = json!({"metadata": {"name": "clb-gate", "uid": "uid-1"}});
        let mut state = server.0.lock();
        state.store(CORE.to_owned(), namespace);
        state.pods = ["a", "b"].map(|name| (name.to_owned(), None)).into();
        drop(state);
        server
    }

    pub(super) fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let (code, answer) = server.0.lock().answer(&head.method, head.uri.path(), &body);
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "clb-gate")
    }

    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        let state = self.0.lock();
        let found = state.objects.get(&format!("{CORE}/secrets/{name}"))?;
        Some(serde_json::from_value(found.clone()).unwrap())
    }

    /// Writes the lease.
    pub(super) fn lead(&self, holder: &str) {
        let lease = json!({"metadata": {"name": "clb-gate-controller"},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 1}});
        let path = format!("{LEASES}/clb-gate-controller");
        self.0.lock().store(path, lease);
    }

    pub(super) fn holder(&self) -> Option<String> {
        let state = self.0.lock();
        let lease = state
            .objects
            .get(&format!("{LEASES}/clb-gate-controller"))?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// From now on this pod serves what it serves now.
    pub(super) fn hold(&self, pod: &str) {
        let mut state = self.0.lock();
        let now = state.served();
        state.pods.insert(pod.to_owned(), Some(now));
    }

    pub(super) fn forbid(&self, path: &'static str) {
        self.0.lock().forbidden.push(path);
    }

    pub(super) fn allow(&self) {
        self.0.lock().forbidden.clear();
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        if *method == Method::GET {
            return self.read(path);
        }
        if self.forbidden.iter().any(|part| path.contains(part)) {
            return refusal(StatusCode::FORBIDDEN);
        }
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        if *method == Method::POST {
            let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
            if self.objects.contains_key(&path) {
                return refusal(StatusCode::CONFLICT);
            }
            return self.store(path, object);
        }
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if self.objects.get(path).map(version) != Some(version(&object)) {
            return refusal(StatusCode::CONFLICT);
        }
        self.store(path.to_owned(), object)
    }

    fn read(&self, path: &str) -> (StatusCode, Value) {
        if path == format!("{CORE}/pods") {
            let pods: Vec<_> = self.pods.keys().map(|name| pod(name)).collect();
            return (StatusCode::OK, json!({"metadata": {}, "items": pods}));
        }
        let proxied = path
            .strip_prefix(&format!("{CORE}/pods/"))
            .and_then(|rest| rest.strip_suffix(":8080/proxy/leaf"));
        if let Some(name) = proxied {
            let held = self.pods.get(name).cloned().flatten();
            let answer = held.unwrap_or_else(|| self.served());
            return (StatusCode::OK, serde_json::to_value(answer).unwrap());
        }
        match self.objects.get(path) {
            Some(object) => (StatusCode::OK, object.clone()),
            None => refusal(StatusCode::NOT_FOUND),
        }
    }

    /// What a webhook pod has loaded by now.
    fn served(&self) -> ServedLeaf {
        let secret = self.objects.get(&format!("{CORE}/secrets/clb-gate-leaf"));
        let secret = secret.map(|found| serde_json::from_value::<Secret>(found.clone()).unwrap());
        let mut data = secret.and_then(|secret| secret.data).unwrap_or_default();
        ServedLeaf {
            certificate: data
                .remove(LEAF_CERT_KEY)
                .map(|pem| String::from_utf8(pem.0).unwrap()),
            ..ServedLeaf::default()
        }
    }

    fn store(&mut self, path: String, mut object: Value) -> (StatusCode, Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path, object.clone());
        (StatusCode::OK, object)
    }
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "clb-gate"}, "spec": {"containers": []},
        "status": {"phase": "Running", "podIP": "198.18.0.1",
            "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn refusal(code: StatusCode) -> (StatusCode, Value) {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    let message = if code == StatusCode::FORBIDDEN {
        "User cannot create resource"
    } else {
        "refused"
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code.as_u16(), "reason": reason, "message": message,
    });
    (code, status)
}
