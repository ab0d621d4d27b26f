//! `clb-gate controller`, and the same as a dry run.

use std::process::ExitCode;

use anyhow::Result;
use gate_controller::preview::{Preview, dry_run};

use super::plan::print;
use super::{USER_AGENT, sources};
use crate::args::{Controller, Output};

pub(super) async fn run(args: Controller) -> Result<ExitCode> {
    runtime::telemetry::init()?;
    let client = runtime::connect(USER_AGENT).await?;
    let config = gate_controller::Config {
        namespace: args.common.namespace,
        identity: args.identity,
        admin: args.common.admin,
        sources: sources(args.places),
    };
    if args.dry_run {
        dry_run::run(client, config, show(args.output)).await?;
    } else {
        gate_controller::run(client, config).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A plan that cannot be printed is in the log all the same.
fn show(output: Output) -> impl FnMut(&Preview) + Send + Sync {
    move |plan| {
        if let Err(error) = print(plan, output) {
            eprintln!("clb-gate: {error:#}");
        }
    }
}
