//! The controller's metrics, by the conventions of Prometheus.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use clb::{Called, Observer};
use direct_access::gate::BindingState;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use runtime::Leadership;
use tokio_util::sync::CancellationToken;

use crate::plan::Operation;

/// Why gated pods wait: the words of the condition, and those of pods that have none yet.
pub const REASONS: [&str; 5] = [
    "WaitingForBinding",
    "WaitingForHealth",
    "Held",
    "NotStarted",
    "Unselected",
];
/// How bindings stand.
pub const STATES: [&str; 5] = ["healthy", "unchecked", "registered", "missing", "held"];

/// What one look at all pods counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Pods that wait, by one of [`REASONS`].
    pub waiting: BTreeMap<&'static str, Waits>,
    /// Bindings of gated pods, by one of [`STATES`].
    pub bindings: BTreeMap<&'static str, usize>,
}

/// Pods that wait for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// How many.
    pub pods: usize,
    /// Since when the containers of the longest waiting are ready.
    pub since: Option<Timestamp>,
}

impl Counted {
    /// One more pod waits.
    pub(crate) fn waits(&mut self, reason: &'static str, since: Option<Timestamp>) {
        let waits = self.waiting.entry(reason).or_default();
        waits.pods += 1;
        waits.since = waits.since.into_iter().chain(since).min();
    }

    /// One more binding stands so.
    pub(crate) fn stands(&mut self, state: &BindingState) {
        let state = match state {
            BindingState::Healthy => "healthy",
            BindingState::Unchecked => "unchecked",
            BindingState::Registered(_) => "registered",
            BindingState::Missing => "missing",
            BindingState::Held(_) => "held",
        };
        *self.bindings.entry(state).or_default() += 1;
    }
}

