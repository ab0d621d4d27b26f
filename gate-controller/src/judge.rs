//! From exposures, pods and views to what the gates should say and whose health to ask for. Pure, but
//! for the views it reads.

mod binding;
mod unselected;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use direct_access::condition::{Condition, Status};
use direct_access::gate::Binding;
use direct_access::names;
use direct_access::network::{Conclusion, Reach, Refusal};
use direct_access::{Exposure, GateFacts, GateValue, gate};
use jiff::Timestamp;

pub(crate) use binding::stand;
use binding::{binding, held_by_network};
pub use unselected::Unselected;

use crate::desired::PodsByNamespace;
use crate::met::{self, Behind, Stands};
use crate::metrics::{self, Counted};
use crate::pod::{Fate, PodRecord};
use crate::view::Views;

/// Reasons of metrics for pods that have no condition yet.
const NOT_STARTED: &str = "NotStarted";
const UNSELECTED: &str = "Unselected";

/// What one look at all pods found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Conditions to write.
    pub writes: Vec<(PodRecord, Condition)>,
    /// Listeners whose health is awaited, by load balancer.
    pub waiting: BTreeMap<String, BTreeSet<String>>,
    /// How many gated pods wait and why, and how bindings stand.
    pub counted: Counted,
    /// Exposed pods without the gate: created before their Service, or while no webhook answered.
    pub ungated: Vec<PodRecord>,
    /// Exposed pods without the gate that the CLB cannot reach.
    pub unreachable: Vec<(PodRecord, Refusal)>,
    /// Exposed pods that ask for a weight that is none.
    pub misweighted: Vec<PodRecord>,
    /// UIDs of live, gated, unlatched pods that nothing selects.
    pub unselected: BTreeSet<String>,
    /// What every live, gated, unlatched pod is behind.
    pub(crate) behind: Behind,
    /// Exposed pods without an address that their load balancer could bind, and why.
    pub(crate) strangers: Vec<(PodRecord, String)>,
    /// What pods are behind, each combination once.
    combinations: BTreeSet<Stands>,
    network: Conclusion,
    now: Timestamp,
}

/// How long pods have been unselected, by UID.
pub type Durations = HashMap<String, Duration>;

/// What time bears on the judgement.
#[derive(Clone, Copy, Debug)]
pub struct Times<'a> {
    /// Now, by the wall clock.
    pub now: Timestamp,
    /// How long pods have been unselected.
    pub unselected: &'a Durations,
}

/// Judges every live pod.
pub fn judge(
    exposures: &[Exposure],
    pods: &PodsByNamespace<'_>,
    views: &Views,
    network: Conclusion,
    times: Times<'_>,
) -> Verdict {
    let mut by_namespace: HashMap<&str, Vec<&Exposure>> = HashMap::new();
    for exposure in exposures {
        by_namespace
            .entry(exposure.service.namespace.as_str())
            .or_default()
            .push(exposure);
    }
    let mut verdict = Verdict {
        network,
        now: times.now,
        ..Verdict::default()
    };
    for (namespace, pods) in pods {
        let exposures = by_namespace.get(namespace).map_or(&[][..], |all| &all[..]);
        for pod in pods.iter().filter(|pod| pod.fate == Fate::Live) {
            verdict.look(
                pod,
                exposures,
                views,
                times.unselected.get(&pod.uid).copied(),
            );
        }
    }
    verdict
}

