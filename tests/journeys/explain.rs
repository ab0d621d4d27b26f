//! Things are broken on purpose, each as a user would break it, and the command line says which it is and what
//! to do.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::stage::{LOAD_BALANCER, PATIENCE, beside, deployment};

/// The Services' ports on the CLB.
const WRONG_PORT: u16 = 8081;
const GOOD: u16 = 8082;
const GONE: u16 = 8083;
const NOTHING: u16 = 8084;
/// A port on which the sample does not listen.
const NOBODY: &str = "9999";

#[test]
fn what_is_broken_is_explained() {
    beside("explain", |world| async move {
        let direct = |name, load_balancer, port| {
            Service::direct(&world.namespace, name, load_balancer, port).yaml()
        };
        let wrong = direct("wrong", LOAD_BALANCER, WRONG_PORT);
        let wrong = wrong.replace("targetPort: http", &format!("targetPort: {NOBODY}"));
        for yaml in [
            wrong,
            direct("good", LOAD_BALANCER, GOOD),
            direct("gone", "lb-nowhere1", GONE),
            direct("nothing", LOAD_BALANCER, NOTHING),
        ] {
            kubectl::apply(&yaml).await?;
        }
        world.webhooks_know(LOAD_BALANCER, NOTHING).await?;
        let opted_out = deployment(&world, "good", 1, "1");
        let labels = "labels: {app: good}\n      annotations";
        let opted_out = opted_out.replace(
            labels,
            "labels: {app: good, clb-gate.io/inject: \"false\"}\n      annotations",
        );
        ensure!(opted_out.contains("inject"), "{opted_out}");
        kubectl::apply(&opted_out).await?;
        for name in ["wrong", "gone"] {
            kubectl::apply(&deployment(&world, name, 1, "1")).await?;
        }

        pod_says(&world, "wrong", &["--probe"], ("wrongPort", 3)).await?;
        pod_says(&world, "wrong", &[], ("wrongPort", 3)).await?;
        pod_says(&world, "gone", &[], ("loadBalancerGone", 3)).await?;
        pod_says(&world, "good", &[], ("optedOut", 0)).await?;
        let nothing = explain(&world, "service", "nothing", &[]).await?;
        ensure!(nothing.finds("selectsNothing", 3), "{nothing:?}");
        let wrong = explain(&world, "service", "wrong", &[]).await?;
        ensure!(wrong.finds("wrongPort", 3), "{wrong:?}");
        let none = explain(&world, "service", "no-such", &[]).await?;
        ensure!(
            none.code == 1 && none.err.contains("no Service explain/no-such"),
            "{none:?}"
        );
        without_credentials(&world).await?;
        doctor_is_content_with_the_installation().await
    });
}

/// The pod of a Deployment gets this finding first, and the command this exit code.
async fn pod_says(
    world: &World,
    app: &str,
    args: &[&str],
    (code, exit): (&str, i32),
) -> Result<()> {
    eventually(&format!("{app} is explained"), PATIENCE, || async {
        let pods = world.pods(app).await?;
        let Some(name) = pods.first().and_then(|pod: &Pod| pod.metadata.name.clone()) else {
            return Ok(Err("no pod yet".to_owned()));
        };
        let told = explain(world, "pod", &name, args).await?;
        Ok(if told.finds(code, exit) {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        })
    })
    .await
}

/// What the controller wrote to the pod is enough to find the cause.
async fn without_credentials(world: &World) -> Result<()> {
    eventually("the condition is explained", PATIENCE, || async {
        let pods = world.pods("wrong").await?;
        let name = pods.first().and_then(|pod: &Pod| pod.metadata.name.clone());
        let name = name.context("the pod of wrong")?;
        let args = [
            "explain",
            "pod",
            &name,
            "-n",
            &world.namespace,
            "-o",
            "json",
        ];
        let nowhere = [("TENCENTCLOUD_METADATA_ENDPOINT", "http://127.0.0.1:9")];
        let told = run(&args, &nowhere).await?;
        let noted = told.out.contains("the CLB was not asked");
        Ok(if noted && told.finds("wrongPort", 3) {
            Ok(())
        } else {
            Err(format!("{told:?}"))
        })
    })
    .await
}

/// What other journeys break in their namespaces is theirs.
async fn doctor_is_content_with_the_installation() -> Result<()> {
    let of_installation = [
        "kubernetes",
        "versions",
        "settings",
        "network",
        "registration",
        "certificates",
        "webhook",
        "canary",
        "caches",
        "leader",
        "credentials",
        "region",
    ];
    eventually("the installation is well", PATIENCE, || async {
        let told = run(&["doctor", "-o", "json"], &keys()).await?;
        let json: Value = serde_json::from_str(&told.out).unwrap_or_default();
        let checks = json.pointer("/checks").and_then(Value::as_array);
        let checks = checks.cloned().unwrap_or_default();
        let well = |name: &&str| {
            let mut all = checks.iter();
            all.any(|one| one["check"] == **name && one["health"] == "ok")
        };
        let ill: Vec<_> = of_installation.iter().filter(|name| !well(name)).collect();
        // This journey's own Services are among what is to be mended.
        Ok(if ill.is_empty() && told.code == 1 {
            Ok(())
        } else {
            Err(format!("{ill:?} of {told:?}"))
        })
    })
    .await
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Told {
    code: i32,
    /// Standard output.
    pub(crate) out: String,
    err: String,
}

impl Told {
    /// This finding comes first, with a cure where there is something to mend.
    pub(crate) fn finds(&self, code: &str, exit: i32) -> bool {
        let json: Value = serde_json::from_str(&self.out).unwrap_or_default();
        let cured = exit == 0 || json.pointer("/findings/0/cure").is_some();
        let first = json.pointer("/findings/0/code").and_then(Value::as_str);
        first == Some(code) && self.code == exit && cured
    }
}

/// What the command says of an object, as JSON.
pub(crate) async fn explain(world: &World, kind: &str, name: &str, more: &[&str]) -> Result<Told> {
    let args = ["explain", kind, name, "-n", &world.namespace, "-o", "json"];
    let args: Vec<_> = args.iter().chain(more).copied().collect();
    run(&args, &keys()).await
}

/// The simulator's keys, as a person would set them.
fn keys() -> [(&'static str, &'static str); 2] {
    [
        ("TENCENTCLOUD_SECRET_ID", "CLB_SIM_SECRET_ID"),
        ("TENCENTCLOUD_SECRET_KEY", "CLB_SIM_SECRET_KEY"),
    ]
}

async fn run(args: &[&str], environment: &[(&str, &str)]) -> Result<Told> {
    let mut command = tokio::process::Command::new("clb-gate");
    command.args(args).stdin(Stdio::null());
    // The simulator's certificate is of a CA of its own.
    let ca = std::env::var("CLB_SIM_CA").context("CLB_SIM_CA")?;
    command.args(["--endpoint-ca", &ca]);
    for (name, value) in environment {
        let value = std::env::var(value).unwrap_or_else(|_| (*value).to_owned());
        command.env(name, value);
    }
    let output = command.output().await.context("clb-gate on PATH")?;
    Ok(Told {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
