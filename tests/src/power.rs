//! The power switch of the whole cluster, which the test host keeps in hand.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Starting everything takes some seconds; killing it as well.
const DONE: Duration = Duration::from_mins(3);

/// Kills the control plane, the nodes and every container, as a power cut does.
pub async fn off() -> Result<()> {
    order("off").await
}

/// Starts what [`off`] killed, with the data it had; ends when the API server answers.
pub async fn on() -> Result<()> {
    order("on").await
}

/// Kills the API server alone; everything else runs on.
pub async fn api_off() -> Result<()> {
    order("api-off").await
}

/// Starts the API server that [`api_off`] killed; ends when it answers.
pub async fn api_on() -> Result<()> {
    order("api-on").await
}

async fn order(word: &str) -> Result<()> {
    let folder = std::env::var("CLB_GATE_RUN_DIR").context("CLB_GATE_RUN_DIR: no test host")?;
    let socket = PathBuf::from(folder).join("power.sock");
    let mut switch = UnixStream::connect(&socket)
        .await
        .with_context(|| format!("reaching {}", socket.display()))?;
    switch.write_all(format!("{word}\n").as_bytes()).await?;
    let mut answer = String::new();
    timeout(DONE, switch.read_to_string(&mut answer))
        .await
        .with_context(|| format!("power {word}: no answer within {DONE:?}"))??;
    ensure!(answer.trim() == "ok", "power {word}: {answer}");
    Ok(())
}
