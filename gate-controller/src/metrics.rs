//! The controller's metrics, by the conventions of Prometheus.

use std::sync::Arc;

use clb::{Called, Observer};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Cheap to clone; every clone counts into the same numbers.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<CallLabels, Counter>,
    bindings: Family<LoadBalancerLabel, Gauge>,
    patches: Family<OutcomeLabel, Counter>,
    waiting: Gauge,
    ungated: Gauge,
    brake: Counter,
    deadlines: Counter,
    gate_wait: Histogram,
    limiter_wait: Histogram,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    action: &'static str,
    outcome: &'static str,
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
            bindings: Family::default(),
            patches: Family::default(),
            waiting: Gauge::default(),
            ungated: Gauge::default(),
            brake: Counter::default(),
            deadlines: Counter::default(),
            // 0.5 s to about 17 minutes.
            gate_wait: Histogram::new(exponential_buckets(0.5, 2.0, 12)),
            // 1 ms to about 16 s.
            limiter_wait: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
        };
        metrics.enlist(registry);
        metrics
    }

    fn enlist(&self, registry: &mut Registry) {
        let r = registry;
        r.register(
            "clb_gate_api_calls",
            "CLB API calls by action and outcome",
            self.calls.clone(),
        );
        r.register(
            "clb_gate_bindings",
            "Our targets in the CLB, as read back",
            self.bindings.clone(),
        );
        r.register(
            "clb_gate_patches",
            "Writes of the gate's condition by outcome",
            self.patches.clone(),
        );
        r.register(
            "clb_gate_waiting_pods",
            "Gated pods whose gate is not True",
            self.waiting.clone(),
        );
        r.register(
            "clb_gate_ungated_pods",
            "Exposed pods without the gate",
            self.ungated.clone(),
        );
        let brake = "Removals that were planned again from a fresh read of the cluster";
        r.register("clb_gate_brake", brake, self.brake.clone());
        let deadlines = "Pods let through because the deadline of their Service was over";
        r.register("clb_gate_deadlines", deadlines, self.deadlines.clone());
        let gate_wait = "From containers ready to the gate's True";
        r.register(
            "clb_gate_gate_wait_seconds",
            gate_wait,
            self.gate_wait.clone(),
        );
        let limiter_wait = "How long CLB calls waited for their turn";
        r.register(
            "clb_gate_limiter_wait_seconds",
            limiter_wait,
            self.limiter_wait.clone(),
        );
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
        self.bindings
            .get_or_create(&label)
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A gate's condition was written, or not.
    pub fn patched(&self, outcome: &'static str) {
        self.patches.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// How many pods wait and how many lack the gate.
    pub fn pods(&self, waiting: usize, ungated: usize) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.ungated.set(i64::try_from(ungated).unwrap_or(i64::MAX));
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
        };
        self.calls.get_or_create(&labels).inc();
        self.limiter_wait.observe(call.limiter_wait.as_secs_f64());
    }
}
