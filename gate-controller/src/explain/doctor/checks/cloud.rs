//! The CLB API: credentials, region, load balancers and quotas. Pure.

use clb::About;

use crate::explain::Clb;
use crate::explain::doctor::facts::Patient;
use crate::explain::doctor::finding::{Finding, Work};

/// Where credentials are that may be used from a laptop.
const FROM_HERE: &str = "set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or run it where they are: kubectl exec -n \
                         clb-gate deploy/clb-gate-controller -- /clb-gate doctor";
/// What a message about the controller's credentials has, as the gates repeat it.
const REFUSED: [&str; 3] = ["AuthFailure", "UnauthorizedOperation", "no credentials"];
/// Words of the planner about room, and of the API.
const QUOTA: [&str; 2] = ["quota", "LimitExceeded"];

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
                ) => Work::Credentials(told).into(),
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
    refused.map_or(otherwise, |text| Work::Credentials(text.clone()).into())
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
        Clb::NoClient(why) if why.contains("region") => Work::Region(why.clone()).into(),
        Clb::NoClient(why) => Work::ClbApi(why.clone()).into(),
        Clb::Refused(asked) => match asked.about {
            Some(About::Region) => Work::Region(asked.told.clone()).into(),
            Some(About::Endpoint) => Work::ClbApi(asked.told.clone()).into(),
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
    Work::LoadBalancers(bad).into()
}

/// Whether a text is about room.
pub(super) fn is_quota(text: &str) -> bool {
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
        return Work::Quotas(all).into();
    }
    match patient.facts.looked().map(|looked| looked.sighting.quota) {
        Some(Some(quota)) => Finding::Ok(format!("{quota} targets a listener or rule")),
        Some(None) => Finding::Unknown("the API does not say them".to_owned(), None),
        None => Finding::Unknown("the CLB API did not answer".to_owned(), None),
    }
}
