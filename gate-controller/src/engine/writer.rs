//! The one writer of a load balancer: read, plan, one call, read back beside the next call, until
//! nothing is left to do.

use std::sync::Arc;
use std::time::Duration;

use clb::{Client, Error, LoadBalancer, LoadBalancerId, Priority, TaskStatus};
use tokio::time::Instant;

use super::claims::Claims;
use super::memory::Memory;
use super::step::Next;
use super::trouble::{SLOW_PAUSE, Trouble, backoff};
use super::{Context, Inbox, REREAD, observe, unusable};
use crate::cloud::CALL_TIMEOUT;
use crate::desired::Desired;
use crate::family::{Family, fitted};
use crate::plan::{Facts, ObservedListener, Plan, plan};

/// How often a load balancer may turn out other than written before the writer takes a breath.
const SURPRISES: usize = 8;
/// How long a fresh read of the cluster stands against caches that say something else.
const CONFIRMED: Duration = Duration::from_secs(5);
pub(super) struct Writer {
    pub(super) id: LoadBalancerId,
    pub(super) inbox: Inbox,
    pub(super) context: Context,
    pub(super) memory: Memory,
    pub(super) confirmed: Option<Confirmed>,
}

/// What a fresh read of the cluster said when the inbox looked suspicious.
pub(super) struct Confirmed {
    instead_of: Arc<Desired>,
    fresh: Arc<Desired>,
    pub(super) until: Instant,
}

/// An answer to a read.
pub(super) struct Sighting {
    /// What is there.
    listeners: Vec<ObservedListener>,
    /// When it was asked.
    at: Instant,
    /// It was asked about everything, not only about what was written to.
    whole: bool,
}

