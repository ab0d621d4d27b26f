//! Puts the controller together: caches first, then the election, then what only the leader does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use direct_access::network::NodeFacts;
use direct_access::ownership::ClusterId;
use direct_access::settings::FailurePolicy;
use direct_access::{IngressFacts, ServiceFacts, Settings, names};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client, Resource};
use prometheus_client::registry::Registry;
use runtime::admin::{self, Admin};
use runtime::events::Reporter;
use runtime::lease::{self, LeaseConfig};
use runtime::version;
use runtime::{CallError, Change, Readiness, ReadyHandle, Recorder, Supervisor, Watch, watch};
use tokio::sync::{Notify, watch as channel};

use crate::cloud::{Cloud, Sources, TkeConfig, tke_config};
use crate::cluster::Cluster;
use crate::director::Director;
use crate::engine::Shared;
use crate::fresh::Fresh;
use crate::gates::Gates;
use crate::ledger::Ledger;
use crate::lifecycle::Lifecycle;
use crate::metrics::{self, Metrics};
use crate::pod::PodRecord;
use crate::view::Views;
use crate::{canary, configs, heal, health, ingress_status, secrets};

/// What a controller process is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The namespace clb-gate is installed in.
    pub namespace: String,
    /// Who we are in the election and in Events: unique to the process.
    pub identity: String,
    /// Where probes and metrics are served.
    pub admin: SocketAddr,
    /// Where credentials and the like come from.
    pub sources: Sources,
}

/// How long tasks may take to end what they do: one CLB call and its read-back.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(20);

