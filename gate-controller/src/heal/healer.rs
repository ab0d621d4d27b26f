//! The loop of the leader: look, decide, write, wait.

use std::{pin::Pin, time::Duration};

use certs::{issue, plan::Step};
use futures::{FutureExt, Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::{CallError, clock, events::News};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    HealContext,
    budget::{Allowance, Budget},
    cluster::{Cluster, Outcome},
    decide::decide,
    facts::{Seen, Wanted},
    registration::{self, Heal, Hold},
    secrets::change_for,
};

/// A look without any cause: catches renewals by the wall clock, which also notices that a machine was
/// suspended, and whatever a watch missed.
const TICK: Duration = Duration::from_secs(30);
/// Between looks that changes cause: a storm of them costs at most ten looks a second.
const BREATH: Duration = Duration::from_millis(100);
/// Between a bundle's publication and a leaf that needs it. API servers watch the registration, so they
/// know within milliseconds; they acknowledge nothing that could be waited for.
const SETTLE: Duration = Duration::from_millis(500);
/// After a failed call; doubled with every further one, up to [`TICK`].
const RETRY: Duration = Duration::from_millis(500);
/// How the budget, the log and the metrics call it.
const REGISTRATION: &str = "registration";

pub(super) struct Healer {
    cluster: Cluster,
    context: HealContext,
    budget: Budget,
    /// Before this no leaf is issued: a bundle was just published.
    settled_at: Instant,
    failures: u32,
    /// Of the last turn, so that only changes are logged.
    held: Option<Hold>,
    backing_off: bool,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Next {
    /// At once, to see whether what was written holds.
    Again,
    /// When something changes, at the latest then.
    By(Instant),
}

/// Why a turn failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Issue(#[from] issue::Error),
}

impl Healer {
    pub(super) fn new(context: HealContext) -> Self {
        Self {
            cluster: Cluster::new(context.client.clone(), &context.namespace),
            context,
            budget: Budget::default(),
            settled_at: Instant::now(),
            failures: 0,
            held: None,
            backing_off: false,
        }
    }

    /// Never ends by itself. A new leader does not know when its predecessor published, and settles too.
    pub(super) async fn lead(&mut self) {
        self.settled_at = Instant::now() + SETTLE;
        let policy = self.context.failure_policy.clone();
        let policy = stream::unfold(policy, |mut policy| async {
            policy.changed().await.ok().map(|()| ((), policy))
        });
        let mut changes = stream::select(self.cluster.changes(), policy).boxed();
        loop {
            match self.turn().await {
                Next::Again => {}
                Next::By(at) => wait(at, changes.as_mut()).await,
            }
        }
    }

    /// One look, one decision, and what it calls for.
    pub(super) async fn turn(&mut self) -> Next {
        // Four requests at a time make a large future.
        let result = match Box::pin(self.cluster.look()).await {
            Ok(seen) => self.act(&seen).await,
            Err(error) => Err(error.into()),
        };
        self.note(result)
    }

    /// Registration and Secrets do not wait for each other: what the plan asks for is safe whether or
    /// not the registration could be written just now.
    async fn act(&mut self, seen: &Seen) -> Result<Next, Error> {
        let wanted = Wanted {
            namespace: self.context.namespace.clone(),
            service_name: self.context.service_name.clone(),
            failure_policy: *self.context.failure_policy.borrow(),
        };
        let decision = decide(seen, &wanted, clock::now());
        let settled = matches!(decision.certificates, Some(Step::Keep { .. }));
        let healthy = settled && decision.registration == Heal::Keep;
        self.context.metrics.looked(healthy);
        let registration = self.heal_registration(decision.registration).await;
        let certificates = match &decision.certificates {
            Some(step) => self.take(step, seen, &wanted).await,
            None => Ok(tick()),
        };
        Ok(registration?.min(certificates?))
    }

