//! A plan tells what would be done and touches nothing: not the CLB, not the cluster.
//!
//! The CLB looked at is a second simulator, and the settings are those of an installation that does not
//! exist, so that the controller of the other journeys has no part in it and every call counted is ours.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::{World, kubectl};
use serde_json::Value;

use crate::stage::{LOAD_BALANCER as REAL, PATIENCE, beside, deployment, serve};

const LOAD_BALANCER: &str = "lb-preview1";
const ENDPOINT: &str = "198.18.0.1:9187";
const ADMIN: &str = "127.0.0.1:18099";

#[test]
fn a_plan_tells_what_would_be_done_and_touches_nothing() {
    beside("preview", |world| async move {
        let clb = SecondClb::start().await?;
        kubectl::apply(&settings(&world)).await?;
        let only = ["--load-balancer", LOAD_BALANCER];
        let before = plan(&world, &only).await?;
        ensure!(before.code == 0, "{before:?}");

        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8090);
        kubectl::apply(&service.yaml()).await?;
        kubectl::apply(&deployment(&world, "web", 2, "1")).await?;
        let planned = eventually("both pods are planned", PATIENCE, || async {
            let planned = plan(&world, &only).await?;
            let both = planned.count("register") == 2 && planned.code == 2;
            Ok(if both {
                Ok(planned)
            } else {
                Err(format!("{planned:?}"))
            })
        })
        .await?;
        ensure!(planned.count("createListener") == 1, "{planned:?}");

        let low = plan(
            &world,
            &[
                "--load-balancer",
                LOAD_BALANCER,
                "--settings",
                "manage=backends",
            ],
        )
        .await?;
        ensure!(low.code == 3 && low.count("createListener") == 0, "{low:?}");
        let nobody = plan(&world, &["--settings", "endpoint=http://198.18.0.1:9"]).await?;
        ensure!(
            nobody.code == 1 && nobody.err.contains("198.18.0.1:9"),
            "{nobody:?}"
        );
        let typo = plan(&world, &["--settings", "manage=everything"]).await?;
        ensure!(
            typo.code == 1 && typo.err.contains("backends, listeners"),
            "{typo:?}"
        );

        let namespace = ["--namespace-of-installation", &world.namespace];
        let text: Vec<_> = ["plan"]
            .iter()
            .chain(&only)
            .chain(&namespace)
            .copied()
            .collect();
        let text = run(&text).await?;
        ensure!(text.out.contains("2 targets to register"), "{text:?}");
        dry_run(&world).await?;
        clb.was_only_read().await
    });
}

#[test]
fn where_all_is_settled_there_is_nothing_to_do() {
    beside("preview-settled", |world| async move {
        let service = Service::direct(&world.namespace, "web", REAL, 8091);
        serve(&world, service, 1).await?;
        let endpoint = std::env::var("CLB_SIM_ENDPOINT").context("CLB_SIM_ENDPOINT")?;
        let endpoint = format!("endpoint={endpoint}");
        eventually("nothing is left to do", PATIENCE, || async {
            let args = [
                "plan",
                "--service",
                "preview-settled/web",
                "--settings",
                &endpoint,
            ];
            let printed = run(&args).await?;
            Ok(if printed.code == 0 {
                Ok(())
            } else {
                Err(format!("{printed:?}"))
            })
        })
        .await?;
        let none = [
            "plan",
            "--service",
            "preview-settled/none",
            "--settings",
            &endpoint,
        ];
        let none = run(&none).await?;
        ensure!(
            none.code == 1 && none.err.contains("no Service preview-settled/none"),
            "{none:?}"
        );
        Ok(())
    });
}

