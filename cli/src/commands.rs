//! What each subcommand starts.

mod certs;
mod controller;
mod explain;
mod plan;
mod print;
mod uninstall;
mod webhook;

use std::num::NonZero;
use std::process::ExitCode;

use anyhow::{Context, Result};
use gate_controller::Client;
use gate_controller::cloud::Sources;

use crate::args::{Command, Places};

/// How we present ourselves to the API server.
const USER_AGENT: &str = concat!("clb-gate/", env!("CARGO_PKG_VERSION"));

/// Threads that work. Each keeps freed memory to itself, so that one for each core of a large node would cost
/// more memory than everything we remember.
const MOST_WORKERS: usize = 4;

/// Runs a subcommand to its end.
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(workers())
        .build()
        .context("cannot start the async runtime")?;
    match command {
        Command::Webhook(args) => tokio.block_on(webhook::run(args)),
        Command::Controller(args) => tokio.block_on(controller::run(args)),
        Command::Plan(args) => tokio.block_on(plan::run(args)),
        Command::Explain(args) => tokio.block_on(explain::run(args)),
        Command::Doctor(args) => tokio.block_on(explain::doctor(args)),
        Command::Certs(args) => tokio.block_on(certs::run(args)),
        Command::Uninstall(args) => tokio.block_on(uninstall::run(args)),
    }
}

/// One for every core, but not more than [`MOST_WORKERS`].
fn workers() -> usize {
    let cores = std::thread::available_parallelism();
    cores.map_or(1, NonZero::get).min(MOST_WORKERS)
}

/// For commands whose output is for a person: logs are for whoever asks for them.
async fn connect_quietly() -> Result<Client> {
    if ["CLB_GATE_LOG", "RUST_LOG"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        runtime::telemetry::init()?;
    }
    runtime::connect(USER_AGENT)
        .await
        .context("set KUBECONFIG, or run this in a pod with a service account")
}

/// Whether this is a pod of a cluster: the kubelet sets this variable in every container.
fn inside() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

fn sources(places: Places) -> Sources {
    Sources {
        credentials_dir: places.credentials_dir,
        endpoint_ca: places.endpoint_ca,
        environment: tencent_variables(),
    }
}

fn tencent_variables() -> Vec<(String, String)> {
    std::env::vars()
        .filter(|(name, _)| {
            name.starts_with("TENCENTCLOUD_") || name.starts_with("TKE_") || name == "HOME"
        })
        .collect()
}
