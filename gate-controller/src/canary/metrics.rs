//! What the canary counts.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};

use super::verdict::Verdict;

/// The metrics of the canary. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct CanaryMetrics {
    checks: Family<VerdictLabel, Counter>,
    known: Known,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: &'static str,
}

/// Absent until the first look that found something out, and where nobody looks: only the leader's word
/// counts, and neither 0 nor 1 would be true elsewhere.
#[derive(Clone, Debug, Default)]
struct Known(Arc<Mutex<State>>);

#[derive(Clone, Copy, Debug, Default)]
struct State {
    works: Option<bool>,
    last_success: Option<Timestamp>,
}

impl CanaryMetrics {
    /// Makes and registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        let made = Self::default();
        let help = "Dry runs of the canary by verdict: works, broken, denied, unknown";
        registry.register("clb_gate_canary_checks", help, made.checks.clone());
        registry.register_collector(Box::new(made.known.clone()));
        made
    }

    /// Gives everything a sample, without which it does not show.
    #[cfg(test)]
    pub(crate) fn touch(&self) {
        self.looked(&Verdict::Works, Timestamp::UNIX_EPOCH);
    }

    /// Takes in a verdict. One that found nothing out leaves what is known as it is.
    pub(super) fn looked(&self, verdict: &Verdict, now: Timestamp) {
        let label = VerdictLabel {
            verdict: verdict.label(),
        };
        self.checks.get_or_create(&label).inc();
        let mut state = self.known.0.lock();
        match verdict {
            Verdict::Works => {
                *state = State {
                    works: Some(true),
                    last_success: Some(now),
                }
            }
            Verdict::Broken { .. } => state.works = Some(false),
            Verdict::Denied { .. } | Verdict::Unknown { .. } => {}
        }
    }

    /// Nobody here looks any more.
    pub(super) fn forget(&self) {
        *self.known.0.lock() = State::default();
    }
}

impl Collector for Known {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let State {
            works,
            last_success,
        } = *self.0.lock();
        let ok = works.map(i64::from);
        let help = "1 if the API server reached and trusted the webhook at the leader's last look";
        gauge(&mut encoder, "clb_gate_canary_ok", help, ok)?;
        let name = "clb_gate_canary_last_success_timestamp_seconds";
        let help = "When the canary last got its gate, in seconds since 1970";
        let seconds = last_success.map(Timestamp::as_second);
        gauge(&mut encoder, name, help, seconds)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: Option<i64>,
) -> fmt::Result {
    let Some(value) = value else { return Ok(()) };
    let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(encoder)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;
    use crate::canary::verdict::Cause;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        text
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let mut registry = Registry::default();
        let metrics = CanaryMetrics::register(&mut registry);
        let at = Timestamp::from_second(42).unwrap();
        let unknown = Verdict::Unknown {
            text: String::new(),
        };
        metrics.looked(&unknown, at);
        let before = text(&registry);
        assert!(before.contains("clb_gate_canary_checks_total{verdict=\"unknown\"} 1\n"));
        assert!(!before.contains("canary_ok") && !before.contains("last_success"));

        metrics.looked(&Verdict::Works, at);
        metrics.looked(&unknown, at);
        let works = text(&registry);
        assert!(works.contains("clb_gate_canary_ok 1\n"), "{works}");
        assert!(works.contains("clb_gate_canary_last_success_timestamp_seconds 42\n"));

        let broken = Verdict::Broken {
            cause: Cause::TimedOut,
            text: String::new(),
        };
        metrics.looked(&broken, at);
        let broken = text(&registry);
        assert!(broken.contains("clb_gate_canary_ok 0\n") && broken.contains("seconds 42\n"));

        metrics.forget();
        assert!(!text(&registry).contains("canary_ok"));
    }
}
