//! The CLB side: one writer a load balancer, and what they share.

mod act;
mod observe;
mod writer;

pub(crate) use writer::reference;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use direct_access::ownership::ClusterId;
use runtime::{Leadership, Recorder};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cloud::Cloud;
use crate::cluster::Cluster;
use crate::desired::Desired;
use crate::fresh::Fresh;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::view::Views;

/// What every writer works with.
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

/// One load balancer's inbox.
#[derive(Clone, Debug)]
pub struct Inbox {
    desired: Arc<ArcSwap<Desired>>,
    news: Arc<Notify>,
}

impl Inbox {
    /// Begins with what is desired now.
    pub fn new(desired: Desired) -> Self {
        Self {
            desired: Arc::new(ArcSwap::from_pointee(desired)),
            news: Arc::new(Notify::new()),
        }
    }

    /// Replaces what is desired.
    pub fn put(&self, desired: Desired) {
        self.desired.store(Arc::new(desired));
        self.news.notify_one();
    }
}

/// How often a load balancer is read again although nothing happened: somebody else may have changed it.
const REREAD: Duration = Duration::from_secs(30);

/// Keeps one load balancer as it should be, for as long as we lead and until `draining`.
pub async fn run(load_balancer: String, inbox: Inbox, shared: Shared, draining: CancellationToken) {
    let writer = writer::Writer::new(load_balancer, inbox, shared);
    draining.run_until_cancelled(writer.run()).await;
}
