//! Facts about an installation -> what is found.

use clb::About;
use direct_access::network::{Conclusion, Evidence, Mode};
use k8s_openapi::apimachinery::pkg::version::Info;

use super::*;
use crate::certificates::{
    self, CaLine, EntryLine, LeaderLine, LeafLine, NextLine, RegistrationLine, ReplicaLine,
};
use crate::explain::tests::{
    NOW, about, at, clb, condition, facts, held, missing, pod, service, unasked, world,
};
use crate::explain::{Asked, Clb};
use crate::pod::PodRecord;
use crate::preview::{Scope, preview};
use certs::plan::Standing;

/// Everything is well, on one Service without pods that wait.
pub(crate) fn patient() -> Patient {
    let open = PodRecord {
        condition: condition("True", "LoadBalancerNetworkGroupReady", ""),
        ..pod()
    };
    let clb = clb(None, &[(5, "uid-web-1", clb::HealthState::Alive)]);
    let mut patient = Patient {
        facts: facts(world(vec![service("web")], vec![open]), clb),
        inside: true,
        server: Ok(Info {
            major: "1".to_owned(),
            minor: "36".to_owned(),
            git_version: "v1.36.0".to_owned(),
            ..Info::default()
        }),
        nodes: Ok(Nodes {
            count: 2,
            oldest: Some(("v1.36.0".to_owned(), "node-a".to_owned())),
        }),
        certificates: Ok(certificates()),
        pods: vec![
            ours("clb-gate-controller-a", "controller", Some(true)),
            ours("clb-gate-webhook-a", "webhook", None),
        ],
        preview: None,
        ungated: vec![],
        unreachable: vec![],
        waiting: 0,
        stuck: vec![],
    };
    look(&mut patient);
    patient
}

/// Plans anew what is seen.
pub(crate) fn look(patient: &mut Patient) {
    let looked = patient.facts.looked();
    patient.preview =
        looked.map(|looked| preview(&patient.facts.world, &looked.sighting, &Scope::default()));
}

pub(crate) fn ours(name: &str, component: &str, canary_ok: Option<bool>) -> OurPod {
    OurPod {
        name: name.to_owned(),
        component: component.to_owned(),
        answer: Ok(Answer {
            version: Some("0.1.0".to_owned()),
            canary_ok,
            ..Answer::default()
        }),
    }
}

pub(crate) fn certificates() -> certificates::Report {
    let ca = CaLine {
        generation: Some(1),
        subject: "CN=clb-gate".to_owned(),
        fingerprint: "ca".to_owned(),
        not_before: at("2026-11-01T00:00:00Z"),
        not_after: at("2028-11-01T00:00:00Z"),
        days_left: 710,
        due: None,
        in_secret: true,
        in_bundle: true,
        signs: true,
    };
    let leaf = LeafLine {
        issuer: "CN=clb-gate".to_owned(),
        issuer_generation: Some(1),
        fingerprint: "leaf".to_owned(),
        names: vec![],
        not_before: at("2026-11-01T00:00:00Z"),
        not_after: at("2027-01-30T00:00:00Z"),
        days_left: 70,
        due: at("2026-12-31T00:00:00Z"),
    };
    let entry = |name: &str| EntryLine {
        name: name.to_owned(),
        failure_policy: "Ignore".to_owned(),
        bundle: vec!["CN=clb-gate".to_owned()],
        agrees: true,
    };
    certificates::Report {
        verdict: certificates::Verdict::Healthy,
        headline: "next renewal in 39 days".to_owned(),
        reasons: vec![],
        advice: vec![],
        notes: vec![],
        namespace: "clb-gate".to_owned(),
        at: at(NOW),
        cas: vec![ca],
        leaf: Some(leaf),
        replicas: vec![ReplicaLine {
            pod: "clb-gate-webhook-a".to_owned(),
            node: None,
            ready: true,
            going: false,
            serves: Standing::Current,
            fingerprint: None,
            issuer: None,
            why: None,
            refused: vec![],
        }],
        registration: Some(RegistrationLine {
            entries: vec![entry("pods.clb-gate.io"), entry("canary.clb-gate.io")],
            differences: vec![],
        }),
        next: NextLine {
            step: "keep",
            what: "renew the leaf".to_owned(),
            at: None,
        },
        pending: vec![],
        leader: LeaderLine {
            holder: Some("clb-gate-controller-a".to_owned()),
            renewed: None,
            leads: true,
        },
    }
}

/// The checks that are not well: name and code.
fn ill(patient: &Patient) -> Vec<(&'static str, &'static str)> {
    let report = examine(patient);
    let bad = report.checks.iter().filter(|one| one.health != Health::Ok);
    bad.map(|one| (one.check, one.code)).collect()
}

/// Changes one thing; says which checks are not well then.
fn with(change: impl FnOnce(&mut Patient)) -> Vec<(&'static str, &'static str)> {
    let mut patient = patient();
    change(&mut patient);
    ill(&patient)
}

