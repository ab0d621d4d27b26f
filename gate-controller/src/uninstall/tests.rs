//! Whole uninstalls against an API server in memory, in virtual time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use direct_access::names;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::objects::PART_OF;
use super::*;

const REGISTRATION: &str =
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/clb-gate";
const SERVICE: &str = "/api/v1/namespaces/shop/services/web";
const INGRESS: &str = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses/front";

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    log: Vec<String>,
    /// A healer that has looked before the Namespace went writes so often.
    comes_back: u32,
    /// Looks at the controller's pods until they are gone.
    controllers: u32,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

impl Server {
    fn installed() -> Self {
        let server = Self::default();
        let mut state = server.0.lock();
        for object in objects("clb-gate") {
            let labels = json!({PART_OF.0: PART_OF.1});
            let value = json!({"metadata": {"name": object.name, "uid": "u", "labels": labels}});
            state.objects.insert(path(&object), value);
        }
        drop(state);
        server
    }

    fn uninstall(&self) -> Uninstall {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (method, path) = (request.method().clone(), request.uri().clone());
            let (code, value) = server.0.lock().answer(&method, path.path(), path.query());
            let body = Body::from(value.to_string().into_bytes());
            let answer = Response::builder().status(code).body(body).unwrap();
            async { Ok::<_, Infallible>(answer) }
        });
        Uninstall::new(Client::new(service, "default"), "clb-gate")
    }

    fn log(&self) -> Vec<String> {
        self.0.lock().log.clone()
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: Option<&str>) -> (StatusCode, Value) {
        match (method, path) {
            (&Method::GET, "/api/v1/pods") => (StatusCode::OK, list(&[])),
            (&Method::GET, "/api/v1/namespaces/clb-gate/pods") => {
                assert!(query.unwrap().contains("controller"));
                let pods = if self.controllers > 0 {
                    vec![json!({"metadata": {"name": "controller"}, "spec": {"containers": []}})]
                } else {
                    vec![]
                };
                self.controllers = self.controllers.saturating_sub(1);
                self.log.push("LIST controllers".to_owned());
                (StatusCode::OK, list(&pods))
            }
            (&Method::GET, "/api/v1/services") => {
                let services = self.objects.get(SERVICE).cloned();
                (StatusCode::OK, list(services.as_slice()))
            }
            (&Method::GET, "/apis/networking.k8s.io/v1/ingresses") => {
                let ingresses = self.objects.get(INGRESS).cloned();
                (StatusCode::OK, list(ingresses.as_slice()))
            }
            (&Method::GET, path) => match self.objects.get(path) {
                Some(found) => (StatusCode::OK, found.clone()),
                None => not_found(),
            },
            (method, path) => self.write(method, path),
        }
    }

    fn write(&mut self, method: &Method, path: &str) -> (StatusCode, Value) {
        let Some(object) = self.objects.remove(path) else {
            return not_found();
        };
        let short = path.rsplit('/').take(2).collect::<Vec<_>>();
        self.log.push(format!("{method} {}/{}", short[1], short[0]));
        if path == REGISTRATION && self.comes_back > 0 {
            self.comes_back -= 1;
            self.objects.insert(path.to_owned(), object);
        }
        (StatusCode::OK, json!({"metadata": {"name": short[0]}}))
    }
}

fn path(object: &Object) -> String {
    let resource = object.kind.resource();
    let base = if resource.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}/v1", resource.group)
    };
    match object.namespace {
        Some(namespace) => format!(
            "{base}/namespaces/{namespace}/{}/{}",
            resource.plural, object.name
        ),
        None => format!("{base}/{}/{}", resource.plural, object.name),
    }
}

fn list(items: &[Value]) -> Value {
    json!({"metadata": {}, "items": items})
}

fn not_found() -> (StatusCode, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": 404, "reason": "NotFound", "message": "not found"});
    (StatusCode::NOT_FOUND, status)
}

