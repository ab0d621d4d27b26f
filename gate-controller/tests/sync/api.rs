//! An API server in memory: what there really is, whatever the caches say.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

/// How long an answer takes.
const ANSWER: Duration = Duration::from_millis(10);

/// Objects by name, all of one namespace.
#[derive(Default)]
struct State {
    services: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
    maps: BTreeMap<String, Value>,
    version: u64,
    /// Every call is answered with this code.
    away: Option<u16>,
    /// Every write of a gate is.
    refuses: Option<u16>,
    writes: Vec<Instant>,
    lists: usize,
    /// Reason, object and note.
    events: Vec<(String, String, String)>,
}

/// Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Api(Arc<Mutex<State>>);

impl Api {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                // Whoever asks without a pause would else ask for ever in no time.
                tokio::time::sleep(ANSWER).await;
                let (code, answer) = api.0.lock().answer(&head.method, head.uri.path(), &body);
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "clb-gate")
    }

    /// Makes or changes a Service.
    pub(crate) fn put_service(&self, service: Value) {
        self.0.lock().put(service, |state| &mut state.services);
    }

    pub(crate) fn delete_service(&self, name: &str) {
        self.0.lock().services.remove(name);
    }

    /// Makes or changes a pod.
    pub(crate) fn put_pod(&self, pod: Value) {
        self.0.lock().put(pod, |state| &mut state.pods);
    }

    pub(crate) fn delete_pod(&self, name: &str) {
        self.0.lock().pods.remove(name);
    }

    pub(crate) fn services(&self) -> Vec<Value> {
        self.0.lock().services.values().cloned().collect()
    }

    pub(crate) fn pods(&self) -> Vec<Value> {
        self.0.lock().pods.values().cloned().collect()
    }

    /// It answers with this code; `None`: as it should.
    pub(crate) fn away(&self, code: Option<u16>) {
        self.0.lock().away = code;
    }

    /// It refuses to write gates with this code.
    pub(crate) fn refuse(&self, code: Option<u16>) {
        self.0.lock().refuses = code;
    }

    /// When a write of a gate was tried.
    pub(crate) fn writes(&self) -> Vec<Instant> {
        self.0.lock().writes.clone()
    }

    /// The notes of all Events of this reason on this object.
    pub(crate) fn told(&self, reason: &str, object: &str) -> Vec<String> {
        let state = self.0.lock();
        let events = state.events.iter();
        let these = events.filter(|(why, name, _)| why == reason && name == object);
        these.map(|(.., note)| note.clone()).collect()
    }

    /// How often anything was listed.
    pub(crate) fn lists(&self) -> usize {
        self.0.lock().lists
    }
}

impl State {
    fn put(&mut self, mut object: Value, of: fn(&mut Self) -> &mut BTreeMap<String, Value>) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        of(self).insert(name, object);
    }

    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        if let Some(code) = self.away {
            return refusal(code);
        }
        let parts: Vec<_> = path.split('/').collect();
        match (method, &parts[..]) {
            (&Method::GET, [.., "services"]) => self.list(|state| &state.services),
            (&Method::GET, [.., "pods"]) => self.list(|state| &state.pods),
            (&Method::GET, [.., "ingresses"]) => self.list(|_| const { &BTreeMap::new() }),
            (&Method::PATCH, [.., "pods", name, "status"]) => self.patch(name, body),
            (&Method::POST, [.., "events"]) => self.take_event(body),
            (&Method::GET, [.., "configmaps", name]) => {
                let found = self.maps.get(*name).cloned();
                found.map_or_else(|| refusal(404), |map| (200, map))
            }
            (&Method::PUT | &Method::POST, [.., "configmaps", _] | [.., "configmaps"]) => {
                self.put(body.clone(), |state| &mut state.maps);
                (200, body.clone())
            }
            _ => unreachable!("{method} {path}"),
        }
    }

    fn list(&mut self, of: fn(&Self) -> &BTreeMap<String, Value>) -> (u16, Value) {
        self.lists += 1;
        let items: Vec<_> = of(self).values().cloned().collect();
        (200, json!({ "metadata": {}, "items": items }))
    }

    fn take_event(&mut self, event: &Value) -> (u16, Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let told = (
            text(&event["reason"]),
            text(&event["regarding"]["name"]),
            text(&event["note"]),
        );
        self.events.push(told);
        (201, event.clone())
    }

    fn patch(&mut self, name: &str, patch: &Value) -> (u16, Value) {
        self.writes.push(Instant::now());
        if let Some(code) = self.refused(name, patch) {
            return refusal(code);
        }
        let condition = &patch["status"]["conditions"][0];
        let mut pod = self.pods[name].clone();
        let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
        conditions.retain(|one| one["type"] != condition["type"]);
        conditions.push(condition.clone());
        for (key, value) in patch["metadata"]["annotations"].as_object().unwrap() {
            let annotations = pod["metadata"]["annotations"].as_object_mut().unwrap();
            annotations.retain(|known, _| known != key);
            if !value.is_null() {
                annotations.insert(key.clone(), value.clone());
            }
        }
        self.put(pod, |state| &mut state.pods);
        (200, self.pods[name].clone())
    }

    fn refused(&self, name: &str, patch: &Value) -> Option<u16> {
        let Some(pod) = self.pods.get(name) else {
            return Some(404);
        };
        let same = |key: &str| patch["metadata"][key] == pod["metadata"][key];
        let overtaken = !same("uid") || !same("resourceVersion");
        self.refuses.or_else(|| overtaken.then_some(409))
    }
}

fn refusal(code: u16) -> (u16, Value) {
    let reason = if code == 404 { "NotFound" } else { "Test" };
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
        "message": "refused by the test", "reason": reason });
    (code, status)
}