/// Why the controller did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A call to the API server failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The admin port.
    #[error(transparent)]
    Admin(#[from] admin::AdminError),
    /// Signals cannot be received.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// kube-system has no UID.
    #[error("Namespace kube-system has no metadata.uid, which is the cluster's identity")]
    NoClusterId,
    /// A task of the process ended when it should not.
    #[error(transparent)]
    Failure(#[from] runtime::supervise::Failure),
}

/// Runs the controller until it is told to stop.
pub async fn run(client: Client, config: Config) -> Result<(), StartError> {
    let supervisor = Supervisor::new();
    supervisor
        .listen_for_signals()
        .map_err(StartError::Signals)?;
    let readiness = Readiness::new();
    let version_known = readiness.handle("kubernetes-version");
    version::spawn_check(&supervisor, client.clone(), version_known);
    let mut registry = Registry::default();
    let leader =
        Leader::prepare(&supervisor, &readiness, (&client, &config), &mut registry).await?;
    let admin = Admin {
        listen: config.admin,
        readiness: readiness.clone(),
        metrics: Arc::new(registry),
        extra: axum::Router::new(),
    };
    admin::spawn(&supervisor, admin).await?;
    // Nobody acts on an unsynced cache: the election begins when all have been filled once.
    let draining = supervisor.draining();
    if draining
        .run_until_cancelled(synced(&readiness))
        .await
        .is_some()
    {
        leader.run(&supervisor, client, config);
    }
    Ok(supervisor.run(DRAIN_GRACE).await?)
}

/// What is ready before the election and used after it.
struct Leader {
    cluster_id: ClusterId,
    cluster: Arc<Cluster>,
    cloud: Cloud,
    recorder: Recorder,
    metrics: Metrics,
    heal_metrics: heal::HealMetrics,
    canary_metrics: canary::CanaryMetrics,
    canary_ready: ReadyHandle,
    failure_policy: channel::Receiver<FailurePolicy>,
}

impl Leader {
    async fn prepare(
        supervisor: &Supervisor,
        readiness: &Readiness,
        (client, config): (&Client, &Config),
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        runtime::build::register(registry);
        let metrics = Metrics::register(registry);
        let cluster = Arc::new(Cluster::default());
        let cloud = Cloud::new(config.sources.clone(), metrics.observer());
        let locating = cloud.clone();
        supervisor.spawn_support("locate", async move {
            locating.locate().await;
            Ok(())
        });
        // Whatever the canary sees, what the controller does goes on.
        let canary_ready = readiness.handle("canary");
        canary_ready.ready();
        let caches = (&cluster, &cloud, readiness);
        Ok(Self {
            heal_metrics: heal::HealMetrics::register(registry),
            canary_metrics: canary::CanaryMetrics::register(registry),
            canary_ready,
            recorder: recorder(supervisor, client, config, registry),
            cluster_id: cluster_id(client).await?,
            failure_policy: fill(supervisor, client, &config.namespace, caches).await,
            cluster,
            cloud,
            metrics,
        })
    }

    /// Stands for election and does what only the leader does.
    fn run(self, supervisor: &Supervisor, client: Client, config: Config) {
        let elect = LeaseConfig::new(&config.namespace, names::LEASE, &config.identity);
        let leadership = lease::spawn(supervisor, client.clone(), elect);
        let shared = Shared {
            fresh: Fresh::new(client.clone(), Arc::clone(&self.cluster)),
            ledger: Ledger::new(client.clone(), &config.namespace),
            kube: client.clone(),
            cluster_id: self.cluster_id,
            cluster: self.cluster,
            cloud: self.cloud,
            views: Views::default(),
            seen: Arc::new(Notify::new()),
            recorder: self.recorder.clone(),
            metrics: self.metrics,
            leadership: leadership.clone(),
        };
        let leads = metrics::follow(
            shared.metrics.clone(),
            leadership.clone(),
            supervisor.draining(),
        );
        supervisor.spawn("leader-metric", async move {
            leads.await;
            Ok(())
        });
        leader_tasks(supervisor, shared);
        let canary = canary::CanaryContext {
            client: client.clone(),
            recorder: self.recorder.clone(),
            metrics: self.canary_metrics,
            ready: self.canary_ready,
        };
        let canary = canary::run(canary, leadership.clone(), supervisor.draining());
        supervisor.spawn("canary", canary);
        let service = names::WEBHOOK_SERVICE;
        let sight = heal::Handshakes::new(client.clone(), &config.namespace, service);
        let heal = heal::HealContext {
            client,
            namespace: config.namespace,
            service_name: service.to_owned(),
            sight: Arc::new(sight),
            failure_policy: self.failure_policy,
            recorder: self.recorder,
            metrics: self.heal_metrics,
        };
        let draining = supervisor.draining();
        supervisor.spawn("self-heal", heal::run(heal, leadership, draining));
    }
}

fn recorder(
    supervisor: &Supervisor,
    client: &Client,
    config: &Config,
    registry: &mut Registry,
) -> Recorder {
    let reporter = Reporter {
        controller: names::FIELD_MANAGER,
        instance: config.identity.clone(),
    };
    Recorder::spawn(supervisor, client.clone(), reporter, registry)
}

pub(crate) async fn cluster_id(client: &Client) -> Result<ClusterId, StartError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let attempt = "get Namespace kube-system";
    let found = runtime::call(
        runtime::client::CALL_DEADLINE,
        attempt,
        api.get("kube-system"),
    )
    .await?;
    found
        .meta()
        .uid
        .clone()
        .map(ClusterId::new)
        .ok_or(StartError::NoClusterId)
}

