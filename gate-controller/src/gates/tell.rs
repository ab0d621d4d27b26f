//! What people who look at a pod should find there.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use direct_access::names;
use direct_access::network::Refusal;
use runtime::News;
use tokio::time::Instant;

use super::{Gates, Memory};
use crate::desired::PodsByNamespace;
use crate::judge::Verdict;
use crate::pod::{DEFAULT_WEIGHT, PodRecord};

/// A pod that has waited this long is told of, once: longer than the CLB's default health check takes
/// (15 s) twice over.
pub(crate) const HELD_LONG: Duration = Duration::from_secs(45);

/// For a pod without the gate.
const UNGATED: &str = "This pod is behind a direct-access Service but has no readiness gate: it was created before the \
                       Service, or while no webhook answered. It is bound to the CLB all the same; kubectl rollout \
                       restart its workload: the pods that come instead have the gate";

impl Gates {
    /// Tells what the look found, each thing once a pod.
    pub(super) fn tell(&self, memory: &mut Memory, verdict: &Verdict, now: Instant) {
        for (pod, _) in &verdict.writes {
            memory.waiting_since.entry(pod.uid.clone()).or_insert(now);
        }
        self.tell_held(memory, now);
        for pod in &verdict.ungated {
            if memory.told.news(&pod.uid, "ungated", "") {
                self.event(pod, News::warning("Ungated", "Gate", UNGATED));
            }
        }
        for (pod, refusal) in &verdict.unreachable {
            self.tell_unreachable(memory, pod, *refusal);
        }
        for (pod, why) in &verdict.strangers {
            if memory.told.news(&pod.uid, "family", why) {
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
        let own = (&pod.bad_weight, "", DEFAULT_WEIGHT);
        let under_rules = (&pod.bad_rule_weight, " under rules", pod.weight);
        let keys = [names::CUSTOM_WEIGHT, names::ingress::CUSTOM_WEIGHT];
        for (key, (value, which, holds)) in keys.into_iter().zip([own, under_rules]) {
            let Some(value) = value else { continue };
            if memory.told.news(&pod.uid, key, value) {
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
        if memory.told.news(&pod.uid, reason, "") {
            self.event(pod, News::warning(reason, "Gate", note("its")));
        }
        let Some(maker) = &pod.maker else { return };
        let uid = maker.uid.as_deref().unwrap_or_default();
        if memory.told.news(uid, reason, "") {
            let news = News::warning(reason, "Gate", note("its pods'"));
            self.shared.recorder.publish(maker.as_ref().clone(), news);
        }
    }

    /// Pods that wait for long; and who is gone is forgotten.
    fn tell_held(&self, memory: &mut Memory, now: Instant) {
        if memory.waiting_since.is_empty() && memory.told.is_empty() {
            return;
        }
        self.shared.cluster.with_pods(|pods| {
            let live = by_uid(pods);
            memory.told.keep(&with_makers(&live));
            let Memory {
                waiting_since,
                told,
                ..
            } = memory;
            waiting_since.retain(|uid, since| {
                let Some(pod) = live.get(uid.as_str()) else {
                    return false;
                };
                let Some(condition) = pod.condition.as_ref().filter(|c| !c.is_true()) else {
                    return pod.condition.is_none();
                };
                if now - *since >= HELD_LONG && told.news(uid, "held", "") {
                    let seconds = HELD_LONG.as_secs();
                    let note = format!("Not ready for {seconds} s: {}", condition.message);
                    self.event(pod, News::warning("GateHeld", "Gate", note));
                }
                true
            });
        });
    }
}

fn by_uid<'a>(pods: &PodsByNamespace<'a>) -> HashMap<&'a str, &'a PodRecord> {
    let all = pods.values().flatten();
    all.map(|pod| (pod.uid.as_str(), *pod)).collect()
}

/// The UIDs of pods and of what made them.
fn with_makers<'a>(live: &HashMap<&'a str, &'a PodRecord>) -> HashSet<&'a str> {
    let makers = live.values().filter_map(|pod| pod.maker.as_ref());
    let makers = makers.filter_map(|maker| maker.uid.as_deref());
    live.keys().copied().chain(makers).collect()
}
