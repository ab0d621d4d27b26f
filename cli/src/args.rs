//! The command line: the only place where flags and environment are read.

mod certs;
mod explain;
mod uninstall;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub(crate) use certs::{Certs, Init, ManifestFormat, Rotate, Status};
pub(crate) use explain::{Doctor, Explain, ExplainObject};
pub(crate) use uninstall::Uninstall;

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
    /// Say why a pod is not ready, or what of a Service or Ingress is served, and what to do.
    #[command(subcommand)]
    Explain(Explain),
    /// Say whether the installation is well, and what to do where it is not.
    #[command(after_help = explain::DOCTOR_HELP)]
    Doctor(Doctor),
    /// See, renew or prepare the certificates that the API server trusts the webhook by.
    #[command(subcommand)]
    Certs(Certs),
    /// Remove clb-gate from the cluster, in the order in which no pod is ever refused.
    #[command(after_help = uninstall::EXIT_CODES)]
    Uninstall(Uninstall),
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

/// How something is printed.
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

/// Where clb-gate is, for commands that look at an installation.
#[derive(Debug, ClapArgs)]
pub(crate) struct Installation {
    /// The namespace clb-gate is installed in.
    #[arg(long, env = "POD_NAMESPACE", default_value = "clb-gate")]
    pub(crate) namespace: String,
}

/// A time such as 90s, 2m or 1h.
fn duration(text: &str) -> Result<Duration, String> {
    let accepted = "a number with s, m or h, as in 90s or 2m";
    let unit = text.chars().last().ok_or(accepted)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(accepted.to_owned()),
    };
    let number: u64 = text
        .trim_end_matches(unit)
        .parse()
        .map_err(|_| accepted.to_owned())?;
    let seconds = number.checked_mul(seconds).filter(|all| *all > 0);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| accepted.to_owned())
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
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        for bad in [
            "",
            "s",
            "0s",
            "90",
            "-1s",
            "1d",
            "1.5m",
            "99999999999999999999h",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
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