pub(crate) async fn synced(readiness: &Readiness) {
    while !readiness.is_ready() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Starts the watches that fill the caches.
pub(crate) async fn fill(
    supervisor: &Supervisor,
    client: &Client,
    namespace: &str,
    (cluster, cloud, readiness): (&Arc<Cluster>, &Cloud, &Readiness),
) -> channel::Receiver<FailurePolicy> {
    let (policy_in, policy) = channel::channel(FailurePolicy::default());
    let services = Arc::clone(cluster);
    watch::spawn(
        supervisor,
        Watch::<Service>::all("services", client.clone()),
        ServiceFacts::prune,
        move |change| services.on_service(change),
        readiness.handle("services"),
    );
    let ingresses = Arc::clone(cluster);
    watch::spawn(
        supervisor,
        Watch::<Ingress>::all("ingresses", client.clone()),
        IngressFacts::prune,
        move |change| ingresses.on_ingress(change),
        readiness.handle("ingresses"),
    );
    let pods = Arc::clone(cluster);
    watch::spawn(
        supervisor,
        Watch::<Pod>::all("pods", client.clone()),
        PodRecord::prune,
        move |change| pods.on_pod(change),
        readiness.handle("pods"),
    );
    fill_network(supervisor, client, cluster, readiness);
    configs::follow(supervisor, client, cluster, readiness);
    let tke = tke_config(client).await;
    let (cluster, cloud) = (Arc::clone(cluster), cloud.clone());
    watch::spawn(
        supervisor,
        Watch::<ConfigMap>::namespaced("settings", client.clone(), namespace)
            .named(names::SETTINGS),
        |map| map.data.unwrap_or_default(),
        move |change| {
            let settings = take_in(change, &cluster, &cloud, &tke);
            policy_in.send_if_modified(|known| {
                std::mem::replace(known, settings.failure_policy) != settings.failure_policy
            });
        },
        readiness.handle("settings"),
    );
    policy
}

/// What the network mode is concluded from.
fn fill_network(
    supervisor: &Supervisor,
    client: &Client,
    cluster: &Arc<Cluster>,
    readiness: &Readiness,
) {
    let switches = Arc::clone(cluster);
    watch::spawn(
        supervisor,
        Watch::<ConfigMap>::namespaced("tke", client.clone(), names::KUBE_SYSTEM)
            .named(names::TKE_SERVICE_CONTROLLER),
        |map| map.data.unwrap_or_default(),
        move |change: Change<BTreeMap<_, _>>| switches.on_tke(change.only()),
        readiness.handle("tke"),
    );
    let nodes = Arc::clone(cluster);
    watch::spawn(
        supervisor,
        Watch::<Node>::all("nodes", client.clone()),
        NodeFacts::prune,
        move |change| nodes.on_node(change),
        readiness.handle("nodes"),
    );
}

fn take_in(
    change: Change<BTreeMap<String, String>>,
    cluster: &Cluster,
    cloud: &Cloud,
    tke: &TkeConfig,
) -> Settings {
    let data = change.only().unwrap_or_default();
    let (settings, problems) = Settings::parse(&data);
    for problem in problems {
        tracing::warn!(%problem, "a setting keeps its default");
    }
    cloud.rebuild(&settings, tke);
    cluster.on_settings(settings.clone());
    settings
}

fn leader_tasks(supervisor: &Supervisor, shared: Shared) {
    let (exposures_in, exposures) = channel::channel(Arc::default());
    let (waiting_in, waiting) = channel::channel(health::Waiting::new());
    let draining = supervisor.draining();
    let director = Director {
        shared: shared.clone(),
        exposures: exposures_in,
    };
    supervisor.spawn("director", director.run(draining.clone()));
    let lifecycle = Lifecycle {
        shared: shared.clone(),
    };
    let lifecycle_draining = draining.clone();
    supervisor.spawn("lifecycle", async move {
        lifecycle.run(lifecycle_draining).await;
        Ok(())
    });
    let (secrets_shared, secrets_draining) = (shared.clone(), draining.clone());
    supervisor.spawn("certificate-ids", async move {
        secrets::run(secrets_shared, secrets_draining).await;
        Ok(())
    });
    let (status_shared, status_draining) = (shared.clone(), draining.clone());
    supervisor.spawn("ingress-status", async move {
        ingress_status::run(status_shared, status_draining).await;
        Ok(())
    });
    let gates = Gates {
        seen: Arc::clone(&shared.seen),
        shared: shared.clone(),
        exposures,
        waiting: waiting_in,
    };
    let (gates_draining, health_draining) = (draining.clone(), draining);
    supervisor.spawn("gates", async move {
        gates.run(gates_draining).await;
        Ok(())
    });
    supervisor.spawn("health", async move {
        health::run(shared, waiting, health_draining).await;
        Ok(())
    });
}
