//! The one writer of a load balancer: read, plan, act, read back, until nothing is left to do.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use clb::{Client, Kind, LoadBalancer, LoadBalancerId};
use direct_access::Slot;
use direct_access::names;
use direct_access::ownership::Tag;
use direct_access::service::ObjectRef;
use k8s_openapi::api::core::v1::ObjectReference;
use runtime::{Leadership, News};
use tokio::time::Instant;

use super::act::{ActError, Actor};
use super::{Inbox, REREAD, Shared, observe};
use crate::cloud::{CALL_TIMEOUT, chain};
use crate::desired::Desired;
use crate::plan::{Facts, Held, ObservedListener, Operation, Place, Plan, plan};
use crate::view::View;

/// Rounds of plan and action before the writer takes a breath: a healthy API needs three.
const ROUNDS: usize = 8;
/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest: drains wait too, and their pods stop after 30 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a failure that a person must mend.
const SLOW_PAUSE: Duration = Duration::from_secs(10);
/// How often and at what distance to look for a renewed lease before giving up: one renewal's time.
const LEASE_LOOKS: u32 = 16;
const LEASE_LOOK: Duration = Duration::from_millis(250);

pub(super) struct Writer {
    id: LoadBalancerId,
    inbox: Inbox,
    shared: Shared,
    memory: Memory,
}

/// What is known of the load balancer; gone with the term.
#[derive(Default)]
struct Memory {
    term: Option<(u64, Instant)>,
    observed: Option<(Vec<ObservedListener>, Instant)>,
    registered: HashMap<Place, (String, Instant)>,
    drained: HashMap<Place, Instant>,
    held: BTreeMap<Slot, Held>,
    problem: Option<String>,
    stale: bool,
    failures: u32,
}

/// Why a round ended early.
struct Trouble {
    problem: String,
    pause: Duration,
}

