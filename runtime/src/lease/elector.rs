//! The boring executor of the election: look, ask [`next`] what to do, write, remember.

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, api::PostParams};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    LeaseConfig, Term,
    decision::{Record, Seen, Step, next, observe, record_of},
};
use crate::{
    client::{CallError, call},
    clock,
    supervise::BoxError,
};

pub(super) struct Elector {
    api: Api<Lease>,
    config: LeaseConfig,
    term: watch::Sender<Option<Term>>,
    seen: Option<Seen>,
    acquired: MicroTime,
    terms: u64,
    failing: bool,
}

impl Elector {
    pub(super) fn new(
        api: Api<Lease>,
        config: LeaseConfig,
        term: watch::Sender<Option<Term>>,
    ) -> Self {
        Self {
            api,
            config,
            term,
            seen: None,
            acquired: MicroTime(clock::now()),
            terms: 0,
            failing: false,
        }
    }

    pub(super) fn having_seen(mut self, seen: Option<Seen>) -> Self {
        self.seen = seen;
        self
    }

    pub(super) async fn run(mut self, stopping: CancellationToken) -> Result<(), BoxError> {
        while let Some(result) = stopping.run_until_cancelled(self.turn()).await {
            self.note(&result);
            let pause = self.pause();
            if stopping
                .run_until_cancelled(tokio::time::sleep(pause))
                .await
                .is_none()
            {
                break;
            }
        }
        self.release().await;
        Ok(())
    }

    /// One look or one write. The term ends on time even while a call hangs.
    async fn turn(&mut self) -> Result<(), CallError> {
        self.expire();
        let result = self.turn_within(self.deadline()).await;
        self.expire();
        result
    }

    async fn turn_within(&mut self, deadline: Duration) -> Result<(), CallError> {
        let leading = self.term.borrow().is_some();
        if !leading || self.failing || self.seen.is_none() {
            self.look(deadline).await?;
        }
        let sent = Instant::now();
        match next(self.seen.as_ref(), &self.config, leading, sent) {
            Step::Wait { .. } => {
                self.end_term("somebody else holds the lease");
                return Ok(());
            }
            Step::Create => self.create(deadline).await?,
            Step::Acquire | Step::Renew => self.replace(deadline, leading).await?,
        }
        self.hold(sent);
        Ok(())
    }

    async fn look(&mut self, deadline: Duration) -> Result<(), CallError> {
        let attempt = format!("get Lease {}/{}", self.config.namespace, self.config.name);
        let lease = call(deadline, attempt, self.api.get_opt(&self.config.name)).await?;
        let before = self.seen.take();
        self.seen = lease.map(|lease| observe(before, record_of(&lease), Instant::now()));
        Ok(())
    }

    async fn create(&mut self, deadline: Duration) -> Result<(), CallError> {
        let attempt = format!(
            "create Lease {}/{}",
            self.config.namespace, self.config.name
        );
        let lease = self.lease(&Record::default(), Some(&self.config.identity));
        let lease = call(
            deadline,
            attempt,
            self.api.create(&PostParams::default(), &lease),
        )
        .await?;
        self.seen = Some(observe(None, record_of(&lease), Instant::now()));
        Ok(())
    }

    async fn replace(&mut self, deadline: Duration, leading: bool) -> Result<(), CallError> {
        let Some(mut record) = self.seen.as_ref().map(|seen| seen.record.clone()) else {
            return Ok(());
        };
        if !leading {
            record.transitions = record.transitions.saturating_add(1);
            self.acquired = MicroTime(clock::now());
        }
        let lease = self.lease(&record, Some(&self.config.identity));
        let lease = self.write(deadline, "replace", &lease).await?;
        self.seen = Some(observe(None, record_of(&lease), Instant::now()));
        Ok(())
    }

    async fn write(
        &self,
        deadline: Duration,
        verb: &str,
        lease: &Lease,
    ) -> Result<Lease, CallError> {
        let attempt = format!(
            "{verb} Lease {}/{}",
            self.config.namespace, self.config.name
        );
        let parameters = PostParams::default();
        call(
            deadline,
            attempt,
            self.api.replace(&self.config.name, &parameters, lease),
        )
        .await
    }

    /// Ours, counted from when the write was sent.
    fn hold(&mut self, sent: Instant) {
        let valid_until = sent + self.config.renew_deadline;
        if self.term.borrow().is_none() {
            self.terms += 1;
            tracing::info!(lease = self.config.name, term = self.terms, "leading");
        }
        self.term.send_replace(Some(Term {
            number: self.terms,
            valid_until,
        }));
    }

    fn expire(&self) {
        let over = self
            .term
            .borrow()
            .is_some_and(|term| term.valid_until <= Instant::now());
        if over {
            self.end_term("renewals failed for too long");
        }
    }

    fn end_term(&self, reason: &str) {
        if self.term.send_replace(None).is_some() {
            tracing::warn!(lease = self.config.name, reason, "no longer leading");
        }
    }

    fn note(&mut self, result: &Result<(), CallError>) {
        match result {
            Err(error) if error.is_conflict() => {
                tracing::debug!(%error, "somebody else wrote the lease first");
            }
            Err(error) if !self.failing => tracing::warn!(%error, "the lease cannot be reached"),
            Err(error) => tracing::debug!(%error, "the lease still cannot be reached"),
            Ok(()) if self.failing => tracing::info!("the lease can be reached again"),
            Ok(()) => {}
        }
        self.failing = result.is_err();
    }

    fn pause(&self) -> Duration {
        let leading = self.term.borrow().is_some();
        if leading && !self.failing {
            self.config.renew_every
        } else {
            self.config.look_every
        }
    }

    /// A leader's call ends with its term at the latest; nobody's hangs longer than a renewal may take.
    fn deadline(&self) -> Duration {
        let most = self.config.renew_deadline / 2;
        let term = *self.term.borrow();
        term.map_or(most, |term| {
            most.min(term.valid_until.saturating_duration_since(Instant::now()))
        })
    }

    /// Gives the lease back, so that the next leader need not wait for it to expire.
    async fn release(mut self) {
        let leading = self.term.send_replace(None).is_some();
        let Some(seen) = self.seen.take().filter(|_| leading) else {
            return;
        };
        let lease = self.lease(&seen.record, None);
        match self.write(self.config.renew_every, "release", &lease).await {
            Ok(_) => tracing::info!(lease = self.config.name, "released the lease"),
            Err(error) => tracing::warn!(%error, "the lease will have to expire"),
        }
    }

    fn lease(&self, record: &Record, holder: Option<&str>) -> Lease {
        let spec = LeaseSpec {
            acquire_time: Some(self.acquired.clone()),
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: i32::try_from(self.config.duration.as_secs()).ok(),
            lease_transitions: Some(record.transitions),
            renew_time: Some(MicroTime(clock::now())),
            ..LeaseSpec::default()
        };
        let metadata = ObjectMeta {
            name: Some(self.config.name.clone()),
            namespace: Some(self.config.namespace.clone()),
            resource_version: record.resource_version.clone(),
            ..ObjectMeta::default()
        };
        Lease {
            metadata,
            spec: Some(spec),
        }
    }
}
