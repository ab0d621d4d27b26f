//! Doing the controller's part from here while nobody leads: the same election, the same healer, and the
//! lease given back in the end.

use std::sync::Arc;
use std::time::Duration;

use direct_access::settings::FailurePolicy;
use kube::Client;
use parking_lot::Mutex;
use runtime::lease::spawn_having_seen;
use runtime::{BoxError, Leadership, Supervisor};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::leading::LeaseWatch;
use crate::heal::{self, HealContext, Phase, Sight, Unhealable};

/// For the lease's release; the healer may be dropped at any moment.
const GRACE: Duration = Duration::from_secs(10);
/// Between one time that all was well and the next look: whoever follows ends this long before.
const REST: Duration = Duration::from_secs(1);

/// A healer that runs here.
pub(super) struct StandIn {
    supervisor: Supervisor,
    leadership: Leadership,
    trouble: Arc<Mutex<Trouble>>,
}

/// What does not go well.
#[derive(Debug, Default)]
struct Trouble {
    /// And is tried again.
    passing: Option<String>,
    /// And will not get better.
    lasting: Option<Unhealable>,
}

/// What a healer works on.
#[derive(Clone)]
struct Ground {
    client: Client,
    namespace: String,
    // Nobody watches the settings here; a change of them is the next leader's.
    failure_policy: FailurePolicy,
    sight: Arc<dyn Sight>,
}

impl StandIn {
    /// Stands for election, and heals once elected.
    pub(super) fn start(
        client: &Client,
        lease: &LeaseWatch,
        failure_policy: FailurePolicy,
        sight: Arc<dyn Sight>,
    ) -> Self {
        let supervisor = Supervisor::new();
        let config = lease.config();
        let ground = Ground {
            client: client.clone(),
            namespace: config.namespace.clone(),
            failure_policy,
            sight,
        };
        let leadership = spawn_having_seen(&supervisor, client.clone(), config, lease.seen());
        let trouble = Arc::default();
        let healing = stand_in(
            ground,
            leadership.clone(),
            Arc::clone(&trouble),
            supervisor.draining(),
        );
        supervisor.spawn("self-heal", healing);
        Self {
            supervisor,
            leadership,
            trouble,
        }
    }

    /// Whether the lease is ours.
    pub(super) fn leads(&self) -> bool {
        self.leadership.leads()
    }

    /// What cannot be done from here, once.
    pub(super) fn failure(&self) -> Option<Unhealable> {
        self.trouble.lock().lasting.take()
    }

    /// What is being tried again.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().passing.clone()
    }

    /// Stops and releases the lease.
    pub(super) async fn end(self) {
        self.supervisor.drain();
        if let Err(failure) = self.supervisor.run(GRACE).await {
            tracing::warn!(%failure, "standing in did not end well");
        }
    }
}

async fn stand_in(
    ground: Ground,
    mut leadership: Leadership,
    trouble: Arc<Mutex<Trouble>>,
    draining: CancellationToken,
) -> Result<(), BoxError> {
    while let Some(term) = draining.run_until_cancelled(leadership.gained()).await {
        tokio::select! {
            () = draining.cancelled() => break,
            () = leadership.lost(term.number) => continue,
            healed = heal(&ground, &trouble) => trouble.lock().lasting = healed.err(),
        }
        if draining.run_until_cancelled(sleep(REST)).await.is_none() {
            break;
        }
    }
    Ok(())
}

async fn heal(ground: &Ground, trouble: &Arc<Mutex<Trouble>>) -> Result<(), Unhealable> {
    let ground = ground.clone();
    let context = HealContext::outside(
        ground.client,
        &ground.namespace,
        ground.failure_policy,
        ground.sight,
    );
    let trouble = Arc::clone(trouble);
    let listen = move |phase: &Phase| {
        trouble.lock().passing = match phase {
            Phase::Failing(error) => Some(error.clone()),
            Phase::Wrote { .. }
            | Phase::Settling { .. }
            | Phase::Looking
            | Phase::Awaiting(_)
            | Phase::HoldingFail(_)
            | Phase::Settled => None,
        };
    };
    heal::until_settled(context, listen).await
}
