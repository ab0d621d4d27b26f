//! Shows on an Ingress the address at which it is reached, and takes away what we showed.
//!
//! Server-side apply keeps for us which Ingresses those are: an address that somebody else wrote is not
//! managed by us and stays.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use direct_access::{IngressFacts, IngressJudgement, names};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;

/// A patch is small; the next look tries again.
const DEADLINE: Duration = Duration::from_secs(5);
/// How often to look: an address is shown once in an Ingress's life.
const LOOK: Duration = Duration::from_secs(2);
/// The longest pause before a status is written again that somebody else keeps changing, or that cannot be
/// written: enough to be right in the end, too little to be a load.
const PATIENCE: Duration = Duration::from_mins(5);

/// What to do about one Ingress's status.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing.
    Rest,
    /// Show this address.
    Show(String),
    /// Take away what we showed.
    Clear,
}

/// Works for as long as we lead.
pub(crate) async fn run(shared: Shared, draining: CancellationToken) {
    let work = async {
        let mut leadership = shared.leadership.clone();
        let mut paces = Paces::default();
        loop {
            leadership.gained().await;
            look(&shared, &mut paces).await;
            tokio::time::sleep(LOOK).await;
        }
    };
    draining.run_until_cancelled(work).await;
}

async fn look(shared: &Shared, paces: &mut Paces) {
    let all = shared.cluster.judged_ingresses();
    paces.forget_all_but(&all);
    for (ingress, judgement) in all {
        let step = step(&ingress, &judgement, address(shared, &judgement));
        if step != Step::Rest && paces.allows(&ingress.uid, Instant::now()) {
            write(shared, &ingress, &step).await;
        }
    }
}

/// When the status of each Ingress may be written next, by UID.
#[derive(Debug, Default)]
struct Paces(HashMap<String, Pace>);

#[derive(Clone, Copy, Debug)]
struct Pace {
    next: Instant,
    pause: Duration,
}

impl Paces {
    /// Whether one may be written now. Each write makes the pause before the next twice as long, up to
    /// [`PATIENCE`]; one that comes after twice the pause is a first one again.
    fn allows(&mut self, uid: &str, now: Instant) -> bool {
        let known = self.0.get(uid).copied();
        let recent = known.filter(|pace| now < pace.next + pace.pause);
        if recent.is_some_and(|pace| now < pace.next) {
            return false;
        }
        let pause = recent.map_or(LOOK, |pace| (pace.pause * 2).min(PATIENCE));
        let next = now + pause;
        self.0.insert(uid.to_owned(), Pace { next, pause });
        true
    }

    fn forget_all_but(&mut self, there: &[(IngressFacts, IngressJudgement)]) {
        let there: HashSet<_> = there.iter().map(|(ingress, _)| &ingress.uid).collect();
        self.0.retain(|uid, _| there.contains(uid));
    }
}

fn address(shared: &Shared, judgement: &IngressJudgement) -> Option<String> {
    match judgement {
        IngressJudgement::Served(served) => {
            let view = shared.views.get(served.load_balancer.id()?)?;
            view.address.clone()
        }
        IngressJudgement::NotOurs(_) => None,
    }
}

fn step(ingress: &IngressFacts, judgement: &IngressJudgement, address: Option<String>) -> Step {
    match judgement {
        IngressJudgement::Served(served) if !served.exposures.is_empty() => match address {
            Some(address) if ingress.shown != [address.as_str()] => Step::Show(address),
            Some(_) | None => Step::Rest,
        },
        // What cannot be read stays as it is.
        IngressJudgement::Served(served) if !served.incomplete.is_empty() => Step::Rest,
        IngressJudgement::NotOurs(reason) if reason.holds() => Step::Rest,
        IngressJudgement::Served(_) | IngressJudgement::NotOurs(_)
            if ingress.shown_by_us && !ingress.shown.is_empty() && !ingress.going =>
        {
            Step::Clear
        }
        IngressJudgement::Served(_) | IngressJudgement::NotOurs(_) => Step::Rest,
    }
}

