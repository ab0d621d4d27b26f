//! What clb-gate works for: Services, Ingresses, pods and their gates. Pure.

use std::collections::BTreeSet;

use direct_access::{Kind, Owner};

use super::cloud::is_quota;
use crate::explain::doctor::facts::Patient;
use crate::explain::doctor::finding::{Finding, Work};
use crate::explain::judged::judged;
use crate::explain::object::select_nothing;
use crate::explain::pod::look;
use crate::explain::{Finding as Found, OfObject, Weight};

pub(super) fn objects(patient: &Patient) -> Finding {
    let judged = judged(&patient.facts);
    let wanted = &judged.wanted;
    let told = wanted.problems.values().chain(wanted.conflicts.values());
    let told = told.flatten().map(ToString::to_string);
    let mixed = wanted.mixed.values().map(|one| one.problem.to_string());
    let held = patient.preview.iter().flat_map(|preview| {
        let all = preview.load_balancers.iter();
        let of_one = |one: &crate::preview::LoadBalancer| {
            let id = one.id.clone().unwrap_or_default();
            let held = one.held.iter().filter(|held| !is_quota(&held.reason));
            held.map(|held| format!("{id}{held}")).collect::<Vec<_>>()
        };
        all.flat_map(of_one).collect::<Vec<_>>()
    });
    let all: Vec<_> = told.chain(mixed).chain(held).collect();
    if !all.is_empty() {
        return Work::Objects(all).into();
    }
    let empty = select_nothing(wanted.exposures.iter(), &patient.facts.world);
    let empty: Vec<_> = empty.iter().map(OfObject::says).collect();
    if !empty.is_empty() {
        return Work::SelectNothing(empty).into();
    }
    let owners: BTreeSet<&Owner> = wanted.exposures.iter().map(|one| &one.owner).collect();
    let count = |kind| owners.iter().filter(|owner| owner.kind == kind).count();
    Finding::Ok(format!(
        "{} Services and {} Ingresses are served",
        count(Kind::Service),
        count(Kind::Ingress)
    ))
}

pub(super) fn pods(patient: &Patient) -> Finding {
    if !patient.ungated.is_empty() {
        let names = patient.ungated.iter().map(|pod| pod.object().to_string());
        return Work::Ungated(patient.ungated.len(), names.collect()).into();
    }
    if !patient.unreachable.is_empty() {
        let all = patient.unreachable.iter();
        let names = all.map(|(pod, why)| format!("{} ({why})", pod.object()));
        return Work::Unreachable(patient.unreachable.len(), names.collect()).into();
    }
    Finding::Ok("every pod that should have the gate has it".to_owned())
}

pub(super) fn gates(patient: &Patient) -> Finding {
    if patient.stuck.is_empty() {
        return Finding::Ok("none waits for long".to_owned());
    }
    let judged = judged(&patient.facts);
    let reasons = patient.stuck.iter().map(|one| {
        let (_, findings) = look(&patient.facts, &judged, one);
        let worst = findings.into_iter().max_by_key(|finding| {
            let general = matches!(finding, Found::NobodyLeads(_));
            (finding.weight(), !general)
        });
        let worst = worst.filter(|finding| finding.weight() > Weight::Fine);
        let says = worst.map_or_else(|| "its gate does not open".to_owned(), |one| one.says());
        format!("{}: {says}", one.pod.object())
    });
    Work::Stuck(patient.waiting.max(patient.stuck.len()), reasons.collect()).into()
}
