//! `clb-sim`: reads the command line, runs the simulator until a signal, says so.

mod args;
mod switches;

use clap::Parser;
use std::io::{IsTerminal, Write};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = args::Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(filter)
        .init();
    // Before the first word to the outside, so that no signal is missed after it.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulator = clb_sim::start(args.into()).await?;
    announce(&simulator)?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.shutdown().await?;
    Ok(())
}

fn announce(simulator: &clb_sim::Handle) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "clb-sim serves the CLB API at http://{}",
        simulator.http_addr
    )?;
    if let Some(https) = simulator.https_addr {
        write!(out, " and https://{https}")?;
    }
    writeln!(out)?;
    out.flush()
}
