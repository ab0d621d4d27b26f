//! `clb-gate certs …`.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};

use super::{Installation, Output, duration};

#[derive(Debug, Subcommand)]
pub(crate) enum Certs {
    /// Say how CAs, leaf, bundle and replicas are, and what comes next.
    #[command(after_help = STATUS_HELP)]
    Status(Status),
    /// Renew the leaf now, or the CA and the leaf, without one failed call.
    #[command(after_help = ROTATE_HELP)]
    Rotate(Rotate),
    /// Print a new CA and leaf as Secrets, for installations from a repository.
    #[command(after_help = INIT_HELP)]
    Init(Init),
}

const STATUS_HELP: &str = "\
Exit codes:
  0  healthy: nothing to do until the next renewal
  1  it could not be found out: the error says what to do
  2  a step is due or a rotation is under way: whoever leads does it
  3  broken: a pod's creation may fail, or the pod may go without the gate

Only reads: Kubernetes gets GET requests. From a laptop each replica is asked through the API server's
proxy (pods/proxy), in the cluster by a TLS handshake.";

const ROTATE_HELP: &str = "\
Exit codes:
  0    done; without --wait: asked for, or joined what was under way
  1    not done in time, or not possible: the error says what is awaited and from whom
  130  interrupted: the rotation goes on without this command

The request is an annotation on the Secret, so nothing is lost when this command is stopped: the leader does
the work. If nobody leads, this command takes the lease and does it itself. A renewal that is pending or
half-way is joined, not asked for again.";

const INIT_HELP: &str = "\
The output holds private keys. Apply it before the controller starts; it takes the Secrets over as they are,
and renews them in the cluster from then on: tell your GitOps tool not to put the old ones back
(docs/certificates.md says how).";

#[derive(Debug, ClapArgs)]
pub(crate) struct Status {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    #[command(flatten)]
    pub(crate) installation: Installation,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Rotate {
    /// Renew the CA too; without it only the leaf.
    #[arg(long)]
    pub(crate) ca: bool,
    /// Show what happens, and return when all is done.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait at most.
    #[arg(long, default_value = "2m", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) installation: Installation,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: ManifestFormat,
    #[command(flatten)]
    pub(crate) installation: Installation,
}

/// How manifests are printed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum ManifestFormat {
    /// Two documents.
    #[default]
    Yaml,
    /// A List.
    Json,
}
