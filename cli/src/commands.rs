//! What each subcommand starts.

use anyhow::{Context, Result};
use gate_controller::cloud::Sources;

use crate::args::{Command, Controller, Webhook};

/// How we present ourselves to the API server.
const USER_AGENT: &str = concat!("clb-gate/", env!("CARGO_PKG_VERSION"));

/// Runs a subcommand to its end.
pub(crate) fn run(command: Command) -> Result<()> {
    runtime::telemetry::init()?;
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    match command {
        Command::Webhook(args) => tokio.block_on(webhook(args)),
        Command::Controller(args) => tokio.block_on(controller(args)),
    }
}

async fn webhook(args: Webhook) -> Result<()> {
    let client = runtime::connect(USER_AGENT).await?;
    let mut config = webhook::Config::new(args.common.namespace);
    config.listen = args.listen;
    config.admin = args.common.admin;
    Ok(webhook::run(config, client).await?)
}

async fn controller(args: Controller) -> Result<()> {
    let client = runtime::connect(USER_AGENT).await?;
    let config = gate_controller::Config {
        namespace: args.common.namespace,
        identity: args.identity,
        admin: args.common.admin,
        sources: Sources {
            credentials_dir: args.credentials_dir,
            endpoint_ca: args.endpoint_ca,
            environment: tencent_variables(),
        },
    };
    Ok(gate_controller::run(client, config).await?)
}

fn tencent_variables() -> Vec<(String, String)> {
    std::env::vars()
        .filter(|(name, _)| {
            name.starts_with("TENCENTCLOUD_") || name.starts_with("TKE_") || name == "HOME"
        })
        .collect()
}
