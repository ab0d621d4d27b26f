//! A cluster of one Service and its pods, as the watches tell of them, and the CLB it is on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use direct_access::{Protocol, ServiceFacts};
use gate_controller::cluster::Cluster;
use gate_controller::configs::TkeServiceConfig;
use gate_controller::desired::Desired;
use gate_controller::pod::PodRecord;
use runtime::watch::Offered;
use runtime::{Change, Key};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::settles::config;
use super::town::operate;
use super::world::{LOAD_BALANCER, World};

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const PARAMETERS: &str = "service.kubernetes.io/service.listenerParameters";
pub(crate) const WEIGHT: &str = "service.cloud.tencent.com/custom-weight";

/// Two pods behind TCP:80 of a Service that names the config `tuned`.
pub(crate) struct Hamlet {
    pub(crate) world: World,
    pub(crate) cluster: Cluster,
}

impl Hamlet {
    pub(crate) fn new() -> Self {
        let hamlet = Self {
            world: World::new(config(100)),
            cluster: Cluster::default(),
        };
        hamlet.serve(&json!({}));
        for number in 1..=2 {
            hamlet.pod(number, 8080, None);
        }
        hamlet
    }

    /// The Service, with these annotations besides.
    pub(crate) fn serve(&self, annotations: &Value) {
        let mut service = json!({
            "metadata": {"namespace": "shop", "name": "web", "uid": "uid-web", "annotations": {
                "service.cloud.tencent.com/direct-access": "true",
                "service.kubernetes.io/tke-existed-lbid": LOAD_BALANCER,
                "service.cloud.tencent.com/tke-service-config": "tuned"}},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"},
                "ports": [{"port": 80, "targetPort": "http"}]}});
        let more = annotations.as_object().unwrap().clone();
        service["metadata"]["annotations"]
            .as_object_mut()
            .unwrap()
            .extend(more);
        let service = ServiceFacts::prune(serde_json::from_value(service).unwrap());
        let key = Key::new("shop", "web");
        self.cluster.on_service(Change::Applied(key, service));
    }

    /// A pod whose port `http` is this one.
    pub(crate) fn pod(&self, number: u8, port: u16, weight: Option<&str>) {
        let annotations = weight.map(|weight| json!({ WEIGHT: weight }));
        let pod = json!({
            "metadata": {"namespace": "shop", "name": format!("web-{number}"), "uid": format!("uid-{number}"),
                "labels": {"app": "web"}, "annotations": annotations},
            "spec": {"containers": [{"name": "web", "ports": [{"name": "http", "containerPort": port}]}]},
            "status": {"phase": "Running", "podIP": format!("10.0.0.{number}"),
                "conditions": [{"type": "ContainersReady", "status": "True"}]}});
        let pod = PodRecord::prune(serde_json::from_value(pod).unwrap());
        let key = Key::new("shop", pod.name.clone());
        self.cluster.on_pod(Change::Applied(key, pod));
    }

    /// The config says this of TCP:80.
    pub(crate) fn declare(&self, fields: &Value) {
        let mut listener = json!({"protocol": "TCP", "port": 80});
        let fields = fields.as_object().unwrap().clone();
        listener.as_object_mut().unwrap().extend(fields);
        let object = TkeServiceConfig {
            spec: json!({"loadBalancer": {"l4Listeners": [listener]}}),
            ..TkeServiceConfig::default()
        };
        let change = Change::Applied(Key::new("shop", "tuned"), object.read());
        self.cluster.on_configs(Offered::Change(change));
    }

    pub(crate) fn withdraw(&self) {
        let gone = Change::Deleted(Key::new("shop", "tuned"));
        self.cluster.on_configs(Offered::Change(gone));
    }

    /// Hands what is wanted now to the writer, and gives it a minute; what is told of the Service.
    pub(crate) async fn settle(&self) -> Vec<String> {
        let mut wanted = self.cluster.wanted(&BTreeSet::new());
        let found = wanted.load_balancers.remove(LOAD_BALANCER);
        // As the director does for one that nobody names.
        let desired = found.unwrap_or_else(|| Desired {
            others: Arc::clone(&wanted.others),
            ..Desired::default()
        });
        self.world.want(desired);
        sleep(MINUTE).await;
        let told = wanted.problems.values().flatten();
        told.map(ToString::to_string).collect()
    }

    /// The listener as the CLB shows it.
    pub(crate) fn there(&self) -> Value {
        let answer = operate(&self.world, "DescribeListeners", &json!({}));
        answer["Listeners"][0].clone()
    }

    /// Targets with their weights.
    pub(crate) fn targets(&self) -> Vec<(String, u64)> {
        let bound = self.world.bound().into_iter();
        bound
            .map(|((_, address), (weight, _))| (address, weight))
            .collect()
    }

    /// What of the declaration is not so on the CLB.
    pub(crate) fn unchanged(&self) -> Vec<String> {
        let view = self.world.view();
        let told = view.unchanged.get(&Protocol::Tcp.at(80));
        told.cloned().unwrap_or_default()
    }
}
