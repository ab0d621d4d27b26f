//! docs/metrics.md lists every metric with type, labels and meaning, as `/metrics` has them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kube::client::Body;
use prometheus_client::encoding::text::encode;
use runtime::{BoxError, News, Recorder, Reporter, Supervisor};

use super::*;
use crate::canary::CanaryMetrics;
use crate::heal::HealMetrics;
use crate::plan::{Place, Weighted};
use crate::preview::dry_run::Gauges;
use crate::preview::{Action, Preview};

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");
/// More Events than the queue takes.
const MANY: usize = 20_000;

#[tokio::test]
async fn every_metric_is_in_the_table() {
    let mut registry = Registry::default();
    runtime::build::register(&mut registry);
    touch(&Metrics::register(&mut registry));
    HealMetrics::register(&mut registry).touch();
    CanaryMetrics::register(&mut registry).touch();
    events(&mut registry);
    compare(&registry, "controller");
    let mut registry = Registry::default();
    let mut plan = Preview::default();
    plan.summary.changes.insert(Action::Register, 1);
    Gauges::register(&mut registry).set(&plan);
    compare(&registry, "dry run");
}

/// A family without any sample does not show.
fn touch(metrics: &Metrics) {
    let place = Place {
        listener: String::new(),
        rule: None,
        address: ([198, 18, 1, 1].into(), 1),
    };
    metrics.wrote(&Operation::Weigh(vec![Weighted {
        place,
        pod_uid: String::new(),
        weight: 0,
    }]));
    metrics.bindings("lb-a", 1);
    metrics.draining("lb-a", 1);
    metrics.patched("ok");
    metrics.pods(&Counted::default(), 0, Timestamp::UNIX_EPOCH);
    let action = ActionLabel { action: "a" };
    metrics.call_seconds.get_or_create(&action).observe(1.0);
    let call = CallLabels {
        action: "a",
        outcome: "ok",
        code: String::new(),
    };
    metrics.calls.get_or_create(&call).inc();
}

/// The recorder's own count shows once an Event was dropped.
fn events(registry: &mut Registry) {
    let nobody = tower::service_fn(|_: http::Request<Body>| async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        Err::<http::Response<Body>, BoxError>("nobody".into())
    });
    let reporter = Reporter {
        controller: "clb-gate",
        instance: "test".to_owned(),
    };
    let client = kube::Client::new(nobody, "here");
    let recorder = Recorder::spawn(&Supervisor::new(), client, reporter, registry);
    for _ in 0..MANY {
        recorder.publish(
            k8s_openapi::api::core::v1::ObjectReference::default(),
            News::normal("A", "B", "c"),
        );
    }
}

fn compare(registry: &Registry, part: &str) {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    let rows = rows(&text, part);
    let end = format!("| {part} |");
    let there = DOCUMENT.lines().filter(|line| line.contains(&end));
    let there: BTreeSet<_> = there.map(str::to_owned).collect();
    let shown: Vec<_> = rows.iter().map(String::as_str).collect();
    assert_eq!(
        there,
        rows,
        "docs/metrics.md should have:\n{}\n",
        shown.join("\n")
    );
}

/// A row for each metric, as docs/metrics.md has it.
fn rows(text: &str, part: &str) -> BTreeSet<String> {
    let mut helps = BTreeMap::new();
    let mut rows = BTreeSet::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            helps.insert(name, help.trim_end_matches('.'));
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let labels = labels(text, name);
            let help = helps[name];
            rows.insert(format!(
                "| `{name}{suffix}` | {kind} | {labels} | {part} | {help} |"
            ));
        }
    }
    rows
}

fn labels(text: &str, name: &str) -> String {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let mut own = samples.filter(|line| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| {
            ["_total{", "_info{", "_bucket{", "{"]
                .iter()
                .any(|end| rest.starts_with(end))
        })
    });
    let Some((_, rest)) = own.next().and_then(|line| line.split_once('{')) else {
        return String::new();
    };
    let inside = rest.split_once('}').map_or("", |(inside, _)| inside);
    let keys = inside
        .split(',')
        .filter_map(|pair| Some(pair.split_once('=')?.0));
    let keys: Vec<_> = keys.filter(|key| *key != "le").collect();
    keys.join(", ")
}
