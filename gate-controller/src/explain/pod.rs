//! Why is this pod not ready? Pure.

use std::collections::BTreeMap;

use direct_access::gate::{Binding, BindingState, Leave};
use direct_access::{Exposure, GateFacts, GateValue, Judgement, exposures, gate, names};

use super::binding::{Stand, Subject};
use super::detail::PodDetail;
use super::facts::{Clb, Facts};
use super::finding::{Finding, OfBinding, OfPod};
use super::judged::{Judged, judged};
use super::probe::Probed;
use super::report::{GateLine, Report};
use crate::pod::{Fate, PodRecord};
use crate::preview::not_ours::why;

/// What is known of one pod besides.
#[derive(Clone, Debug)]
pub struct PodFacts {
    /// As the controller caches it.
    pub pod: PodRecord,
    /// What only an explanation looks at.
    pub detail: PodDetail,
    /// What it answered, by port, where it was asked.
    pub probed: BTreeMap<u16, Probed>,
}

/// Explains one pod.
pub fn explain_pod(facts: &Facts, about: &PodFacts) -> Report {
    let judged = judged(facts);
    let (stands, findings) = look(facts, &judged, about);
    Report {
        object: format!("Pod {}", about.pod.object()),
        at: facts.now,
        gate: Some(gate_line(&about.pod)),
        bindings: stands.into_iter().map(|stand| stand.line).collect(),
        notes: notes(facts),
        ..Report::default()
    }
    .finding(findings)
}

/// The pod's bindings and what was found.
pub(super) fn look(facts: &Facts, judged: &Judged, about: &PodFacts) -> (Vec<Stand>, Vec<Finding>) {
    let mine = exposing(judged, &about.pod);
    let subject = Subject {
        facts,
        judged,
        pod: &about.pod,
        detail: &about.detail,
        probed: &about.probed,
    };
    let stands: Vec<_> = mine.iter().filter_map(|one| subject.stand(one)).collect();
    let mut findings = subject.findings(&mine, &stands);
    let held_up = findings
        .iter()
        .any(|one| one.weight() != super::Weight::Fine);
    if held_up && facts.leads() == Some(false) {
        findings.push(Finding::NobodyLeads(facts.namespace.clone()));
    }
    (stands, findings)
}

/// The exposures that lead to a pod.
pub(super) fn exposing<'a>(judged: &'a Judged, pod: &PodRecord) -> Vec<&'a Exposure> {
    let all = judged.wanted.exposures.iter();
    let here = all.filter(|one| one.service.namespace == pod.namespace);
    here.filter(|one| pod.selected_by(&one.selector)).collect()
}

/// What to know about a look.
pub(super) fn notes(facts: &Facts) -> Vec<String> {
    let mut notes = facts.world.notes.clone();
    match &facts.clb {
        Clb::Seen(looked) => notes.extend(looked.sighting.notes.iter().cloned()),
        Clb::NoClient(_) | Clb::Refused(_) => {
            let why = facts.clb.unknown().unwrap_or_default();
            notes.push(format!(
                "the CLB was not asked, so this rests on what the controller wrote to the cluster: {why}"
            ));
        }
    }
    if let Err(why) = &facts.lease {
        notes.push(format!("who leads is not known: {why}"));
    }
    notes
}

