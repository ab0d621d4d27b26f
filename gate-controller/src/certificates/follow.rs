//! A renewal from the wish to its end: ask or join, watch the marks it passes, and do the controller's part
//! while nobody leads. The wish stands in the Secret: whoever stops following loses nothing.

use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::gather::{GatherError, Gathered, Gatherer};
use super::leading::{Leads, LeaseWatch};
use super::marks::{Mark, Progress, news, progress};
use super::request::{Goal, Requester, What, Wish, new_id};
use super::stand_in::StandIn;
use crate::ask::AskError;
use crate::heal::Unhealable;

/// Between looks: a handful of GETs each.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A lease that is free is ours within a second; if it is not by then, something forbids it.
const ELECTED_WITHIN: Duration = Duration::from_secs(8);

/// Renews.
#[derive(Clone)]
pub struct Rotation {
    client: Client,
    namespace: String,
    gatherer: Gatherer,
    identity: String,
    /// For all of it.
    pub timeout: Duration,
}

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All is done.
    Done,
    /// Stopped by whoever follows; the rotation goes on without.
    Interrupted,
}

/// Why following ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// Something cannot be read.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// Something cannot be read or written.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Nobody leads, and it cannot be done from here either.
    #[error(
        "nobody leads, and it cannot be done from here: {0}; start the controller, or use its rights"
    )]
    StandIn(#[from] Unhealable),
    /// Nobody renews anything there any more.
    #[error("Namespace {0} is being deleted: there is nothing to renew")]
    Terminating(String),
    /// It takes too long.
    #[error("after {after:?} still awaited: {awaits}; {hint}")]
    Timeout {
        /// How long was waited.
        after: Duration,
        /// What is missing, and on whose side.
        awaits: String,
        /// What to do.
        hint: String,
    },
}

impl Rotation {
    /// For an installation in `namespace`; `inside` as in [`Gatherer::new`].
    pub fn new(client: Client, namespace: &str, inside: bool) -> Self {
        let id = new_id(runtime::clock::now());
        Self {
            gatherer: Gatherer::new(client.clone(), namespace, inside),
            client,
            namespace: namespace.to_owned(),
            identity: format!("certs-rotate-{id}"),
            timeout: Duration::from_mins(2),
        }
    }

    /// Asks for a new `what`, or joins what is under way.
    pub async fn ask(&self, what: What) -> Result<(Wish, Goal), FollowError> {
        let requester = Requester::new(self.client.clone(), &self.namespace);
        let look = || async {
            let seen = Box::pin(self.gatherer.objects()).await?.seen;
            if seen.namespace.metadata.deletion_timestamp.is_some() {
                return Err(FollowError::Terminating(self.namespace.clone()));
            }
            Ok(seen)
        };
        requester.ask(what, runtime::clock::now(), look).await
    }

    /// Who seems to lead, by the clocks of holder and reader: enough to say who will do it.
    pub async fn leader(&self) -> Result<Option<String>, AskError> {
        let held = self.gatherer.lease().await?;
        let alive = held.filter(|held| held.looks_alive(runtime::clock::now()));
        Ok(alive.and_then(|held| held.record.holder))
    }

    /// Watches until `goal` is reached, telling what happens, until `stop`.
    pub async fn follow(
        &self,
        goal: &Goal,
        stop: CancellationToken,
        tell: impl FnMut(String),
    ) -> Result<Ending, FollowError> {
        let ends = Instant::now() + self.timeout;
        let mut follower = Follower {
            rotation: self,
            goal,
            told: vec![],
            lease: LeaseWatch::new(&self.namespace, &self.identity),
            helper: None,
            awaits: "the first look".to_owned(),
            failing: false,
            tell,
        };
        let ending = follower.run(ends, stop).await;
        if let Some(helper) = follower.helper.take() {
            helper.stand_in.end().await;
            if helper.has_led {
                (follower.tell)("the lease is released".to_owned());
            }
        }
        ending
    }

    /// Replicas are asked only once there is something that they should serve.
    async fn look(&self, goal: &Goal) -> Result<(Gathered, Progress), GatherError> {
        let mut gathered = Box::pin(self.gatherer.objects()).await?;
        let before = progress(goal, &gathered, runtime::clock::now());
        if !before.needs_replicas {
            return Ok((gathered, before));
        }
        self.gatherer.ask_replicas(&mut gathered).await?;
        let seen = progress(goal, &gathered, runtime::clock::now());
        Ok((gathered, seen))
    }
}

/// A stand-in and how long it has been one.
struct Helper {
    stand_in: StandIn,
    since: Instant,
    has_led: bool,
    warned: bool,
}