#[test]
fn what_is_well_is_said_in_a_line_each() {
    let report = examine(&patient());
    assert_eq!(report.to_string(), include_str!("golden_well.txt"));
    assert_eq!((report.health, report.exit_code()), (Health::Ok, 0));
}

#[test]
fn versions_are_looked_at() {
    let old = |minor: &str| {
        let minor = minor.to_owned();
        with(move |all| {
            all.server = Ok(Info {
                major: "1".to_owned(),
                minor,
                ..Info::default()
            });
        })
    };
    assert_eq!(old("29"), [("kubernetes", "kubernetesTooOld")]);
    assert!(old("30+").is_empty());
    let kubelet = with(|all| {
        let oldest = Some(("v1.29.3-tke.1".to_owned(), "node-b".to_owned()));
        all.nodes = Ok(Nodes { count: 2, oldest });
    });
    assert_eq!(kubelet, [("kubernetes", "kubeletTooOld")]);
    let several = with(|all| {
        if let Ok(answer) = &mut all.pods[1].answer {
            answer.version = Some("0.0.9".to_owned());
        }
    });
    assert_eq!(several, [("versions", "severalVersions")]);
    let none = with(|all| all.pods.retain(|pod| pod.component != "webhook"));
    assert_eq!(none, [("versions", "noPods")]);
}

#[test]
fn settings_and_network_are_looked_at() {
    let settings = with(|all| {
        all.facts.world.settings_problems = vec!["manage: not accepted".to_owned()];
    });
    assert_eq!(settings, [("settings", "settings")]);
    let conclude = |mode, evidence, global_route| {
        with(move |all| {
            all.facts.world.settings.conclusion = Conclusion {
                mode,
                evidence,
                global_route,
            };
        })
    };
    let off = conclude(Mode::GlobalRouter, Evidence::PodCidrs, false);
    assert!(off.contains(&("network", "globalRouteOff")), "{off:?}");
    assert!(conclude(Mode::GlobalRouter, Evidence::PodCidrs, true).is_empty());
    assert!(conclude(Mode::VpcCni, Evidence::NoNodeTells, false).is_empty());
}

/// Changes what is known of certificates.
fn with_certificates(
    change: impl FnOnce(&mut certificates::Report),
) -> Vec<(&'static str, &'static str)> {
    with(|all| {
        let mut report = certificates();
        change(&mut report);
        all.certificates = Ok(report);
    })
}

#[test]
fn registration_and_certificates_are_looked_at() {
    let none = with_certificates(|report| {
        report.registration = None;
        report.verdict = certificates::Verdict::Broken;
    });
    assert_eq!(none, [("registration", "noRegistration")]);
    let changed = with_certificates(|report| {
        if let Some(line) = &mut report.registration {
            line.differences = vec!["webhooks[pods.clb-gate.io].rules".to_owned()];
        }
        report.verdict = certificates::Verdict::Broken;
    });
    assert_eq!(changed, [("registration", "registrationChanged")]);
    let expired = with_certificates(|report| {
        if let Some(leaf) = &mut report.leaf {
            leaf.not_after = at("2026-11-20T00:00:00Z");
        }
        report.verdict = certificates::Verdict::Broken;
    });
    assert_eq!(expired, [("certificates", "certificateExpired")]);
    let untrusted = with_certificates(|report| {
        report.verdict = certificates::Verdict::Broken;
        report.headline =
            "clb-gate-webhook-a presents a leaf that the API server does not trust".to_owned();
        report.advice = vec!["start the controller".to_owned()];
    });
    assert_eq!(untrusted, [("certificates", "certificates")]);
    let rotating = with_certificates(|report| report.verdict = certificates::Verdict::Rotating);
    assert!(rotating.is_empty());
    let unknown = with(|all| all.certificates = Err("forbidden".to_owned()));
    assert_eq!(
        unknown,
        [("registration", "unknown"), ("certificates", "unknown")]
    );
}

#[test]
fn webhook_canary_caches_and_leader_are_looked_at() {
    let no_webhook = with_certificates(|report| {
        report.replicas[0].ready = false;
        report.verdict = certificates::Verdict::Broken;
    });
    assert_eq!(no_webhook, [("webhook", "noWebhook")]);
    let missing = vec!["services: not yet reported".to_owned()];
    let answers = |number: usize, change: fn(&mut Answer)| {
        with(move |all| {
            if let Ok(answer) = &mut all.pods[number].answer {
                change(answer);
            }
        })
    };
    let not_ready = missing.clone();
    let webhook = with(|all| {
        if let Ok(answer) = &mut all.pods[1].answer {
            answer.missing = not_ready;
        }
    });
    assert_eq!(webhook, [("webhook", "webhookNotReady")]);
    let caches = with(|all| {
        if let Ok(answer) = &mut all.pods[0].answer {
            answer.missing = missing;
        }
    });
    assert_eq!(caches, [("caches", "cachesNotFilled")]);
    assert_eq!(
        answers(0, |answer| answer.canary_ok = Some(false)),
        [("canary", "canaryBroken")]
    );
    assert_eq!(
        answers(0, |answer| answer.canary_ok = None),
        [("canary", "unknown")]
    );
    let silent = with(|all| {
        all.facts.lease = Ok(Some(held("clb-gate-controller-a", "2026-11-21T07:00:00Z")));
    });
    assert_eq!(silent, [("leader", "nobodyLeads")]);
    let nobody = with(|all| all.facts.lease = Ok(None));
    assert_eq!(nobody, [("canary", "unknown"), ("leader", "nobodyLeads")]);
    let unheard = with(|all| {
        for pod in &mut all.pods {
            pod.answer = Err("forbidden".to_owned());
        }
    });
    assert_eq!(
        unheard,
        [
            ("versions", "unknown"),
            ("canary", "unknown"),
            ("caches", "unknown")
        ]
    );
}

