//! The process the user starts: makes a run's folder, starts the namespaces, waits, and removes the
//! little that outlives them.
//!
//! It dies on purpose when its parent does (make, a shell, CI), and everything below dies with it:
//! the kernel sees to that, whatever the signal.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::inner::Plan;
use crate::paths::Paths;
use crate::progress::note;
use crate::runs::{self, Run};
use crate::session::{Task, code};
use crate::{gobuild, setup};

/// After Ctrl-C, which a terminal sends to everything below us too, it may end by itself this long.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(4);

/// The exit status of a cluster that did not come up.
pub(crate) const NO_CLUSTER: u8 = 125;

/// Packages and Go binaries; the folder of the latter.
pub(crate) async fn prepare(paths: &Paths) -> Result<PathBuf> {
    setup::ensure().await?;
    gobuild::ensure(paths).await
}

/// Runs `task` in a new cluster; the status to exit with.
pub(crate) async fn run(paths: &Paths, task: Task, bare: bool) -> Result<u8> {
    // Not SIGKILL: this process is the one that cleans up.
    set_pdeathsig(Signal::SIGTERM).context("tying this process to its parent")?;
    let tools = prepare(paths).await?;
    runs::remove_dead(&paths.runs).await?;
    let run = Run::create(&paths.runs)?;
    let plan = Plan {
        run: run.id.clone(),
        folder: run.folder.clone(),
        tools,
        bare,
        task,
    };
    let ended = namespaces(&plan).await;
    if !matches!(ended, Ok(0)) {
        let kept = paths.failure_logs();
        match run.keep_logs(&kept) {
            Ok(()) => note(&format!("logs of this run: {}", kept.display())),
            Err(error) => note(&format!("the logs of this run are lost: {error:#}")),
        }
    }
    run.remove(&paths.runs).await?;
    ended
}

/// Starts the namespaces with the cluster in them and waits for their end.
async fn namespaces(plan: &Plan) -> Result<u8> {
    let file = plan.folder.join("plan.json");
    let text = serde_json::to_vec(plan).context("writing the plan")?;
    fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    let mut terminated = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut hung_up = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    let mut interrupted = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut child = command(&file)?
        .spawn()
        .context("starting namespaces with setpriv and unshare")?;
    let interactive = matches!(plan.task, Task::Shell);
    loop {
        tokio::select! {
            status = child.wait() => {
                return Ok(code(status.context("waiting for the namespaces")?));
            }
            _ = terminated.recv() => return end(&mut child, Signal::SIGTERM).await,
            _ = hung_up.recv() => return end(&mut child, Signal::SIGHUP).await,
            _ = interrupted.recv() => {
                let farewell = tokio::time::timeout(FAREWELL, child.wait()).await;
                if let (Err(_), false) = (farewell, interactive) {
                    return end(&mut child, Signal::SIGINT).await;
                }
            }
        }
    }
}

/// Process 1 of the namespaces dies with unshare, and everything in them with it.
async fn end(child: &mut Child, why: Signal) -> Result<u8> {
    child.kill().await.context("ending the namespaces")?;
    u8::try_from(128 + why as i32).context("counting a signal")
}

fn command(plan: &Path) -> Result<Command> {
    let program = env::current_exe().context("finding the path of this program")?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(["--mount", "--net", "--pid", "--fork", "--mount-proc"])
        .arg("--kill-child")
        .arg(program)
        .arg("init")
        .arg(plan)
        .env("PATH", search_path());
    Ok(command)
}

/// The user's PATH, and behind it where administration tools lie.
fn search_path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:{}", setup::SYSTEM_FOLDERS)
}
