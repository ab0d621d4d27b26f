//! The loop: a turn, then a rest until something happens. Looks at the replicas go on beside it, so that
//! a replica that does not answer never delays a repair.

use std::{pin::Pin, sync::Arc, time::Duration};

use certs::{issue, plan::Replica};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use runtime::CallError;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    HealContext, Phase, Unhealable, budget::Budget, cluster::Cluster, registration::Hold,
    rotation::Rotation, settling::Settling,
};

/// A look without any cause: catches renewals by the wall clock, which also notices that a machine was
/// suspended, and whatever a watch missed.
pub(super) const TICK: Duration = Duration::from_secs(30);
/// Between looks that changes cause: a storm of them costs at most ten looks a second.
const BREATH: Duration = Duration::from_millis(100);
/// After a failed call; doubled with every further one, up to [`TICK`].
const RETRY: Duration = Duration::from_millis(500);

/// A look at the replicas that is under way.
type Looking = BoxFuture<'static, Result<Vec<Replica>, CallError>>;

pub(super) struct Healer {
    pub(super) cluster: Cluster,
    pub(super) context: HealContext,
    pub(super) budget: Budget,
    pub(super) settling: Settling,
    pub(super) rotation: Rotation,
    /// Who follows what is done.
    follower: Box<dyn FnMut(&Phase) + Send>,
    looking: Option<Looking>,
    /// What the last look at the replicas found: for one turn only, then it is old.
    pub(super) serving: Option<Vec<Replica>>,
    /// When the replicas are looked at although nothing depends on it.
    report_due: Instant,
    failures: u32,
    /// Of the last turn, so that only changes are logged.
    pub(super) held: Option<Hold>,
    pub(super) backing_off: bool,
    phase: Option<Phase>,
}

/// What to do after a turn, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Next {
    /// Turn at once, to see whether what was written holds.
    Again,
    /// Ask the replicas, then turn.
    Look,
    /// Turn when something changes, at the latest then.
    By(Instant),
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turned {
    pub(super) next: Next,
    /// All is as it should be.
    pub(super) settled: bool,
}

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Issue(#[from] issue::Error),
    #[error("the namespace is being deleted")]
    Terminating,
}

impl Healer {
    pub(super) fn new(context: HealContext, follower: impl FnMut(&Phase) + Send + 'static) -> Self {
        Self {
            cluster: Cluster::new(context.client.clone(), &context.namespace),
            context,
            budget: Budget::default(),
            settling: Settling::default(),
            rotation: Rotation::default(),
            follower: Box::new(follower),
            looking: None,
            serving: None,
            report_due: Instant::now(),
            failures: 0,
            held: None,
            backing_off: false,
            phase: None,
        }
    }

    /// Never ends by itself.
    pub(super) async fn lead(&mut self) {
        self.begin();
        let mut changes = self.changes();
        loop {
            let next = self.turn().await;
            self.rest(next, changes.as_mut()).await;
        }
    }

    /// Ends once all is as it should be, or with what will not get better by waiting.
    pub(super) async fn until_settled(&mut self) -> Result<(), Unhealable> {
        self.begin();
        let mut changes = self.changes();
        loop {
            let next = match Box::pin(self.look_and_act()).await {
                Ok(turned) if turned.settled => return Ok(()),
                Err(Error::Terminating) => return Err(Unhealable::Terminating),
                Err(Error::Issue(error)) => return Err(error.into()),
                Err(Error::Call(error)) if !error.is_conflict() && !error.is_transient() => {
                    return Err(error.into());
                }
                result => self.note(result),
            };
            self.rest(next, changes.as_mut()).await;
        }
    }

    /// One look, one decision, and what it calls for.
    pub(super) async fn turn(&mut self) -> Next {
        // Four requests at a time make a large future.
        let result = Box::pin(self.look_and_act()).await;
        self.note(result)
    }

    /// Tells what is done, once.
    pub(super) fn tell(&mut self, phase: Phase) {
        if !self.phase.as_ref().is_some_and(|last| last.covers(&phase)) {
            (self.follower)(&phase);
            self.phase = Some(phase);
        }
    }

    /// A look that began before a write does not show what came of it.
    pub(super) fn forget_looks(&mut self) {
        (self.looking, self.serving) = (None, None);
    }

    /// Whatever was known is old, or somebody else's.
    fn begin(&mut self) {
        self.settling = Settling::default();
        self.rotation = Rotation::default();
        self.forget_looks();
        self.phase = None;
        self.report_due = Instant::now();
    }

    /// What gives cause to look.
    fn changes(&self) -> Pin<Box<dyn Stream<Item = ()> + Send>> {
        let policy = self.context.failure_policy.clone();
        let policy = stream::unfold(policy, |mut policy| async {
            policy.changed().await.ok().map(|()| ((), policy))
        });
        stream::select(self.cluster.changes(), policy).boxed()
    }

    async fn rest(&mut self, next: Next, changes: Pin<&mut (impl Stream<Item = ()> + ?Sized)>) {
        let at = match next {
            Next::Again => return,
            Next::Look => Instant::now() + TICK,
            Next::By(at) => at,
        };
        if next == Next::Look || self.report_due <= Instant::now() {
            self.start_to_look();
        }
        tokio::select! {
            seen = under_way(&mut self.looking) => self.saw(seen),
            () = wait(at, changes) => {}
        }
    }

    fn start_to_look(&mut self) {
        self.report_due = Instant::now() + TICK;
        let sight = Arc::clone(&self.context.sight);
        let look = || async move { sight.look().await }.boxed();
        self.looking.get_or_insert_with(look);
    }

    /// Takes in what the replicas presented.
    pub(super) fn saw(&mut self, seen: Result<Vec<Replica>, CallError>) {
        self.looking = None;
        self.rotation.looked(seen.as_ref().err(), Instant::now());
        self.serving = seen.ok();
    }

    fn note(&mut self, result: Result<Turned, Error>) -> Next {
        match result {
            Ok(turned) => {
                if self.failures > 0 {
                    tracing::info!("self-heal works again");
                }
                self.failures = 0;
                turned.next
            }
            Err(Error::Terminating) => Next::By(Instant::now() + TICK),
            // Somebody wrote between our look and our write: look again.
            Err(Error::Call(error)) if error.is_conflict() => {
                tracing::debug!(%error, "somebody wrote first");
                Next::By(Instant::now() + BREATH)
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(%error, "self-heal is failing, retrying with back-off");
                }
                self.tell(Phase::Failing(error.to_string()));
                self.failures = self.failures.saturating_add(1);
                let pause = RETRY.saturating_mul(1 << self.failures.min(6));
                Next::By(Instant::now() + pause.min(TICK))
            }
        }
    }
}

/// Waits for a look that is under way.
async fn under_way(looking: &mut Option<Looking>) -> Result<Vec<Replica>, CallError> {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

/// Waits for a change, at the latest until `at`. Changes that come in a row count as one.
async fn wait(at: Instant, mut changes: Pin<&mut (impl Stream<Item = ()> + ?Sized)>) {
    sleep(BREATH.min(at.saturating_duration_since(Instant::now()))).await;
    tokio::select! {
        () = sleep_until(at) => {}
        Some(()) = changes.next() => {}
    }
    while let Some(Some(())) = changes.next().now_or_never() {}
}