impl Writer {
    pub(super) fn new(id: String, inbox: Inbox, context: Context) -> Self {
        Self {
            id: LoadBalancerId::new(id),
            inbox,
            context,
            memory: Memory::default(),
            confirmed: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut leadership = self.context.leadership.clone();
        loop {
            let term = leadership.gained().await.number;
            let result = match self.begin(term).await {
                Ok(()) => self.settle().await,
                Err(trouble) => Err(trouble),
            };
            match result {
                Ok(pause) => self.settled(pause).await,
                Err(trouble) => self.troubled(trouble).await,
            }
        }
    }

    /// A term begins with nothing but what is on record.
    async fn begin(&mut self, term: u64) -> Result<(), Trouble> {
        if self.memory.term.is_some_and(|(number, _)| number == term) {
            return Ok(());
        }
        let recorded = self.context.home.recorded(self.id.as_str()).await;
        let recorded = recorded
            .map_err(|error| Trouble::soon(format!("the record cannot be read: {error}")))?;
        self.memory = Memory::of_term(term, Claims::parse(&recorded));
        Ok(())
    }

    /// Waits for news, or until it is time to look again.
    async fn settled(&mut self, pause: Duration) {
        if self.memory.problem.take().is_some() {
            tracing::info!(load_balancer = %self.id, "settled again");
        }
        self.memory.failures = 0;
        self.publish();
        tokio::select! {
            () = self.inbox.news() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Waits whatever the news: pods come and go all the time, and an API in trouble is not helped by
    /// being asked at each of them.
    async fn troubled(&mut self, trouble: Trouble) {
        if self.memory.problem.as_ref() == Some(&trouble.problem) {
            tracing::debug!(load_balancer = %self.id, problem = trouble.problem, "still not settled");
        } else {
            tracing::warn!(load_balancer = %self.id, problem = trouble.problem, "not settled");
        }
        self.memory.failures = self.memory.failures.saturating_add(1);
        self.memory.problem = Some(trouble.problem);
        // What was done is not known: read anew next time.
        self.memory.stale = true;
        self.context.roster.doubt(&self.id).await;
        self.publish();
        tokio::time::sleep(trouble.pause.max(backoff(self.memory.failures))).await;
    }

    async fn settle(&mut self) -> Result<Duration, Trouble> {
        let client = self.context.cloud.client().map_err(Trouble::soon)?;
        self.read(&client).await?;
        let mut surprises = 0;
        loop {
            let desired = self.desired();
            if desired.hold {
                return Ok(REREAD);
            }
            let plan = self.plan(&desired);
            if self.doubtful(&plan) {
                self.confirm().await?;
                continue;
            }
            self.await_successors(&plan, Instant::now());
            self.memory.held.clone_from(&plan.held);
            self.memory.warnings.clone_from(&plan.warnings);
            self.memory.unchanged.clone_from(&plan.unchanged);
            self.note_last(&plan.last);
            match self.next(&plan) {
                Next::Call(operation) => self.call(&client, operation, &plan).await?,
                Next::ReadBack => {
                    surprises += 1;
                    if surprises > SURPRISES {
                        return Err(self.unheeded());
                    }
                    self.read_back(&client).await?;
                }
                Next::Rest(pause) => {
                    self.memory.claims.prune(&self.memory.registered);
                    if plan.operations.is_empty() && desired.listeners.is_empty() && plan.ours == 0
                    {
                        self.context.home.forget(self.id.as_str()).await;
                    }
                    return Ok(pause);
                }
            }
        }
    }

    /// Reads everything, unless it was read a moment ago.
    async fn read(&mut self, client: &Client) -> Result<(), Trouble> {
        let recent = self.read_within(self.reread());
        if recent && !self.memory.stale {
            return Ok(());
        }
        let known = self.context.roster.get(client, &self.id).await;
        let known = known.map_err(|error| Trouble::of(&error))?;
        if known.is_none() && self.inbox.desired().listeners.is_empty() {
            // Deleted, and nobody asks for it: nothing of ours is left there.
            self.take_in(Sighting {
                listeners: vec![],
                at: Instant::now(),
                whole: true,
            });
            return Ok(());
        }
        self.usable(known.as_ref())?;
        self.memory.address = known.as_ref().and_then(observe::own_address);
        self.memory.family = known.as_ref().and_then(Family::of);
        let at = Instant::now();
        let listeners = observe::listeners(client, &self.id, self.memory.address.as_deref()).await;
        self.take_in(Sighting {
            listeners: listeners.map_err(|error| Trouble::of(&error))?,
            at,
            whole: true,
        });
        Ok(())
    }

    /// Everything was read that recently. What was read of single listeners does not count: while one
    /// is busy, nobody would look at the others.
    pub(super) fn read_within(&self, time: Duration) -> bool {
        self.memory.whole.is_some_and(|at| at.elapsed() < time)
    }

    /// Load balancers are read again at different times, so that the API is asked evenly.
    pub(super) fn reread(&self) -> Duration {
        let spread: u32 = self.id.as_str().bytes().map(u32::from).sum();
        REREAD + Duration::from_secs(u64::from(spread % 30))
    }

    /// It exists, and it can reach the pods.
    fn usable(&self, found: Option<&LoadBalancer>) -> Result<(), Trouble> {
        let vpc = self.context.cloud.vpc();
        match unusable(self.id.as_str(), found, vpc.as_deref()) {
            None => Ok(()),
            Some(problem) => Err(Trouble {
                problem,
                pause: SLOW_PAUSE,
            }),
        }
    }

    /// What should be there: the inbox, or what a fresh read said instead.
    fn desired(&mut self) -> Arc<Desired> {
        let inbox = self.inbox.desired();
        self.confirmed.take_if(|known| {
            !Arc::ptr_eq(&known.instead_of, &inbox) || known.until <= Instant::now()
        });
        let known = self.confirmed.as_ref();
        let desired = known.map_or(inbox, |known| Arc::clone(&known.fresh));
        fitted(desired, self.memory.family)
    }

    fn plan(&mut self, desired: &Desired) -> Plan {
        let now = Instant::now();
        let targets = self.context.quotas.targets();
        plan(&Facts {
            cluster: &self.context.cluster_id,
            manage: self.context.home.manage(),
            desired,
            observed: &self.memory.expected,
            drained: &self.memory.drained_for(now),
            limits: &self.memory.refusals.limits(targets, now),
            successors: &self.successors(now),
        })
    }

    /// The safety brake: what takes away more than was seen going is planned again from a fresh read. So
    /// is what takes away targets of pods whose end was not seen: a cache that lags does not know them yet.
    fn doubtful(&self, plan: &Plan) -> bool {
        let home = &self.context.home;
        let unseen = || plan.unknown.iter().any(|uid| !home.saw_end(uid));
        self.confirmed.is_none() && (plan.shrinks_suspiciously() || unseen())
    }

    async fn confirm(&mut self) -> Result<(), Trouble> {
        self.context.metrics.brake();
        let instead_of = self.inbox.desired();
        let fresh = self.context.home.fresh(self.id.as_str()).await;
        let fresh = fresh.map_err(|error| {
            Trouble::soon(format!(
                "nothing is removed before the cluster was read again: {error}"
            ))
        })?;
        tracing::info!(load_balancer = %self.id, "looked twice before removing targets");
        self.confirmed = Some(Confirmed {
            instead_of,
            fresh: Arc::new(fresh),
            until: Instant::now() + CONFIRMED,
        });
        Ok(())
    }

    /// A write's answer is never trusted: what is there is read.
    async fn read_back(&mut self, client: &Client) -> Result<(), Trouble> {
        if let Some(sighting) = self
            .look(client)
            .await
            .map_err(|error| Trouble::of(&error))?
        {
            self.take_in(sighting);
            self.publish();
        }
        Ok(())
    }

    /// Reads what was written and not read back, and how its task stands.
    pub(super) async fn look(&self, client: &Client) -> Result<Option<Sighting>, Error> {
        let unread = &self.memory.unread;
        if unread.is_empty() {
            return Ok(None);
        }
        // A gate waits for what this shows.
        let client = &client.with_priority(Priority::Young);
        let Some(task) = &unread.task else {
            return self.sighting(client).await.map(Some);
        };
        let status = client.describe_task_status(task);
        let (status, seen) = tokio::join!(status, self.sighting(client));
        let seen = seen?;
        if matches!(status, Ok(TaskStatus::Succeeded)) && self.shows_what_was_made(&seen) {
            return Ok(Some(seen));
        }
        // It was read before the task had ended: whoever believes it makes the same once more.
        client.wait_task(task, CALL_TIMEOUT).await?;
        self.sighting(client).await.map(Some)
    }

    async fn sighting(&self, client: &Client) -> Result<Sighting, Error> {
        let unread = &self.memory.unread;
        let at = Instant::now();
        let (listeners, whole) = match &self.memory.read {
            Some((known, _)) if !unread.listeners => {
                let mut known = Vec::clone(known);
                observe::targets(client, &self.id, &mut known, &unread.touched).await?;
                (known, false)
            }
            _ => {
                let own = self.memory.address.as_deref();
                (observe::listeners(client, &self.id, own).await?, true)
            }
        };
        Ok(Sighting {
            listeners,
            at,
            whole,
        })
    }

    /// Listeners and rules that should be there by now are.
    fn shows_what_was_made(&self, seen: &Sighting) -> bool {
        self.memory.expected.iter().all(|expected| {
            let mut all = seen.listeners.iter();
            let found = all.find(|listener| listener.id == expected.id);
            found.is_some_and(|found| {
                let there = |id: &str| found.rules.iter().any(|rule| rule.id == id);
                expected.rules.iter().all(|rule| there(&rule.id))
            })
        })
    }

    pub(super) fn take_in(&mut self, seen: Sighting) {
        let first = self.memory.is_new();
        let us = &self.context.cluster_id;
        let drained = self.memory.drained.clone();
        let before = self.memory.take_in(seen.listeners, seen.at, us);
        if seen.whole {
            self.memory.whole = Some(seen.at);
        }
        if !first {
            self.tell_bound(&before);
            self.tell_drained(&drained, runtime::clock::now());
        }
        self.context
            .views
            .forget(self.id.as_str(), &self.memory.registered);
    }

    fn unheeded(&self) -> Trouble {
        Trouble::soon(format!(
            "the CLB {} accepted changes that do not show when it is read back",
            self.id
        ))
    }
}
