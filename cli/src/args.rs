//! The command line: the only place where flags and environment are read.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

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
    /// Print what the controller would do, without touching anything.
    #[command(after_help = EXIT_CODES)]
    Plan(Plan),
}

/// What a script needs to know of `plan`.
const EXIT_CODES: &str = "\
Exit codes:
  0  nothing to do
  1  it could not be found out: the error says what to do
  2  changes would be made
  3  something is held or wrong, whatever else would be done

Only reads: Kubernetes gets GET requests, the CLB API gets Describe* actions, and nothing is written.
Cluster: KUBECONFIG, ~/.kube/config, or the pod's service account. Credentials: --credentials-dir,
TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or whatever else the controller would find.";

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
    #[command(flatten)]
    pub(crate) places: Places,
    /// Only print what would be done, whenever that changes: no lease is taken, and nothing is written
    /// to Kubernetes or to the CLB.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// How a dry run prints.
    #[arg(short, long, value_enum, default_value_t, requires = "dry_run")]
    pub(crate) output: Output,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Plan {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The namespace clb-gate is installed in, or will be.
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NAME",
        default_value = "clb-gate"
    )]
    pub(crate) namespace_of_installation: String,
    /// What if this setting were another, e.g. manage=loadbalancers (repeatable).
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, String)>,
    /// Only what is done for this Service.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(crate) service: Option<String>,
    /// Only this load balancer.
    #[arg(long, value_name = "ID")]
    pub(crate) load_balancer: Option<String>,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs; its fields are stable.
    Json,
}

/// Where things are that the settings do not name.
#[derive(Debug, ClapArgs)]
pub(crate) struct Places {
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

fn setting(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "not KEY=VALUE, as in manage=loadbalancers".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn settings_are_pairs() {
        assert_eq!(
            setting("region=").unwrap(),
            ("region".to_owned(), String::new())
        );
        assert!(setting("region").is_err() && setting("=x").is_err());
    }
}
