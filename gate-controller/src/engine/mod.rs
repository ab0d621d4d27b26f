//! The CLB side: one writer a load balancer, and what they share.

mod act;
mod call;
mod claims;
mod drains;
mod home;
mod memory;
pub(crate) mod observe;
mod prerequisites;
pub mod quotas;
mod refusals;
mod roster;
mod step;
mod succession;
mod tell;
mod trouble;
mod usable;
mod window;
mod writer;

pub use home::Home;
pub use quotas::Quotas;
pub use roster::Roster;
pub(crate) use tell::owners;
pub(crate) use usable::unusable;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use direct_access::ownership::ClusterId;
use direct_access::{ObjectRef, Owner};
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::{Leadership, Recorder};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;
use crate::cluster::Cluster;
use crate::desired::Desired;
use crate::fresh::Fresh;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::plan::ObservedListener;
use crate::view::Views;

/// What the leader's tasks share.
#[derive(Clone)]
pub struct Shared {
    /// The Kubernetes API.
    pub kube: kube::Client,
    /// Us.
    pub cluster_id: ClusterId,
    /// The caches.
    pub cluster: Arc<Cluster>,
    /// The CLB API.
    pub cloud: Cloud,
    /// Where what was seen is published.
    pub views: Views,
    /// Told when a view has changed.
    pub seen: Arc<Notify>,
    /// Events.
    pub recorder: Recorder,
    /// Metrics.
    pub metrics: Metrics,
    /// Whether we lead.
    pub leadership: Leadership,
    /// Reads the cluster past the caches.
    pub fresh: Fresh,
    /// Which load balancers were written to.
    pub ledger: Ledger,
}

/// What a load balancer's writer works with.
#[derive(Clone)]
pub struct Context {
    /// The Kubernetes side.
    pub home: Arc<dyn Home>,
    /// Us.
    pub cluster_id: ClusterId,
    /// The CLB API.
    pub cloud: Cloud,
    /// What the account's load balancers are.
    pub roster: Roster,
    /// The account's quotas.
    pub quotas: Quotas,
    /// Where what was seen is published.
    pub views: Views,
    /// Told when a view has changed.
    pub seen: Arc<Notify>,
    /// Metrics.
    pub metrics: Metrics,
    /// Whether we lead.
    pub leadership: Leadership,
}

impl Context {
    /// For writers that work for the cluster that `shared` knows.
    pub fn of(shared: &Shared) -> Self {
        Self {
            home: Arc::new(shared.clone()),
            cluster_id: shared.cluster_id.clone(),
            cloud: shared.cloud.clone(),
            roster: Roster::default(),
            quotas: Quotas::default(),
            views: shared.views.clone(),
            seen: Arc::clone(&shared.seen),
            metrics: shared.metrics.clone(),
            leadership: shared.leadership.clone(),
        }
    }
}

/// One load balancer's inbox.
#[derive(Clone, Debug)]
pub struct Inbox {
    letter: Arc<ArcSwap<Letter>>,
    news: Arc<Notify>,
}

/// What is desired, and since when the listeners have been so.
#[derive(Debug)]
struct Letter {
    desired: Arc<Desired>,
    changed: Instant,
}

impl Inbox {
    /// Begins with what is desired now.
    pub fn new(desired: Desired) -> Self {
        let letter = Letter {
            desired: Arc::new(desired),
            changed: Instant::now(),
        };
        Self {
            letter: Arc::new(ArcSwap::from_pointee(letter)),
            news: Arc::new(Notify::new()),
        }
    }

    /// Replaces what is desired; nothing happens where it is the same.
    pub fn put(&self, desired: &Desired) {
        let known = self.letter.load();
        if *known.desired == *desired {
            return;
        }
        let same_listeners = known.desired.listeners == desired.listeners;
        let changed = if same_listeners {
            known.changed
        } else {
            Instant::now()
        };
        self.letter.store(Arc::new(Letter {
            desired: Arc::new(desired.clone()),
            changed,
        }));
        self.news.notify_one();
    }

    fn desired(&self) -> Arc<Desired> {
        Arc::clone(&self.letter.load().desired)
    }

    fn changed(&self) -> Instant {
        self.letter.load().changed
    }

    async fn news(&self) {
        self.news.notified().await;
    }
}

/// How often a load balancer is read again although nothing happened: somebody else may have changed
/// it. Up to as long again is added, another time for each.
const REREAD: Duration = Duration::from_secs(30);

/// Keeps one load balancer as it should be, for as long as we lead and until `draining`.
pub async fn run(
    load_balancer: String,
    inbox: Inbox,
    context: Context,
    draining: CancellationToken,
) {
    let writer = writer::Writer::new(load_balancer, inbox, context);
    draining.run_until_cancelled(Box::pin(writer.run())).await;
}

/// Marks the targets that are ours by the record of their load balancer, although no tag tells.
pub(crate) fn recognise(record: &str, listeners: &mut [ObservedListener], us: &ClusterId) {
    claims::Claims::parse(record).recognise(listeners, us);
}

/// The object that an Event is about.
pub(crate) fn reference_to(owner: &Owner, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some(owner.kind.api_version().to_owned()),
        ..reference(owner.kind.as_str(), &owner.object, uid)
    }
}

/// What an Event is about.
pub(crate) fn reference(kind: &str, object: &ObjectRef, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace: Some(object.namespace.clone()),
        name: Some(object.name.clone()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}
