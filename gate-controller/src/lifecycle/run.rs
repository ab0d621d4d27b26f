//! The task: looks at Services, Ingresses and load balancers, and has one step at a time done for each object.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use clb::Client;
use direct_access::Owner;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Made;
use super::act::{Actor, Done, Failed};
use super::decide::{self, Contents, Decision, Facts, Step, confirmed, decide};
use super::record::Record;
use super::sight::Sight;
use super::subject::{Subject, Subjects};
use crate::cloud::{CALL_TIMEOUT, chain};
use crate::engine::Shared;

/// Changes that come this close together are looked at once.
const GATHER: Duration = Duration::from_millis(100);
/// Two looks are this far apart whatever happens: one look serves all objects, and the writers share
/// the API's limit.
const GAP: Duration = Duration::from_millis(250);
/// How often to look while something is under way: a CLB takes seconds to be made.
const POLL: Duration = Duration::from_secs(1);
/// How often to look anyway: somebody else may have deleted a load balancer.
const REREAD: Duration = Duration::from_secs(30);
/// For how long it counts what was read on a load balancer that is to go.
const CONTENTS_FRESH: Duration = Duration::from_secs(2);
/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Steps under way at most: the limiter is shared with the writers, who matter more.
const IN_FLIGHT: usize = 8;

/// The task that makes and deletes load balancers.
pub struct Lifecycle {
    /// What all tasks share.
    pub shared: Shared,
}

/// What is remembered for a term.
#[derive(Default)]
struct Memory {
    term: Option<(u64, Instant)>,
    holders: HashMap<String, Known>,
    steps: JoinSet<Outcome>,
    looked: Option<Instant>,
    dirty: bool,
    fingerprint: u64,
    unsettled: bool,
    orphans: BTreeSet<String>,
    failing: Option<String>,
    failures: u32,
}

/// What is remembered of an object.
#[derive(Default)]
struct Known {
    busy: bool,
    unseen: Option<Instant>,
    ordered: Option<Instant>,
    deleted: bool,
    adjusted: Option<Instant>,
    contents: HashMap<String, (Contents, Instant)>,
    failures: u32,
    not_before: Option<Instant>,
    problem: Option<String>,
}

struct Outcome {
    uid: String,
    owner: Owner,
    step: Step,
    result: Result<Done, Failed>,
}

impl Lifecycle {
    /// Works for as long as we lead and until `draining`.
    pub async fn run(self, draining: CancellationToken) {
        draining.run_until_cancelled(self.work()).await;
    }

