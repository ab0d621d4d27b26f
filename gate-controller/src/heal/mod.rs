//! Self-heal: the leader keeps certificates and registration as they should be. Whatever happens to
//! them, and every half minute anyway, it takes one look at everything, decides, and writes the
//! difference until there is none. While nothing changes it writes nothing.

mod budget;
mod cluster;
pub mod decide;
pub mod facts;
mod healer;
mod metrics;
pub mod registration;
pub mod secrets;

use direct_access::settings::FailurePolicy;
use kube::Client;
use runtime::{BoxError, Leadership, Recorder};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use healer::Healer;
pub use metrics::HealMetrics;

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
}

/// Heals whenever we lead, until `draining`. Trouble with the API server is waited out, never an error.
pub async fn run(
    context: HealContext,
    mut leadership: Leadership,
    draining: CancellationToken,
) -> Result<(), BoxError> {
    let mut healer = Healer::new(context);
    while let Some(term) = draining.run_until_cancelled(leadership.gained()).await {
        tokio::select! {
            () = draining.cancelled() => break,
            () = leadership.lost(term.number) => {}
            () = healer.lead() => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
