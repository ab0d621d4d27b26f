//! The chain from the API server to the gate: registration, certificates, webhook, and the canary that proves
//! it. Pure.

use super::installation::unheard;
use crate::certificates::{self, Verdict};
use crate::explain::doctor::facts::{OurPod, Patient};
use crate::explain::doctor::finding::{Finding, Installation};

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
        return Installation::NoRegistration.into();
    };
    if !line.differences.is_empty() {
        return Installation::RegistrationChanged(line.differences.clone()).into();
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
            return Installation::CertificateExpired(which, certificates::spell::day(when)).into();
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
        Verdict::Broken => {
            Installation::Certificates(report.headline.clone(), report.advice.first().cloned())
                .into()
        }
    }
}

fn any_serves(report: &certificates::Report) -> bool {
    report.replicas.iter().any(|one| one.ready && !one.going)
}

pub(super) fn webhook(patient: &Patient) -> Finding {
    let report = patient.certificates.as_ref().ok();
    if let Some(report) = report.filter(|report| !any_serves(report)) {
        let first = report.replicas.first();
        let why = first.map(|one| {
            let why = one.why.as_deref().unwrap_or("it is not Ready");
            format!("{}: {why}", one.pod)
        });
        return Installation::NoWebhook(why.unwrap_or_else(|| "there is none".to_owned())).into();
    }
    let not_ready: Vec<_> = patient.of("webhook").filter_map(not_ready).collect();
    if !not_ready.is_empty() {
        return Installation::WebhookNotReady(not_ready).into();
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
                Installation::CanaryBroken(said.to_owned()).into()
            }
            (_, Some(said)) => Finding::Unknown(said.to_owned(), None),
            (None, None) => Finding::Unknown("it has not been tried yet".to_owned(), None),
        },
    }
}
