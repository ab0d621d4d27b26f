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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prometheus_client::encoding::text::encode;

    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/metrics.md");

    /// docs/metrics.md lists every metric with type, labels and meaning, as `/metrics` has them.
    #[test]
    fn every_metric_is_in_the_table() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        // A family without any sample does not show.
        metrics.admission(Outcome::Injected, Duration::from_micros(50));
        metrics.canary(Outcome::Injected);
        metrics.handshake("ok");
        metrics.leaf_load("ok");
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let rows = rows(&text);
        let there = DOCUMENT.lines().filter(|line| line.contains("| webhook |"));
        let there: BTreeSet<_> = there.map(str::to_owned).collect();
        let shown: Vec<_> = rows.iter().map(String::as_str).collect();
        assert_eq!(
            there,
            rows,
            "docs/metrics.md should have:\n{}\n",
            shown.join("\n")
        );
    }

    fn rows(text: &str) -> BTreeSet<String> {
        let mut helps = BTreeMap::new();
        let mut rows = BTreeSet::new();
        for line in text.lines() {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '))
            {
                helps.insert(name, help.trim_end_matches('.'));
            }
            if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
            {
                let suffix = if kind == "counter" { "_total" } else { "" };
                let labels = labels(text, name);
                let help = helps[name];
                rows.insert(format!(
                    "| `{name}{suffix}` | {kind} | {labels} | webhook | {help} |"
                ));
            }
        }
        rows
    }

    fn labels(text: &str, name: &str) -> String {
        let mut own = text.lines().filter_map(|line| line.strip_prefix(name));
        let first = own.find_map(|rest| {
            let rest = rest.strip_prefix("_total").unwrap_or(rest);
            rest.strip_prefix('{')
        });
        let inside = first.and_then(|rest| rest.split_once('}'));
        let inside = inside.map_or("", |(inside, _)| inside);
        let keys = inside
            .split(',')
            .filter_map(|pair| Some(pair.split_once('=')?.0));
        let keys: Vec<_> = keys.collect();
        keys.join(", ")
    }
}
