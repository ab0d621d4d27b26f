//! What the webhook counts.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::answer::Outcome;

/// Seconds. The budget is 100 µs for a usual review; the API server gives up after 3 s.
const LATENCY_BUCKETS: [f64; 10] = [
    20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 5e-3, 20e-3, 100e-3, 1.0,
];

/// All of the webhook's metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    admissions: Family<AdmissionLabels, Counter>,
    canaries: Family<AdmissionLabels, Counter>,
    /// Time to judge a review whose body has been read, in seconds.
    pub latency: Histogram,
    /// Open TLS connections.
    pub connections: Gauge,
    /// TLS handshakes by result.
    pub handshakes: Family<ResultLabel, Counter>,
    /// Leaves taken from the Secret, by result.
    pub leaf_loads: Family<ResultLabel, Counter>,
    /// End of the served leaf's life, in seconds since 1970.
    pub leaf_not_after: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AdmissionLabels {
    outcome: &'static str,
    reason: &'static str,
}

/// How something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabel {
    /// `ok`, or what went wrong.
    pub result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            admissions: Family::default(),
            canaries: Family::default(),
            latency: Histogram::new(LATENCY_BUCKETS),
            connections: Gauge::default(),
            handshakes: Family::default(),
            leaf_loads: Family::default(),
            leaf_not_after: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Makes the metrics known to `/metrics`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("clb_gate_webhook");
        let m = metrics.clone();
        registry.register(
            "admissions",
            "Reviews by what was done with them",
            m.admissions,
        );
        registry.register(
            "canaries",
            "The controller's canary reviews by what was done with them",
            m.canaries,
        );
        registry.register(
            "admission_seconds",
            "Time to judge a review already read",
            m.latency,
        );
        registry.register("connections", "Open TLS connections", m.connections);
        registry.register("handshakes", "TLS handshakes by result", m.handshakes);
        registry.register(
            "leaf_loads",
            "Leaves taken from the Secret by result",
            m.leaf_loads,
        );
        registry.register(
            "leaf_not_after_seconds",
            "End of the served leaf's life, in seconds since 1970",
            m.leaf_not_after,
        );
        metrics
    }

    /// Counts one review.
    pub fn admission(&self, outcome: Outcome, took: Duration) {
        let (outcome, reason) = outcome.labels();
        self.admissions
            .get_or_create(&AdmissionLabels { outcome, reason })
            .inc();
        self.latency.observe(took.as_secs_f64());
    }

    /// Counts one review of the canary.
    pub fn canary(&self, outcome: Outcome) {
        let (outcome, reason) = outcome.labels();
        self.canaries
            .get_or_create(&AdmissionLabels { outcome, reason })
            .inc();
    }

    /// How many reviews of pods and of the canary ended so.
    #[cfg(test)]
    pub(crate) fn admitted(&self, outcome: Outcome) -> (u64, u64) {
        let (outcome, reason) = outcome.labels();
        let labels = AdmissionLabels { outcome, reason };
        let counted = |family: &Family<_, Counter>| family.get_or_create(&labels).get();
        (counted(&self.admissions), counted(&self.canaries))
    }

    /// Counts one handshake.
    pub fn handshake(&self, result: &'static str) {
        self.handshakes.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts one leaf.
    pub fn leaf_load(&self, result: &'static str) {
        self.leaf_loads.get_or_create(&ResultLabel { result }).inc();
    }
}
