//! Whatever is done to the registration or the certificates is repaired, while pods are created.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{IMAGE, Service};
use clb_gate_tests::world::gates;
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use tokio::time::Instant;

use crate::stage::{LOAD_BALANCER, alone};

/// Far longer than the repair takes: a bound, not a measurement. What it took is printed.
const REPAIRED: Duration = Duration::from_secs(20);

async fn registration(world: &World) -> Result<Option<MutatingWebhookConfiguration>> {
    let all: Api<MutatingWebhookConfiguration> = Api::all(world.client.clone());
    Ok(all.get_opt("clb-gate").await?)
}

/// The registration without what changes with every write.
async fn essence(world: &World) -> Result<Option<(serde_json::Value, serde_json::Value)>> {
    let found = registration(world).await?;
    found
        .map(|mwc| {
            Ok((
                serde_json::to_value(&mwc.webhooks)?,
                serde_json::to_value(&mwc.metadata.owner_references)?,
            ))
        })
        .transpose()
}

async fn repaired(
    world: &World,
    what: &str,
    before: &(serde_json::Value, serde_json::Value),
) -> Result<()> {
    let start = Instant::now();
    eventually(what, REPAIRED, || async {
        let now = essence(world).await?;
        Ok(if now.as_ref() == Some(before) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        })
    })
    .await?;
    println!("{what}: repaired after {:?}", start.elapsed());
    Ok(())
}

async fn create_pod(world: &World, name: &str) -> Result<Pod> {
    let yaml = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {}, labels: {{app: web}}}}
spec: {{containers: [{{name: sample, image: {IMAGE}, imagePullPolicy: IfNotPresent}}]}}
",
        world.namespace
    );
    kubectl::apply(&yaml).await?;
    Ok(world.api::<Pod>().get(name).await?)
}

/// Pods get the gate again.
async fn gated_again(world: &World, prefix: &str) -> Result<()> {
    let mut number = 0;
    let start = Instant::now();
    while start.elapsed() < REPAIRED {
        number += 1;
        if gates(&create_pod(world, &format!("{prefix}-{number}")).await?) == 1 {
            return Ok(());
        }
    }
    anyhow::bail!("{prefix}: after {number} pods still no gate")
}

#[test]
fn the_registration_is_repaired_while_pods_are_created() {
    alone("healing", |world| async move {
        kubectl::apply(&Service::direct(&world.namespace, "web", LOAD_BALANCER, 8040).yaml())
            .await?;
        gated_again(&world, "before").await?;
        let before = essence(&world).await?.context("a registration")?;

        kubectl::run(&["delete", "mutatingwebhookconfiguration", "clb-gate"]).await?;
        create_pod(&world, "meanwhile").await?;
        repaired(&world, "the registration deleted", &before).await?;
        gated_again(&world, "deleted").await?;

        let never = r#"[{"op":"add","path":"/webhooks/0/matchConditions/-","value":{"name":"never","expression":"false"}}]"#;
        patch(never).await?;
        repaired(&world, "matchConditions: false added", &before).await?;
        gated_again(&world, "conditions").await?;

        let other_ca =
            r#"[{"op":"replace","path":"/webhooks/0/clientConfig/caBundle","value":"LS0tCg=="}]"#;
        // The API server refuses a bundle that is no PEM; a foreign but valid one it takes.
        let refused = kubectl::try_run(&patch_args(other_ca), "").await?;
        if !refused.ok {
            patch(r#"[{"op":"remove","path":"/webhooks/0/clientConfig/caBundle"}]"#).await?;
        }
        repaired(&world, "the caBundle edited", &before).await?;
        gated_again(&world, "bundle").await?;
        Ok(())
    });
}

fn patch_args(patch: &str) -> [&str; 6] {
    [
        "patch",
        "mutatingwebhookconfiguration",
        "clb-gate",
        "--type=json",
        "-p",
        patch,
    ]
}

async fn patch(text: &str) -> Result<()> {
    let printed = kubectl::run(&patch_args(text)).await?.out;
    ensure!(
        !printed.contains("no change"),
        "nothing was tampered with: {printed}"
    );
    Ok(())
}

#[test]
fn both_certificate_secrets_deleted_are_made_anew() {
    alone("certificates", |world| async move {
        kubectl::apply(&Service::direct(&world.namespace, "web", LOAD_BALANCER, 8041).yaml())
            .await?;
        gated_again(&world, "before").await?;
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), "clb-gate");
        let leaf_before = secrets.get("clb-gate-leaf").await?.data;

        kubectl::run(&[
            "delete",
            "secret",
            "-n",
            "clb-gate",
            "clb-gate-ca",
            "clb-gate-leaf",
        ])
        .await?;
        create_pod(&world, "meanwhile").await?;
        let start = Instant::now();
        eventually("both Secrets are back", REPAIRED, || async {
            let ca = secrets.get_opt("clb-gate-ca").await?;
            let leaf = secrets.get_opt("clb-gate-leaf").await?;
            Ok(if ca.is_some() && leaf.is_some() {
                Ok(())
            } else {
                Err("not yet".to_owned())
            })
        })
        .await?;
        println!("both Secrets deleted: repaired after {:?}", start.elapsed());
        ensure!(
            secrets.get("clb-gate-leaf").await?.data != leaf_before,
            "a new leaf"
        );
        gated_again(&world, "after").await
    });
}
