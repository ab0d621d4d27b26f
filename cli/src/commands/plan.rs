//! `clb-gate plan`: what the controller would do, without doing it.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use gate_controller::preview::{Preview, Question, Scope, look};

use super::{USER_AGENT, sources};
use crate::args::{Output, Plan};

pub(super) async fn run(args: Plan) -> Result<ExitCode> {
    // The plan is the output; logs are for whoever asks for them.
    if ["CLB_GATE_LOG", "RUST_LOG"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        runtime::telemetry::init()?;
    }
    let question = Question {
        namespace: args.namespace_of_installation,
        settings: args.settings.into_iter().collect(),
        scope: Scope::parse(args.service.as_deref(), args.load_balancer.as_deref())
            .context("--service")?,
        sources: sources(args.places),
    };
    let client = runtime::connect(USER_AGENT)
        .await
        .context("set KUBECONFIG, or run this in a pod with a service account")?;
    let preview = look(client, &question).await?;
    print(&preview, args.output)?;
    Ok(ExitCode::from(preview.summary.verdict.exit_code()))
}

/// Prints a plan. Whoever reads only its beginning (`| head`) has seen enough.
pub(super) fn print(plan: &Preview, output: Output) -> Result<()> {
    let text = match output {
        Output::Text => plan.to_string(),
        Output::Json => format!("{}\n", plan.json()),
    };
    let mut out = std::io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot print the plan"),
    }
}
