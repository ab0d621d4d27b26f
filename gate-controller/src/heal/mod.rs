//! Self-heal: the leader keeps certificates and registration as they should be. Whatever happens to
//! them, and every half minute anyway, it takes one look at everything, decides, and writes the
//! difference until there is none. While nothing changes it writes nothing.

mod act;
mod budget;
mod cluster;
pub mod decide;
pub mod facts;
mod healer;
mod metrics;
mod phase;
pub mod registration;
mod rotation;
pub mod secrets;
mod settling;
pub mod sight;

use std::sync::Arc;

use certs::issue;
use direct_access::{names, settings::FailurePolicy};
use kube::Client;
use runtime::{BoxError, CallError, Leadership, Recorder};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use healer::Healer;
pub use metrics::HealMetrics;
pub use phase::Phase;
pub use sight::{Handshakes, Sight};

/// What self-heal needs.
pub struct HealContext {
    /// The cluster.
    pub client: Client,
    /// Our namespace.
    pub namespace: String,
    /// The webhook's Service.
    pub service_name: String,
    /// From the settings; a change is applied at once.
    pub failure_policy: watch::Receiver<FailurePolicy>,
    /// For Events on the registration.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: HealMetrics,
    /// Who finds out what the replicas present.
    pub sight: Arc<dyn Sight>,
}

impl HealContext {
    /// For a process that is not the controller: nothing is counted and no Event is written.
    pub fn outside(
        client: Client,
        namespace: &str,
        failure_policy: FailurePolicy,
        sight: Arc<dyn Sight>,
    ) -> Self {
        Self {
            client,
            namespace: namespace.to_owned(),
            service_name: names::WEBHOOK_SERVICE.to_owned(),
            failure_policy: watch::channel(failure_policy).1,
            recorder: Recorder::silent(),
            metrics: HealMetrics::default(),
            sight,
        }
    }
}

/// Why [`until_settled`] gave up: waiting would not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unhealable {
    /// The API server refuses something.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A certificate could not be made.
    #[error(transparent)]
    Issue(#[from] issue::Error),
    /// An uninstall is under way.
    #[error("the namespace is being deleted, so certificates and registration are not healed")]
    Terminating,
}

/// Heals whenever we lead, until `draining`. Trouble with the API server is waited out, never an error.
pub async fn run(
    context: HealContext,
    mut leadership: Leadership,
    draining: CancellationToken,
) -> Result<(), BoxError> {
    let mut healer = Healer::new(context, |phase| tracing::debug!(%phase, "self-heal"));
    while let Some(term) = draining.run_until_cancelled(leadership.gained()).await {
        tokio::select! {
            () = draining.cancelled() => break,
            () = leadership.lost(term.number) => {}
            () = healer.lead() => {}
        }
    }
    Ok(())
}

/// Heals until certificates and registration are as they should be and no renewal waits, and tells what
/// it does. The caller must lead, or know that nobody does. Dropping it at any moment is safe: whoever
/// comes next goes on.
pub async fn until_settled(
    context: HealContext,
    follower: impl FnMut(&Phase) + Send + 'static,
) -> Result<(), Unhealable> {
    Healer::new(context, follower).until_settled().await
}

#[cfg(test)]
mod tests;
