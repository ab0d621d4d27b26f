//! docs/troubleshooting.md says of every broken set-up exactly what the commands say of it.

use std::sync::Arc;

use clb::About;
use clb::HealthState::{Alive, Dead};
use direct_access::network::{Conclusion, Evidence, Mode, PodNetwork};
use direct_access::{ObjectRef, Owner, names};

use super::*;
use crate::certificates;
use crate::explain::doctor::tests::{certificates, look, patient};
use crate::explain::doctor::{self, Health, Patient, examine};

const DOCUMENT: &str = include_str!("../../../../docs/troubleshooting.md");
const OURS: &str = "uid-web-1";
const PLACE: &str = "lb-abcd1234 TCP:80 -> 198.18.1.5:8080";

/// A row of the table.
#[derive(Clone)]
struct Row {
    broken: &'static str,
    command: &'static str,
    says: String,
    cure: String,
}

impl Row {
    fn text(&self) -> String {
        let Self {
            broken,
            command,
            says,
            cure,
        } = self;
        format!("| {broken} | `{command}` | {says} | {cure} |")
    }
}

/// The table and the commands say the same; what is wrong is printed as it should be.
#[test]
fn the_table_says_what_the_commands_say() {
    let rows: Vec<_> = rows().iter().map(Row::text).collect();
    let there = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("| `"));
    let there: Vec<_> = there.map(str::to_owned).collect();
    assert_eq!(
        there,
        rows,
        "docs/troubleshooting.md should have:\n{}\n",
        rows.join("\n")
    );
    assert!(rows.len() >= 10);
}

fn rows() -> Vec<Row> {
    [bindings(), pods(), objects(), installation(), clb_api()].concat()
}

fn of_pod(broken: &'static str, clb: Clb, about: &PodFacts) -> Row {
    let world = world(vec![service("web")], vec![about.pod.clone()]);
    in_world(broken, world, clb, about)
}

fn in_world(broken: &'static str, world: World, clb: Clb, about: &PodFacts) -> Row {
    let report = explain_pod(&facts(world, clb), about);
    told(broken, "explain pod web-1", &report)
}

fn told(broken: &'static str, command: &'static str, report: &Report) -> Row {
    let worst = &report.findings[0];
    Row {
        broken,
        command,
        says: worst.says.clone(),
        cure: worst.cure.clone().unwrap_or_default(),
    }
}

/// The first problem that a check-up finds after a change.
fn of_doctor(broken: &'static str, change: impl FnOnce(&mut Patient)) -> Row {
    let mut patient = patient();
    change(&mut patient);
    look(&mut patient);
    let report = examine(&patient);
    let problem = |one: &&doctor::Line| one.health == Health::Problem;
    let line = report.checks.iter().find(problem).unwrap();
    Row {
        broken,
        command: "doctor",
        says: format!("{}: {}", line.check, line.says),
        cure: line.cure.clone().unwrap_or_default(),
    }
}

fn bindings() -> Vec<Row> {
    let dead = |check| clb(check, &[(5, OURS, Dead)]);
    let mut other_port = about(pod());
    other_port.detail.ports[0].number = 9090;
    let mut page_missing = about(pod());
    page_missing.probed.insert(8080, Probed::Answered(404));
    let mut asks = about(pod());
    asks.detail.asks = vec![Asks {
        port: 8080,
        path: "/ready".to_owned(),
    }];
    let quota = format!(
        "0/1 bindings healthy; {PLACE}: the quota of 200 targets a listener or rule is used up, and 1 wait for room"
    );
    let full = PodRecord {
        condition: condition("False", "Held", &quota),
        ..pod()
    };
    let probed = in_world(
        "the health check's path answers 404",
        world(vec![service("web")], vec![pod()]),
        dead(http_check()),
        &page_missing,
    );
    vec![
        of_pod("a closed security group", dead(None), &about(pod())),
        of_pod("a wrong target port", dead(None), &other_port),
        Row {
            command: "explain pod web-1 --probe",
            ..probed
        },
        of_pod(
            "the health check asks for another path than the pod's own probe",
            dead(http_check()),
            &asks,
        ),
        of_pod(
            "the CLB does not exist, or is in another region",
            missing(),
            &about(pod()),
        ),
        of_pod(
            "the quota of targets is used up",
            clb(None, &[]),
            &about(full),
        ),
        foreign_listener(),
    ]
}

