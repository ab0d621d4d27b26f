//! What of this Service or Ingress is served, and what stands in the way? Pure.

use std::collections::BTreeMap;

use direct_access::{
    Exposure, IngressJudgement, IngressReason, Judgement, Kind, Owner, exposures,
    ingress_exposures, names,
};

use super::facts::Facts;
use super::finding::{Finding, OfObject, OfPod};
use super::judged::{Judged, judged};
use super::pod::{PodFacts, look, notes};
use super::report::Report;
use crate::pod::Fate;
use crate::preview::World;
use crate::preview::not_ours::why;

/// Explains a Service or an Ingress with the pods behind it.
pub fn explain_object(facts: &Facts, owner: &Owner, pods: &[PodFacts]) -> Report {
    let judged = judged(facts);
    let mine: Vec<_> = judged
        .wanted
        .exposures
        .iter()
        .filter(|one| leads(one, owner))
        .collect();
    let work = Work {
        facts,
        judged: &judged,
        owner,
        mine: &mine,
    };
    let own = work.itself().into_iter();
    let mut findings: Vec<_> = own.map(Finding::from).collect();
    let (lines, of_pods) = work.pods(pods);
    findings.extend(of_pods);
    if findings.is_empty() {
        findings.push(OfObject::Serves(pods.len()).into());
    }
    if facts.leads() == Some(false) && !mine.is_empty() {
        findings.push(Finding::NobodyLeads(facts.namespace.clone()));
    }
    Report {
        object: owner.to_string(),
        at: facts.now,
        bindings: lines,
        notes: notes(facts),
        ..Report::default()
    }
    .finding(findings)
}

/// Whether it is the object's own, or leads to the pods of a Service.
fn leads(exposure: &Exposure, owner: &Owner) -> bool {
    let its_service = owner.kind == Kind::Service && exposure.service == owner.object;
    exposure.owner == *owner || its_service
}

struct Work<'a> {
    facts: &'a Facts,
    judged: &'a Judged,
    owner: &'a Owner,
    mine: &'a [&'a Exposure],
}

impl Work<'_> {
    /// What is found without looking at pods.
    fn itself(&self) -> Vec<OfObject> {
        let wanted = &self.judged.wanted;
        let told = [&wanted.problems, &wanted.conflicts];
        let told = told
            .into_iter()
            .filter_map(|all| all.get(self.owner))
            .flatten();
        let mut findings: Vec<_> = told.map(|one| OfObject::ToMend(one.to_string())).collect();
        if self.mine.is_empty() && findings.is_empty() {
            findings.extend(
                self.not_ours()
                    .map(|why| OfObject::NotOurs(self.owner.clone(), why)),
            );
        }
        if self.owner.kind == Kind::Service
            && let Some(mixture) = wanted.mixed.get(&self.owner.object)
        {
            findings.push(OfObject::ToMend(mixture.problem.to_string()));
        }
        findings.extend(self.of_load_balancers());
        findings.extend(select_nothing(self.mine.iter().copied(), &self.facts.world));
        findings
    }

    fn not_ours(&self) -> Option<String> {
        let world = &self.facts.world;
        match self.owner.kind {
            Kind::Service => {
                let mut all = world.services.iter();
                let service = all.find(|one| one.owner() == *self.owner)?;
                match exposures(service, &world.settings) {
                    Judgement::NotOurs(reason) => Some(why(service, &reason)),
                    Judgement::Served(_) => None,
                }
            }
            Kind::Ingress => {
                let mut all = world.ingresses.iter();
                let ingress = all.find(|one| one.owner() == *self.owner)?;
                let find = |name: &str| {
                    let mut all = world.services.iter();
                    all.find(|one| one.namespace == ingress.namespace && one.name == name)
                };
                match ingress_exposures(ingress, &find, &world.settings) {
                    IngressJudgement::NotOurs(reason) => Some(ingress_why(&reason)),
                    IngressJudgement::Served(_) => None,
                }
            }
        }
    }

    /// What waits for a person on the listeners, or soon will.
    fn of_load_balancers(&self) -> Vec<OfObject> {
        let mut findings = Vec::new();
        for exposure in self.mine {
            let Some(view) = exposure
                .load_balancer
                .id()
                .and_then(|id| self.judged.views.get(id))
            else {
                continue;
            };
            let place = |what: &str| {
                let id = exposure.load_balancer.id().unwrap_or_default();
                OfObject::ToMend(format!(
                    "{id} {}:{}: {what}",
                    exposure.protocol, exposure.port
                ))
            };
            let slot = exposure.slot();
            let held = view.held.get(&slot).into_iter().flatten();
            findings.extend(view.problem.iter().map(|what| place(what)));
            findings.extend(held.map(|held| place(&held.to_string())));
            findings.extend(view.warnings.get(&slot).map(|what| place(what)));
            let unchanged = view.unchanged.get(&slot).into_iter().flatten();
            findings.extend(unchanged.map(|what| place(what)));
        }
        findings.dedup();
        findings
    }

    /// What pods have in common is said once.
    fn pods(&self, pods: &[PodFacts]) -> (Vec<super::BindingLine>, Vec<Finding>) {
        let mut lines = Vec::new();
        let mut by_code: BTreeMap<&'static str, Vec<(String, Finding)>> = BTreeMap::new();
        for about in pods {
            let (stands, findings) = look(self.facts, self.judged, about);
            lines.extend(stands.into_iter().map(|stand| stand.line));
            let name = about.pod.object().to_string();
            for finding in findings {
                let said = matches!(
                    finding,
                    Finding::Pod(OfPod::Ready) | Finding::NobodyLeads(_)
                );
                if !said {
                    let all = by_code.entry(finding.code()).or_default();
                    all.push((name.clone(), finding));
                }
            }
        }
        let common = by_code.into_values().filter_map(|all| {
            let mut names: Vec<_> = all.iter().map(|(name, _)| name).collect();
            names.dedup();
            let count = names.len();
            let (first, finding) = all.into_iter().next()?;
            Some(Finding::Pods(count, first, Box::new(finding)))
        });
        (lines, common.collect())
    }
}

/// Services whose selector selects no live pod.
pub(super) fn select_nothing<'a>(
    exposures: impl Iterator<Item = &'a Exposure>,
    world: &World,
) -> Vec<OfObject> {
    let mut empty = BTreeMap::new();
    for exposure in exposures {
        let mut selected = world.pods.iter().filter(|pod| {
            pod.namespace == exposure.service.namespace
                && pod.fate == Fate::Live
                && pod.selected_by(&exposure.selector)
        });
        if selected.next().is_none() {
            let selector: Vec<_> = exposure
                .selector
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            empty.insert(exposure.service.to_string(), selector.join(","));
        }
    }
    let all = empty.into_iter();
    all.map(|(service, selector)| OfObject::SelectsNothing(service, selector))
        .collect()
}

/// Why an Ingress is left alone, where no problem says it.
fn ingress_why(reason: &IngressReason) -> String {
    match reason {
        IngressReason::NotDirectAccess => format!(
            "annotation {} is not \"true\"",
            names::ingress::DIRECT_ACCESS
        ),
        IngressReason::Going => "it is being deleted".to_owned(),
        IngressReason::OtherClass(class) => {
            format!("its class is {class:?}, another controller's")
        }
        IngressReason::ServedByTke => format!(
            "TKE's own controller serves it: annotation {} is not \"skip\", and the setting objects is tke-skipped",
            names::ingress::MODE
        ),
        // They have a problem of their own, which was told above.
        IngressReason::NoLoadBalancer | IngressReason::Unreadable(_) => reason.label().to_owned(),
    }
}
