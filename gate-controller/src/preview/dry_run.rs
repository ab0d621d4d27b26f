//! `clb-gate controller --dry-run`: the controller's watches and judgement for as long as it runs, but
//! no lease, and nothing written to Kubernetes or to the CLB.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use direct_access::ownership::ClusterId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use runtime::admin::{self, Admin};
use runtime::{Readiness, ReadyHandle, Supervisor};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Kubernetes, LookError, Preview, Scope, Sighting, World, get_only, preview};
use crate::cloud::{Cloud, TkeConfig};
use crate::cluster::Cluster;
use crate::metrics::Metrics;
use crate::start::{self, Config, StartError};

/// Changes that come this close together are looked at once: a plan is for people.
const GATHER: Duration = Duration::from_secs(1);
/// How often the CLB is read again: as often as the controller does.
const REREAD: Duration = Duration::from_secs(30);
/// How soon again after a look that failed.
const AGAIN: Duration = Duration::from_secs(15);

/// Runs until it is told to stop, and shows every plan that is another than the one before.
pub async fn run(
    client: kube::Client,
    config: Config,
    show: impl FnMut(&Preview) + Send + Sync + 'static,
) -> Result<(), StartError> {
    let client = get_only(client);
    let supervisor = Supervisor::new();
    supervisor
        .listen_for_signals()
        .map_err(StartError::Signals)?;
    let readiness = Readiness::new();
    let planned = readiness.handle("plan");
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let gauges = Gauges::register(&mut registry);
    let cloud = Cloud::reading(config.sources.clone(), metrics.observer());
    let locating = cloud.clone();
    supervisor.spawn_support("locate", async move {
        locating.locate().await;
        Ok(())
    });
    let cluster = Arc::new(Cluster::default());
    let watcher = Watcher {
        cluster_id: start::cluster_id(&client).await?,
        kubernetes: Kubernetes::new(client.clone(), &config.namespace),
        cluster: Arc::clone(&cluster),
        cloud: cloud.clone(),
        gauges,
        planned,
        show,
    };
    let caches = (&cluster, &cloud, &readiness);
    let _failure_policy = start::fill(&supervisor, &client, &config.namespace, caches).await;
    let admin = Admin {
        listen: config.admin,
        readiness: readiness.clone(),
        metrics: Arc::new(registry),
        extra: axum::Router::new(),
    };
    admin::spawn(&supervisor, admin).await?;
    let draining = supervisor.draining();
    supervisor.spawn("dry-run", async move {
        watcher.run(&readiness, draining).await;
        Ok(())
    });
    Ok(supervisor.run(start::DRAIN_GRACE).await?)
}

struct Watcher<S> {
    cluster_id: ClusterId,
    kubernetes: Kubernetes,
    cluster: Arc<Cluster>,
    cloud: Cloud,
    gauges: Gauges,
    planned: ReadyHandle,
    show: S,
}

/// What was read of the CLB, and when.
struct Reading {
    sighting: Sighting,
    world_ids: std::collections::BTreeSet<String>,
    until: Instant,
}

impl<S: FnMut(&Preview) + Send + Sync> Watcher<S> {
    async fn run(mut self, readiness: &Readiness, draining: CancellationToken) {
        let work = async {
            self.synced(readiness).await;
            self.watch().await;
        };
        draining.run_until_cancelled(work).await;
    }

    /// All parts but the plan itself.
    async fn synced(&self, readiness: &Readiness) {
        let others = |readiness: &Readiness| {
            readiness
                .missing()
                .into_iter()
                .any(|part| part.name != "plan")
        };
        while others(readiness) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn watch(&mut self) {
        let mut changes = self.cluster.changes();
        let mut reading = None;
        let mut shown = None;
        let mut problem = None;
        loop {
            changes.mark_unchanged();
            let pause = match self.plan(&mut reading).await {
                Ok((plan, pause)) => {
                    problem = None;
                    self.planned.ready();
                    self.tell(plan, &mut shown);
                    pause
                }
                Err(error) => {
                    let told = error.to_string();
                    self.planned.not_ready(told.clone());
                    if problem.as_ref() != Some(&told) {
                        tracing::warn!(problem = told, "no plan");
                        problem = Some(told);
                    }
                    AGAIN
                }
            };
            tokio::select! {
                _ = changes.changed() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The plan of now, and until when it holds if the cluster does not change.
    async fn plan(&self, reading: &mut Option<Reading>) -> Result<(Preview, Duration), LookError> {
        let scope = Scope::default();
        let world = self.world().await?;
        let ids = scope.load_balancers(&world);
        let holds = reading
            .take()
            .filter(|known| known.until > Instant::now() && known.world_ids == ids);
        let known = match holds {
            Some(known) => known,
            None => Reading {
                sighting: Sighting::take(&self.cloud, &world, &scope).await?,
                world_ids: ids,
                until: Instant::now() + REREAD,
            },
        };
        let plan = preview(&world, &known.sighting, &scope);
        let pause = known.until - Instant::now();
        *reading = Some(known);
        Ok((plan, pause))
    }

    async fn world(&self) -> Result<World, LookError> {
        let ledger = self.kubernetes.ledger().await?;
        let cluster = &self.cluster;
        let (mut services, settings): (Vec<_>, _) =
            cluster.with_services(|all, settings| (all.cloned().collect(), settings.clone()));
        // The same cluster gives the same plan, whatever the cache's order.
        services.sort_by_key(direct_access::ServiceFacts::object);
        let pods = cluster.with_pods(|pods| pods.values().flatten().copied().cloned().collect());
        Ok(World {
            cluster: self.cluster_id.clone(),
            services,
            ingresses: cluster.ingresses(),
            pods,
            settings,
            // They were told when they were read.
            settings_problems: vec![],
            ledger,
            tke: TkeConfig::default(),
            notes: vec![],
        })
    }

    fn tell(&mut self, plan: Preview, shown: &mut Option<Preview>) {
        if shown.as_ref() == Some(&plan) {
            return;
        }
        tracing::info!(summary = %plan.summary, "plan");
        self.gauges.set(&plan);
        (self.show)(&plan);
        *shown = Some(plan);
    }
}

/// What is planned, for whoever watches a dry run from afar.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    changes: Family<ActionLabel, Gauge>,
    held: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    action: String,
}

impl Gauges {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let gauges = Self {
            changes: Family::default(),
            held: Gauge::default(),
        };
        let changes = "Changes that the controller would make, by action";
        registry.register("clb_gate_planned_changes", changes, gauges.changes.clone());
        let held = "What waits for a person: held, or to mend";
        registry.register("clb_gate_planned_held", held, gauges.held.clone());
        gauges
    }

    pub(crate) fn set(&self, plan: &Preview) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let counted: BTreeMap<_, _> = plan.summary.changes.iter().collect();
        self.changes.clear();
        for (action, number) in counted {
            let label = ActionLabel {
                action: action.to_string(),
            };
            self.changes.get_or_create(&label).set(count(*number));
        }
        self.held
            .set(count(plan.summary.held + plan.summary.problems));
    }
}
