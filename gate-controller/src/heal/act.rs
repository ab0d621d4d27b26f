//! One turn of the loop: everything is read, one decision is taken, and what it calls for is written.

use certs::plan::Step;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::{News, clock};
use tokio::time::Instant;

use super::{
    Phase,
    budget::Allowance,
    cluster::Outcome,
    decide::{Guard, decide, standings},
    facts::{Seen, Wanted},
    healer::{Error, Healer, Next, TICK, Turned},
    registration::{self, Heal, bundle_of},
    rotation::SLOWLY,
    secrets::change_for,
};

/// How the budget, the log and the metrics call it.
const REGISTRATION: &str = "registration";

impl Healer {
    /// What the replicas were seen to present counts for this turn only.
    pub(super) async fn look_and_act(&mut self) -> Result<Turned, Error> {
        let serving = self.serving.take();
        let seen = Seen {
            serving,
            ..self.cluster.look().await?
        };
        self.act(&seen).await
    }

    /// Registration and Secrets do not wait for each other: what the plan asks for is safe whether or
    /// not the registration could be written just now.
    async fn act(&mut self, seen: &Seen) -> Result<Turned, Error> {
        let wanted = self.wanted();
        let decision = decide(seen, &wanted, clock::now());
        let published = seen.registration.as_ref().map(bundle_of);
        self.settling.observe(published, Instant::now());
        let settled = decision.is_settled();
        self.report(seen, &wanted, settled);
        let registration = self.heal_registration(decision.registration).await;
        let guard = self.mind(decision.guard);
        let Some(step) = decision.certificates else {
            registration?;
            return Err(Error::Terminating);
        };
        let certificates = self.take(&step, seen, &wanted).await;
        if settled {
            self.tell(Phase::Settled);
        }
        let next = registration?.min(certificates?).min(guard);
        Ok(Turned { next, settled })
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            namespace: self.context.namespace.clone(),
            service_name: self.context.service_name.clone(),
            failure_policy: *self.context.failure_policy.borrow(),
        }
    }

    fn report(&self, seen: &Seen, wanted: &Wanted, settled: bool) {
        let metrics = &self.context.metrics;
        metrics.looked(settled);
        metrics.certificates(seen);
        if let Some(standings) = standings(seen, wanted, clock::now()) {
            metrics.replicas(&standings);
        }
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
                let why = "the namespace is being deleted; it is not needed any more";
                self.wrote(REGISTRATION, why.to_owned());
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
        self.wrote(REGISTRATION, differences.join(", "));
        Ok(Next::Again)
    }

    /// `failurePolicy: Fail` waits for a look at the replicas.
    fn mind(&mut self, guard: Guard) -> Next {
        match guard {
            Guard::Open => tick(),
            Guard::Unseen => self.look(),
            Guard::Held(why) => {
                self.rotation.hold_fail(&why, &self.context.recorder);
                self.tell(Phase::HoldingFail(why));
                Next::By(Instant::now() + SLOWLY)
            }
        }
    }

    async fn take(&mut self, step: &Step, seen: &Seen, wanted: &Wanted) -> Result<Next, Error> {
        self.context.metrics.step(step);
        let told = seen
            .registration
            .is_some()
            .then_some(&self.context.recorder);
        self.rotation.observe(step, told, Instant::now());
        match step {
            Step::Keep { until, .. } => {
                self.context.metrics.due(until.as_second());
                Ok(tick())
            }
            Step::PublishBundle { .. } => Ok(tick()),
            Step::Look { .. } => Ok(self.look()),
            Step::Await { awaited, .. } => {
                self.tell(Phase::Awaiting(awaited.clone()));
                Ok(Next::By(
                    Instant::now() + self.rotation.pause(Instant::now()),
                ))
            }
            Step::IssueLeaf { settle: true, .. }
                if self.settling.left(Instant::now()).is_some() =>
            {
                Ok(self.settle())
            }
            Step::CreateCa { .. }
            | Step::IssueLeaf { .. }
            | Step::RefreshLeafBundle { .. }
            | Step::ForgetCas { .. } => self.change(step, seen, wanted).await,
        }
    }

    fn settle(&mut self) -> Next {
        let left = self.settling.left(Instant::now()).unwrap_or_default();
        self.tell(Phase::Settling { left });
        Next::By(Instant::now() + left)
    }

    /// A look that failed is not repeated at once.
    fn look(&mut self) -> Next {
        if let Some((until, error)) = self.rotation.blind(Instant::now()) {
            self.tell(Phase::Failing(error));
            return Next::By(until);
        }
        self.tell(Phase::Looking);
        Next::Look
    }

    async fn change(&mut self, step: &Step, seen: &Seen, wanted: &Wanted) -> Result<Next, Error> {
        let Some(change) = change_for(step, seen, wanted, clock::now())? else {
            return Ok(tick());
        };
        if let Some(until) = self.over_budget(change.name) {
            return Ok(Next::By(until));
        }
        let outcome = self.cluster.write_secret(&change.secret).await?;
        let why = match outcome {
            Outcome::Written => change.why,
            Outcome::Deleted => "it could not be replaced, so it is made anew".to_owned(),
        };
        self.wrote(change.name, why);
        Ok(Next::Again)
    }

    fn wrote(&mut self, object: &'static str, why: String) {
        self.forget_looks();
        self.budget.spend(Instant::now());
        self.context.metrics.wrote(object);
        tracing::info!(object, why, "self-heal wrote");
        self.tell(Phase::Wrote { object, why });
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
}

pub(super) fn regarding() -> ObjectReference {
    ObjectReference {
        api_version: Some("admissionregistration.k8s.io/v1".to_owned()),
        kind: Some("MutatingWebhookConfiguration".to_owned()),
        name: Some(registration::NAME.to_owned()),
        ..ObjectReference::default()
    }
}

fn tick() -> Next {
    Next::By(Instant::now() + TICK)
}
