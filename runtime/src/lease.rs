//! Leader election on a `coordination.k8s.io/v1` Lease.
//!
//! Two rules make it safe on clocks that disagree. A contender counts expiry from when *it* last saw
//! the record change, never from the times in the record. And a leader stops believing in itself well
//! before anyone else may: every write carries the resourceVersion it read, and a leader whose
//! renewals fail is no leader after [`LeaseConfig::renew_deadline`], which is shorter than
//! [`LeaseConfig::duration`]. A lease still fences nothing: calls must end within
//! [`Leadership::remaining`].

use std::time::Duration;

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    client::{CallError, call},
    clock,
    supervise::{BoxError, Supervisor},
};

/// Whose lease, and how long things take.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Where the Lease lives.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are: unique to this process, e.g. the pod's name and a random part.
    pub identity: String,
    /// How long others wait for a silent leader. 15 s, as Kubernetes' own controllers.
    pub duration: Duration,
    /// How long a leader that cannot renew believes in itself. 10 s: the 5 s to spare cover a call in
    /// flight and a stalled process.
    pub renew_deadline: Duration,
    /// Between renewals. 3 s: three may fail.
    pub renew_every: Duration,
    /// Between looks at somebody else's lease. 1 s, so that a released lease is taken at once.
    pub look_every: Duration,
}

impl LeaseConfig {
    /// The usual timing.
    pub fn new(
        namespace: impl Into<String>,
        name: impl Into<String>,
        identity: impl Into<String>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            look_every: Duration::from_secs(1),
        }
    }
}

/// A spell of leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Counts this process's terms from 1, so that two terms are never mistaken for one.
    pub number: u64,
    /// When it ends unless renewed, by our own clock.
    pub valid_until: Instant,
}

/// What the rest of the process sees of the election. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership {
    term: watch::Receiver<Option<Term>>,
}

impl Leadership {
    /// Leads for ever: for tools and tests that have no contenders.
    pub fn undisputed() -> Self {
        let ages = Duration::from_hours(24 * 365);
        let (_, term) = watch::channel(Some(Term {
            number: 1,
            valid_until: Instant::now() + ages,
        }));
        Self { term }
    }

    /// Never leads.
    pub fn never() -> Self {
        let (_, term) = watch::channel(None);
        Self { term }
    }

    /// The current term, if we lead this very moment.
    pub fn current(&self) -> Option<Term> {
        let term = *self.term.borrow();
        term.filter(|term| term.valid_until > Instant::now())
    }

    /// Whether we lead this very moment.
    pub fn leads(&self) -> bool {
        self.current().is_some()
    }

    /// How long the lease is ours for sure. Zero if it is not: no call to the outside may take longer.
    pub fn remaining(&self) -> Duration {
        self.current()
            .map_or(Duration::ZERO, |term| term.valid_until - Instant::now())
    }

    /// Waits until we lead.
    pub async fn gained(&mut self) -> Term {
        loop {
            if let Some(term) = self.current() {
                return term;
            }
            if self.term.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until that term is over.
    pub async fn lost(&mut self, number: u64) {
        loop {
            let Some(term) = self.current().filter(|term| term.number == number) else {
                return;
            };
            tokio::select! {
                changed = self.term.changed() => if changed.is_err() {
                    return tokio::time::sleep_until(term.valid_until).await;
                },
                () = tokio::time::sleep_until(term.valid_until) => {}
            }
        }
    }
}

/// Takes part in the election as a tail task: the lease is released once every essential task ended.
pub fn spawn(supervisor: &Supervisor, client: Client, config: LeaseConfig) -> Leadership {
    let (sender, term) = watch::channel(None);
    let api = Api::namespaced(client, &config.namespace);
    supervisor.spawn_tail("lease", |stopping| {
        Elector::new(api, config, sender).run(stopping)
    });
    Leadership { term }
}

/// What somebody wrote into the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `None`: released.
    pub holder: Option<String>,
    /// Changes of holder so far.
    pub transitions: i32,
    /// How long the holder asks others to wait.
    pub duration: Duration,
    /// Changes with every write.
    pub resource_version: Option<String>,
}

/// A record and when we first saw it like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The record.
    pub record: Record,
    /// When, by our own clock.
    pub since: Instant,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is free or expired: write ourselves into it.
    Acquire,
    /// There is none: make one.
    Create,
    /// It is ours: renew it.
    Renew,
    /// Somebody holds it, at least until then.
    Wait {
        /// When the holder's silence becomes an expiry.
        until: Instant,
    },
}

/// The next step. `leading` tells whether our own term is still valid: a lease that carries our name
/// from an earlier term is acquired anew, which gives the new term its own number.
pub fn next(seen: Option<&Seen>, config: &LeaseConfig, leading: bool, now: Instant) -> Step {
    let Some(Seen { record, since }) = seen else {
        return Step::Create;
    };
    match record.holder.as_deref() {
        None => Step::Acquire,
        Some(holder) if holder == config.identity && leading => Step::Renew,
        Some(holder) if holder == config.identity => Step::Acquire,
        Some(_) => {
            let until = *since + patience(record.duration, config.duration);
            if until <= now {
                Step::Acquire
            } else {
                Step::Wait { until }
            }
        }
    }
}

/// The holder may ask for more patience than we are used to (another version of us may), but not for
/// so much that a mistyped number blocks the cluster, and never for less.
fn patience(asked: Duration, usual: Duration) -> Duration {
    asked.clamp(usual, usual * 4)
}

/// Keeps the time of the first sighting as long as the record stays the same.
pub fn observe(before: Option<Seen>, record: Record, now: Instant) -> Seen {
    before
        .filter(|seen| seen.record == record)
        .unwrap_or(Seen { record, since: now })
}

struct Elector {
    api: Api<Lease>,
    config: LeaseConfig,
    term: watch::Sender<Option<Term>>,
    seen: Option<Seen>,
    acquired: MicroTime,
    terms: u64,
    failing: bool,
}

impl Elector {
    fn new(api: Api<Lease>, config: LeaseConfig, term: watch::Sender<Option<Term>>) -> Self {
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

    async fn run(mut self, stopping: CancellationToken) -> Result<(), BoxError> {
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

fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec
        .lease_duration_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        transitions: spec.lease_transitions.unwrap_or_default(),
        duration: Duration::from_secs(seconds.unwrap_or_default()),
        resource_version: lease.metadata.resource_version.clone(),
    }
}

#[cfg(test)]
mod tests;
