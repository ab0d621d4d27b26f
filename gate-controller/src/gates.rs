//! Writes the gates: looks at all pods whenever something changed, and performs what [`judge`] says.

mod agreed;
mod openings;
mod tell;
mod told;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use direct_access::condition::{Condition, ConditionReason, Status};
use direct_access::gate::ORPHAN_AFTER;
use runtime::{CallError, News};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::desired::Exposed;
use crate::engine::{Shared, reference};
use crate::health::Waiting;
use crate::judge::{Times, Unselected, judge};
use crate::met::Met;
use crate::pace;
use crate::pauses::{Pauses, Why};
use crate::pod::PodRecord;
use crate::status;
use agreed::Agreed;
use told::Told;

pub(crate) use tell::HELD_LONG;

/// Status patches in flight: enough for 100 a second at 150 ms each.
const IN_FLIGHT: usize = 16;
/// Changes that come this close together are looked at once.
const GATHER: Duration = Duration::from_millis(20);
/// Looked at anyway this often: time itself ripens some decisions.
const TICK: Duration = Duration::from_secs(2);

/// What the gates' task works with.
pub struct Gates {
    /// What all tasks share.
    pub shared: Shared,
    /// What is exposed, from the director.
    pub exposures: watch::Receiver<Arc<Exposed>>,
    /// Whose health is awaited, for the poller.
    pub waiting: watch::Sender<Waiting>,
    /// Told when a view or the health has changed.
    pub seen: Arc<Notify>,
}

#[derive(Default)]
struct Memory {
    term: Option<u64>,
    unselected: Unselected,
    waiting_since: HashMap<String, Instant>,
    told: Told,
    busy: HashSet<String>,
    met: Met,
    agreed: Agreed,
    pauses: Pauses,
    /// Of the last look, what no place was free for.
    queue: VecDeque<(PodRecord, Condition)>,
    /// How long the last look took, without what it read anew.
    took: Duration,
    writes: JoinSet<(PodRecord, Condition, Result<PodRecord, CallError>)>,
}

impl Gates {
    /// Works for as long as we lead and until `draining`.
    pub async fn run(mut self, draining: CancellationToken) {
        let mut memory = Memory::default();
        let mut changes = self.shared.cluster.changes();
        let mut leadership = self.shared.leadership.clone();
        let work = async {
            loop {
                let term = leadership.gained().await;
                if memory.term != Some(term.number) {
                    memory = Memory {
                        term: Some(term.number),
                        ..Memory::default()
                    };
                }
                self.look(&mut memory).await;
                self.write_on(&mut memory, &mut changes).await;
            }
        };
        draining.run_until_cancelled(work).await;
    }

    /// Goes on writing until there is a reason to look again. A look costs as much as there are pods, and a
    /// write that is done is no reason: it makes room for the next, and the watch tells what became of it.
    async fn write_on(&mut self, memory: &mut Memory, changes: &mut watch::Receiver<u64>) {
        let mut look = Instant::now() + TICK;
        let gather = pace::gather(GATHER, memory.took);
        loop {
            self.begin(memory);
            tokio::select! {
                _ = changes.changed() => look = look.min(Instant::now() + gather),
                _ = self.exposures.changed() => return,
                () = self.seen.notified() => return,
                Some(done) = memory.writes.join_next() => self.written(memory, done.ok()),
                () = tokio::time::sleep_until(look) => return,
            }
        }
    }

