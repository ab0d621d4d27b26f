//! The command line `clb-gate`, as a person or a script has it.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::wait::eventually;

/// No command takes longer.
const PATIENCE: Duration = Duration::from_mins(5);

/// What a call printed, line by line, and its exit code; `None` where a signal ended it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Both outputs.
    pub lines: Vec<String>,
    /// The exit code.
    pub code: Option<i32>,
}

/// Runs `clb-gate` to its end.
pub async fn run(args: &[&str]) -> Result<Ended> {
    Running::start(args)?.end().await
}

/// Runs it; another exit code than 0 is an error with all it printed.
pub async fn done(args: &[&str]) -> Result<Ended> {
    let ended = run(args).await?;
    ensure!(
        ended.code == Some(0),
        "clb-gate {}: exit code {:?}\n{}",
        args.join(" "),
        ended.code,
        ended.lines.join("\n")
    );
    Ok(ended)
}

/// Waits until `certs status` says that all is well: what a person would look at.
pub async fn status_is_green(within: Duration) -> Result<()> {
    eventually("certs status says that all is well", within, || async {
        let status = run(&["certs", "status"]).await?;
        Ok(if status.code == Some(0) {
            Ok(())
        } else {
            let lines = status.lines.join("\n");
            Err(format!("exit code {:?}: {lines}", status.code))
        })
    })
    .await
}

/// A call that is under way.
pub struct Running {
    child: Child,
    coming: mpsc::UnboundedReceiver<String>,
    readers: JoinSet<()>,
    lines: Vec<String>,
}

impl Running {
    /// Starts it.
    pub fn start(args: &[&str]) -> Result<Self> {
        let mut child = Command::new("clb-gate")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start clb-gate")?;
        let (sender, coming) = mpsc::unbounded_channel();
        let mut readers = JoinSet::new();
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            readers.spawn(hand_on(out, sender.clone()));
            readers.spawn(hand_on(err, sender));
        }
        Ok(Self {
            child,
            coming,
            readers,
            lines: vec![],
        })
    }

    /// The next line it prints; `None` once it prints no more.
    pub async fn line(&mut self) -> Result<Option<String>> {
        let line = timeout(PATIENCE, self.coming.recv()).await;
        let line = line.context("clb-gate says nothing for minutes")?;
        self.lines.extend(line.clone());
        Ok(line)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Result<Ended> {
        while self.line().await?.is_some() {}
        while self.readers.join_next().await.is_some() {}
        let status = self.child.wait().await?;
        Ok(Ended {
            lines: self.lines,
            code: status.code(),
        })
    }
}

async fn hand_on(from: impl AsyncRead + Unpin, to: mpsc::UnboundedSender<String>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let _ = to.send(line); // nobody waits for it any more
    }
}
