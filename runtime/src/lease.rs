//! Leader election on a `coordination.k8s.io/v1` Lease.
//!
//! Two rules make it safe on clocks that disagree. A contender counts expiry from when *it* last saw
//! the record change, never from the times in the record. And a leader stops believing in itself well
//! before anyone else may: every write carries the resourceVersion it read, and a leader whose
//! renewals fail is no leader after [`LeaseConfig::renew_deadline`], which is shorter than
//! [`LeaseConfig::duration`]. A lease still fences nothing: calls must end within
//! [`Leadership::remaining`].

mod decision;
mod elector;

use std::time::Duration;

use kube::{Api, Client};
use tokio::{sync::watch, time::Instant};

pub use self::decision::{Record, Seen, Step, next, observe, record_of};
use self::elector::Elector;
use crate::supervise::Supervisor;

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
    spawn_having_seen(supervisor, client, config, None)
}

/// The same for whoever has watched the lease before: a silence that was `seen` counts.
pub fn spawn_having_seen(
    supervisor: &Supervisor,
    client: Client,
    config: LeaseConfig,
    seen: Option<Seen>,
) -> Leadership {
    let (sender, term) = watch::channel(None);
    let api = Api::namespaced(client, &config.namespace);
    supervisor.spawn_tail("lease", |stopping| {
        Elector::new(api, config, sender)
            .having_seen(seen)
            .run(stopping)
    });
    Leadership { term }
}

#[cfg(test)]
mod tests;
