//! The Kubernetes side, as a load balancer's writer needs it.

use direct_access::ObjectRef;
use direct_access::settings::Manage;
use futures::future::BoxFuture;
use runtime::News;

use super::Shared;
use crate::desired::Desired;

/// What a writer asks of the cluster it works for.
pub trait Home: Send + Sync {
    /// What we may own.
    fn manage(&self) -> Manage;

    /// What a load balancer should hold, read past the caches; or why it could not be read.
    fn fresh<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, Result<Desired, String>>;

    /// Whether the pod of this UID was seen to be deleted, and is not merely absent from the caches.
    fn saw_end(&self, pod_uid: &str) -> bool;

    /// Puts a load balancer on record before it is written to, with what its writer wants to remember;
    /// or why that failed.
    fn record<'a>(
        &'a self,
        load_balancer: &'a str,
        note: String,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// What the record says of a load balancer; empty where it says nothing.
    fn recorded<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, Result<String, String>>;

    /// Nothing of ours is wanted or left on a load balancer.
    fn forget<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, ()>;

    /// Tells people who look at a pod.
    fn tell_pod(&self, pod: &ObjectRef, uid: &str, news: News);
}

impl Home for Shared {
    fn manage(&self) -> Manage {
        self.cluster.settings().manage
    }

    fn fresh<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, Result<Desired, String>> {
        Box::pin(async move {
            let read = self.fresh.desired(load_balancer).await;
            read.map_err(|error| error.to_string())
        })
    }

    fn saw_end(&self, pod_uid: &str) -> bool {
        self.cluster.saw_end(pod_uid)
    }

    fn record<'a>(
        &'a self,
        load_balancer: &'a str,
        note: String,
    ) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let written = self.ledger.ensure(load_balancer, note).await;
            written.map_err(|error| error.to_string())
        })
    }

    fn recorded<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move {
            let read = self.ledger.note(load_balancer).await;
            read.map_err(|error| error.to_string())
        })
    }

    fn forget<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(self.ledger.settled(load_balancer, true))
    }

    fn tell_pod(&self, pod: &ObjectRef, uid: &str, news: News) {
        self.recorder
            .publish(super::reference("Pod", pod, uid), news);
    }
}
