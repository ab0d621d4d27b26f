//! The CLB of the test host: clb-sim on the bridge, over HTTP and over HTTPS with a private CA, with
//! credentials made for this run.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::network::{BRIDGE, CORE, NODES, connects};
use crate::pki::Authority;
use crate::process::Components;
use crate::progress::Step;
use crate::random;

/// The name the HTTPS endpoint's certificate is for; the cluster's DNS server knows it.
pub(crate) const NAME: &str = "clb.sim.test";

/// Addresses for VIPs: the upper half of the bridge's subnet, where nothing else lies.
const VIPS: &str = "198.18.0.128/25";

/// Load balancers that exist from the start, for `service.kubernetes.io/tke-existed-lbid`.
const LOAD_BALANCERS: &[&str] = &["lb-demo0001", "lb-demo0002"];

/// Addresses of pods that journeys play without containers.
const PLAYED: &str = "198.18.4.0/22";
/// Addresses of pods that a benchmark writes down by the thousands: nobody answers at them.
const ON_PAPER: &str = "198.18.32.0/19";
/// Targets a listener may have: more than Tencent's default of 200, as users with many pods ask for.
const TARGETS: &str = "1000";

/// Listening is a matter of milliseconds.
const LIMIT: Duration = Duration::from_secs(30);

/// A running simulator and how to speak to it.
#[derive(Debug)]
pub(crate) struct Simulator {
    /// `http://host:port`.
    pub(crate) endpoint: String,
    /// `https://name:port`.
    pub(crate) tls_endpoint: String,
    /// The private CA of the latter, PEM.
    pub(crate) ca: PathBuf,
    /// Who may call it.
    pub(crate) secret_id: String,
    /// The key to sign with.
    pub(crate) secret_key: String,
    plain: String,
    tls: String,
}

impl Simulator {
    /// Keys, a certificate and addresses for a simulator on the bridge; nothing is started yet.
    pub(crate) fn prepare(work: &Path) -> Result<Self> {
        Self::prepare_at(work, &format!("{CORE}:9080"), &format!("{CORE}:9443"))
    }

    /// The same at any addresses.
    pub(crate) fn prepare_at(work: &Path, plain: &str, tls: &str) -> Result<Self> {
        let authority = Authority::new("clb-sim private CA")?;
        let host = tls.rsplit_once(':').map_or(tls, |(host, _)| host);
        authority.issue(&[NAME, host], &work.join("clb-sim"))?;
        let ca = work.join("clb-ca.pem");
        fs::write(&ca, &authority.certificate).context("writing the simulator's CA")?;
        let port = tls.rsplit(':').next().unwrap_or("9443");
        Ok(Self {
            endpoint: format!("http://{plain}"),
            tls_endpoint: format!("https://{NAME}:{port}"),
            ca,
            secret_id: format!("AKID{}", random()?),
            secret_key: random()?,
            plain: plain.to_owned(),
            tls: tls.to_owned(),
        })
    }

    /// Starts it with VIPs on the bridge, and both nodes and their pods in reach.
    pub(crate) async fn start(
        &self,
        program: &Path,
        work: &Path,
        components: &Components,
    ) -> Result<()> {
        let mut command = self.command(program, work);
        command.args([
            "--vip-pool",
            VIPS,
            "--vip-interface",
            BRIDGE,
            "--transparent",
        ]);
        for node in NODES {
            let itself = format!("{}/32", node.address());
            command.args(["--reachable", &node.pods(), "--reachable", &itself]);
        }
        command.args(["--reachable", PLAYED, "--reachable", ON_PAPER]);
        self.launch(command, components).await
    }

    /// Starts it outside the test host, with VIPs on loopback.
    pub(crate) async fn start_outside(
        &self,
        program: &Path,
        work: &Path,
        components: &Components,
    ) -> Result<()> {
        let mut command = self.command(program, work);
        command.args(["--vip-pool", "127.0.100.0/24"]);
        self.launch(command, components).await
    }

    async fn launch(&self, command: Command, components: &Components) -> Result<()> {
        let step = Step::start("simulator answers");
        components.start("clb-sim", command)?;
        for address in [&self.plain, &self.tls] {
            components
                .until("simulator answers", LIMIT, async || connects(address).await)
                .await?;
        }
        step.done();
        Ok(())
    }

    /// With the processor's favour: it forwards every byte that a load test sends.
    fn command(&self, program: &Path, work: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command
            // Also outside the namespaces it does not outlive us.
            .args(["--pdeathsig", "KILL", "nice", "-n", "-5"])
            .arg(program)
            .args(["--listen", &self.plain, "--tls-listen", &self.tls])
            .args(["--target-quota", TARGETS])
            .arg("--tls-cert")
            .arg(work.join("clb-sim.crt"))
            .arg("--tls-key")
            .arg(work.join("clb-sim.key"))
            .env("CLB_SIM_SECRET_ID", &self.secret_id)
            .env("CLB_SIM_SECRET_KEY", &self.secret_key);
        for load_balancer in LOAD_BALANCERS {
            command.args(["--load-balancer", load_balancer]);
        }
        command
    }
}
