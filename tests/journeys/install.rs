//! What was installed, and how it talks.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::kubectl;
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;

use crate::stage::{LOAD_BALANCER, PATIENCE, alone, beside};

/// The repository: journeys run from the crate's folder.
fn manifests() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../manifests")
        .display()
        .to_string()
}

#[test]
fn applying_twice_changes_nothing() {
    alone("apply-twice", |_| async {
        let overlay = format!("{}/overlays/demo", manifests());
        let before = generations().await?;
        let printed = kubectl::run(&["apply", "-k", &overlay]).await?;
        // kubectl says "configured" of every PodDisruptionBudget: its selector's merge strategy is replace.
        let budget = |line: &&str| line.starts_with("poddisruptionbudget");
        let changed: Vec<_> = printed
            .out
            .lines()
            .filter(|line| !line.ends_with(" unchanged") && !budget(line))
            .collect();
        ensure!(changed.is_empty(), "{changed:?}");
        ensure!(generations().await? == before);
        kubectl::run(&["diff", "-k", &overlay]).await?;
        Ok(())
    });
}

async fn generations() -> Result<String> {
    let path =
        "jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.generation}{'\\n'}{end}";
    let kinds =
        "deployments,poddisruptionbudgets,services,configmaps,roles,rolebindings,serviceaccounts";
    Ok(kubectl::run(&["get", kinds, "-n", "clb-gate", "-o", path])
        .await?
        .out)
}

#[test]
fn the_rendered_install_file_equals_the_overlay() {
    beside("rendered", |_| async {
        let overlay = format!("{}/overlays/self-managed", manifests());
        let rendered = kubectl::run(&["kustomize", &overlay]).await?.out;
        let kept = std::fs::read_to_string(format!("{}/install.yaml", manifests()))?;
        ensure!(rendered == kept, "render it anew: make manifests");
        Ok(())
    });
}

#[test]
fn the_endpoint_is_https_with_a_private_ca_and_a_dns_name() {
    beside("https-endpoint", |world| async move {
        let path = "jsonpath={.data.endpoint}";
        let settings = [
            "get",
            "cm",
            "-n",
            "clb-gate",
            "clb-gate-settings",
            "-o",
            path,
        ];
        let endpoint = kubectl::run(&settings).await?.out;
        ensure!(endpoint.starts_with("https://clb.sim.test"), "{endpoint}");
        let path = "jsonpath={.spec.template.spec.containers[0].image}";
        let deployment = [
            "get",
            "deploy",
            "-n",
            "clb-gate",
            "clb-gate-controller",
            "-o",
            path,
        ];
        let image = kubectl::run(&deployment).await?.out;
        ensure!(image == "localhost/clb-gate:latest", "{image}");

        kubectl::apply(&Service::direct(&world.namespace, "web", LOAD_BALANCER, 8060).yaml())
            .await?;
        let console = Console::new(LOAD_BALANCER)?;
        eventually("the controller made the listener", PATIENCE, || async {
            Ok(console
                .listener(8060)
                .await?
                .map(drop)
                .ok_or_else(|| "none yet".to_owned()))
        })
        .await?;
        // This test's own looks go over plain HTTP.
        let calls = counted_https_calls().await?;
        ensure!(calls > 0, "the simulator saw no call over HTTPS");
        Ok(())
    });
}

async fn counted_https_calls() -> Result<u64> {
    let endpoint = std::env::var("CLB_SIM_ENDPOINT").context("CLB_SIM_ENDPOINT")?;
    let output = tokio::process::Command::new("curl")
        .args(["-sS", "--max-time", "5", &format!("{endpoint}/_sim/calls")])
        .output()
        .await?;
    let calls: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    calls
        .pointer("/by_listener/https")
        .and_then(serde_json::Value::as_u64)
        .context("by_listener.https")
}
