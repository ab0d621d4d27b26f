//! What explanations are tested with: a Service `shop/web` on `lb-abcd1234`, pods behind it, and a CLB that says
//! what a test wants.

mod objects;
mod pods;
mod troubleshooting;

use std::collections::BTreeMap;

use clb::HealthState;
use direct_access::condition::Observed;
use direct_access::listener::{HealthCheck as Check, ListenerParameters};
use direct_access::ownership::{ClusterId, Tag};
use direct_access::{ServiceFacts, Settings};
use jiff::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::certificates::Held;
use crate::cloud::TkeConfig;
use crate::plan::{HealthCheck, ObservedListener, ObservedTarget};
use crate::pod::PodRecord;
use crate::preview::{Look, Seen, Sighting, World};

pub(crate) use crate::desired::tests::service;

pub(crate) const NOW: &str = "2026-11-21T08:00:00Z";

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A live, ready, gated pod `shop/web-1` at 198.18.1.5.
pub(crate) fn pod() -> PodRecord {
    crate::pod::tests::pod("web-1", 5)
}

pub(crate) fn us() -> ClusterId {
    ClusterId::new("us")
}

pub(crate) fn world(services: Vec<ServiceFacts>, pods: Vec<PodRecord>) -> World {
    World {
        cluster: us(),
        services,
        ingresses: vec![],
        pods,
        settings: Settings::default(),
        settings_problems: vec![],
        ledger: BTreeMap::new(),
        tke: TkeConfig::default(),
        notes: vec![],
    }
}

/// Facts with a leader.
pub(crate) fn facts(world: World, clb: Clb) -> Facts {
    Facts {
        namespace: "clb-gate".to_owned(),
        world,
        clb,
        lease: Ok(Some(held("clb-gate-controller-a", NOW))),
        now: at(NOW),
    }
}

pub(crate) fn held(holder: &str, renewed: &str) -> Held {
    Held {
        record: runtime::lease::Record {
            holder: Some(holder.to_owned()),
            transitions: 1,
            duration: std::time::Duration::from_secs(15),
            resource_version: None,
        },
        renewed: Some(at(renewed)),
    }
}

/// Nobody asked the CLB.
pub(crate) fn unasked() -> Clb {
    Clb::Refused(Asked {
        about: Some(clb::About::Credentials),
        told: "DescribeLoadBalancers in ap-guangzhou: no credentials: none found".to_owned(),
    })
}

/// `lb-abcd1234` with a listener of ours for TCP:80 that has these targets, each with its health.
pub(crate) fn clb(check: Option<Check>, targets: &[(u8, &str, HealthState)]) -> Clb {
    let parameters = ListenerParameters {
        health_check: check,
        ..ListenerParameters::default()
    };
    let target = |(number, uid, _): &(u8, &str, HealthState)| ObservedTarget {
        address: ([198, 18, 1, *number].into(), 8080),
        weight: 10,
        tag: Some(Tag {
            cluster: us(),
            pod_uid: (*uid).to_owned(),
        }),
    };
    let listener = ObservedListener {
        id: "lbl-80".to_owned(),
        port: 80,
        protocol: "TCP".to_owned(),
        name: Some(us().listener_name()),
        health: HealthCheck::of(parameters.health_check.as_ref()),
        parameters,
        targets: targets.iter().map(target).collect(),
        rules: vec![],
    };
    let places: Vec<_> = listener.places().map(|(place, _)| place).collect();
    let states = targets.iter().map(|(_, _, state)| *state);
    let health = places.iter().cloned().zip(states).collect();
    let since = places
        .into_iter()
        .map(|place| (place, "2026-11-21 07:59:00".to_owned()));
    looked(
        there(vec![listener]),
        [("lb-abcd1234".to_owned(), health)].into(),
        [("lb-abcd1234".to_owned(), since.collect())].into(),
    )
}

pub(crate) fn there(listeners: Vec<ObservedListener>) -> Look {
    let found = serde_json::json!({"LoadBalancerId": "lb-abcd1234", "LoadBalancerName": "shop", "Status": 1,
        "VpcId": "vpc-1", "LoadBalancerVips": ["203.0.113.7"]});
    let found = serde_json::from_value(found).unwrap();
    Look::There(Box::new(Seen { found, listeners }))
}

pub(crate) fn missing() -> Clb {
    looked(Look::Missing, BTreeMap::new(), BTreeMap::new())
}

pub(crate) fn looked(
    look: Look,
    health: BTreeMap<String, Vec<(crate::plan::Place, HealthState)>>,
    since: BTreeMap<String, Vec<(crate::plan::Place, String)>>,
) -> Clb {
    Clb::Seen(Box::new(Looked {
        sighting: Sighting {
            region: "ap-guangzhou".to_owned(),
            endpoint: "https://clb.tencentcloudapi.com".to_owned(),
            vpc: Some("vpc-1".to_owned()),
            quota: Some(200),
            load_balancers: [("lb-abcd1234".to_owned(), look)].into(),
            ..Sighting::default()
        },
        health,
        since,
        at: Instant::now(),
    }))
}

/// A check by HTTP for `/healthz` that accepts 2xx and 3xx.
#[expect(
    clippy::unnecessary_wraps,
    reason = "so it goes into the field as it is"
)]
pub(crate) fn http_check() -> Option<Check> {
    Some(Check {
        check_type: Some("HTTP".to_owned()),
        http_check_path: Some("/healthz".to_owned()),
        http_check_method: Some("GET".to_owned()),
        http_code: Some(6),
        ..Check::default()
    })
}

/// The pod with its containers' port 8080 declared, created after its Service.
pub(crate) fn about(pod: PodRecord) -> PodFacts {
    PodFacts {
        pod,
        detail: PodDetail {
            created: Some(at("2026-11-21T07:00:00Z")),
            ready: false,
            ports: vec![Port {
                name: Some("http".to_owned()),
                number: 8080,
            }],
            ..PodDetail::default()
        },
        probed: BTreeMap::new(),
    }
}

/// A condition as the controller writes it.
#[expect(
    clippy::unnecessary_wraps,
    reason = "so it goes into the field as it is"
)]
pub(crate) fn condition(status: &str, reason: &str, message: &str) -> Option<Observed> {
    Some(Observed {
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition: Some(at("2026-11-21T07:30:00Z")),
    })
}

/// The codes of what was found, the worst first.
pub(crate) fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|told| told.code).collect()
}
