//! Every check, in the order in which things should be mended: what others rest on comes first. Pure.

use std::collections::BTreeSet;

use clb::About;
use direct_access::network::Mode;
use direct_access::{Kind, Owner};
use runtime::version::{Minor, OLDEST, Supported, supported};

use super::facts::{OurPod, Patient};
use super::finding::Finding;
use super::report::{Line, Report};
use crate::certificates::{self, Verdict};
use crate::explain::judged::judged;
use crate::explain::object::select_nothing;
use crate::explain::pod::{look, notes};
use crate::explain::{Clb, Weight};

/// Where credentials are that may be used from a laptop.
const FROM_HERE: &str = "set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or run it where they are: kubectl exec -n \
                         clb-gate deploy/clb-gate-controller -- /clb-gate doctor";
/// What a message about credentials of the controller has, as the gates repeat it.
const REFUSED: [&str; 3] = ["AuthFailure", "UnauthorizedOperation", "no credentials"];

/// Examines an installation.
pub fn examine(patient: &Patient) -> Report {
    let checks: [(&'static str, fn(&Patient) -> Finding); 17] = [
        ("kubernetes", kubernetes),
        ("versions", versions),
        ("settings", settings),
        ("network", network),
        ("registration", registration),
        ("certificates", certificates),
        ("webhook", webhook),
        ("canary", canary),
        ("caches", caches),
        ("leader", leader),
        ("credentials", credentials),
        ("region", region),
        ("load balancers", load_balancers),
        ("quotas", quotas),
        ("objects", objects),
        ("pods", pods),
        ("gates", gates),
    ];
    let checks: Vec<_> = checks
        .into_iter()
        .map(|(name, check)| Line::of(name, &check(patient)))
        .collect();
    let worst = checks.iter().map(|one| one.health).max();
    Report {
        health: worst.unwrap_or_default(),
        at: patient.facts.now,
        checks,
        notes: notes(&patient.facts),
    }
}

pub(super) fn kubernetes(patient: &Patient) -> Finding {
    let server = match &patient.server {
        Ok(info) => supported(info),
        Err(why) => return Finding::Unknown(why.clone(), None),
    };
    if let Supported::TooOld(_) = server {
        return Finding::KubernetesTooOld(server.to_string());
    }
    match &patient.nodes {
        Err(why) => Finding::Ok(format!("{server}; the nodes are not known: {why}")),
        Ok(nodes) => match &nodes.oldest {
            Some((version, node)) if minor(version).is_some_and(|minor| minor < OLDEST) => {
                Finding::KubeletTooOld(version.clone(), node.clone())
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
pub(super) fn minor(version: &str) -> Option<Minor> {
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
            return Finding::NoPods(component, patient.facts.namespace.clone());
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
        _ => Finding::SeveralVersions(heard),
    }
}

/// Why no pod of ours was heard.
fn unheard(patient: &Patient) -> Finding {
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
        return Finding::Settings(world.settings_problems.clone());
    }
    let level = format!("{:?}", world.settings.manage).to_lowercase();
    let policy = world.settings.failure_policy.as_str();
    Finding::Ok(format!("manage: {level}, failurePolicy: {policy}"))
}

pub(super) fn network(patient: &Patient) -> Finding {
    let conclusion = patient.facts.world.settings.conclusion;
    if conclusion.mode == Mode::GlobalRouter && !conclusion.global_route {
        return Finding::GlobalRouteOff;
    }
    Finding::Ok(format!(
        "{}, because {}",
        conclusion.mode.as_str(),
        conclusion.evidence.as_str()
    ))
}

fn certificates_known(patient: &Patient) -> Result<&certificates::Report, Finding> {
    let unknown = |why: &String| Finding::Unknown(why.clone(), None);
    patient.certificates.as_ref().map_err(unknown)
}

pub(super) fn registration(patient: &Patient) -> Finding {
    let report = match certificates_known(patient) {
        Ok(report) => report,
        Err(unknown) => return unknown,
    };
    let Some(line) = &report.registration else {
        return Finding::NoRegistration;
    };
    if !line.differences.is_empty() {
        return Finding::RegistrationChanged(line.differences.clone());
    }
    let entries: Vec<_> = line.entries.iter().map(|one| one.name.as_str()).collect();
    Finding::Ok(format!("{} as they should be", entries.join(" and ")))
}

pub(super) fn certificates(patient: &Patient) -> Finding {
    let report = match certificates_known(patient) {
        Ok(report) => report,
        Err(unknown) => return unknown,
    };
    let signing = report.cas.iter().find(|ca| ca.signs);
    let dates = [
        ("leaf", report.leaf.as_ref().map(|leaf| leaf.not_after)),
        ("CA", signing.map(|ca| ca.not_after)),
    ];
    for (which, not_after) in dates {
        if let Some(when) = not_after.filter(|when| *when <= patient.facts.now) {
            return Finding::CertificateExpired(which, certificates::spell::day(when));
        }
    }
    let line = report.registration.as_ref();
    let of_registration = line.is_none_or(|line| !line.differences.is_empty());
    match report.verdict {
        Verdict::Healthy | Verdict::Due | Verdict::Rotating => {
            Finding::Ok(format!("{}: {}", report.verdict.word(), report.headline))
        }
        Verdict::Unknown => {
            Finding::Unknown(report.headline.clone(), report.advice.first().cloned())
        }
        // What is wrong with the registration or the replicas was or will be said of them.
        Verdict::Broken if of_registration || !any_serves(report) => {
            Finding::Ok("CA and leaf are valid".to_owned())
        }
        Verdict::Broken => Finding::Certificates(report.headline.clone(), report.advice.clone()),
    }
}

fn any_serves(report: &certificates::Report) -> bool {
    report.replicas.iter().any(|one| one.ready && !one.going)
}

pub(super) fn webhook(patient: &Patient) -> Finding {
    let report = patient.certificates.as_ref().ok();
    if let Some(report) = report.filter(|report| !any_serves(report)) {
        let why = report.replicas.iter().find_map(|one| {
            let why = one.why.as_deref().unwrap_or("it is not Ready");
            Some(format!("{}: {why}", one.pod))
        });
        return Finding::NoWebhook(why.unwrap_or_else(|| "there is none".to_owned()));
    }
    let not_ready: Vec<_> = patient.of("webhook").filter_map(not_ready).collect();
    if !not_ready.is_empty() {
        return Finding::WebhookNotReady(not_ready);
    }
    let heard = patient.of("webhook").filter(|pod| pod.answer.is_ok());
    match (report, heard.count()) {
        (None, 0) => unheard(patient),
        (None, count) => Finding::Ok(format!("{count} ready")),
        (Some(report), _) => {
            let ready = report.replicas.iter().filter(|one| one.ready && !one.going);
            Finding::Ok(format!("{} ready", ready.count()))
        }
    }
}

fn not_ready(pod: &OurPod) -> Option<String> {
    let answer = pod.answer.as_ref().ok()?;
    let missing = answer.missing.join(", ");
    (!answer.missing.is_empty()).then(|| format!("{}: {missing}", pod.name))
}

pub(super) fn canary(patient: &Patient) -> Finding {
    let Some(leader) = patient.leader() else {
        return Finding::Unknown("only a controller that leads knows".to_owned(), None);
    };
    match &leader.answer {
        Err(why) => Finding::Unknown(format!("{} was not heard: {why}", leader.name), None),
        Ok(answer) => match (answer.canary_ok, answer.canary()) {
            (Some(true), None) => Finding::Ok("a test pod gets the gate".to_owned()),
            (Some(false), said) => {
                let said = said.unwrap_or("see the Events on the registration");
                Finding::CanaryBroken(said.to_owned())
            }
            (_, Some(said)) => Finding::Unknown(said.to_owned(), None),
            (None, None) => Finding::Unknown("it has not been tried yet".to_owned(), None),
        },
    }
}

pub(super) fn caches(patient: &Patient) -> Finding {
    for pod in patient.of("controller") {
        if let Ok(answer) = &pod.answer
            && !answer.missing.is_empty()
        {
            return Finding::CachesNotFilled(answer.missing.clone(), pod.name.clone());
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
    Finding::NobodyLeads(holder, patient.facts.namespace.clone())
}

pub(super) fn credentials(patient: &Patient) -> Finding {
    match &patient.facts.clb {
        Clb::Seen(_) => Finding::Ok("the CLB API accepts them".to_owned()),
        Clb::NoClient(why) => by_gates(patient, Finding::Unknown(why.clone(), None)),
        Clb::Refused(asked) => {
            let told = asked.told.clone();
            match asked.about {
                Some(About::Credentials) if !patient.inside => {
                    by_gates(patient, Finding::Unknown(told, Some(FROM_HERE.to_owned())))
                }
                Some(
                    About::Credentials
                    | About::Key
                    | About::Token
                    | About::Permission
                    | About::Clock,
                ) => Finding::Credentials(told),
                _ => by_gates(patient, Finding::Unknown(told, None)),
            }
        }
    }
}

/// The controller's own credentials may be wrong where ours are right or absent: the gates say so.
fn by_gates(patient: &Patient, otherwise: Finding) -> Finding {
    let conditions = patient
        .stuck
        .iter()
        .filter_map(|one| one.pod.condition.as_ref());
    let mut messages = conditions.map(|condition| &condition.message);
    let refused = messages.find(|text| REFUSED.iter().any(|word| text.contains(word)));
    refused.map_or(otherwise, |text| Finding::Credentials(text.clone()))
}

pub(super) fn region(patient: &Patient) -> Finding {
    match &patient.facts.clb {
        Clb::Seen(looked) => Finding::Ok(format!(
            "{} at {}",
            looked.sighting.region, looked.sighting.endpoint
        )),
        Clb::NoClient(why) if why.contains("no region") && !patient.inside => {
            Finding::Unknown(why.clone(), Some(FROM_HERE.to_owned()))
        }
        Clb::NoClient(why) if why.contains("region") => Finding::Region(why.clone()),
        Clb::NoClient(why) => Finding::ClbApi(why.clone()),
        Clb::Refused(asked) => match asked.about {
            Some(About::Region) => Finding::Region(asked.told.clone()),
            Some(About::Endpoint) => Finding::ClbApi(asked.told.clone()),
            _ => Finding::Unknown("the CLB API did not answer".to_owned(), None),
        },
    }
}

pub(super) fn load_balancers(patient: &Patient) -> Finding {
    let Some(preview) = &patient.preview else {
        return Finding::Unknown("the CLB API did not answer".to_owned(), None);
    };
    let all = &preview.load_balancers;
    let bad = all.iter().filter_map(|one| {
        let id = one.id.as_deref().unwrap_or("a CLB to be made");
        let what = one.problem.as_ref().or(one.unknown.as_ref())?;
        let services = one.services.join(", ");
        Some(format!("{id} of {services}: {what}"))
    });
    let bad: Vec<_> = bad.collect();
    if bad.is_empty() {
        return Finding::Ok(format!("{} there", all.len()));
    }
    Finding::LoadBalancers(bad)
}

/// Words of the planner about room, and of the API.
const QUOTA: [&str; 2] = ["quota", "LimitExceeded"];

fn is_quota(text: &str) -> bool {
    QUOTA.iter().any(|word| text.contains(word))
}

pub(super) fn quotas(patient: &Patient) -> Finding {
    let held = patient.preview.iter().flat_map(|preview| {
        let all = preview.load_balancers.iter();
        all.flat_map(|one| {
            one.held
                .iter()
                .chain(&one.warnings)
                .map(move |held| (one, held))
        })
    });
    let full = held.filter(|(_, held)| is_quota(&held.reason));
    let full = full.map(|(one, held)| {
        let id = one.id.as_deref().unwrap_or_default();
        let slot = held.slot.as_deref().unwrap_or_default();
        format!("{id} {slot}: {}", held.reason)
    });
    let told = patient.stuck.iter().filter_map(|one| {
        let message = &one.pod.condition.as_ref()?.message;
        is_quota(message).then(|| message.clone())
    });
    let mut all: Vec<_> = full.collect();
    if all.is_empty() {
        all.extend(told);
    }
    if !all.is_empty() {
        return Finding::Quotas(all);
    }
    match patient.facts.looked().map(|looked| looked.sighting.quota) {
        Some(Some(quota)) => Finding::Ok(format!("{quota} targets a listener or rule")),
        Some(None) => Finding::Unknown("the API does not say them".to_owned(), None),
        None => Finding::Unknown("the CLB API did not answer".to_owned(), None),
    }
}

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
        return Finding::Objects(all);
    }
    let empty = select_nothing(wanted.exposures.iter(), &patient.facts.world);
    let empty: Vec<_> = empty.iter().map(crate::explain::Finding::says).collect();
    if !empty.is_empty() {
        return Finding::SelectNothing(empty);
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
        return Finding::Ungated(patient.ungated.len(), names.collect());
    }
    if !patient.unreachable.is_empty() {
        let all = patient.unreachable.iter();
        let names = all.map(|(pod, why)| format!("{} ({why})", pod.object()));
        return Finding::Unreachable(patient.unreachable.len(), names.collect());
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
            let general = matches!(finding, crate::explain::Finding::NobodyLeads(_));
            (finding.weight(), !general)
        });
        let worst = worst.filter(|finding| finding.weight() > Weight::Fine);
        let says = worst.map_or_else(|| "its gate does not open".to_owned(), |one| one.says());
        format!("{}: {says}", one.pod.object())
    });
    Finding::Stuck(patient.stuck.len(), reasons.collect())
}