struct Follower<'a, T> {
    rotation: &'a Rotation,
    goal: &'a Goal,
    told: Vec<Mark>,
    lease: LeaseWatch,
    helper: Option<Helper>,
    awaits: String,
    failing: bool,
    tell: T,
}

impl<T: FnMut(String)> Follower<'_, T> {
    async fn run(&mut self, ends: Instant, stop: CancellationToken) -> Result<Ending, FollowError> {
        loop {
            let turn = stop.run_until_cancelled(timeout_at(ends, self.turn()));
            match turn.await {
                None => return Ok(Ending::Interrupted),
                Some(Err(_)) => return Err(self.timeout()),
                Some(Ok(Ok(true))) => return Ok(Ending::Done),
                Some(Ok(Ok(false))) => {}
                Some(Ok(Err(error))) => return Err(error),
            }
        }
    }

    /// One look and a pause; whether all is done.
    async fn turn(&mut self) -> Result<bool, FollowError> {
        match Box::pin(self.rotation.look(self.goal)).await {
            Ok((gathered, seen)) => {
                self.failing = false;
                self.tell_elected();
                self.tell_news(&seen.marks);
                let Some(awaits) = seen.awaits else {
                    return Ok(true);
                };
                self.awaits = awaits;
                self.lead(&gathered).await?;
            }
            Err(GatherError::Ask(error)) if error.is_transient() => {
                if !self.failing {
                    (self.tell)(format!("still trying: {error}"));
                }
                self.failing = true;
                self.awaits = error.to_string();
            }
            Err(error) => return Err(error.into()),
        }
        sleep(LOOK_EVERY).await;
        Ok(false)
    }

    fn tell_news(&mut self, marks: &[Mark]) {
        for mark in news(&self.told, marks) {
            (self.tell)(mark.to_string());
            self.told.push(mark.clone());
        }
    }

    /// Stands in while nobody leads, and steps back when somebody does.
    async fn lead(&mut self, gathered: &Gathered) -> Result<(), FollowError> {
        let now = Instant::now();
        let record = gathered.lease.as_ref().map(|held| &held.record);
        let leads = self.lease.look(record, now);
        let ours = self.lease.config().identity;
        match (self.helper.take(), leads) {
            (None, Leads::Nobody(why)) => {
                (self.tell)(format!("nobody leads ({why}); doing it from here"));
                let policy = gathered.wanted.failure_policy;
                let sight = self.rotation.gatherer.sight();
                let client = &self.rotation.client;
                let stand_in = StandIn::start(client, &self.lease, policy, sight);
                self.helper = Some(Helper {
                    stand_in,
                    since: now,
                    has_led: false,
                    warned: false,
                });
            }
            (Some(helper), Leads::Somebody(holder)) if holder != ours => {
                (self.tell)(format!("{holder} leads now and goes on with it"));
                helper.stand_in.end().await;
            }
            (Some(helper), _) => self.helper = Some(self.watch_over(helper, now)),
            (None, Leads::Somebody(_) | Leads::Perhaps) => {}
        }
        let failure = self
            .helper
            .as_ref()
            .and_then(|helper| helper.stand_in.failure());
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    fn tell_elected(&mut self) {
        let Some(helper) = &mut self.helper else {
            return;
        };
        if !helper.has_led && helper.stand_in.leads() {
            helper.has_led = true;
            (self.tell)("took the lease".to_owned());
        }
    }

    fn watch_over(&mut self, mut helper: Helper, now: Instant) -> Helper {
        if !helper.has_led && !helper.warned && now > helper.since + ELECTED_WITHIN {
            helper.warned = true;
            (self.tell)(
                "the lease cannot be taken from here; whoever stands in needs the rights of ClusterRole and Role \
                 clb-gate-controller, first of all create and update leases"
                    .to_owned(),
            );
        }
        helper
    }

    fn timeout(&self) -> FollowError {
        let namespace = &self.rotation.namespace;
        let hint = match &self.helper {
            Some(helper) => {
                let trouble = helper.stand_in.trouble();
                let trouble = trouble.unwrap_or_else(|| "CLB_GATE_LOG=info shows more".to_owned());
                format!("nobody leads, and doing it from here goes on too slowly ({trouble})")
            }
            None => format!(
                "the request stands, and is done as soon as that is possible; see clb-gate certs status, and \
                 kubectl logs -n {namespace} deploy/clb-gate-controller"
            ),
        };
        FollowError::Timeout {
            after: self.rotation.timeout,
            awaits: self.awaits.clone(),
            hint,
        }
    }
}