impl Writer {
    pub(super) fn new(id: String, inbox: Inbox, shared: Shared) -> Self {
        Self {
            id: LoadBalancerId::new(id),
            inbox,
            shared,
            memory: Memory::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let mut leadership = self.shared.leadership.clone();
        loop {
            let term = leadership.gained().await;
            if self
                .memory
                .term
                .is_none_or(|(number, _)| number != term.number)
            {
                self.memory = Memory {
                    term: Some((term.number, Instant::now())),
                    ..Memory::default()
                };
            }
            match self.settle().await {
                Ok(pause) => self.settled(pause).await,
                Err(trouble) => self.troubled(trouble).await,
            }
        }
    }

    /// Waits for news, or until it is time to look again.
    async fn settled(&mut self, pause: Duration) {
        if self.memory.problem.take().is_some() {
            tracing::info!(load_balancer = %self.id, "settled again");
        }
        self.memory.failures = 0;
        self.publish();
        tokio::select! {
            () = self.inbox.news.notified() => {}
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
        self.publish();
        tokio::time::sleep(trouble.pause.max(backoff(self.memory.failures))).await;
    }

    async fn settle(&mut self) -> Result<Duration, Trouble> {
        let client = self.shared.cloud.client().map_err(|problem| Trouble {
            problem,
            pause: FIRST_PAUSE,
        })?;
        self.read(&client).await?;
        for _ in 0..ROUNDS {
            let desired = self.inbox.desired.load_full();
            if desired.hold {
                return Ok(REREAD);
            }
            let plan = self.plan(&desired);
            self.memory.held.clone_from(&plan.held);
            if plan.operations.is_empty() {
                self.shared
                    .ledger
                    .settled(
                        self.id.as_str(),
                        desired.listeners.is_empty() && plan.ours == 0,
                    )
                    .await;
                return Ok(plan.again.unwrap_or(REREAD).min(REREAD));
            }
            self.publish();
            let mut plan = self.confirmed(plan).await?;
            let rest = self.must_wait(&plan);
            if rest.is_some() {
                plan.operations.retain(|operation| !operation.removes());
            }
            if plan.operations.is_empty() {
                // All of it must wait, or the fresh read disagreed with the caches, which will catch up.
                return Ok(rest.unwrap_or(FIRST_PAUSE));
            }
            self.act(&client, &plan).await?;
        }
        tracing::warn!(load_balancer = %self.id, rounds = ROUNDS, "still not as it should be");
        Err(Trouble {
            problem: format!(
                "the CLB {} accepted changes that do not show when it is read back",
                self.id
            ),
            pause: FIRST_PAUSE,
        })
    }

    /// Reads everything, unless it was read a moment ago.
    async fn read(&mut self, client: &Client) -> Result<(), Trouble> {
        let recent = self
            .memory
            .observed
            .as_ref()
            .is_some_and(|(_, at)| at.elapsed() < REREAD);
        if recent && !self.memory.stale {
            return Ok(());
        }
        let known = client
            .describe_load_balancers(std::slice::from_ref(&self.id))
            .await;
        let known = known.map_err(|error| Trouble::of(&error))?;
        if known.is_empty() && self.inbox.desired.load().listeners.is_empty() {
            // Deleted, and nobody asks for it: nothing of ours is left there.
            self.remember(vec![], Instant::now());
            return Ok(());
        }
        self.usable(known.first())?;
        let at = Instant::now();
        let observed = observe::listeners(client, &self.id).await;
        self.remember(observed.map_err(|error| Trouble::of(&error))?, at);
        Ok(())
    }

    /// It exists, and it can reach the pods.
    fn usable(&self, found: Option<&LoadBalancer>) -> Result<(), Trouble> {
        let (annotation, id) = (names::EXISTING_LOAD_BALANCER, self.id.as_str());
        let accepted = "accepted is the id of a CLB that exists in the cluster's region and VPC";
        let own = self.shared.cloud.vpc();
        let problem = match found.map(|found| found.vpc_id.clone()) {
            None => format!("no such CLB in this region and account; {accepted}"),
            Some(Some(vpc)) if own.as_ref().is_some_and(|own| *own != vpc) => {
                format!(
                    "it is in VPC {vpc}, the pods are in {}; {accepted}",
                    own.unwrap_or_default()
                )
            }
            Some(_) => return Ok(()),
        };
        let problem = format!("metadata.annotations[{annotation}] is {id:?}; {problem}");
        Err(Trouble {
            problem,
            pause: SLOW_PAUSE,
        })
    }

    fn plan(&self, desired: &Desired) -> Plan {
        if desired.hold {
            return Plan::default();
        }
        let none = Vec::new();
        let observed = self
            .memory
            .observed
            .as_ref()
            .map_or(&none, |(listeners, _)| listeners);
        let now = Instant::now();
        let drained = self
            .memory
            .drained
            .iter()
            .map(|(place, since)| (place.clone(), now - *since));
        plan(&Facts {
            cluster: &self.shared.cluster_id,
            manage: self.shared.cluster.settings().manage,
            desired,
            observed,
            drained: &drained.collect(),
        })
    }

    /// A new leader waits for the longest call of the old one before it takes anything away.
    fn must_wait(&self, plan: &Plan) -> Option<Duration> {
        let removes = plan.operations.iter().any(Operation::removes);
        let (_, since) = self.memory.term.filter(|_| removes)?;
        CALL_TIMEOUT
            .checked_sub(since.elapsed())
            .filter(|rest| !rest.is_zero())
    }

    /// The safety brake: what takes away more than was seen going is planned again from a fresh read.
    async fn confirmed(&self, plan: Plan) -> Result<Plan, Trouble> {
        if !plan.shrinks_suspiciously() {
            return Ok(plan);
        }
        self.shared.metrics.brake();
        let desired = self.shared.fresh.desired(self.id.as_str()).await;
        let desired = desired.map_err(|error| Trouble {
            problem: format!("nothing is removed before the cluster was read again: {error}"),
            pause: FIRST_PAUSE,
        })?;
        let again = self.plan(&desired);
        let (before, after) = (
            plan.live_removals + plan.gone,
            again.live_removals + again.gone,
        );
        tracing::info!(load_balancer = %self.id, before, after, "looked twice before removing targets");
        Ok(again)
    }

    async fn act(&mut self, client: &Client, plan: &Plan) -> Result<(), Trouble> {
        self.shared
            .ledger
            .ensure(self.id.as_str())
            .await
            .map_err(|error| Trouble {
                problem: format!("nothing is written before it is on record: {error}"),
                pause: FIRST_PAUSE,
            })?;
        let mut outcome = Ok(());
        for operation in &plan.operations {
            lease_left(&self.shared.leadership).await?;
            let actor = Actor {
                client,
                load_balancer: &self.id,
                cluster: &self.shared.cluster_id,
                draining: plan.operations.iter().any(Operation::removes),
            };
            tracing::info!(load_balancer = %self.id, operation = operation.label(), count = operation.count(), "writing");
            if let Err(error) = actor.perform(operation).await {
                outcome = Err(Trouble::of_act(&error));
                break;
            }
        }
        let listeners_changed = plan.operations.iter().any(Operation::changes_listeners);
        self.read_back(client, listeners_changed || outcome.is_err())
            .await?;
        outcome
    }

    /// A write's answer is never trusted: what is there is read.
    async fn read_back(&mut self, client: &Client, listeners: bool) -> Result<(), Trouble> {
        let at = Instant::now();
        let read = match self.memory.observed.clone() {
            Some((mut known, _)) if !listeners => observe::targets(client, &self.id, &mut known)
                .await
                .map(|()| known),
            _ => observe::listeners(client, &self.id).await,
        };
        self.remember(read.map_err(|error| Trouble::of(&error))?, at);
        Ok(())
    }

    fn remember(&mut self, observed: Vec<ObservedListener>, at: Instant) {
        let first = self.memory.observed.is_none() && self.memory.registered.is_empty();
        let mine = |tag: &Option<Tag>| {
            tag.as_ref()
                .filter(|tag| tag.cluster == self.shared.cluster_id)
                .map(|tag| tag.pod_uid.clone())
        };
        let mut registered = HashMap::new();
        let mut drained = HashMap::new();
        let now = Instant::now();
        for (place, target) in observed.iter().flat_map(ObservedListener::places) {
            let Some(uid) = mine(&target.tag) else {
                continue;
            };
            if target.weight == 0 {
                let since = self.memory.drained.get(&place).copied().unwrap_or(now);
                drained.insert(place.clone(), since);
            }
            let known = self.memory.registered.get(&place);
            let known = known.filter(|(known, _)| *known == uid);
            let since = known.map_or(now, |(_, since)| *since);
            registered.insert(place, (uid, since));
        }
        let before = std::mem::replace(&mut self.memory.registered, registered);
        self.memory.drained = drained;
        self.memory.observed = Some((observed, at));
        self.memory.stale = false;
        if !first {
            self.tell_bound(&before);
        }
        self.shared
            .views
            .forget(self.id.as_str(), &self.memory.registered);
    }

    /// An Event on each pod that was bound just now.
    fn tell_bound(&self, before: &HashMap<Place, (String, Instant)>) {
        let desired = self.inbox.desired.load_full();
        let new: HashSet<&str> = self
            .memory
            .registered
            .iter()
            .filter(|(place, (uid, _))| before.get(*place).is_none_or(|(known, _)| known != uid))
            .map(|(_, (uid, _))| uid.as_str())
            .collect();
        for (slot, listener) in &desired.listeners {
            for target in listener
                .targets
                .iter()
                .filter(|t| new.contains(t.pod_uid.as_str()))
            {
                let (ip, own) = target.address;
                let note = format!("Bound {ip}:{own} to CLB {} {slot}", self.id);
                let pod = reference("Pod", &target.pod, &target.pod_uid);
                self.shared
                    .recorder
                    .publish(pod, News::normal("Bound", "Bind", note));
            }
        }
    }

    fn publish(&self) {
        let desired = self.inbox.desired.load_full();
        let view = View {
            listeners: self
                .memory
                .observed
                .as_ref()
                .map(|(all, _)| all.clone())
                .unwrap_or_default(),
            registered: self.memory.registered.clone(),
            owners: desired
                .listeners
                .iter()
                .map(|(slot, l)| (*slot, l.service.clone()))
                .collect(),
            held: self.memory.held.clone(),
            problem: self.memory.problem.clone(),
        };
        self.shared
            .metrics
            .bindings(self.id.as_str(), view.registered.len());
        self.shared.views.publish(self.id.as_str(), view);
        self.shared.seen.notify_one();
    }
}

impl Trouble {
    fn of(error: &clb::Error) -> Self {
        let pause = match error.kind() {
            Kind::Conflict
            | Kind::Throttled
            | Kind::Transient
            | Kind::UnknownOutcome
            | Kind::Gone => FIRST_PAUSE,
            Kind::Denied | Kind::Invalid | Kind::Quota => SLOW_PAUSE,
        };
        Self {
            problem: chain(error),
            pause,
        }
    }

    fn of_act(error: &ActError) -> Self {
        match error {
            ActError::Call(error) => Self::of(error),
            ActError::Partial { .. } => Self {
                problem: error.to_string(),
                pause: FIRST_PAUSE,
            },
        }
    }
}

/// No call may outlive the right to make it.
async fn lease_left(leadership: &Leadership) -> Result<(), Trouble> {
    for _ in 0..LEASE_LOOKS {
        if leadership.remaining() >= CALL_TIMEOUT {
            return Ok(());
        }
        tokio::time::sleep(LEASE_LOOK).await;
    }
    Err(Trouble {
        problem: "the leader's lease is not renewed in time".to_owned(),
        pause: FIRST_PAUSE,
    })
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

/// What an Event is about.
pub(crate) fn reference(kind: &str, object: &ObjectRef, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace: Some(object.namespace.clone()),
        name: Some(object.name.clone()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(backoff(1), FIRST_PAUSE);
        assert_eq!(backoff(2), FIRST_PAUSE * 2);
        assert_eq!(backoff(100), LONGEST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_lease_nothing_is_called() {
        assert!(lease_left(&Leadership::undisputed()).await.is_ok());
        assert!(lease_left(&Leadership::never()).await.is_err());
    }
}
