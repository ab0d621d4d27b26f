//! `clb-gate uninstall`.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::{Installation, duration};

/// What a script needs to know.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  removed, or nothing was left to remove
  1  refused, or not finished: the error says why; run again, it goes on where it was

Running pods and their targets in the CLB stay as they are: an uninstall is no outage.";

#[derive(Debug, ClapArgs)]
pub(crate) struct Uninstall {
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Return when the namespaces are gone: the webhook serves on for about two minutes.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Where Services still hold a CLB that clb-gate made: let go of them, and leave the CLBs in the account.
    #[arg(long)]
    pub(crate) keep_load_balancers: bool,
    /// How long to take at most.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) installation: Installation,
}