impl Subject<'_> {
    fn findings(&self, mine: &[&Exposure], stands: &[Stand]) -> Vec<Finding> {
        match self.pod.fate {
            Fate::Going => {
                let asked = self.pod.farewell.map(|one| one.asked);
                return vec![OfPod::Going(asked, self.left(mine)).into()];
            }
            Fate::Ended => return vec![OfPod::Ended.into()],
            Fate::Live => {}
        }
        let refusal = self.pod.network.reach(self.facts.world.settings.conclusion);
        let refusal = refusal.refusal();
        if !self.pod.gated {
            return match (mine, refusal) {
                ([], _) => vec![OfPod::NotExposed(self.near()).into()],
                (_, Some(refusal)) => vec![OfPod::Unreachable(refusal).into()],
                _ => self.without_gate(mine, stands),
            };
        }
        if self.latched(stands) {
            return self.open(stands);
        }
        if mine.is_empty() {
            return vec![OfPod::Unselected(self.near()).into()];
        }
        if let Some(refusal) = refusal {
            return vec![OfPod::Unreachable(refusal).into()];
        }
        self.waiting(stands)
    }

    /// As the controller would judge it.
    fn latched(&self, stands: &[Stand]) -> bool {
        let ip = self.pod.ip.map(|ip| ip.to_string());
        let facts = GateFacts {
            gated: self.pod.gated,
            going: false,
            containers_ready: self.pod.containers_ready,
            condition: self.pod.condition.as_ref(),
            latched_ip: self.pod.latched_ip.as_deref(),
            ip: ip.as_deref(),
            unselected_for: None,
        };
        let bindings: Vec<Binding> = stands.iter().map(|one| one.binding.clone()).collect();
        gate(&facts, &bindings) == GateValue::Leave(Leave::Latched)
    }

    fn open(&self, stands: &[Stand]) -> Vec<Finding> {
        let mut findings: Vec<_> = stands.iter().filter_map(unhealthy).collect();
        let own = if self.detail.ready {
            OfPod::Ready
        } else if !self.detail.waits.is_empty() {
            OfPod::ContainersNotReady(self.detail.waits.clone())
        } else if self.detail.other_gates.is_empty() {
            OfPod::Ready
        } else {
            let other = self.detail.other_gates.join(", ");
            OfPod::NotReadyOtherwise(format!("its readiness gates {other} are not True"))
        };
        findings.push(own.into());
        findings
    }

    fn waiting(&self, stands: &[Stand]) -> Vec<Finding> {
        if self.pod.ip.is_none() && stands.is_empty() {
            return vec![OfPod::NoAddress.into()];
        }
        if !self.pod.containers_ready {
            return vec![OfPod::ContainersNotReady(self.detail.waits.clone()).into()];
        }
        let found: Vec<_> = stands
            .iter()
            .filter_map(|one| one.finding.clone())
            .collect();
        if found.is_empty() {
            return vec![OfPod::Healthy.into()];
        }
        found
    }

    fn without_gate(&self, mine: &[&Exposure], stands: &[Stand]) -> Vec<Finding> {
        let opted_out = self.pod.labels.get(names::INJECT_LABEL);
        let own = if opted_out.map(String::as_str) == Some("false") {
            OfPod::OptedOut
        } else {
            self.ungated(mine)
        };
        let mut findings = vec![own.into()];
        if self.pod.containers_ready {
            let held = stands.iter().filter_map(|one| one.finding.clone());
            findings.extend(held);
        }
        findings
    }

    fn ungated(&self, mine: &[&Exposure]) -> OfPod {
        let world = &self.facts.world;
        let created = |exposure: &&Exposure| {
            let owner = &exposure.owner;
            let services = world.services.iter();
            let services = services.filter(|one| one.owner() == *owner);
            let ingresses = world.ingresses.iter();
            let ingresses = ingresses.filter(|one| one.owner() == *owner);
            let mut all = services
                .map(|one| one.created)
                .chain(ingresses.map(|one| one.created));
            Some((owner.clone(), all.next()??))
        };
        let oldest = mine.iter().filter_map(created).min_by_key(|(_, at)| *at);
        match (oldest, self.detail.created) {
            (Some((owner, at)), Some(pod)) if pod < at => OfPod::OlderThanItsExposure(owner, at),
            _ => OfPod::NoWebhookAnswered,
        }
    }

    /// Services that select the pod and do not count, and why.
    fn near(&self) -> Vec<(String, String)> {
        let world = &self.facts.world;
        let services = world.services.iter();
        let here = services.filter(|one| one.namespace == self.pod.namespace);
        let selecting = here.filter(|one| self.pod.selected_by(&one.selector));
        selecting
            .filter_map(|one| match exposures(one, &world.settings) {
                Judgement::NotOurs(reason) => Some((one.owner().to_string(), why(one, &reason))),
                Judgement::Served(_) => None,
            })
            .collect()
    }
}

/// What the CLB says of a binding whose gate is open already.
fn unhealthy(stand: &Stand) -> Option<Finding> {
    let at = stand.finding.as_ref()?.at()?.clone();
    match stand.state.as_ref()? {
        BindingState::Registered(word @ "Dead") => {
            Some(Finding::Binding(at, OfBinding::UnhealthyNow(word)))
        }
        BindingState::Missing | BindingState::Held(_) => stand.finding.clone(),
        BindingState::Registered(_) | BindingState::Healthy | BindingState::Unchecked => None,
    }
}

fn gate_line(pod: &PodRecord) -> GateLine {
    let condition = pod.condition.as_ref();
    let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    GateLine {
        gated: pod.gated,
        status: condition.and_then(|one| text(&one.status)),
        reason: condition.and_then(|one| text(&one.reason)),
        message: condition.and_then(|one| text(&one.message)),
        since: condition.and_then(|one| one.last_transition),
    }
}
