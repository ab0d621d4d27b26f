//! The controller without its watches: director, writers, poller and gates, in virtual time. The test
//! fills the caches; the API server in memory may know more than they do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use direct_access::ServiceFacts;
use direct_access::ownership::ClusterId;
use gate_controller::cluster::Cluster;
use gate_controller::director::Director;
use gate_controller::engine::Shared;
use gate_controller::fresh::Fresh;
use gate_controller::gates::Gates;
use gate_controller::health;
use gate_controller::ledger::Ledger;
use gate_controller::pod::PodRecord;
use gate_controller::view::Views;
use prometheus_client::registry::Registry;
use runtime::events::Reporter;
use runtime::{Change, Key, Leadership, Recorder, Supervisor};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::settles::config;
use super::world::{CLUSTER, LOAD_BALANCER, World};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_mins(1);
const GATE: &str = "cloud.tencent.com/load-balancer-backendgroup-ready";

/// The cluster, the CLB and the controller between them.
pub(crate) struct Whole {
    pub(crate) world: World,
    pub(crate) api: Api,
    pub(crate) shared: Shared,
    /// Keeps what writes Events.
    _supervisor: Supervisor,
}

impl Whole {
    pub(crate) fn new() -> Self {
        Self::at(World::new(config(100)), Api::default())
    }

    /// Another process leads: its caches are empty yet.
    pub(crate) fn successor(self) -> Self {
        let world = self.world.successor();
        Self::at(world, self.api)
    }

    fn at(world: World, api: Api) -> Self {
        let (kube, cluster) = (api.client(), Arc::new(Cluster::default()));
        let supervisor = Supervisor::new();
        let reporter = Reporter {
            controller: "clb-gate",
            instance: "under-test".to_owned(),
        };
        let mut registry = Registry::default();
        let recorder = Recorder::spawn(&supervisor, kube.clone(), reporter, &mut registry);
        let shared = Shared {
            fresh: Fresh::new(kube.clone(), Arc::clone(&cluster)),
            ledger: Ledger::new(kube.clone(), "clb-gate"),
            kube,
            cluster_id: ClusterId::new(CLUSTER),
            cluster,
            cloud: world.context.cloud.clone(),
            views: Views::default(),
            seen: Arc::new(Notify::new()),
            recorder,
            metrics: world.context.metrics.clone(),
            leadership: Leadership::undisputed(),
        };
        Self {
            world,
            api,
            shared,
            _supervisor: supervisor,
        }
    }

    /// Follows the story while the controller works.
    pub(crate) async fn follow<T>(&self, story: impl Future<Output = T>) -> T {
        let draining = CancellationToken::new();
        let (exposures_in, exposures) = watch::channel(Arc::default());
        let (waiting_in, waiting) = watch::channel(health::Waiting::new());
        let director = Director {
            shared: self.shared.clone(),
            exposures: exposures_in,
        };
        let gates = Gates {
            shared: self.shared.clone(),
            exposures,
            waiting: waiting_in,
            seen: Arc::clone(&self.shared.seen),
        };
        let director = Box::pin(director.run(draining.clone()));
        let gates = Box::pin(gates.run(draining.clone()));
        let poller = Box::pin(health::run(self.shared.clone(), waiting, draining.clone()));
        let told = tokio::select! {
            ended = director => panic!("the director ended: {ended:?}"),
            () = gates => panic!("the gates' task ended"),
            () = poller => panic!("the poller ended"),
            told = Box::pin(story) => told,
        };
        draining.cancel();
        told
    }

    /// Makes or changes a Service, and the watch tells.
    pub(crate) fn service(&self, name: &str, spec: &Value) {
        self.api.put_service(service(name, spec));
        self.list_services();
    }

    /// Makes or changes pods of this version of the program, and the watch tells.
    pub(crate) fn pods(&self, version: &str, numbers: impl IntoIterator<Item = u8>) {
        for number in numbers {
            self.api.put_pod(pod(version, number));
        }
        self.list_pods();
    }

    /// The watch brings what there is.
    pub(crate) fn list_services(&self) {
        self.list_services_but(|_| false);
    }

    /// The same without these: a list from before they were there.
    pub(crate) fn list_services_but(&self, not: impl Fn(&str) -> bool) {
        let all = self.api.services();
        let facts = all.into_iter().map(|one| {
            let facts = ServiceFacts::prune(serde_json::from_value(one).unwrap());
            (Key::new("shop", facts.name.clone()), facts)
        });
        let known = facts.filter(|(key, _)| !not(&key.name));
        let all = Change::Restarted(known.collect());
        self.shared.cluster.on_service(all);
    }

    /// The watch brings what there is.
    pub(crate) fn list_pods(&self) {
        self.list_pods_but(|_| false);
    }

