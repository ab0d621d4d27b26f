//! A controller that is killed: a process of ours instead of the cluster's own controllers.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::stage::PATIENCE;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use tokio::process::{Child, Command};

const NAMESPACE: &str = "clb-gate";
/// Of the Deployment and of the Lease.
const NAME: &str = "clb-gate-controller";
/// Where its probes and metrics are, out of everybody's way.
const ADMIN: &str = "127.0.0.1:9290";

/// The one controller there is.
pub(crate) struct Victim {
    leases: Api<Lease>,
    logs: PathBuf,
    child: Option<Child>,
    lives: u32,
}

impl Victim {
    /// None yet: it is started by [`revive`](Self::revive).
    pub(crate) fn new(world: &World) -> Result<Self> {
        let logs = std::env::var("CLB_GATE_LOGS").context("CLB_GATE_LOGS: no test host")?;
        Ok(Self {
            leases: Api::namespaced(world.client.clone(), NAMESPACE),
            logs: PathBuf::from(logs),
            child: None,
            lives: 0,
        })
    }

    /// Starts it; it leads as soon as its caches are filled.
    pub(crate) fn revive(&mut self) -> Result<()> {
        self.lives += 1;
        let log = self.logs.join(format!("victim-{}.log", self.lives));
        let log = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let variable = |name: &str| std::env::var(name).with_context(|| name.to_owned());
        let child = Command::new("clb-gate")
            .args(["controller", "--admin", ADMIN, "--namespace", NAMESPACE])
            .args(["--identity", &format!("victim-{}", self.lives)])
            .args(["--credentials-dir", "/nowhere"])
            .args(["--endpoint-ca", &variable("CLB_SIM_CA")?])
            .env("TENCENTCLOUD_SECRET_ID", variable("CLB_SIM_SECRET_ID")?)
            .env("TENCENTCLOUD_SECRET_KEY", variable("CLB_SIM_SECRET_KEY")?)
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL, wherever it is.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            let ended = child.try_wait()?;
            ensure!(
                ended.is_none(),
                "victim-{} ended by itself: {ended:?}",
                self.lives
            );
            child.kill().await?;
        }
        // The process is certainly dead, and nobody else stands for election: waiting until its lease
        // has run out would only take time.
        match self.leases.delete(NAME, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => Ok(other.map(drop)?),
        }
    }
}

/// Stops the cluster's own controllers; how many there were.
pub(crate) async fn stop_installed(world: &World) -> Result<i32> {
    let deployments: Api<Deployment> = Api::namespaced(world.client.clone(), NAMESPACE);
    let found = deployments.get(NAME).await?;
    scale(0).await?;
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), NAMESPACE);
    let of_controller = ListParams::default().labels("app.kubernetes.io/component=controller");
    eventually(
        "the installed controllers have stopped",
        PATIENCE,
        || async {
            let left = pods.list(&of_controller).await?.items.len();
            Ok(if left == 0 {
                Ok(())
            } else {
                Err(format!("{left} are left"))
            })
        },
    )
    .await?;
    found
        .spec
        .and_then(|spec| spec.replicas)
        .context("spec.replicas")
}

/// Starts them again.
pub(crate) async fn start_installed(replicas: i32) -> Result<()> {
    scale(replicas).await?;
    let deployment = format!("deploy/{NAME}");
    let status = [
        "rollout",
        "status",
        &deployment,
        "-n",
        NAMESPACE,
        "--timeout=90s",
    ];
    kubectl::run(&status).await.map(drop)
}

async fn scale(replicas: i32) -> Result<()> {
    let (deployment, replicas) = (format!("deploy/{NAME}"), format!("--replicas={replicas}"));
    let scale = ["scale", &deployment, "-n", NAMESPACE, &replicas];
    kubectl::run(&scale).await.map(drop)
}