/// Keeps the leader's metric for as long as the process runs.
pub async fn follow(metrics: Metrics, mut leadership: Leadership, draining: CancellationToken) {
    let work = async {
        loop {
            let term = leadership.gained().await;
            metrics.leads(true);
            leadership.lost(term.number).await;
            metrics.leads(false);
        }
    };
    draining.run_until_cancelled(work).await;
    metrics.leads(false);
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Cheap to clone; every clone counts into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<ActionLabel, Histogram, fn() -> Histogram>,
    bindings: Family<LoadBalancerLabel, Gauge>,
    standing: Family<StateLabel, Gauge>,
    changes: Family<OperationLabel, Counter>,
    patches: Family<OutcomeLabel, Counter>,
    waiting: Family<ReasonLabel, Gauge>,
    waiting_seconds: Family<ReasonLabel, Gauge>,
    ungated: Gauge,
    brake: Counter,
    deadlines: Counter,
    gate_wait: Histogram,
    draining: Family<LoadBalancerLabel, Gauge>,
    drain: Histogram,
    undrained: Counter,
    limiter_wait: Histogram,
    leader: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    action: &'static str,
    outcome: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActionLabel {
    action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoadBalancerLabel {
    load_balancer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: Family::default(),
            // 5 ms to about 5 s: a call that takes longer is given up.
            call_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.005, 2.0, 11))
            }),
            bindings: Family::default(),
            standing: Family::default(),
            changes: Family::default(),
            patches: Family::default(),
            waiting: Family::default(),
            waiting_seconds: Family::default(),
            leader: Gauge::default(),
            ungated: Gauge::default(),
            brake: Counter::default(),
            deadlines: Counter::default(),
            // 0.5 s to about 17 minutes.
            gate_wait: Histogram::new(exponential_buckets(0.5, 2.0, 12)),
            draining: Family::default(),
            // 0.25 s to about 4 minutes.
            drain: Histogram::new(exponential_buckets(0.25, 2.0, 11)),
            undrained: Counter::default(),
            // 1 ms to about 16 s.
            limiter_wait: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
        };
        metrics.enlist(registry);
        metrics
    }

    fn enlist(&self, r: &mut Registry) {
        let help = "CLB API calls by action, outcome and the API's error code";
        r.register("clb_gate_api_calls", help, self.calls.clone());
        let help = "From sending a CLB API call to its whole answer, by action";
        r.register("clb_gate_api_call_seconds", help, self.call_seconds.clone());
        let help = "How long CLB API calls waited for their turn";
        let name = "clb_gate_limiter_wait_seconds";
        r.register(name, help, self.limiter_wait.clone());
        let help = "Our targets in the CLB, as read back, by load balancer";
        r.register("clb_gate_bindings", help, self.bindings.clone());
        let help = "Bindings of gated pods by how they stand: healthy, unchecked, registered, missing, held";
        r.register("clb_gate_pod_bindings", help, self.standing.clone());
        let help = "Targets, listeners and rules that were written to the CLB, by operation; drain is weight 0";
        r.register("clb_gate_changes", help, self.changes.clone());
        let help = "Removals that were planned again from a fresh read of the cluster";
        r.register("clb_gate_brake", help, self.brake.clone());
        self.enlist_drains(r);
        self.enlist_gates(r);
    }

    fn enlist_drains(&self, r: &mut Registry) {
        let help = "Targets of going pods at weight 0, as read back, by load balancer";
        r.register("clb_gate_draining_targets", help, self.draining.clone());
        let help =
            "From when a pod was asked to go, to the second, to its target's weight 0 read back";
        r.register("clb_gate_drain_seconds", help, self.drain.clone());
        let help = "Targets whose pod had ended or was gone before weight 0 was read back";
        r.register("clb_gate_undrained_targets", help, self.undrained.clone());
    }

    fn enlist_gates(&self, r: &mut Registry) {
        let help = "Writes of the gate's condition by outcome";
        r.register("clb_gate_patches", help, self.patches.clone());
        let help = "Gated pods whose gate is not True, by reason";
        r.register("clb_gate_waiting_pods", help, self.waiting.clone());
        let help = "How long the pod has waited that waits longest since its containers are ready, by reason";
        let name = "clb_gate_longest_wait_seconds";
        r.register(name, help, self.waiting_seconds.clone());
        let help = "From containers ready to the gate's True";
        let name = "clb_gate_gate_wait_seconds";
        r.register(name, help, self.gate_wait.clone());
        let help = "Exposed pods without the gate";
        r.register("clb_gate_ungated_pods", help, self.ungated.clone());
        let help = "Pods let through because the deadline of their Service was over";
        r.register("clb_gate_deadlines", help, self.deadlines.clone());
        let help = "1 if this controller leads";
        r.register("clb_gate_leader", help, self.leader.clone());
    }

    /// The safety brake was engaged.
    pub fn brake(&self) {
        self.brake.inc();
    }

    /// A pod was let through without being healthy.
    pub fn deadline(&self) {
        self.deadlines.inc();
    }

    /// How many targets of ours a load balancer has.
    pub fn bindings(&self, load_balancer: &str, count: usize) {
        let label = LoadBalancerLabel {
            load_balancer: load_balancer.to_owned(),
        };
        self.bindings.get_or_create(&label).set(number(count));
    }

    /// How many targets of going pods have weight 0.
    pub fn draining(&self, load_balancer: &str, count: usize) {
        let label = LoadBalancerLabel {
            load_balancer: load_balancer.to_owned(),
        };
        self.draining.get_or_create(&label).set(number(count));
    }

    /// How long it took until a going pod's target had weight 0.
    pub fn drained(&self, seconds: f64) {
        self.drain.observe(seconds);
    }

    /// So many targets lost their pods before they had weight 0.
    pub fn undrained(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.undrained.inc_by(count);
    }

    /// A gate's condition was written, or not.
    pub fn patched(&self, outcome: &'static str) {
        self.patches.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// How many pods wait and since when, how many lack the gate, and how bindings stand.
    pub fn pods(&self, counted: &Counted, ungated: usize, now: Timestamp) {
        for reason in REASONS {
            let label = ReasonLabel { reason };
            let waits = counted.waiting.get(reason);
            let count = waits.map_or(0, |waits| waits.pods);
            self.waiting.get_or_create(&label).set(number(count));
            let since = waits.and_then(|waits| waits.since);
            let longest = since.map_or(0, |since| now.duration_since(since).as_secs());
            self.waiting_seconds.get_or_create(&label).set(longest);
        }
        for state in STATES {
            let count = counted.bindings.get(state).copied().unwrap_or_default();
            let label = StateLabel { state };
            self.standing.get_or_create(&label).set(number(count));
        }
        self.ungated.set(number(ungated));
    }

    /// Something was written to a load balancer.
    pub fn wrote(&self, operation: &Operation) {
        let count = |operation, count: usize| {
            if count > 0 {
                let label = OperationLabel { operation };
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                self.changes.get_or_create(&label).inc_by(count);
            }
        };
        if let Operation::Weigh(all) = operation {
            let drained = all.iter().filter(|one| one.weight == 0).count();
            count("drain", drained);
            count(operation.label(), all.len() - drained);
        } else {
            count(operation.label(), operation.count());
        }
    }

    /// Whether this process leads.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// How long a pod waited for its gate.
    pub fn gate_wait(&self, seconds: f64) {
        self.gate_wait.observe(seconds);
    }

    /// Counts the client's calls.
    pub fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(self.clone())
    }
}

impl Observer for Metrics {
    fn called(&self, call: Called<'_>) {
        let labels = CallLabels {
            action: call.action,
            outcome: call.outcome,
            code: call.code.unwrap_or_default().to_owned(),
        };
        self.calls.get_or_create(&labels).inc();
        let action = ActionLabel {
            action: call.action,
        };
        let seconds = call.latency.as_secs_f64();
        self.call_seconds.get_or_create(&action).observe(seconds);
        self.limiter_wait.observe(call.limiter_wait.as_secs_f64());
    }
}
