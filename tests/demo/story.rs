//! What the demo prints besides the pods: steps and the closing table.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::World;
use clb_gate_tests::load::Report;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use tokio::process::Command;

use crate::watching::Sightings;

/// A step of the story.
pub(crate) fn step(text: &str) {
    println!("\n{text}");
}

/// CLB API calls that clb-gate made, by action.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// Reads the controllers' own metrics.
    pub(crate) async fn read(world: &World) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(world.client.clone(), "clb-gate");
        let controllers = ListParams::default().labels("app.kubernetes.io/component=controller");
        let mut calls = Self::default();
        for pod in pods.list(&controllers).await? {
            let ip = pod
                .status
                .and_then(|status| status.pod_ip)
                .context("a controller without an address")?;
            let url = format!("http://{ip}:8080/metrics");
            let curl = Command::new("curl")
                .args(["-sSf", "--max-time", "5", &url])
                .output()
                .await?;
            ensure!(
                curl.status.success(),
                "{url}: {}",
                String::from_utf8_lossy(&curl.stderr)
            );
            calls.add(&String::from_utf8_lossy(&curl.stdout));
        }
        Ok(calls)
    }

    fn add(&mut self, metrics: &str) {
        for line in metrics
            .lines()
            .filter(|line| line.starts_with("clb_gate_api_calls_total{"))
        {
            let action = line
                .split("action=\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            let count = line
                .rsplit(' ')
                .next()
                .and_then(|count| count.parse::<u64>().ok());
            if let (Some(action), Some(count)) = (action, count) {
                *self.0.entry(action.to_owned()).or_default() += count;
            }
        }
    }

    /// What came since.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let rest = |(action, count): (&String, &u64)| {
            let known = before.0.get(action).copied().unwrap_or_default();
            (action.clone(), count.saturating_sub(known))
        };
        Self(
            self.0
                .iter()
                .map(rest)
                .filter(|(_, count)| *count > 0)
                .collect(),
        )
    }
}

/// The closing table.
pub(crate) fn table(sightings: &Sightings, report: &Report, rolled: Duration, calls: &Calls) {
    println!("\n  {:<24} {:<14} {:>14}", "pod", "gate", "seconds to 1/1");
    for (name, closed, opened) in sightings.rows() {
        let turned = match (closed, opened) {
            (true, Some(_)) => "0/1 -> 1/1",
            (false, Some(_)) => "1/1",
            (_, None) => "0/1",
        };
        println!(
            "  {name:<24} {turned:<14} {:>14.1}",
            opened.unwrap_or_default().as_secs_f64()
        );
    }
    let slowest = sightings
        .rows()
        .filter_map(|(_, _, opened)| opened)
        .max()
        .unwrap_or_default();
    let rows = [
        ("requests in the rollout", report.requests.to_string()),
        ("failed requests", report.failed().to_string()),
        (
            "slowest answer",
            format!("{:.0} ms", report.slowest.as_secs_f64() * 1000.0),
        ),
        ("pods that answered", report.answers.len().to_string()),
        ("rollout took", format!("{:.1} s", rolled.as_secs_f64())),
        (
            "slowest pod to 1/1",
            format!("{:.1} s", slowest.as_secs_f64()),
        ),
        (
            "CLB API calls by clb-gate, all told",
            calls.0.values().sum::<u64>().to_string(),
        ),
    ];
    println!();
    for (what, value) in rows {
        println!("  {what:<48} {value:>10}");
    }
    for (action, count) in &calls.0 {
        println!("    {action:<46} {count:>10}");
    }
}
