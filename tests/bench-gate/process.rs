//! What the leading controller costs, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};
use clb_gate_tests::ours::{leader, processes};
use kube::Client;
use nix::unistd::Pid;
use serde::Serialize;

/// The kernel's unit of processor time, on every Linux that Kubernetes runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// A process.
pub(crate) struct Process(Pid);

/// What it has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// Seconds of processor time.
    pub(crate) seconds: f64,
    /// Resident memory.
    pub(crate) resident_kib: u32,
    /// The most that it was.
    pub(crate) peak_kib: u32,
}

impl Process {
    /// The leading controller; none where it does not run on this machine.
    pub(crate) async fn leading(client: &Client) -> Option<Self> {
        let leader = leader(client).await.ok()?;
        let found = processes(client, &leader).await.ok()?;
        found.into_iter().next().map(Self)
    }

    /// Reads what it has used.
    pub(crate) fn usage(&self) -> Result<Usage> {
        let read = |file: &str| {
            let path = format!("/proc/{}/{file}", self.0);
            fs::read_to_string(&path).with_context(|| format!("reading {path}"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        usage(&stat, &status).context("the kernel's account of the controller is not understood")
    }
}

impl Usage {
    /// The same, with only the time since then.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            seconds: self.seconds - before.seconds,
            ..self
        }
    }
}

fn usage(stat: &str, status: &str) -> Option<Usage> {
    // The name, in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let (user, system): (u32, u32) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    let kib = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    Some(Usage {
        seconds: f64::from(user + system) / TICKS_A_SECOND,
        resident_kib: kib("VmRSS:")?,
        peak_kib: kib("VmHWM:")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 9 9 20 0 3 0 100 200 300";
        let status = "Name:\tclb-gate\nVmHWM:\t   24000 kB\nVmRSS:\t   20000 kB\n";
        let read = usage(stat, status).unwrap();
        assert_eq!(read.seconds.to_string(), "3");
        assert_eq!((read.resident_kib, read.peak_kib), (20_000, 24_000));
        assert_eq!(usage("7 (a) S 1", status), None);
        let this = Process(Pid::this()).usage().unwrap();
        assert!(this.resident_kib > 0 && this.peak_kib >= this.resident_kib);
    }
}