/// Shows the same plan, is ready, and counts it, for as long as it runs.
async fn dry_run(world: &World) -> Result<()> {
    let args = [
        "controller",
        "--dry-run",
        "--namespace",
        &world.namespace,
        "--admin",
        ADMIN,
    ];
    let path = std::env::temp_dir().join(format!("clb-gate-dry-run-{}", std::process::id()));
    let log = std::fs::File::create(&path)?;
    let child = command(&args)
        .stdout(Stdio::from(log))
        .stderr(Stdio::null())
        .spawn()?;
    let _running = Running(child);
    eventually("the dry run counts what is planned", PATIENCE, || async {
        let ready = get(ADMIN, "/readyz").await.unwrap_or_default();
        let metrics = get(ADMIN, "/metrics").await.unwrap_or_default();
        let counted = metrics.contains(r#"clb_gate_planned_changes{action="createListener"}"#);
        let told = std::fs::read_to_string(&path)?;
        let all = counted && ready.starts_with("ready") && told.contains(LOAD_BALANCER);
        Ok(if all {
            Ok(())
        } else {
            Err(format!("{ready}; {metrics}; {told}"))
        })
    })
    .await
}

/// Settings of an installation in our own namespace, where nobody runs.
fn settings(world: &World) -> String {
    format!(
        "apiVersion: v1
kind: ConfigMap
metadata: {{name: clb-gate-settings, namespace: {}}}
data: {{region: ap-guangzhou, vpcId: vpc-demo0001, manage: listeners, endpoint: 'http://{ENDPOINT}'}}
",
        world.namespace
    )
}

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Printed {
    code: i32,
    out: String,
    err: String,
}

impl Printed {
    fn count(&self, action: &str) -> u64 {
        let json: Value = serde_json::from_str(&self.out).unwrap_or_default();
        let count = json.pointer(&format!("/summary/changes/{action}"));
        count.and_then(Value::as_u64).unwrap_or_default()
    }
}

/// As JSON, for the installation that does not exist.
async fn plan(world: &World, args: &[&str]) -> Result<Printed> {
    let theirs = [
        "plan",
        "-o",
        "json",
        "--namespace-of-installation",
        &world.namespace,
    ];
    let args: Vec<_> = theirs.iter().chain(args).copied().collect();
    run(&args).await
}

async fn run(args: &[&str]) -> Result<Printed> {
    let output = tokio::process::Command::from(command(args)).output();
    let output = output.await.context("clb-gate on PATH")?;
    Ok(Printed {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// As a person would run it, with the simulator's keys.
fn command(args: &[&str]) -> Command {
    let mut command = Command::new("clb-gate");
    command.args(args);
    for (name, ours) in [
        ("TENCENTCLOUD_SECRET_ID", "CLB_SIM_SECRET_ID"),
        ("TENCENTCLOUD_SECRET_KEY", "CLB_SIM_SECRET_KEY"),
    ] {
        command.env(name, std::env::var(ours).unwrap_or_default());
    }
    command
}

async fn get(address: &str, path: &str) -> Result<String> {
    let output = tokio::process::Command::new("curl")
        .args(["-sS", "--max-time", "5", &format!("http://{address}{path}")])
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A process that ends with its journey.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Best effort: the test host's end takes it along anyway.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A simulated CLB that nobody else knows of.
struct SecondClb(#[expect(dead_code, reason = "it ends with this")] Running);

impl SecondClb {
    async fn start() -> Result<Self> {
        let child = Command::new("clb-sim")
            .args(["--listen", ENDPOINT, "--load-balancer", LOAD_BALANCER])
            .args(["--vip-pool", "127.0.78.0/24"])
            .spawn()?;
        let started = Self(Running(child));
        eventually("the second simulator answers", PATIENCE, || async {
            Ok(get(ENDPOINT, "/_sim/calls")
                .await
                .map_err(|error| error.to_string()))
        })
        .await?;
        Ok(started)
    }

    /// By its own count.
    async fn was_only_read(&self) -> Result<()> {
        let calls: Value = serde_json::from_str(&get(ENDPOINT, "/_sim/calls").await?)?;
        let calls = calls.pointer("/calls").and_then(Value::as_object);
        let calls = calls.context("calls")?;
        ensure!(calls.contains_key("DescribeTargets"), "{calls:?}");
        let reads = calls.keys().all(|action| action.starts_with("Describe"));
        ensure!(reads, "{calls:?}");
        Ok(())
    }
}
