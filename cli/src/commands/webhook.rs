//! `clb-gate webhook`.

use std::process::ExitCode;

use anyhow::Result;

use super::USER_AGENT;
use crate::args::Webhook;

pub(super) async fn run(args: Webhook) -> Result<ExitCode> {
    runtime::telemetry::init()?;
    let client = runtime::connect(USER_AGENT).await?;
    let mut config = webhook::Config::new(args.common.namespace);
    config.listen = args.listen;
    config.admin = args.common.admin;
    webhook::run(config, client).await?;
    Ok(ExitCode::SUCCESS)
}
