//! What self-heal counts.

use certs::{
    Bundle, Certificate,
    plan::{Standing, Step},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{decide::leaf_of, facts::Seen, secrets::ca_material};

/// The metrics of self-heal. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct HealMetrics {
    repairs: Family<RepairLabel, Counter>,
    next_due: Gauge,
    healthy: Gauge,
    not_after: Family<CertificateLabel, Gauge>,
    steps: Family<StepLabel, Gauge>,
    awaited: Gauge,
    replicas: Family<ReplicaLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepairLabel {
    object: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabel {
    certificate: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplicaLabel {
    state: &'static str,
}

impl HealMetrics {
    /// Makes and registers the metrics. Only the leader knows any of this.
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
        made.register_certificates(metrics);
        made
    }

    fn register_certificates(&self, metrics: &mut Registry) {
        let help = "When the newest CA and the leaf of the Secrets expire, in seconds since 1970";
        metrics.register(
            "clb_gate_certificate_not_after_timestamp_seconds",
            help,
            self.not_after.clone(),
        );
        let help = "1 for the step that certificates need now; keep if they need none";
        metrics.register("clb_gate_certificate_step", help, self.steps.clone());
        let help = "Replicas that keep an older CA in use, or may";
        let name = "clb_gate_certificate_awaited_replicas";
        metrics.register(name, help, self.awaited.clone());
        let help = "Webhook replicas by the leaf they present: current, older, untrusted, unseen";
        metrics.register("clb_gate_replica_leaves", help, self.replicas.clone());
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

    pub(super) fn certificates(&self, seen: &Seen) {
        let cas = seen.ca.as_ref().map(|ca| ca_material(ca).cert_pem);
        let cas = Bundle::parse_lossy(&cas.unwrap_or_default()).0;
        self.expires("ca", cas.iter().next());
        self.expires("leaf", leaf_of(seen).as_ref());
    }

    pub(super) fn step(&self, step: &Step) {
        for name in Step::NAMES {
            let gauge = self.steps.get_or_create(&StepLabel { step: name });
            gauge.set(i64::from(name == step.name()));
        }
        match step {
            // A look tells who is awaited; until then it is who was.
            Step::Look { .. } => {}
            Step::Await { awaited, .. } => self.await_these(awaited.len()),
            Step::CreateCa { .. }
            | Step::IssueLeaf { .. }
            | Step::PublishBundle { .. }
            | Step::RefreshLeafBundle { .. }
            | Step::ForgetCas { .. }
            | Step::Keep { .. } => self.await_these(0),
        }
    }

    pub(super) fn replicas(&self, standings: &[Standing]) {
        for standing in Standing::ALL {
            let count = standings.iter().filter(|one| **one == standing).count();
            let state = standing.name();
            self.replicas
                .get_or_create(&ReplicaLabel { state })
                .set(number(count));
        }
    }

    /// Gives every family a sample, without which it does not show.
    #[cfg(test)]
    pub(crate) fn touch(&self) {
        self.wrote("registration");
        self.replicas(&[]);
        self.expires("leaf", None);
        let step = Step::NAMES[0];
        self.steps.get_or_create(&StepLabel { step }).set(1);
    }

    fn await_these(&self, count: usize) {
        self.awaited.set(number(count));
    }

    fn expires(&self, certificate: &'static str, of: Option<&Certificate>) {
        let gauge = self
            .not_after
            .get_or_create(&CertificateLabel { certificate });
        gauge.set(of.map_or(0, |of| of.facts().not_after.as_second()));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
