//! `clb-gate plan`: what the controller would do, without doing it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use gate_controller::preview::{Preview, Question, Scope, look};

use super::print::out;
use super::{connect_quietly, sources};
use crate::args::{Output, Plan};

pub(super) async fn run(args: Plan) -> Result<ExitCode> {
    let question = Question {
        namespace: args.namespace_of_installation,
        settings: args.settings.into_iter().collect(),
        scope: Scope::parse(args.service.as_deref(), args.load_balancer.as_deref())
            .context("--service")?,
        sources: sources(args.places),
    };
    let client = connect_quietly().await?;
    let preview = look(client, &question).await?;
    print(&preview, args.output)?;
    Ok(ExitCode::from(preview.summary.verdict.exit_code()))
}

/// Prints a plan.
pub(super) fn print(plan: &Preview, output: Output) -> Result<()> {
    out(&match output {
        Output::Text => plan.to_string(),
        Output::Json => format!("{}\n", plan.json()),
    })
}
