//! What is written first, and that places do not stand empty, in virtual time.

use std::collections::BTreeMap;
use std::convert::Infallible;

use direct_access::condition::ConditionReason;
use direct_access::listener::ListenerParameters;
use direct_access::ownership::ClusterId;
use direct_access::{Exposure, Owner, Settings, names};
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use runtime::{Change, Key, Recorder};
use serde_json::{Value, json};

use super::*;
use crate::cloud::{Cloud, Sources};
use crate::cluster::Cluster;
use crate::desired::tests::{compute_in, service};
use crate::fresh::Fresh;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::plan::{HealthCheck, ObservedListener, Place};
use crate::pod::tests::pod;
use crate::view::{View, Views};

/// How long the API server takes for a patch.
const PATCH: Duration = Duration::from_millis(100);
/// How long it takes for the first one.
const SLOW: Duration = Duration::from_secs(4);

#[test]
fn gates_that_open_are_written_before_messages() {
    let write = |name: &str, status| {
        let condition = Condition {
            status,
            reason: ConditionReason::Healthy,
            message: String::new(),
        };
        (pod(name, 1), condition)
    };
    let writes = [
        ("a", Status::False),
        ("b", Status::True),
        ("c", Status::False),
        ("d", Status::True),
    ];
    let writes = writes.map(|(name, status)| write(name, status));
    let queue = queue(writes.into());
    let names: Vec<_> = queue.into_iter().map(|(pod, _)| pod.name).collect();
    assert_eq!(names, ["b", "d", "a", "c"]);
}

/// An API server that lists nothing and takes patches of pods' status; cheap to clone, every clone is the same.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    under_way: usize,
    most: usize,
    /// By pod: how often it was patched.
    patched: BTreeMap<String, usize>,
    /// When each patch was answered.
    answered: Vec<Instant>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "clb-gate")
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if request.method() == Method::GET {
            let nothing = json!({"metadata": {}, "items": []});
            return Response::new(Body::from(nothing.to_string().into_bytes()));
        }
        let name = request.uri().path().rsplit('/').nth(1).unwrap().to_owned();
        let patch = request.into_body().collect_bytes().await.unwrap();
        let lasts = {
            let mut taken = self.0.lock();
            taken.under_way += 1;
            taken.most = taken.most.max(taken.under_way);
            let first = taken.patched.is_empty();
            *taken.patched.entry(name.clone()).or_default() += 1;
            if first { SLOW } else { PATCH }
        };
        tokio::time::sleep(lasts).await;
        let mut taken = self.0.lock();
        taken.under_way -= 1;
        taken.answered.push(Instant::now());
        let pod = patched(&name, serde_json::from_slice(&patch).unwrap());
        Response::new(Body::from(pod.to_string().into_bytes()))
    }
}

/// The pod as it is after the patch.
fn patched(name: &str, mut patch: Value) -> Value {
    let version: u64 = patch["metadata"]["resourceVersion"]
        .as_str()
        .and_then(|version| version.parse().ok())
        .unwrap();
    patch["metadata"]["resourceVersion"] = json!((version + 1).to_string());
    patch["metadata"]["namespace"] = json!("shop");
    patch["metadata"]["name"] = json!(name);
    patch["spec"] = json!({"containers": [], "readinessGates": [{"conditionType": names::GATE}]});
    patch
}

/// Pods behind one listener without a health check, all of them registered.
fn world(count: u8, server: &Server) -> (Gates, watch::Sender<Arc<Exposed>>) {
    let pods: Vec<_> = (0..count).map(|n| pod(&format!("pod-{n:03}"), n)).collect();
    let services = [service("web")];
    let exposures = compute_in(&Settings::default(), &services, &pods).exposures;
    let views = Views::default();
    views.publish("lb-abcd1234", view(&exposures[0], &pods));
    let cluster = Arc::new(Cluster::default());
    let keyed = |pod: PodRecord| (Key::new(pod.namespace.clone(), pod.name.clone()), pod);
    cluster.on_pod(Change::Restarted(pods.into_iter().map(keyed).collect()));
    let exposed = Exposed {
        exposures,
        lists: 1,
    };
    let (director, exposures) = watch::channel(Arc::new(exposed));
    let kube = server.client();
    let metrics = Metrics::register(&mut Registry::default());
    let seen = Arc::new(Notify::new());
    let gates = Gates {
        shared: Shared {
            cluster_id: ClusterId::new("uid-of-cluster"),
            cloud: Cloud::new(Sources::default(), metrics.observer()),
            views,
            seen: Arc::clone(&seen),
            recorder: Recorder::silent(),
            metrics,
            leadership: runtime::lease::Leadership::undisputed(),
            fresh: Fresh::new(kube.clone(), Arc::clone(&cluster)),
            ledger: Ledger::new(kube.clone(), "clb-gate"),
            cluster,
            kube,
        },
        exposures,
        waiting: watch::channel(Waiting::default()).0,
        seen,
    };
    (gates, director)
}

fn view(exposure: &Exposure, pods: &[PodRecord]) -> View {
    let listener = ObservedListener {
        id: "lbl-1".to_owned(),
        port: exposure.port,
        protocol: exposure.protocol.to_string(),
        name: None,
        health: HealthCheck {
            off: true,
            earliest: Duration::ZERO,
        },
        parameters: ListenerParameters::default(),
        targets: vec![],
        rules: vec![],
    };
    let place = |pod: &PodRecord| Place {
        listener: listener.id.clone(),
        rule: None,
        address: (pod.ip.unwrap(), 8080),
    };
    let now = Instant::now();
    let registered = pods.iter().map(|pod| (place(pod), (pod.uid.clone(), now)));
    let owner: Owner = exposure.owner.clone();
    View {
        registered: Arc::new(registered.collect()),
        owners: [((exposure.slot(), None), owner)].into(),
        listeners: Arc::new(vec![listener]),
        ..View::default()
    }
}

#[tokio::test(start_paused = true)]
async fn sixteen_patches_are_under_way_as_long_as_there_are_gates_to_open_and_each_is_written_once()
{
    let server = Server::default();
    let (gates, _director) = world(200, &server);
    let (begun, draining) = (Instant::now(), CancellationToken::new());
    let stopped = draining.clone();
    let patience = async {
        tokio::time::sleep(SLOW * 2).await;
        stopped.cancel();
    };
    tokio::join!(gates.run(draining), patience);
    let taken = server.0.lock();
    assert_eq!(taken.most, IN_FLIGHT);
    assert_eq!(taken.patched.len(), 200);
    assert!(taken.patched.values().all(|times| *times == 1));
    // The slow one has a place to itself; the others share fifteen and do not wait for it.
    let others = taken.answered.iter().filter(|at| **at - begun < SLOW);
    assert_eq!(others.clone().count(), 199);
    let last = others.max().copied().unwrap() - begun;
    let rounds = u32::try_from(199_usize.div_ceil(IN_FLIGHT - 1)).unwrap();
    assert!(last < PATCH * (rounds + 1), "{last:?}");
}
