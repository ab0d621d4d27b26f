//! The test host: a real Kubernetes cluster with two nodes, a simulated CLB and clb-gate installed,
//! in its own namespaces on this machine, for as long as one command runs. Demo, journeys and
//! benchmarks share it.

mod cgroups;
mod control_plane;
mod dns;
mod existing;
mod gobuild;
mod image;
mod init;
mod inner;
mod install;
mod kubectl;
mod mounts;
mod network;
mod node;
mod outer;
mod paths;
mod pki;
mod power;
mod process;
mod progress;
mod runs;
mod session;
mod setup;
mod simulator;
mod way_back;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::outer::NO_CLUSTER;
use crate::paths::Paths;
use crate::progress::Step;
use crate::session::Task;
use crate::setup::Unmet;

/// What `--help` says beyond the commands.
const ABOUT: &str = "\
It lives in its own mount, network and process namespaces (root needed) and is gone when the
command ends. Addresses are from 198.18.0.0/15. The command finds KUBECONFIG, kubectl, clb-gate
and clb-sim on PATH, CLB_SIM_ENDPOINT, CLB_SIM_TLS_ENDPOINT, CLB_SIM_CA, CLB_SIM_SECRET_ID,
CLB_SIM_SECRET_KEY, CLB_GATE_RUN_DIR, CLB_GATE_LOGS and CLB_GATE_AUDIT_LOG (who wrote to what
clb-gate keeps up); in the cluster are the images localhost/sample:latest and
localhost/clb-gate:latest, in the simulator the load balancers lb-demo0001 and lb-demo0002.
`off` or `on` in a line to the socket $CLB_GATE_RUN_DIR/power.sock cuts the power of the whole
cluster, or gives it back; the simulator goes on. `api-off` and `api-on` do so to the API server alone.

CLB_GATE_CACHE (default ~/.cache/clb-gate) holds Kubernetes' binaries and the logs of the last
failure, CLB_GATE_RUN (default /tmp/clb-gate-host) one folder a run.

With CLUSTER=existing KUBECONFIG=FILE CLB_SIM_LISTEN=ADDRESS:PORT it uses a cluster you have:
the simulator then runs on this machine at that address (and HTTPS one port higher), the demo
overlay is applied and deleted again. Limits: the image localhost/clb-gate:latest must be loaded
on your nodes, they must resolve clb.sim.test where the overlay uses it, this machine must reach
pod addresses, and VIPs are on this machine's loopback. A killed run leaves clb-gate installed:
`kubectl delete -k manifests/overlays/demo` removes it.";

/// A real Kubernetes cluster of two nodes, with a simulated CLB and clb-gate in it, for one command.
#[derive(Debug, Parser)]
#[command(name = "host", after_long_help = ABOUT)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run a command in a new cluster and exit with its status (125: the cluster did not come up).
    Run {
        /// The cluster only: no simulator, no clb-gate.
        #[arg(long)]
        bare: bool,
        /// The command; a single word is a line for `bash -c`.
        #[arg(required = true, last = true)]
        words: Vec<String>,
    },
    /// The same with an interactive shell.
    Shell {
        /// The cluster only: no simulator, no clb-gate.
        #[arg(long)]
        bare: bool,
    },
    /// Install Debian packages and build Kubernetes' programs, and nothing else.
    Setup,
    /// Write the image localhost/clb-gate:latest as an OCI archive.
    Image {
        /// The file to write.
        #[arg(long)]
        out: PathBuf,
    },
    /// Remove what killed runs have left.
    Clean,
    #[command(hide = true)]
    Init { plan: PathBuf },
    #[command(hide = true)]
    Inner { plan: PathBuf },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            progress::line(&format!("host: {error:#}"));
            let unmet = error.downcast_ref::<Unmet>().is_some();
            ExitCode::from(if unmet { 2 } else { NO_CLUSTER })
        }
    }
}

fn run(action: Action) -> Result<u8> {
    if let Action::Init { plan } = &action {
        return init::run(plan);
    }
    let paths = Paths::find()?;
    // One thread: the kernel ties a child to the thread that started it.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?
        .block_on(perform(&paths, action))
}

async fn perform(paths: &Paths, action: Action) -> Result<u8> {
    match action {
        Action::Run { bare, words } => in_cluster(paths, Task::Command(words), bare).await,
        Action::Shell { bare } => in_cluster(paths, Task::Shell, bare).await,
        Action::Setup => outer::prepare(paths).await.map(|_| 0),
        Action::Image { out } => write_image(paths, &out).map(|()| 0),
        Action::Clean => runs::clean(&paths.runs).await.map(|()| 0),
        Action::Init { plan } => init::run(&plan),
        Action::Inner { plan } => inner::run(paths, &plan).await,
    }
}

async fn in_cluster(paths: &Paths, task: Task, bare: bool) -> Result<u8> {
    if existing::is_wanted() {
        existing::run(paths, task, bare).await
    } else {
        outer::run(paths, task, bare).await
    }
}

fn write_image(paths: &Paths, out: &std::path::Path) -> Result<()> {
    let step = Step::start(format!("image in {}", out.display()));
    let folder = out.parent().unwrap_or_else(|| std::path::Path::new(""));
    image::write(&[image::clb_gate(paths, folder)?], out)?;
    step.done();
    Ok(())
}

/// 32 random hexadecimal digits, from the kernel.
fn random() -> Result<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/uuid").context("reading a random id")?;
    Ok(text.chars().filter(char::is_ascii_hexdigit).collect())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
