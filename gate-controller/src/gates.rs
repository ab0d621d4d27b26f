//! Writes the gates: looks at all pods whenever something changed, and performs what [`judge`] says.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use direct_access::condition::{Condition, ConditionReason, Status};
use direct_access::gate::ORPHAN_AFTER;
use direct_access::network::Refusal;
use direct_access::{Exposure, names};
use runtime::{CallError, News};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::{Shared, reference};
use crate::fresh::Asking;
use crate::health::Waiting;
use crate::judge::{Times, Unselected, Verdict, judge};
use crate::met::{Met, Opening};
use crate::pauses::{Pauses, Why};
use crate::pod::{DEFAULT_WEIGHT, PodRecord};
use crate::status;

/// Status patches in flight: enough for 100 a second at 150 ms each.
const IN_FLIGHT: usize = 16;
/// Changes that come this close together are looked at once.
const GATHER: Duration = Duration::from_millis(20);
/// Between two looks for changes pass so many times what a look takes: however many pods there are, a fifth
/// of the time at most goes into looks, and the rest is for writing.
const REST: u32 = 4;
/// Looked at anyway this often: time itself ripens some decisions.
const TICK: Duration = Duration::from_secs(2);
/// A pod that has waited this long is told of, once: longer than the CLB's default health check takes
/// (15 s) twice over.
pub(crate) const HELD_LONG: Duration = Duration::from_secs(45);

/// What the gates' task works with.
pub struct Gates {
    /// What all tasks share.
    pub shared: Shared,
    /// What is exposed, from the director.
    pub exposures: watch::Receiver<Arc<Vec<Exposure>>>,
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
    told: HashSet<String>,
    busy: HashSet<String>,
    met: Met,
    pauses: Pauses,
    /// Of the last look, what no place was free for.
    queue: VecDeque<(PodRecord, Condition)>,
    /// How long the last look took, without what it read anew.
    took: Duration,
    writes: JoinSet<(PodRecord, Condition, Result<PodRecord, CallError>)>,
}