fn refused(about: About, told: &str, inside: bool) -> Vec<(&'static str, &'static str)> {
    with(|all| {
        all.inside = inside;
        all.facts.clb = Clb::Refused(Asked {
            about: Some(about),
            told: told.to_owned(),
        });
        look(all);
    })
}

#[test]
fn the_clb_api_is_looked_at() {
    let rest = [("load balancers", "unknown"), ("quotas", "unknown")];
    let none = refused(About::Credentials, "no credentials", true);
    assert_eq!(
        none[..2],
        [("credentials", "credentials"), ("region", "unknown")]
    );
    assert_eq!(none[2..], rest);
    let from_afar = refused(About::Credentials, "no credentials", false);
    assert_eq!(from_afar[0], ("credentials", "unknown"));
    let key = refused(About::Key, "AuthFailure.SecretIdNotFound", false);
    assert_eq!(key[0], ("credentials", "credentials"));
    let region = refused(About::Region, "UnsupportedRegion", true);
    assert_eq!(
        region[..2],
        [("credentials", "unknown"), ("region", "region")]
    );
    let endpoint = refused(About::Endpoint, "cannot reach", true);
    assert_eq!(endpoint[1], ("region", "clbApi"));
    let no_client = |why: &str, inside| {
        let why = why.to_owned();
        with(move |all| {
            all.inside = inside;
            all.facts.clb = Clb::NoClient(why);
            look(all);
        })
    };
    assert_eq!(
        no_client("no region: set the key", true)[1],
        ("region", "region")
    );
    assert_eq!(
        no_client("no region: set the key", false)[1],
        ("region", "unknown")
    );
    assert_eq!(
        no_client("setting endpoint: bad", true)[1],
        ("region", "clbApi")
    );
}

/// From a laptop without credentials the gates still tell that the controller's are refused.
#[test]
fn the_controllers_credentials_are_judged_by_what_it_wrote() {
    let found = with(|all| {
        all.inside = false;
        all.facts.clb = unasked();
        look(all);
        all.stuck = vec![about(PodRecord {
            condition: condition(
                "False",
                "Held",
                "0/1 bindings healthy; lb: AuthFailure.SignatureFailure: no",
            ),
            ..pod()
        })];
    });
    assert!(found.contains(&("credentials", "credentials")), "{found:?}");
}

#[test]
fn load_balancers_quotas_objects_and_pods_are_looked_at() {
    let gone = with(|all| {
        all.facts.clb = missing();
        look(all);
    });
    assert!(
        gone.contains(&("load balancers", "loadBalancers")),
        "{gone:?}"
    );
    let full = with(|all| {
        let waiting = PodRecord {
            condition: None,
            ..crate::pod::tests::pod("web-2", 6)
        };
        all.facts.world.pods.push(waiting);
        if let Clb::Seen(looked) = &mut all.facts.clb {
            looked.sighting.quota = Some(1);
        }
        look(all);
    });
    assert_eq!(full, [("quotas", "quotas")]);
    let typo = with(|all| {
        let bad = (
            "service.cloud.tencent.com/direct-access".to_owned(),
            "yes".to_owned(),
        );
        all.facts.world.services[0].annotations.extend([bad]);
        look(all);
    });
    assert_eq!(typo, [("objects", "objects")]);
    let empty = with(|all| {
        all.facts.world.pods.clear();
        look(all);
    });
    assert!(empty.contains(&("objects", "selectNothing")), "{empty:?}");
    let ungated = with(|all| all.ungated = vec![pod()]);
    assert_eq!(ungated, [("pods", "ungated")]);
    let unreachable = with(|all| all.unreachable = vec![(pod(), "spec.hostNetwork is true")]);
    assert_eq!(unreachable, [("pods", "unreachable")]);
}

#[test]
fn gates_that_stay_shut_are_told_with_their_reason() {
    let mut patient = patient();
    patient.facts.world.pods = vec![pod()];
    patient.facts.clb = clb(None, &[(5, "uid-web-1", clb::HealthState::Dead)]);
    look(&mut patient);
    patient.stuck = vec![about(pod())];
    let report = examine(&patient);
    let gates = report
        .checks
        .iter()
        .find(|one| one.check == "gates")
        .unwrap();
    assert_eq!((gates.code, report.exit_code()), ("stuck", 1));
    assert!(
        gates
            .says
            .contains("shop/web-1: the health check gets no answer"),
        "{}",
        gates.says
    );
}
