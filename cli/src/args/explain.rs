//! `clb-gate explain …` and `clb-gate doctor`.

use clap::{Args as ClapArgs, Subcommand};

use super::{Output, Places};

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  nothing to do
  1  it could not be found out: the error says what to do
  2  it waits for something that passes by itself
  3  somebody must mend something

Only reads: Kubernetes gets GET requests, the CLB API gets Describe* actions, and nothing is written.
Without credentials for the CLB it says what the controller wrote to the cluster.";

pub(super) const DOCTOR_HELP: &str = "\
Exit codes:
  0  no problem was found; what could not be found out from here is marked ?
  1  there is a problem, or nothing could be found out: it says what to do

Only reads, as clb-gate explain does. With the controller's own rights and credentials:
  kubectl exec -n clb-gate deploy/clb-gate-controller -- /clb-gate doctor";

#[derive(Debug, Subcommand)]
pub(crate) enum Explain {
    /// Why is this pod not ready?
    #[command(after_help = EXIT_CODES)]
    Pod(ExplainPod),
    /// What of this Service is served, and what stands in the way?
    #[command(after_help = EXIT_CODES)]
    Service(ExplainObject),
    /// What of this Ingress is served, and what stands in the way?
    #[command(after_help = EXIT_CODES)]
    Ingress(ExplainObject),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainPod {
    #[command(flatten)]
    pub(crate) object: ExplainObject,
    /// Ask the pod what the CLB's health check asks it, by a GET through the API server's proxy: the
    /// application sees one request.
    #[arg(long)]
    pub(crate) probe: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainObject {
    /// Its name.
    pub(crate) name: String,
    /// Its namespace; that of the current context where none is named.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) from: From,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) from: From,
}

/// Where clb-gate is, and where credentials are.
#[derive(Debug, ClapArgs)]
pub(crate) struct From {
    /// The namespace clb-gate is installed in.
    #[arg(
        long,
        env = "POD_NAMESPACE",
        value_name = "NAME",
        default_value = "clb-gate"
    )]
    pub(crate) namespace_of_installation: String,
    #[command(flatten)]
    pub(crate) places: Places,
}
