//! Process 1 of the namespaces. It does nothing but wait: every orphan of the cluster (each pod's
//! shim is one) becomes its child and must be reaped, and when the cluster's own process ends, its
//! own end takes everything else in the namespaces along.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

/// Starts the cluster's process, reaps until that one ends and hands on its status.
pub(crate) fn run(plan: &Path) -> Result<u8> {
    let program = env::current_exe().context("finding the path of this program")?;
    let child = Command::new(program)
        .arg("inner")
        .arg(plan)
        .spawn()
        .context("starting the cluster's process")?;
    let main = Pid::from_raw(i32::try_from(child.id()).context("reading a process id")?);
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => {
                return u8::try_from(code).context("reading an exit status");
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => {
                bail!("the cluster's process was ended by {signal}");
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("waiting for the cluster's process"),
        }
    }
}
