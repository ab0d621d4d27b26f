//! An API server and a CLB in one process, and who looks at them.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use clb::{
    Answer, BatchTarget, Client, Config, CreateListener, Credentials, Exchange, Exchanging,
    Failure, LoadBalancerId, Protocol, StaticCredentials, Target,
};
use clb_sim::{InProcess, InitialLoadBalancer};
use gate_controller::cloud::Cloud;
use gate_controller::preview::DescribeOnly;
use http::{Method, Request, Response};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

pub(crate) const LOAD_BALANCER: &str = "lb-00000001";
pub(crate) const CLUSTER: &str = "cluster-under-test";

/// The simulator, as the client reaches it.
struct Wire(Arc<InProcess>);

impl Exchange for Wire {
    fn exchange(&self, headers: http::HeaderMap, body: Bytes) -> Exchanging<'_> {
        Box::pin(async move {
            let answer = self.0.exchange(&headers, body).await;
            let body = answer.ok_or_else(|| Failure::Lost("the connection was closed".into()))?;
            let status = http::StatusCode::OK;
            Ok(Answer { status, body })
        })
    }
}

pub(crate) struct World {
    pub(crate) clb: Arc<InProcess>,
    config: clb_sim::Config,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = clb_sim::Config {
            load_balancers: vec![InitialLoadBalancer {
                id: LOAD_BALANCER.to_owned(),
                name: "under-test".to_owned(),
                ..InitialLoadBalancer::default()
            }],
            seed: Some(1),
            ..clb_sim::Config::default()
        };
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let clb = Arc::new(InProcess::new(&config, start).unwrap());
        Self { clb, config }
    }

    /// A client that may do anything.
    pub(crate) fn person(&self) -> Client {
        self.client(Arc::new(Wire(Arc::clone(&self.clb))))
    }

    /// What a preview is given.
    pub(crate) fn cloud(&self) -> Cloud {
        let vpc = Some(self.config.vpc_id.clone());
        Cloud::with_client(self.guarded(), vpc)
    }

    /// The client of a preview.
    pub(crate) fn guarded(&self) -> Client {
        let wire = Arc::new(Wire(Arc::clone(&self.clb)));
        self.client(Arc::new(DescribeOnly::over(wire)))
    }

    fn client(&self, exchange: Arc<dyn Exchange>) -> Client {
        let credentials = Credentials {
            secret_id: self.config.secret_id.clone(),
            secret_key: self.config.secret_key.clone().into(),
            token: None,
        };
        let clock = Arc::clone(&self.clb);
        let mut own = Config::new(
            clb::Endpoint::default(),
            self.config.region.parse().unwrap(),
            Arc::new(StaticCredentials(credentials)),
            Arc::new(move || clock.now()),
        );
        own.exchange = Some(exchange);
        Client::new(own).unwrap()
    }

    /// A listener of ours on port 80 with a pod that is gone and a target of somebody else.
    pub(crate) async fn furnish(&self) {
        let person = self.person();
        let id = LoadBalancerId::new(LOAD_BALANCER);
        let name = format!("clb-gate:{CLUSTER}");
        let create = CreateListener::new(id.clone(), Protocol::Tcp, 80, name);
        let created = person.create_listener(&create).await.unwrap();
        let patience = std::time::Duration::from_secs(10);
        person.wait_task(&created.task, patience).await.unwrap();
        let listener = created.ids.into_iter().next().unwrap();
        let tag = format!("clb-gate:{CLUSTER}:uid-gone");
        let mut gone = Target::new([10, 0, 0, 9].into(), 8080);
        gone.tag = Some(tag);
        let foreign = Target::new([10, 0, 0, 200].into(), 9000);
        let all = [gone, foreign].map(|target| BatchTarget::new(listener.clone(), target));
        person.batch_register_targets(&id, &all).await.unwrap();
    }

    /// Actions called, with how often.
    pub(crate) fn calls(&self) -> BTreeMap<String, Value> {
        let calls = self.clb.calls();
        let all = calls.get("calls").and_then(Value::as_object).unwrap();
        all.clone().into_iter().collect()
    }
}

/// An API server that answers from a table, and remembers what it was asked.
#[derive(Clone, Default)]
pub(crate) struct ApiServer {
    pub(crate) objects: BTreeMap<&'static str, Value>,
    pub(crate) forbidden: Option<&'static str>,
    pub(crate) asked: Arc<Mutex<Vec<(Method, String)>>>,
}

impl ApiServer {
    /// With one Service on ports 80 and 81 and two pods behind it.
    pub(crate) fn new() -> Self {
        let objects = [
            (
                "/api/v1/namespaces/kube-system",
                json!({"metadata": {"name": "kube-system", "uid": CLUSTER}}),
            ),
            ("/api/v1/services", list(&[service()])),
            ("/apis/networking.k8s.io/v1/ingresses", list(&[])),
            ("/api/v1/pods", list(&[pod("a", 1), pod("b", 2)])),
        ];
        Self {
            objects: objects.into(),
            ..Self::default()
        }
    }

    pub(crate) fn client(&self) -> kube::Client {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let answer = server.answer(&request);
            async move { Ok::<_, tower::BoxError>(answer) }
        };
        kube::Client::new(tower::service_fn(answer), "default")
    }

    fn answer(&self, request: &Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        self.asked
            .lock()
            .push((request.method().clone(), path.to_owned()));
        let (code, body) = match self.objects.get(path) {
            _ if self.forbidden == Some(path) => (403, status(403, "Forbidden")),
            Some(found) => (200, found.clone()),
            None => (404, status(404, "NotFound")),
        };
        let body = Body::from(serde_json::to_vec(&body).unwrap());
        Response::builder().status(code).body(body).unwrap()
    }
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": reason})
}

fn list(items: &[Value]) -> Value {
    json!({"metadata": {}, "items": items})
}

fn service() -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "uid-web", "annotations": {
            "service.cloud.tencent.com/direct-access": "true",
            "service.kubernetes.io/tke-existed-lbid": LOAD_BALANCER,
        }},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [
            {"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": 8080},
        ]},
    })
}

fn pod(name: &str, number: u8) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"), "labels": {"app": "web"}},
        "spec": {"containers": []},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{number}"),
            "conditions": [{"type": "ContainersReady", "status": "True"}]},
    })
}