    async fn look(&mut self, memory: &mut Memory) {
        memory.queue.clear();
        let now = Instant::now();
        let exposed = Arc::clone(&self.exposures.borrow_and_update());
        let exposures = &exposed.exposures;
        memory.agreed.rests_on(exposed.lists);
        let durations = memory.unselected.durations(now);
        let (cluster, views) = (&self.shared.cluster, &self.shared.views);
        let network = cluster.settings().conclusion;
        let times = Times {
            now: runtime::clock::now(),
            unselected: &durations,
        };
        let mut verdict = cluster.with_pods(|pods| judge(exposures, pods, views, network, times));
        let judging = now.elapsed();
        memory.unselected.update(&verdict.unselected, now);
        memory.met.update(&verdict.behind, now);
        memory.pauses.keep(&verdict.behind);
        let mut read = HashMap::new();
        if memory.unselected.ripe(ORPHAN_AFTER, now)
            && !self.orphans_confirmed(&verdict, &mut read).await
        {
            memory.unselected.restart();
            verdict
                .writes
                .retain(|(pod, _)| !verdict.unselected.contains(&pod.uid));
        }
        self.hold_openings(memory, exposures, &mut verdict, &mut read)
            .await;
        let telling = Instant::now();
        self.tell(memory, &verdict, now);
        let ungated = verdict.ungated.len();
        let clock = runtime::clock::now();
        self.shared.metrics.pods(&verdict.counted, ungated, clock);
        let mut waiting = std::mem::take(&mut verdict.waiting);
        for (load_balancer, listeners) in self.shared.views.awaited() {
            waiting.entry(load_balancer).or_default().extend(listeners);
        }
        self.waiting.send_if_modified(|known| {
            let other = *known != waiting;
            *known = waiting;
            other
        });
        memory.queue = queue(verdict.writes);
        memory.took = judging + telling.elapsed();
    }

    /// Begins writes for as long as there are places, and the term in which they were found right lasts.
    fn begin(&self, memory: &mut Memory) {
        let now = Instant::now();
        while memory.writes.len() < IN_FLIGHT {
            let term = self.shared.leadership.current();
            if term.map(|term| term.number) != memory.term {
                return;
            }
            let Some((pod, condition)) = memory.queue.pop_front() else {
                return;
            };
            if !memory.pauses.over(&pod, now) || !memory.busy.insert(pod.uid.clone()) {
                continue;
            }
            let client = self.shared.kube.clone();
            memory.writes.spawn(async move {
                let result = status::write(&client, &pod, &condition, runtime::clock::now()).await;
                (pod, condition, result)
            });
        }
    }

    fn written(
        &self,
        memory: &mut Memory,
        done: Option<(PodRecord, Condition, Result<PodRecord, CallError>)>,
    ) {
        let Some((pod, condition, result)) = done else {
            return;
        };
        memory.busy.remove(&pod.uid);
        match result {
            Ok(now) => {
                tracing::info!(pod = %pod.object(), status = %condition.status, reason = condition.reason.as_str(), "gate");
                self.shared.metrics.patched("ok");
                memory.pauses.written(&pod.uid);
                if condition.status == Status::True {
                    self.ready(&pod, &condition);
                }
                self.shared.cluster.on_written(now);
            }
            Err(error) => self.unwritten(memory, &pod, &error),
        }
    }

    /// It is tried again after a pause; a refusal is told once, for a person must see to it.
    fn unwritten(&self, memory: &mut Memory, pod: &PodRecord, error: &CallError) {
        self.shared.metrics.patched(error.kind());
        let why = Why::of(error);
        let news = memory.pauses.failed(pod, why, Instant::now());
        if why == Why::Overtaken || !news {
            return;
        }
        tracing::warn!(%error, "gate not written, tried again after a growing pause");
        if why == Why::Refused {
            let note = format!(
                "The API server refuses the gate's condition: {error}; it is tried again now and then"
            );
            self.event(pod, News::warning("GateNotWritten", "Gate", note));
        }
    }

    fn ready(&self, pod: &PodRecord, condition: &Condition) {
        if condition.reason == ConditionReason::DeadlineOver {
            self.shared.metrics.deadline();
            let news = News::warning("GateDeadlineOver", "Gate", condition.message.clone());
            return self.event(pod, news);
        }
        let waited = pod
            .containers_ready_since
            .map(|since| runtime::clock::now().duration_since(since));
        if let Some(waited) = waited {
            self.shared.metrics.gate_wait(waited.as_secs_f64());
        }
        self.event(
            pod,
            News::normal("LoadBalancerReady", "Gate", condition.message.clone()),
        );
    }

    fn event(&self, pod: &PodRecord, news: News) {
        self.shared
            .recorder
            .publish(reference("Pod", &pod.object(), &pod.uid), news);
    }
}

/// Gates that open first: traffic waits for them, for messages nobody does.
fn queue(mut writes: Vec<(PodRecord, Condition)>) -> VecDeque<(PodRecord, Condition)> {
    writes.sort_by_key(|(_, condition)| condition.status != Status::True);
    writes.into()
}

#[cfg(test)]
mod tests;