    /// The same without these: a list from before they were there.
    pub(crate) fn list_pods_but(&self, not: impl Fn(&str) -> bool) {
        let all = self.api.pods();
        let records = all.into_iter().map(|one| {
            let record = PodRecord::prune(serde_json::from_value(one).unwrap());
            (Key::new("shop", record.name.clone()), record)
        });
        let known = records.filter(|(key, _)| !not(&key.name));
        let all = Change::Restarted(known.collect());
        self.shared.cluster.on_pod(all);
    }

    /// The watch tells that a pod was deleted.
    pub(crate) fn delete_pod(&self, name: &str) {
        self.api.delete_pod(name);
        let gone = Change::Deleted(Key::new("shop", name));
        self.shared.cluster.on_pod(gone);
    }

    /// What health checks of this pod find, at this port.
    pub(crate) fn health(&self, number: u8, port: u16, healthy: bool) {
        let address = SocketAddr::from(([10, 0, 0, number], port));
        self.world.clb.set_health(address, healthy);
    }

    /// Targets with their weights.
    pub(crate) fn targets(&self) -> BTreeMap<String, u64> {
        let bound = self.world.bound().into_iter();
        bound
            .map(|((_, address), (weight, _))| (address, weight))
            .collect()
    }

    /// Status and message of a pod's gate.
    pub(crate) fn gate(&self, name: &str) -> (String, String) {
        let pods = self.api.pods();
        let found = pods.iter().find(|pod| pod["metadata"]["name"] == name);
        let conditions = found.unwrap()["status"]["conditions"].as_array().unwrap();
        let gate = conditions.iter().find(|one| one["type"] == GATE);
        let text = |key: &str| {
            let value = gate.map(|gate| gate[key].as_str().unwrap());
            value.unwrap_or_default().to_owned()
        };
        (text("status"), text("message"))
    }

    pub(crate) fn is_open(&self, name: &str) -> bool {
        self.gate(name).0 == "True"
    }

    /// What Events of this reason say of an object.
    pub(crate) async fn told_of(&self, reason: &str, object: &str) -> String {
        self.until(|| !self.api.told(reason, object).is_empty())
            .await;
        self.api.told(reason, object).join("\n")
    }

    /// Until that is so.
    pub(crate) async fn until(&self, what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            let late = start.elapsed() >= MINUTE * 10;
            assert!(!late, "{:?}\n{}", self.targets(), self.told());
            sleep(SECOND / 10).await;
        }
    }

    /// What the gates say, and what the load balancer's writer has to tell.
    fn told(&self) -> String {
        let pods = self.api.pods();
        let names = pods
            .iter()
            .map(|pod| pod["metadata"]["name"].as_str().unwrap());
        let gates: Vec<_> = names
            .map(|name| format!("{name} {:?}", self.gate(name)))
            .collect();
        let view = self.shared.views.get(LOAD_BALANCER).unwrap_or_default();
        format!(
            "{gates:#?}\n{:?} {:?} {:?}",
            view.problem, view.held, view.awaited
        )
    }

    /// For that long, this holds at every moment.
    pub(crate) async fn always(&self, time: Duration, what: impl Fn() -> bool) {
        let start = Instant::now();
        while start.elapsed() < time {
            assert!(what(), "after {:?}: {:?}", start.elapsed(), self.targets());
            sleep(SECOND / 10).await;
        }
    }

    /// How many calls took something out of service.
    pub(crate) fn removals(&self) -> u64 {
        let actions = [
            "BatchDeregisterTargets",
            "ModifyTargetWeight",
            "BatchModifyTargetWeight",
        ];
        actions.iter().map(|action| self.world.calls(action)).sum()
    }
}

/// A Service of type `LoadBalancer` on the load balancer under test; `spec` says selector and ports.
pub(crate) fn service(name: &str, spec: &Value) -> Value {
    let mut service = json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"), "annotations": {
            "service.cloud.tencent.com/direct-access": "true",
            "service.kubernetes.io/tke-existed-lbid": LOAD_BALANCER}},
        "spec": spec});
    service["spec"]["type"] = "LoadBalancer".into();
    service
}

/// One that selects the pods of a version, at port 80.
pub(crate) fn of_version(version: &str) -> Value {
    json!({"selector": {"version": version}, "ports": [{"port": 80, "targetPort": 8080}]})
}

/// Pod `web-NUMBER` with the gate, whose containers are ready.
pub(crate) fn pod(version: &str, number: u8) -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": format!("web-{number}"), "uid": format!("uid-{number}"),
            "labels": {"app": "web", "version": version}, "annotations": {}},
        "spec": {"readinessGates": [{"conditionType": GATE}], "containers": [{"name": "web"}]},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{number}"),
            "conditions": [{"type": "ContainersReady", "status": "True"}]}})
}