    async fn work(self) {
        let mut memory = Memory::default();
        let mut changes = self.shared.cluster.changes();
        let mut leadership = self.shared.leadership.clone();
        loop {
            let term = leadership.gained().await;
            if memory.term.is_none_or(|(number, _)| number != term.number) {
                memory = Memory {
                    term: Some((term.number, Instant::now())),
                    ..Memory::default()
                };
                self.shared.cluster.on_made(Made::default());
            }
            let pause = self.pass(&mut memory).await;
            tokio::select! {
                _ = changes.changed() => tokio::time::sleep(GATHER).await,
                Some(done) = memory.steps.join_next() => {
                    if let Ok(outcome) = done {
                        memory.done(outcome, Instant::now());
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One look and what follows from it; how long nothing else has to be looked at.
    async fn pass(&self, memory: &mut Memory) -> Duration {
        let cluster = &self.shared.cluster;
        let subjects = cluster.subjects();
        memory.forget(&subjects);
        if subjects.all.is_empty() {
            self.shared.cluster.on_made(Made::default());
            return REREAD;
        }
        if let Some(rest) = memory.rest(&subjects, Instant::now()) {
            return rest;
        }
        let sight = match self.look(&subjects).await {
            Ok(seen) => seen,
            Err(problem) => return self.blind(memory, &subjects, &problem),
        };
        memory.saw(&subjects, Instant::now());
        memory.tell_orphans(&subjects, &sight.1);
        self.act(memory, &subjects, &sight);
        if memory.unsettled { POLL } else { REREAD }
    }

    async fn look(&self, subjects: &Subjects) -> Result<(Client, Sight), String> {
        let client = self.shared.cloud.client()?;
        let named = subjects.named();
        let sight = Sight::read(&client, &self.shared.cluster_id, &named).await;
        let sight = sight.map_err(|error| chain(&error))?;
        Ok((client, sight))
    }

    /// What cannot be seen is not touched; who depends on it is told.
    fn blind(&self, memory: &mut Memory, subjects: &Subjects, problem: &str) -> Duration {
        if memory.failing.as_deref() != Some(problem) {
            tracing::warn!(problem, "load balancers cannot be looked after");
            memory.failing = Some(problem.to_owned());
        }
        let mut made = self.shared.cluster.made();
        for subject in subjects.all.iter().filter(|subject| subject.depends()) {
            let kept = if subject.holder.going {
                "; its finalizer stays until then"
            } else {
                ""
            };
            let owner = subject.holder.owner.clone();
            let note = format!("{owner}: its CLB cannot be looked after: {problem}{kept}");
            made.tell(owner, note);
        }
        self.shared.cluster.on_made(made);
        memory.looked = Some(Instant::now());
        memory.failures = memory.failures.saturating_add(1);
        backoff(memory.failures)
    }

    fn act(&self, memory: &mut Memory, subjects: &Subjects, (client, sight): &(Client, Sight)) {
        memory.failing = None;
        memory.failures = 0;
        memory.unsettled = false;
        let (now, clock) = (Instant::now(), runtime::clock::now());
        let mut made = Made::default();
        for subject in &subjects.all {
            let uid = &subject.holder.uid;
            let ours = sight.ours(uid);
            if subject.wish == decide::Wish::Made
                && let Some(own) = confirmed(&subject.holder, ours).filter(|own| own.normal)
            {
                made.confirm(uid, &own.id);
            }
            let decision = memory.decide(subject, (subjects, sight), now, clock);
            let known = memory.holders.entry(uid.clone()).or_default();
            if decision.step == Step::Rest {
                known.problem = None;
            }
            let owner = &subject.holder.owner;
            let notice = decision.notice.as_ref();
            let notice = notice.map(|notice| format!("{owner}: {}", notice.told(owner.kind)));
            if let Some(note) = notice.or_else(|| known.problem.clone()) {
                made.tell(owner.clone(), note);
            }
            memory.unsettled |= decision.step != Step::Rest;
            if decision.step.acts() {
                self.start(memory, subject, decision.step, client);
            }
        }
        self.shared.cluster.on_made(made);
    }

    fn start(&self, memory: &mut Memory, subject: &Subject, step: Step, client: &Client) {
        let now = Instant::now();
        let full = memory.steps.len() >= IN_FLIGHT;
        let Some(known) = memory.holders.get_mut(&subject.holder.uid) else {
            return;
        };
        if full || known.busy || known.not_before.is_some_and(|until| until > now) {
            return;
        }
        known.busy = true;
        let actor = Actor {
            shared: self.shared.clone(),
            client: client.clone(),
            record: Record::new(self.shared.kube.clone()),
            holder: subject.holder.clone(),
        };
        memory.steps.spawn(async move {
            let owner = &actor.holder.owner;
            tracing::info!(object = %owner, step = step.label(), "load balancer");
            let result = actor.perform(&step).await;
            if let Err(error) = &result {
                tracing::warn!(object = %owner, step = step.label(), %error, "not done");
            }
            Outcome {
                uid: actor.holder.uid.clone(),
                owner: owner.clone(),
                step,
                result,
            }
        });
    }
}

impl Memory {
    /// Made for an object that was deleted without its finalizer: nobody is left to be told but the log.
    fn tell_orphans(&mut self, subjects: &Subjects, sight: &Sight) {
        for ((kind, uid), seen) in sight.made() {
            if !subjects.uids.contains(uid) && self.orphans.insert(seen.id.clone()) {
                tracing::warn!(
                    load_balancer = seen.id,
                    kind = kind.as_str(),
                    uid,
                    "a CLB was made for an object that does not exist any more; delete it in Tencent's console"
                );
            }
        }
    }

    fn forget(&mut self, subjects: &Subjects) {
        let uids: BTreeSet<_> = subjects.all.iter().map(|one| &one.holder.uid).collect();
        self.holders
            .retain(|uid, known| known.busy || uids.contains(uid));
    }

    /// How long the last look still holds.
    fn rest(&self, subjects: &Subjects, now: Instant) -> Option<Duration> {
        let holds = if self.failures > 0 {
            backoff(self.failures)
        } else if self.dirty || subjects.fingerprint != self.fingerprint {
            GAP
        } else if self.unsettled {
            POLL
        } else {
            REREAD
        };
        let rest = holds.checked_sub(now - self.looked?)?;
        (!rest.is_zero()).then_some(rest)
    }

    fn saw(&mut self, subjects: &Subjects, now: Instant) {
        self.looked = Some(now);
        self.dirty = false;
        self.fingerprint = subjects.fingerprint;
    }

    fn decide(
        &mut self,
        subject: &Subject,
        (subjects, sight): (&Subjects, &Sight),
        now: Instant,
        clock: Timestamp,
    ) -> Decision {
        let holder = &subject.holder;
        let ours = sight.ours(&holder.uid);
        let may_remove = self
            .term
            .is_some_and(|(_, since)| now - since >= CALL_TIMEOUT);
        let known = self.holders.entry(holder.uid.clone()).or_default();
        known.look(holder.finalizer, ours.is_empty(), now);
        let contents: BTreeMap<_, _> = known
            .contents
            .iter()
            .map(|(id, (contents, _))| (id.clone(), *contents))
            .collect();
        let named = subject.named().and_then(|id| sight.get(id));
        let token = format!("{}-{}", holder.uid, clock.as_second());
        decide(&Facts {
            holder,
            wish: subject.wish.clone(),
            may_create: subjects.may_create,
            may_remove,
            ours,
            named: named.filter(|seen| ours.iter().all(|own| own.id != seen.id)),
            users: &subjects.users,
            contents: &contents,
            memory: known.memory(now),
            fresh_token: &token,
        })
    }

    fn done(&mut self, outcome: Outcome, now: Instant) {
        // What was done shows in the next look.
        self.dirty = true;
        let Some(known) = self.holders.get_mut(&outcome.uid) else {
            return;
        };
        known.busy = false;
        if matches!(outcome.step, Step::Create) {
            // Whatever came of it, something may show from now on.
            known.unseen = Some(now);
            known.deleted = false;
        }
        if matches!(outcome.step, Step::Adjust(..)) {
            known.adjusted = Some(now);
        }
        match outcome.result {
            Ok(done) => known.succeeded(done, now),
            Err(error) => known.failed(&error, &outcome.owner, now),
        }
    }
}

impl Known {
    fn look(&mut self, claimed: bool, nothing: bool, now: Instant) {
        if claimed && nothing {
            self.unseen.get_or_insert(now);
        } else {
            self.unseen = None;
        }
        if !nothing {
            self.ordered = None;
            self.deleted = false;
        }
        // A stranger's listeners come and go slowly; ours are being taken away.
        self.contents.retain(|_, (contents, at)| {
            let holds = if contents.foreign > 0 && contents.ours == 0 {
                REREAD
            } else {
                CONTENTS_FRESH
            };
            now - *at < holds
        });
    }

    fn memory(&self, now: Instant) -> decide::Memory {
        decide::Memory {
            unseen: self.unseen.map_or(Duration::ZERO, |since| now - since),
            ordered: self.ordered.map(|at| now - at),
            deleted: self.deleted,
            adjusted: self.adjusted.map(|at| now - at),
        }
    }

    fn succeeded(&mut self, done: Done, now: Instant) {
        self.failures = 0;
        self.not_before = None;
        self.problem = None;
        match done {
            Done::Written => {}
            Done::Ordered => self.ordered = Some(now),
            Done::Deleted => self.deleted = true,
            Done::Contents(id, contents) => _ = self.contents.insert(id, (contents, now)),
        }
    }

    fn failed(&mut self, error: &Failed, owner: &Owner, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let pause = if error.needs_a_person() {
            LONGEST_PAUSE
        } else {
            backoff(self.failures)
        };
        self.not_before = Some(now + pause);
        self.contents.clear();
        if let Some(problem) = error.problem(owner) {
            self.problem = Some(problem);
        }
    }
}

fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    FIRST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE)
}

impl Subject {
    /// Whether it cannot go on while load balancers cannot be looked at.
    fn depends(&self) -> bool {
        self.holder.finalizer || self.wish == decide::Wish::Made
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod model;
