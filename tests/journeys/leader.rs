//! The leader dies in the middle of a rollout.

use std::collections::BTreeSet;

use clb_gate_tests::kubectl;
use clb_gate_tests::ours::{kill_minus_nine, leader};
use clb_gate_tests::sim::Console;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::target;

use crate::stage::{LOAD_BALANCER, PATIENCE, alone, deployment, rolled, serve, targets_are};

#[test]
fn killing_the_leader_loses_no_target_and_leaves_none_over() {
    alone("leader-killed", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8030);
        serve(&world, service, 3).await?;

        kubectl::apply(&deployment(&world, "web", 3, "2")).await?;
        let first = leader(&world.client).await?;
        kill_minus_nine(&world.client, &first).await?;
        let somebody_elses = "198.18.1.250:9999";
        console.bind_foreign(8030, somebody_elses.parse()?).await?;

        rolled(&world).await?;
        let pods = world.ready("web", 3, PATIENCE).await?;
        let mut expected: BTreeSet<_> = pods.iter().filter_map(target).collect();
        expected.insert(somebody_elses.to_owned());
        targets_are(&console, 8030, &expected).await
    });
}