impl Verdict {
    fn look(
        &mut self,
        pod: &PodRecord,
        exposures: &[&Exposure],
        views: &Views,
        unselected_for: Option<Duration>,
    ) {
        let mine: Vec<_> = exposures
            .iter()
            .copied()
            .filter(|exposure| pod.selected_by(&exposure.selector))
            .collect();
        let under_rules = mine.iter().any(|exposure| exposure.rule.is_some());
        let bad = pod.bad_weight.is_some() && !mine.is_empty();
        if bad || pod.bad_rule_weight.is_some() && under_rules {
            self.misweighted.push(pod.clone());
        }
        self.strange(pod, &mine, views);
        let reach = pod.network.reach(self.network);
        if !pod.gated {
            if !mine.is_empty() {
                self.without_gate(pod, reach);
            }
            return;
        }
        let mut waiting = Vec::new();
        let bindings: Vec<_> = mine
            .iter()
            .filter_map(|exposure| {
                let binding = binding(pod, exposure, views, &mut waiting)?;
                let overdue = exposure
                    .deadline
                    .filter(|deadline| self.over(pod, *deadline));
                Some(Binding {
                    overdue,
                    ..held_by_network(binding, reach)
                })
            })
            .collect();
        for binding in &bindings {
            self.counted.stands(&binding.state);
        }
        let ip = pod.ip.map(|ip| ip.to_string());
        let facts = GateFacts {
            gated: pod.gated,
            going: false,
            containers_ready: pod.containers_ready,
            condition: pod.condition.as_ref(),
            latched_ip: pod.latched_ip.as_deref(),
            ip: ip.as_deref(),
            unselected_for,
        };
        self.conclude(pod, gate(&facts, &bindings), waiting, &mine);
    }

    fn strange(&mut self, pod: &PodRecord, exposures: &[&Exposure], views: &Views) {
        let mut ids = exposures.iter().filter_map(|one| one.load_balancer.id());
        let why = ids.find_map(|id| Some(format!("CLB {id}: {}", pod.lacks(views.family(id))?)));
        self.strangers.extend(why.map(|why| (pod.clone(), why)));
    }

    /// It is counted from when the containers were ready: nothing can be bound before.
    fn over(&self, pod: &PodRecord, deadline: Duration) -> bool {
        let since = pod.containers_ready_since;
        since.is_some_and(|since| {
            Duration::try_from(self.now.duration_since(since))
                .is_ok_and(|waited| waited >= deadline)
        })
    }

    fn without_gate(&mut self, pod: &PodRecord, reach: Reach) {
        if let Some(refusal) = reach.refusal() {
            self.unreachable.push((pod.clone(), refusal));
        } else if pod.labels.get(names::INJECT_LABEL).map(String::as_str) != Some("false") {
            self.ungated.push(pod.clone());
        }
    }

    /// What a pod is behind, shared with all that are behind the same.
    fn stands(&mut self, exposures: &[&Exposure]) -> Stands {
        let stands = exposures.iter().map(|exposure| met::stand(exposure));
        let stands: BTreeSet<_> = stands.collect();
        if let Some(known) = self.combinations.get(&stands) {
            return Arc::clone(known);
        }
        let stands = Arc::new(stands);
        self.combinations.insert(Arc::clone(&stands));
        stands
    }

    fn conclude(
        &mut self,
        pod: &PodRecord,
        value: GateValue,
        waiting: Vec<(String, String)>,
        exposures: &[&Exposure],
    ) {
        use direct_access::gate::Leave;
        let reason = match value {
            GateValue::Leave(Leave::Latched | Leave::Going | Leave::NoGate) => return,
            GateValue::Leave(Leave::NotStarted) => Some(NOT_STARTED),
            GateValue::Leave(Leave::Unselected) => Some(UNSELECTED),
            GateValue::Leave(Leave::Unchanged) => Some(waits_for(pod)),
            GateValue::Set(condition) => {
                let opens = condition.status == Status::True;
                let reason = condition.reason.as_str();
                self.writes.push((pod.clone(), condition));
                (!opens).then_some(reason)
            }
        };
        if let Some(reason) = reason {
            self.counted.waits(reason, pod.containers_ready_since);
        }
        let stands = self.stands(exposures);
        self.behind.insert(pod.uid.clone(), stands);
        if exposures.is_empty() {
            self.unselected.insert(pod.uid.clone());
        }
        for (load_balancer, listener) in waiting {
            self.waiting
                .entry(load_balancer)
                .or_default()
                .insert(listener);
        }
    }
}

/// Why a pod waits of which the condition says it already.
fn waits_for(pod: &PodRecord) -> &'static str {
    let says = pod.condition.as_ref().map(|one| one.reason.as_str());
    let known = metrics::REASONS.into_iter().find(|one| says == Some(one));
    known.unwrap_or(NOT_STARTED)
}

#[cfg(test)]
mod tests;
