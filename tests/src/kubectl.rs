//! kubectl, as a user has it: for what users do with it. What only looks uses the API directly.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What a kubectl call printed.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Whether it exited with 0.
    pub ok: bool,
    /// Standard output.
    pub out: String,
    /// Standard error: warnings too.
    pub err: String,
}

/// Runs kubectl and returns what it printed, whatever its exit code.
pub async fn try_run(args: &[&str], input: &str) -> Result<Printed> {
    let mut child = Command::new("kubectl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start kubectl")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await?;
    }
    let output = child.wait_with_output().await?;
    Ok(Printed {
        ok: output.status.success(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Runs kubectl; an exit code other than 0 is an error with all it printed.
pub async fn run(args: &[&str]) -> Result<Printed> {
    whole(args, try_run(args, "").await?)
}

/// Applies YAML.
pub async fn apply(yaml: &str) -> Result<Printed> {
    let args = ["apply", "-f", "-"];
    whole(&args, try_run(&args, yaml).await?)
}

fn whole(args: &[&str], printed: Printed) -> Result<Printed> {
    if printed.ok {
        return Ok(printed);
    }
    bail!("kubectl {}: {}{}", args.join(" "), printed.out, printed.err)
}