    async fn heal_registration(&mut self, heal: Heal) -> Result<Next, Error> {
        self.note_hold(&heal);
        let (object, differences) = match heal {
            Heal::Keep | Heal::Hold(_) => return Ok(tick()),
            Heal::Delete {
                resource_version,
                uid,
            } => {
                self.cluster
                    .delete_registration(resource_version, uid)
                    .await?;
                self.wrote(REGISTRATION);
                tracing::info!("deleted the registration: the namespace is being deleted");
                return Ok(Next::Again);
            }
            Heal::Create(object) => (object, vec!["it was missing".to_owned()]),
            Heal::Replace {
                object,
                differences,
            } => (object, differences),
        };
        if let Some(until) = self.over_budget(REGISTRATION) {
            return Ok(Next::By(until));
        }
        self.cluster.write_registration(&object).await?;
        if differences.iter().any(|field| field.ends_with("caBundle")) {
            self.settled_at = Instant::now() + SETTLE;
        }
        self.wrote(REGISTRATION);
        let differences = differences.join(", ");
        tracing::info!(
            registration = registration::NAME,
            differences,
            "repaired the registration"
        );
        Ok(Next::Again)
    }

    async fn take(&mut self, step: &Step, seen: &Seen, wanted: &Wanted) -> Result<Next, Error> {
        if let Step::Keep { until, .. } = step {
            self.context.metrics.due(until.as_second());
        }
        let trust_is_fresh = seen.registration.is_some() && Instant::now() < self.settled_at;
        if trust_is_fresh && matches!(step, Step::IssueLeaf { .. }) {
            return Ok(Next::By(self.settled_at));
        }
        let Some(change) = change_for(step, seen, wanted, clock::now())? else {
            return Ok(tick());
        };
        if let Some(until) = self.over_budget(change.name) {
            return Ok(Next::By(until));
        }
        let outcome = self.cluster.write_secret(&change.secret).await?;
        self.wrote(change.name);
        if outcome == Outcome::Written {
            tracing::info!(secret = change.name, why = change.why, "wrote the Secret");
        }
        Ok(Next::Again)
    }

    fn wrote(&mut self, object: &'static str) {
        self.budget.spend(Instant::now());
        self.context.metrics.wrote(object);
    }

    /// When the next write may go out, if not now.
    fn over_budget(&mut self, object: &'static str) -> Option<Instant> {
        let now = Instant::now();
        let Allowance::BackOff { until } = self.budget.allowance(now) else {
            self.backing_off &= !self.budget.is_calm();
            return None;
        };
        if !self.backing_off {
            self.backing_off = true;
            let note = format!(
                "somebody keeps undoing repairs (now of {object}); look for another controller or \
                 policy that writes it, repairs go on at a slower pace"
            );
            tracing::warn!(object, "{note}");
            let news = News::warning("RepairsUndone", "Repair", note);
            self.context.recorder.publish(regarding(), news);
        }
        Some(until)
    }

    fn note_hold(&mut self, heal: &Heal) {
        let hold = match heal {
            Heal::Hold(hold) => Some(*hold),
            Heal::Keep | Heal::Create(_) | Heal::Replace { .. } | Heal::Delete { .. } => None,
        };
        if let Some(reason) = hold.filter(|_| hold != self.held) {
            tracing::info!(%reason, "self-heal holds");
        }
        self.held = hold;
    }

    fn note(&mut self, result: Result<Next, Error>) -> Next {
        match result {
            Ok(next) => {
                if self.failures > 0 {
                    tracing::info!("self-heal works again");
                }
                self.failures = 0;
                next
            }
            // Somebody wrote between our look and our write: look again.
            Err(Error::Call(error)) if error.is_conflict() => {
                tracing::debug!(%error, "somebody wrote first");
                Next::By(Instant::now() + BREATH)
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(%error, "self-heal is failing, retrying with back-off");
                }
                self.failures = self.failures.saturating_add(1);
                let pause = RETRY.saturating_mul(1 << self.failures.min(6));
                Next::By(Instant::now() + pause.min(TICK))
            }
        }
    }
}

fn tick() -> Next {
    Next::By(Instant::now() + TICK)
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

fn regarding() -> ObjectReference {
    ObjectReference {
        api_version: Some("admissionregistration.k8s.io/v1".to_owned()),
        kind: Some("MutatingWebhookConfiguration".to_owned()),
        name: Some(registration::NAME.to_owned()),
        ..ObjectReference::default()
    }
}
