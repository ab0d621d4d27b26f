//! The command line: the only place where flags and environment are read.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Readiness gates for pods behind Tencent Cloud CLBs.
#[derive(Debug, Parser)]
#[command(name = "clb-gate", version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the admission webhook that gives pods the readiness gate.
    Webhook(Webhook),
    /// Bind pods to the CLB, watch its health checks and flip the gates.
    Controller(Controller),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Webhook {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where HTTPS is served to the API server.
    #[arg(long, default_value = "[::]:8443")]
    pub(crate) listen: SocketAddr,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Controller {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Who this process is in the election and in Events; unique to it.
    #[arg(long, env = "POD_NAME", default_value = "clb-gate-controller")]
    pub(crate) identity: String,
    /// Folder with the files `TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY` and, for temporary
    /// credentials, `TENCENTCLOUD_TOKEN`. Without them the variables of these names are used.
    #[arg(long, default_value = "/etc/clb-gate/credentials")]
    pub(crate) credentials_dir: PathBuf,
    /// PEM file with the private CA of the CLB API's endpoint; need not exist.
    #[arg(long, default_value = "/etc/clb-gate/endpoint-ca/ca.crt")]
    pub(crate) endpoint_ca: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Common {
    /// The namespace clb-gate is installed in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "clb-gate")]
    pub(crate) namespace: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, default_value = "[::]:8080")]
    pub(crate) admin: SocketAddr,
}