fn foreign_listener() -> Row {
    let Clb::Seen(mut looked) = clb(None, &[]) else {
        panic!("seen");
    };
    if let Some(Look::There(seen)) = looked.sighting.load_balancers.get_mut("lb-abcd1234") {
        seen.listeners[0].name = None;
        seen.listeners[0].protocol = "HTTP".to_owned();
    }
    of_pod(
        "somebody else's listener has the port",
        Clb::Seen(looked),
        &about(pod()),
    )
}

fn pods() -> Vec<Row> {
    let none = PodRecord {
        gated: false,
        ..pod()
    };
    let alive = || clb(None, &[(5, OURS, Alive)]);
    let mut opted_out = about(none.clone());
    let label = (names::INJECT_LABEL.to_owned(), "false".to_owned());
    Arc::make_mut(&mut opted_out.pod.labels).extend([label]);
    let newer = ServiceFacts {
        created: Some(at("2026-11-21T07:30:00Z")),
        ..service("web")
    };
    let host = PodRecord {
        network: PodNetwork::of(true, None, false),
        ..none.clone()
    };
    let mut plain = service("web");
    plain.annotations.clear();
    let mut mixed = world(vec![service("web")], vec![none.clone()]);
    mixed.settings.conclusion = Conclusion {
        mode: Mode::Mixed,
        evidence: Evidence::EniNodesAndPodCidrs,
        global_route: false,
    };
    let mut starting = about(PodRecord {
        containers_ready: false,
        ..pod()
    });
    starting.detail.waits = vec![Waits {
        container: "app".to_owned(),
        why: "ImagePullBackOff".to_owned(),
    }];
    let older = world(vec![newer], vec![none.clone()]);
    let switched_off = world(vec![plain], vec![none.clone()]);
    vec![
        of_pod("the pod's label opts out", alive(), &opted_out),
        in_world(
            "the pod is older than its Service",
            older,
            alive(),
            &about(none.clone()),
        ),
        of_pod(
            "no webhook answered when the pod was created",
            alive(),
            &about(none.clone()),
        ),
        of_pod(
            "the pod is on the host's network",
            clb(None, &[]),
            &about(host),
        ),
        in_world(
            "the pod has no ENI in a mixed cluster",
            mixed,
            clb(None, &[]),
            &about(none.clone()),
        ),
        in_world(
            "direct access is not switched on",
            switched_off,
            clb(None, &[]),
            &about(none),
        ),
        of_pod(
            "the pod's own containers are not ready",
            clb(None, &[]),
            &starting,
        ),
        nobody_leads(),
    ]
}

fn nobody_leads() -> Row {
    let mut facts = facts(world(vec![service("web")], vec![pod()]), clb(None, &[]));
    facts.lease = Ok(Some(held("clb-gate-controller-a", "2026-11-21T07:00:00Z")));
    let report = explain_pod(&facts, &about(pod()));
    told("no controller runs", "explain pod web-1", &report)
}

fn objects() -> Vec<Row> {
    let owner = Owner::service(ObjectRef {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    });
    let explained = |service: ServiceFacts| {
        let facts = facts(world(vec![service], vec![]), clb(None, &[]));
        explain_object(&facts, &owner, &[])
    };
    let nothing = explained(service("web"));
    let tke = {
        let mut plain = service("web");
        plain.load_balancer_class = Some("example.com/other".to_owned());
        explained(plain)
    };
    vec![
        told(
            "the selector matches nothing",
            "explain service web",
            &nothing,
        ),
        told("another controller's class", "explain service web", &tke),
        nobody_succeeds(&owner),
    ]
}

