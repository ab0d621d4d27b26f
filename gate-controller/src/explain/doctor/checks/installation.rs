//! Versions, settings, network, caches and who leads. Pure.

use std::collections::BTreeSet;

use direct_access::network::Mode;
use runtime::version::{Minor, OLDEST, Supported, supported};

use crate::explain::doctor::facts::Patient;
use crate::explain::doctor::finding::{Finding, Installation};

pub(super) fn kubernetes(patient: &Patient) -> Finding {
    let server = match &patient.server {
        Ok(info) => supported(info),
        Err(why) => return Finding::Unknown(why.clone(), None),
    };
    if let Supported::TooOld(_) = server {
        return Installation::KubernetesTooOld(server.to_string()).into();
    }
    match &patient.nodes {
        Err(why) => Finding::Ok(format!("{server}; the nodes are not known: {why}")),
        Ok(nodes) => match &nodes.oldest {
            Some((version, node)) if minor(version).is_some_and(|minor| minor < OLDEST) => {
                Installation::KubeletTooOld(version.clone(), node.clone()).into()
            }
            Some((version, _)) => Finding::Ok(format!(
                "{server}; {} nodes, the oldest kubelet is {version}",
                nodes.count
            )),
            None => Finding::Ok(format!("{server}; no nodes")),
        },
    }
}

/// `v1.30.4-tke.1` is 1.30.
pub(in crate::explain::doctor) fn minor(version: &str) -> Option<Minor> {
    let mut parts = version.trim_start_matches('v').split('.');
    let major = parts.next()?.parse().ok()?;
    let digits = parts.next()?;
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let minor = digits.get(..end.unwrap_or(digits.len()))?.parse().ok()?;
    Some(Minor { major, minor })
}

pub(super) fn versions(patient: &Patient) -> Finding {
    for component in ["controller", "webhook"] {
        if patient.of(component).next().is_none() {
            return Installation::NoPods(component, patient.facts.namespace.clone()).into();
        }
    }
    let heard: BTreeSet<_> = patient
        .pods
        .iter()
        .filter_map(|pod| pod.answer.as_ref().ok()?.version.clone())
        .collect();
    let heard: Vec<_> = heard.into_iter().collect();
    match &heard[..] {
        [] => unheard(patient),
        [version] => Finding::Ok(format!(
            "{version} in {} pods; this command is {}",
            patient.pods.len(),
            env!("CARGO_PKG_VERSION")
        )),
        _ => Installation::SeveralVersions(heard).into(),
    }
}

/// Why no pod of ours was heard.
pub(super) fn unheard(patient: &Patient) -> Finding {
    let why = patient.pods.iter().find_map(|pod| {
        let why = pod.answer.as_ref().err()?;
        Some(format!("{} was not heard: {why}", pod.name))
    });
    let why = why.unwrap_or_else(|| "no pod of clb-gate says its version".to_owned());
    Finding::Unknown(why, None)
}

pub(super) fn settings(patient: &Patient) -> Finding {
    let world = &patient.facts.world;
    if !world.settings_problems.is_empty() {
        return Installation::Settings(world.settings_problems.clone()).into();
    }
    let level = format!("{:?}", world.settings.manage).to_lowercase();
    let policy = world.settings.failure_policy.as_str();
    Finding::Ok(format!("manage: {level}, failurePolicy: {policy}"))
}

pub(super) fn network(patient: &Patient) -> Finding {
    let conclusion = patient.facts.world.settings.conclusion;
    if conclusion.mode == Mode::GlobalRouter && !conclusion.global_route {
        return Installation::GlobalRouteOff.into();
    }
    Finding::Ok(format!(
        "{}, because {}",
        conclusion.mode.as_str(),
        conclusion.evidence.as_str()
    ))
}

pub(super) fn caches(patient: &Patient) -> Finding {
    for pod in patient.of("controller") {
        if let Ok(answer) = &pod.answer
            && !answer.missing.is_empty()
        {
            return Installation::CachesNotFilled(answer.missing.clone(), pod.name.clone()).into();
        }
    }
    let heard = patient.of("controller").filter(|pod| pod.answer.is_ok());
    match heard.count() {
        0 => unheard(patient),
        count => Finding::Ok(format!("filled in {count} controllers")),
    }
}

pub(super) fn leader(patient: &Patient) -> Finding {
    let held = match &patient.facts.lease {
        Err(why) => return Finding::Unknown(why.clone(), None),
        Ok(held) => held.as_ref(),
    };
    let holder = held.and_then(|held| held.record.holder.clone());
    if patient.facts.leads() == Some(true) {
        return Finding::Ok(holder.unwrap_or_default());
    }
    Installation::NobodyLeads(holder, patient.facts.namespace.clone()).into()
}