async fn write(shared: &Shared, ingress: &IngressFacts, step: &Step) {
    let status = match step {
        Step::Rest => return,
        Step::Show(address) => shown(address),
        Step::Clear => json!({}),
    };
    let object = ingress.object();
    let api: Api<Ingress> = Api::namespaced(shared.kube.clone(), &ingress.namespace);
    let params = PatchParams::apply(names::FIELD_MANAGER).force();
    let patch = Patch::Apply(patch(ingress, &status));
    let attempt = format!("patch the status of Ingress {object}");
    let call = api.patch_status(&ingress.name, &params, &patch);
    match runtime::call(DEADLINE, attempt, call).await {
        Ok(_) => tracing::info!(ingress = %object, ?step, "status"),
        // It changed or went meanwhile; the watch brings what it is now.
        Err(error) if error.is_conflict() || error.is_not_found() => {}
        Err(error) => tracing::warn!(%error, "an Ingress's status is not written"),
    }
}

/// The UID keeps an apply from making another Ingress of that name.
fn patch(ingress: &IngressFacts, load_balancer: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": ingress.name, "namespace": ingress.namespace, "uid": ingress.uid},
        "status": {"loadBalancer": load_balancer},
    })
}

fn shown(address: &str) -> Value {
    let key = match address.parse::<std::net::IpAddr>() {
        Ok(_) => "ip",
        Err(_) => "hostname",
    };
    json!({"ingress": [{key: address}]})
}

#[cfg(test)]
mod tests {
    use direct_access::{IngressReason, Slot};

    use super::*;
    use crate::desired::tests::{front, judged_front};

    const VIP: &str = "198.18.0.130";

    #[test]
    fn a_fight_is_slowed_down_and_a_quiet_time_forgets_it() {
        let start = Instant::now();
        let mut paces = Paces::default();
        let looks =
            |from: u64, to: u64| (from..to).map(|n| start + LOOK * u32::try_from(n).unwrap());
        let writes = looks(0, 1800)
            .filter(|now| paces.allows("fought", *now))
            .count();
        assert!((10..30).contains(&writes), "{writes} in an hour");
        assert!(paces.allows("other", start));
        let later = start + Duration::from_hours(2);
        assert!(paces.allows("fought", later) && paces.allows("fought", later + LOOK));
    }

    fn showing(address: &str, ours: bool) -> IngressFacts {
        IngressFacts {
            shown: vec![address.to_owned()],
            shown_by_us: ours,
            ..front()
        }
    }

    #[test]
    fn the_address_is_shown_once_it_is_known() {
        let served = judged_front();
        let known = || Some(VIP.to_owned());
        assert_eq!(step(&front(), &served, None), Step::Rest);
        assert_eq!(step(&front(), &served, known()), Step::Show(VIP.to_owned()));
        assert_eq!(step(&showing(VIP, true), &served, known()), Step::Rest);
        let other = showing("198.18.0.1", false);
        assert_eq!(step(&other, &served, known()), Step::Show(VIP.to_owned()));
    }

    #[test]
    fn only_what_we_showed_is_taken_away() {
        let off = IngressJudgement::NotOurs(IngressReason::NotDirectAccess);
        assert_eq!(step(&showing(VIP, true), &off, None), Step::Clear);
        assert_eq!(step(&showing(VIP, false), &off, None), Step::Rest);
        assert_eq!(step(&front(), &off, None), Step::Rest);
    }

    #[test]
    fn what_cannot_be_read_keeps_its_address() {
        let problem = front().problem("spec", "", "nothing");
        let bad = IngressJudgement::NotOurs(IngressReason::Unreadable(Box::new(problem)));
        assert_eq!(step(&showing(VIP, true), &bad, None), Step::Rest);
        let IngressJudgement::Served(mut part) = judged_front() else {
            panic!()
        };
        part.exposures.clear();
        let slot: Slot = direct_access::Protocol::Http.at(80);
        part.incomplete.insert(slot);
        let part = IngressJudgement::Served(part);
        assert_eq!(step(&showing(VIP, true), &part, None), Step::Rest);
    }

    #[test]
    fn an_address_is_an_ip_or_a_name() {
        assert_eq!(shown(VIP), json!({"ingress": [{"ip": VIP}]}));
        assert_eq!(
            shown("a.example"),
            json!({"ingress": [{"hostname": "a.example"}]})
        );
        let patch = patch(&front(), &json!({}));
        assert_eq!(patch["metadata"]["uid"], "uid-front");
    }
}
