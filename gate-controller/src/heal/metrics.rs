//! What self-heal counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The metrics of self-heal. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HealMetrics {
    repairs: Family<RepairLabel, Counter>,
    next_due: Gauge,
    healthy: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepairLabel {
    object: &'static str,
}

impl HealMetrics {
    /// Makes and registers the metrics.
    pub fn register(metrics: &mut Registry) -> Self {
        let made = Self::default();
        let help = "Writes of self-heal by object: registration, clb-gate-ca, clb-gate-leaf";
        metrics.register("clb_gate_repairs", help, made.repairs.clone());
        let help =
            "When the next certificate falls due, in seconds since 1970; only the leader knows";
        metrics.register(
            "clb_gate_certificate_due_timestamp_seconds",
            help,
            made.next_due.clone(),
        );
        let help = "1 if registration and certificates were right at the leader's last look";
        metrics.register("clb_gate_registration_healthy", help, made.healthy.clone());
        made
    }

    pub(super) fn wrote(&self, object: &'static str) {
        self.repairs.get_or_create(&RepairLabel { object }).inc();
    }

    pub(super) fn looked(&self, healthy: bool) {
        self.healthy.set(i64::from(healthy));
    }

    pub(super) fn due(&self, seconds: i64) {
        self.next_due.set(seconds);
    }
}
