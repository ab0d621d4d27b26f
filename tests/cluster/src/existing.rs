//! `CLUSTER=existing`: the user's own cluster instead of one made here. The simulator runs on this
//! machine, at an address that the cluster's pods must be able to reach.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::install::{install, uninstall};
use crate::kubectl::Kubectl;
use crate::outer::NO_CLUSTER;
use crate::paths::Paths;
use crate::process::Components;
use crate::progress::note;
use crate::runs::Run;
use crate::session::{Session, Task, link};
use crate::setup::{self, Unmet};
use crate::simulator::Simulator;

/// Whether the user asks for it.
pub(crate) fn is_wanted() -> bool {
    env::var("CLUSTER").is_ok_and(|value| value == "existing")
}

/// Runs `task` with clb-gate installed in the cluster of KUBECONFIG; the status to exit with.
pub(crate) async fn run(paths: &Paths, task: Task, bare: bool) -> Result<u8> {
    let kubectl = kubectl()?;
    kubectl
        .run(&["version"])
        .await
        .context("asking the cluster of KUBECONFIG for its version")?;
    let run = Run::create(&paths.runs)?;
    let components = Components::new(run.logs(), paths.failure_logs());
    let ended = within(paths, &run, &kubectl, (task, bare), &components).await;
    components.stop().await;
    run.remove(&paths.runs).await?;
    ended
}

async fn within(
    paths: &Paths,
    run: &Run,
    kubectl: &Kubectl,
    (task, bare): (Task, bool),
    components: &Components,
) -> Result<u8> {
    let work = run.folder.join("work");
    let simulator = if bare {
        None
    } else {
        Some(simulator(paths, run, components).await?)
    };
    if let Some(simulator) = &simulator
        && let Err(error) = install(kubectl, simulator, &paths.overlay(), components).await
    {
        note(&format!("{error:#}"));
        uninstall(kubectl, &paths.overlay()).await?;
        return Ok(NO_CLUSTER);
    }
    let session = Session {
        kubectl,
        simulator: simulator.as_ref(),
        programs: link(
            &["clb-gate", "clb-sim"].map(|name| paths.binaries.join(name)),
            work.join("bin"),
        )?,
        folder: &work,
        logs: &run.logs(),
        audit_log: None,
    };
    let status = session.run(&task).await;
    if simulator.is_some() {
        uninstall(kubectl, &paths.overlay()).await?;
    }
    status
}

async fn simulator(paths: &Paths, run: &Run, components: &Components) -> Result<Simulator> {
    let listen = env::var("CLB_SIM_LISTEN").map_err(|_| {
        Unmet(
            "CLUSTER=existing needs CLB_SIM_LISTEN=ADDRESS:PORT, an address of this machine that \
             the cluster's pods can reach (the port after it serves HTTPS); or use --bare"
                .into(),
        )
    })?;
    let work = run.folder.join("work");
    let simulator = Simulator::prepare_at(&work, &listen, &next_port(&listen)?)?;
    let program = paths.binary("clb-sim")?;
    simulator.start_outside(&program, &work, components).await?;
    Ok(simulator)
}

fn kubectl() -> Result<Kubectl> {
    let program = setup::program("kubectl")
        .ok_or_else(|| Unmet("CLUSTER=existing needs kubectl on PATH".into()))?;
    let kubeconfig = env::var_os("KUBECONFIG")
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Unmet("CLUSTER=existing needs KUBECONFIG=/path/to/kubeconfig".into()))?;
    Ok(Kubectl::new(program, PathBuf::from(kubeconfig)))
}

fn next_port(listen: &str) -> Result<String> {
    let (host, port) = listen
        .rsplit_once(':')
        .with_context(|| format!("CLB_SIM_LISTEN={listen:?} is not ADDRESS:PORT"))?;
    let port: u16 = port
        .parse()
        .with_context(|| format!("CLB_SIM_LISTEN={listen:?}: {port:?} is not a port"))?;
    let next = port
        .checked_add(1)
        .context("CLB_SIM_LISTEN: no port is left for HTTPS")?;
    Ok(format!("{host}:{next}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_listens_one_port_higher() {
        assert_eq!(next_port("10.0.0.5:9080").unwrap(), "10.0.0.5:9081");
        assert!(next_port("10.0.0.5").is_err());
        assert!(next_port("10.0.0.5:65535").is_err());
    }
}