/// The selector was swapped, and who is selected now is not healthy.
fn nobody_succeeds(owner: &Owner) -> Row {
    let mut before = pod();
    before.labels = Arc::default();
    let after = crate::pod::tests::pod("web-2", 6);
    let bound = clb(None, &[(5, OURS, Alive), (6, "uid-web-2", Dead)]);
    let pods = vec![before, after.clone()];
    let facts = facts(world(vec![service("web")], pods), bound);
    let mut report = explain_object(&facts, owner, &[about(after)]);
    report.findings.retain(|one| one.says.contains("serve on"));
    let broken = "the selector was swapped, and the new pods are not healthy";
    let mut row = told(broken, "explain service web", &report);
    // It has its cure in the same breath, for Events have no second column.
    let (says, cure) = row.says.split_once("; ").unwrap();
    (row.says, row.cure) = (says.to_owned(), cure.to_owned());
    row
}

fn installation() -> Vec<Row> {
    let report = |change: fn(&mut certificates::Report)| {
        let mut report = certificates();
        report.verdict = certificates::Verdict::Broken;
        change(&mut report);
        Ok(report)
    };
    let expired = report(|all| {
        if let Some(leaf) = &mut all.leaf {
            leaf.not_after = at("2026-11-20T00:00:00Z");
        }
    });
    let tampered = report(|all| {
        if let Some(line) = &mut all.registration {
            line.differences = vec!["webhooks[pods.clb-gate.io].clientConfig.caBundle".to_owned()];
        }
    });
    let deleted = report(|all| all.registration = None);
    let down = report(|all| all.replicas[0].ready = false);
    let broken = "the API server cannot reach the webhook: Post: connection refused";
    vec![
        of_doctor("a certificate has expired", |all| {
            all.certificates = expired;
        }),
        of_doctor("the registration was tampered with", |all| {
            all.certificates = tampered;
        }),
        of_doctor("the registration was deleted", |all| {
            all.certificates = deleted;
        }),
        of_doctor("the webhook is down", |all| all.certificates = down),
        of_doctor(
            "a NetworkPolicy keeps the API server from the webhook",
            |all| {
                if let Ok(answer) = &mut all.pods[0].answer {
                    answer.canary_ok = Some(false);
                    answer.remarks = vec![("canary".to_owned(), broken.to_owned())];
                }
            },
        ),
        of_doctor(
            "the controller lacks a right, so a cache stays empty",
            |all| {
                if let Ok(answer) = &mut all.pods[0].answer {
                    answer.missing = vec!["ingresses: not yet reported".to_owned()];
                }
            },
        ),
        of_doctor("GlobalRouter without its switch", |all| {
            all.facts.world.settings.conclusion = Conclusion {
                mode: Mode::GlobalRouter,
                evidence: Evidence::PodCidrs,
                global_route: false,
            };
        }),
        of_doctor("pods were created before the webhook", |all| {
            all.ungated = vec![pod()];
        }),
    ]
}

fn clb_api() -> Vec<Row> {
    let refused = |about, told: &str| {
        let asked = Asked {
            about: Some(about),
            told: told.to_owned(),
        };
        move |all: &mut Patient| all.facts.clb = Clb::Refused(asked)
    };
    let key = "DescribeQuota in ap-guangzhou: AuthFailure.SignatureFailure: the signature is wrong; check \
               TENCENTCLOUD_SECRET_KEY: it does not belong to TENCENTCLOUD_SECRET_ID";
    let region = "DescribeQuota in ap-nowhere: UnsupportedRegion: no such region; check the region ap-nowhere: accepted is \
                  one that https://clb.tencentcloudapi.com serves, as ap-guangzhou";
    let endpoint = "DescribeQuota in ap-guangzhou: cannot reach https://clb.example.com: connection refused; check the \
                    endpoint https://clb.example.com";
    vec![
        of_doctor("credentials are refused", refused(About::Key, key)),
        of_doctor("a region that there is not", refused(About::Region, region)),
        of_doctor(
            "the CLB API cannot be reached",
            refused(About::Endpoint, endpoint),
        ),
        of_doctor("a CLB in another VPC, or deleted", |all| {
            all.facts.clb = missing();
        }),
    ]
}
