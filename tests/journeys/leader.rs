//! The leader dies in the middle of a rollout.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::target;
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::stage::{LOAD_BALANCER, PATIENCE, alone, deployment, rolled, serve, targets_are};

pub(crate) async fn leader(world: &World) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), "clb-gate");
    eventually("somebody leads", PATIENCE, || async {
        let lease = leases.get_opt("clb-gate-controller").await?;
        let holder = lease
            .and_then(|lease| lease.spec?.holder_identity)
            .filter(|holder| !holder.is_empty());
        Ok(holder.ok_or_else(|| "nobody".to_owned()))
    })
    .await
}

/// SIGKILL to the process of a pod's container, found by the pod's cgroup.
pub(crate) async fn kill_minus_nine(world: &World, name: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), "clb-gate");
    let uid = pods.get(name).await?.metadata.uid.context("a UID")?;
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|text| text.parse().ok())
        else {
            continue;
        };
        let cgroup = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let command = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if cgroup.contains(&uid) && command.starts_with("/clb-gate") {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
            killed += 1;
        }
    }
    ensure!(killed > 0, "no process of pod {name} found");
    Ok(())
}

#[test]
fn killing_the_leader_loses_no_target_and_leaves_none_over() {
    alone("leader-killed", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8030);
        serve(&world, service, 3).await?;

        kubectl::apply(&deployment(&world, "web", 3, "2")).await?;
        let first = leader(&world).await?;
        kill_minus_nine(&world, &first).await?;
        let somebody_elses = "198.18.1.250:9999";
        console.bind_foreign(8030, somebody_elses.parse()?).await?;

        rolled(&world).await?;
        let pods = world.ready("web", 3, PATIENCE).await?;
        let mut expected: BTreeSet<_> = pods.iter().filter_map(target).collect();
        expected.insert(somebody_elses.to_owned());
        targets_are(&console, 8030, &expected).await
    });
}
