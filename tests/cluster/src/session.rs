//! The user's command: where it runs and what it finds in its environment.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::kubectl::Kubectl;
use crate::progress::note;
use crate::simulator::Simulator;

/// After Ctrl-C the command, which gets it too, may end by itself for this long.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(2);

/// What to run in the cluster.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Task {
    /// A command's words; a single one is a line for bash.
    Command(Vec<String>),
    /// An interactive shell.
    Shell,
}

/// What the command is told.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    /// The cluster.
    pub(crate) kubectl: &'a Kubectl,
    /// The CLB, where one runs.
    pub(crate) simulator: Option<&'a Simulator>,
    /// kubectl and our own binaries: first on PATH.
    pub(crate) programs: PathBuf,
    /// The run's folder.
    pub(crate) folder: &'a Path,
    /// The logs' folder.
    pub(crate) logs: &'a Path,
    /// The API server's audit log, where the cluster is ours.
    pub(crate) audit_log: Option<&'a Path>,
}

impl Session<'_> {
    /// Runs the task to its end; the status to exit with.
    pub(crate) async fn run(&self, task: &Task) -> Result<u8> {
        let mut interrupted = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
        let mut child = self
            .command(task)
            .spawn()
            .context("starting the command in the cluster")?;
        let interactive = matches!(task, Task::Shell);
        tokio::select! {
            status = child.wait() => Ok(code(status.context("waiting for the command")?)),
            // A shell and the programs it starts deal with Ctrl-C themselves.
            _ = interrupted.recv(), if !interactive => {
                let _ = tokio::time::timeout(FAREWELL, child.wait()).await;
                Ok(128 + 2)
            }
        }
    }

    fn command(&self, task: &Task) -> Command {
        let mut command = match task {
            Task::Command(words) => words_command(words),
            Task::Shell => shell(),
        };
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("KUBECONFIG", self.kubectl.kubeconfig())
            .env("KUBECACHEDIR", self.folder.join("kube-cache"))
            .env("CLB_GATE_RUN_DIR", self.folder)
            .env("CLB_GATE_LOGS", self.logs);
        if let Some(audit_log) = self.audit_log {
            command.env("CLB_GATE_AUDIT_LOG", audit_log);
        }
        if let Some(simulator) = self.simulator {
            command
                .env("CLB_SIM_ENDPOINT", &simulator.endpoint)
                .env("CLB_SIM_TLS_ENDPOINT", &simulator.tls_endpoint)
                .env("CLB_SIM_CA", &simulator.ca)
                .env("CLB_SIM_SECRET_ID", &simulator.secret_id)
                .env("CLB_SIM_SECRET_KEY", &simulator.secret_key);
        }
        command
    }
}

/// A folder with links to `programs`, to put on PATH: the folders they lie in hold others that
/// would hide the machine's own (the network plugin `bridge` is one).
pub(crate) fn link(programs: &[PathBuf], folder: PathBuf) -> Result<PathBuf> {
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for program in programs {
        let name = program.file_name().context("a program without a name")?;
        symlink(program, folder.join(name))
            .with_context(|| format!("linking {}", program.display()))?;
    }
    Ok(folder)
}

fn words_command(words: &[String]) -> Command {
    match words {
        [line] => {
            let mut command = Command::new("bash");
            command.args(["-c", line]);
            command
        }
        [program, args @ ..] => {
            let mut command = Command::new(program);
            command.args(args);
            command
        }
        [] => Command::new("true"),
    }
}

fn shell() -> Command {
    note("a shell in the cluster; `exit` removes it all");
    let mut command = Command::new("bash");
    command.env("PS1", "(clb-gate) \\w\\$ ").arg("--norc");
    command
}

/// As a shell counts: 128 and the signal's number for a command that a signal ended.
pub(crate) fn code(status: ExitStatus) -> u8 {
    let number = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    u8::try_from(number).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_counts_as_in_a_shell() {
        assert_eq!(code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }

    #[test]
    fn one_word_is_a_line_for_bash_and_more_are_a_program() {
        let shown = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let command = words_command(&words);
            command.as_std().get_program().to_owned()
        };
        assert_eq!(shown(&["echo $HOME | wc"]), "bash");
        assert_eq!(shown(&["kubectl", "get", "pods"]), "kubectl");
    }
}