async fn run(uninstall: &Uninstall) -> Vec<String> {
    let mut told = vec![];
    let facts = uninstall.look().await.unwrap();
    uninstall.run(&facts, |line| told.push(line)).await.unwrap();
    told
}

#[tokio::test(start_paused = true)]
async fn all_goes_in_order_and_a_second_run_finds_nothing() {
    let server = Server::installed();
    let mut uninstall = server.uninstall();
    uninstall.wait = true;
    let told = run(&uninstall).await;
    assert_eq!(
        server.log(),
        [
            "DELETE namespaces/clb-gate",
            "DELETE mutatingwebhookconfigurations/clb-gate",
            "DELETE namespaces/clb-gate-canary",
            "DELETE clusterrolebindings/clb-gate-loadbalancers",
            "DELETE clusterrolebindings/clb-gate-controller",
            "DELETE clusterrolebindings/clb-gate-webhook",
            "DELETE clusterroles/clb-gate-loadbalancers",
            "DELETE clusterroles/clb-gate-controller",
            "DELETE clusterroles/clb-gate-webhook",
            "DELETE rolebindings/clb-gate-controller",
            "DELETE rolebindings/clb-gate-webhook",
            "DELETE roles/clb-gate-controller",
            "DELETE roles/clb-gate-webhook",
        ]
    );
    assert_eq!(told.last().unwrap(), "Namespace clb-gate-canary is gone");
    let facts = uninstall.look().await.unwrap();
    assert_eq!(decide(&facts, false), Decision::Nothing);
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_comes_back_is_deleted_again() {
    let server = Server::installed();
    server.0.lock().comes_back = 2;
    run(&server.uninstall()).await;
    let deleted = server.log();
    let deleted = deleted
        .iter()
        .filter(|line| line.contains("mutatingwebhook"));
    assert_eq!(deleted.count(), 3);
    assert!(!server.0.lock().objects.contains_key(REGISTRATION));
}

#[tokio::test(start_paused = true)]
async fn services_and_ingresses_are_let_go_only_when_nobody_can_hold_them_again() {
    let server = Server::installed();
    let service = json!({"metadata": {"name": "web", "namespace": "shop", "resourceVersion": "1",
        "finalizers": [names::FINALIZER], "annotations": {names::LOAD_BALANCER_ID: "lb-7"}}});
    let ingress = json!({"metadata": {"name": "front", "namespace": "shop", "resourceVersion": "1",
        "finalizers": [names::FINALIZER], "annotations": {names::ingress::LOAD_BALANCER_ID: "lb-8"}}});
    server.0.lock().objects.insert(SERVICE.to_owned(), service);
    server.0.lock().objects.insert(INGRESS.to_owned(), ingress);
    server.0.lock().controllers = 3;
    let mut uninstall = server.uninstall();
    let facts = uninstall.look().await.unwrap();
    assert!(matches!(decide(&facts, false), Decision::Refuse(_)));
    uninstall.keep_load_balancers = true;
    let told = run(&uninstall).await;
    let log = server.log();
    let place = |what: &str| log.iter().position(|line| line.contains(what)).unwrap();
    let patched = place("PATCH services/web");
    assert!(place("clusterrolebindings/clb-gate-loadbalancers") < patched);
    assert_eq!(log[patched - 1], "LIST controllers");
    assert_eq!(
        log.iter()
            .filter(|line| *line == "LIST controllers")
            .count(),
        4
    );
    assert!(
        told.last()
            .unwrap()
            .ends_with("Ingress shop/front is free; its CLB stays in your account: lb-8")
    );
    assert_eq!(place("PATCH ingresses/front"), patched + 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_is_named_when_time_is_up() {
    let server = Server::installed();
    server.0.lock().comes_back = u32::MAX;
    let mut uninstall = server.uninstall();
    uninstall.timeout = Duration::from_secs(10);
    let facts = uninstall.look().await.unwrap();
    let error = uninstall.run(&facts, drop).await.unwrap_err().to_string();
    assert!(
        error.starts_with("after 10s MutatingWebhookConfiguration clb-gate is still there"),
        "{error}"
    );
}