/// What was read of namespaces during one look.
type Read = HashMap<String, Option<Asking>>;

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
        let gather = GATHER.max(memory.took * REST);
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
        let exposures = Arc::clone(&self.exposures.borrow_and_update());
        let durations = memory.unselected.durations(now);
        let (cluster, views) = (&self.shared.cluster, &self.shared.views);
        let network = cluster.settings().conclusion;
        let times = Times {
            now: runtime::clock::now(),
            unselected: &durations,
        };
        let mut verdict = cluster.with_pods(|pods| judge(&exposures, pods, views, network, times));
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
        self.hold_openings(memory, &mut verdict, &mut read).await;
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

    /// An orphan's gate opens only after a fresh read agrees that nothing selects it.
    async fn orphans_confirmed(&self, verdict: &Verdict, read: &mut Read) -> bool {
        let orphans = verdict
            .writes
            .iter()
            .filter(|(pod, _)| verdict.unselected.contains(&pod.uid));
        for (pod, _) in orphans {
            match self.asking(&pod.namespace, read).await {
                Some(asking) if !asking.selects(pod) => {}
                Some(_) | None => return false,
            }
        }
        true
    }

    /// A gate opens with fewer exposures than its pod was seen behind only after a fresh read agrees.
    async fn hold_openings(&self, memory: &mut Memory, verdict: &mut Verdict, read: &mut Read) {
        for (pod, condition) in std::mem::take(&mut verdict.writes) {
            let opens = condition.status == Status::True;
            if !opens || verdict.unselected.contains(&pod.uid) {
                verdict.writes.push((pod, condition));
                continue;
            }
            let now = Instant::now();
            let condition = match memory.met.opening(&pod.uid, now) {
                Opening::Free => condition,
                Opening::Held(held) => held,
                Opening::Ripe(gone) => match self.asking(&pod.namespace, read).await {
                    Some(asking) if asking.let_go(&pod, &gone) => {
                        memory.met.forget(&pod.uid, &gone);
                        condition
                    }
                    Some(_) | None => {
                        memory.met.restart(&pod.uid, now);
                        continue;
                    }
                },
            };
            if !pod
                .condition
                .as_ref()
                .is_some_and(|now| now.says(&condition))
            {
                verdict.writes.push((pod, condition));
            }
        }
    }

    /// What asks for something in a namespace, read once a look; `None`: it cannot be read.
    async fn asking<'r>(&self, namespace: &str, read: &'r mut Read) -> Option<&'r Asking> {
        if !read.contains_key(namespace) {
            let asking = self.shared.fresh.namespace(namespace).await;
            let asking = asking.inspect_err(|error| {
                tracing::warn!(%error, "no orphan is released before the cluster was read again");
            });
            read.insert(namespace.to_owned(), asking.ok());
        }
        read.get(namespace)?.as_ref()
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

    /// What people who look at a pod should find, once a pod.
    fn tell(&self, memory: &mut Memory, verdict: &Verdict, now: Instant) {
        let waiting: HashSet<_> = verdict
            .writes
            .iter()
            .map(|(pod, _)| pod.uid.clone())
            .collect();
        for uid in &waiting {
            memory.waiting_since.entry(uid.clone()).or_insert(now);
        }
        self.tell_held(memory, now);
        for pod in &verdict.ungated {
            if memory.told.insert(format!("ungated {}", pod.uid)) {
                let note = "This pod is behind a direct-access Service but has no readiness gate: it was created before the \
                            Service, or while no webhook answered. It is bound to the CLB all the same; kubectl \
                            rollout restart its workload: the pods that come instead have the gate";
                self.event(pod, News::warning("Ungated", "Gate", note));
            }
        }
        for (pod, refusal) in &verdict.unreachable {
            self.tell_unreachable(memory, pod, *refusal);
        }
        for (pod, why) in &verdict.strangers {
            if memory.told.insert(format!("family {} {why}", pod.uid)) {
                let note = format!("Not bound: {why}");
                self.event(pod, News::warning("AddressFamily", "Gate", note));
            }
        }
        for pod in &verdict.misweighted {
            self.tell_weight(memory, pod);
        }
    }

    /// Told again where it was changed into another that is none.
    fn tell_weight(&self, memory: &mut Memory, pod: &PodRecord) {
        let all = [
            (names::CUSTOM_WEIGHT, &pod.bad_weight, "", DEFAULT_WEIGHT),
            (
                names::ingress::CUSTOM_WEIGHT,
                &pod.bad_rule_weight,
                " under rules",
                pod.weight,
            ),
        ];
        for (key, value, which, holds) in all {
            let Some(value) = value else { continue };
            if memory
                .told
                .insert(format!("weight{which} {} {value}", pod.uid))
            {
                let note = format!(
                    "Pod {}: metadata.annotations[{key}] is {value:?}; accepted are the numbers 0 to 100; its targets{which} \
                     have weight {holds} until then",
                    pod.object()
                );
                self.event(pod, News::warning("NotServed", "Gate", note));
            }
        }
    }

    /// Who makes a pod by hand is warned by the webhook; of a controller's pods nobody sees the warning.
    fn tell_unreachable(&self, memory: &mut Memory, pod: &PodRecord, refusal: Refusal) {
        let reason = match refusal {
            Refusal::HostNetwork => "HostNetwork",
            Refusal::NoEni | Refusal::GlobalRouteOff => "Unreachable",
        };
        let why = refusal.why();
        let note =
            |whose: &str| format!("Not bound to the CLB of {whose} direct-access Service: {why}");
        if memory.told.insert(format!("{reason} {}", pod.uid)) {
            self.event(pod, News::warning(reason, "Gate", note("its")));
        }
        let Some(maker) = &pod.maker else { return };
        let uid = maker.uid.as_deref().unwrap_or_default();
        if memory.told.insert(format!("{reason} made by {uid}")) {
            let news = News::warning(reason, "Gate", note("its pods'"));
            self.shared.recorder.publish(maker.as_ref().clone(), news);
        }
    }

    fn tell_held(&self, memory: &mut Memory, now: Instant) {
        let Memory {
            waiting_since,
            told,
            ..
        } = memory;
        self.shared.cluster.with_pods(|pods| {
            let live: HashMap<_, _> = pods
                .values()
                .flatten()
                .map(|pod| (pod.uid.as_str(), *pod))
                .collect();
            waiting_since.retain(|uid, since| {
                let Some(pod) = live.get(uid.as_str()) else {
                    return false;
                };
                let Some(condition) = pod.condition.as_ref().filter(|c| !c.is_true()) else {
                    return pod.condition.is_none();
                };
                if now - *since >= HELD_LONG && told.insert(format!("held {uid}")) {
                    let note = format!(
                        "Not ready for {} s: {}",
                        HELD_LONG.as_secs(),
                        condition.message
                    );
                    self.event(pod, News::warning("GateHeld", "Gate", note));
                }
                true
            });
        });
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
