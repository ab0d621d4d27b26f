//! Somebody else works on our listener while a Deployment rolls.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use clb_gate_tests::kubectl;
use clb_gate_tests::sim::Console;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::target;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::stage::{PATIENCE, beside, deployment, rolled, serve, targets_are};

const PORT: u16 = 8075;
/// Addresses that no pod has.
const THEIRS: [&str; 3] = [
    "198.18.2.240:9999",
    "198.18.2.241:9999",
    "198.18.2.242:9999",
];

/// Between two of their changes: the API takes 20 calls of a kind a second, from all together.
const PACE: Duration = Duration::from_millis(500);

#[test]
fn a_foreign_writer_s_targets_and_ours_stay_apart() {
    beside("foreign-writer", |world| async move {
        // One of its own: while a writer is at it, it is busy for others.
        let console = Console::buy("foreign-writer").await?;
        let id = console.load_balancer.as_str();
        let service = Service::direct(&world.namespace, "web", id, PORT);
        serve(&world, service, 3).await?;

        let (done, over) = watch::channel(false);
        let mut somebody = JoinSet::new();
        somebody.spawn(write(console.clone(), over));
        kubectl::apply(&deployment(&world, "web", 3, "2")).await?;
        rolled(&world).await?;
        let pods = world.ready("web", 3, PATIENCE).await?;
        done.send_replace(true);
        let mut rounds = 0;
        while let Some(ended) = somebody.join_next().await {
            rounds += ended??;
        }
        println!("a foreign writer added and removed targets {rounds} times");
        ensure!(rounds > 3, "only {rounds} rounds");

        let mut expected: BTreeSet<_> = pods.iter().filter_map(target).collect();
        expected.extend(THEIRS.map(str::to_owned));
        let start = Instant::now();
        targets_are(&console, PORT, &expected).await?;
        println!(
            "the old pods' targets were gone {:?} later",
            start.elapsed()
        );
        Ok(())
    });
}

/// Adds and removes targets until it is over, and looks each time that the others have stayed; in the
/// end all are there. How often it did.
async fn write(console: Console, over: watch::Receiver<bool>) -> Result<usize> {
    let all: Vec<SocketAddr> = THEIRS
        .iter()
        .map(|one| one.parse())
        .collect::<Result<_, _>>()?;
    for address in &all {
        console.bind_patiently(PORT, *address).await?;
    }
    let mut rounds = 0;
    let mut pace = interval(PACE);
    while !*over.borrow() {
        for address in &all {
            pace.tick().await;
            console.unbind_patiently(PORT, *address).await?;
            stayed(&console, &all, Some(*address)).await?;
            console.bind_patiently(PORT, *address).await?;
            stayed(&console, &all, None).await?;
            rounds += 1;
        }
    }
    Ok(rounds)
}

async fn stayed(console: &Console, all: &[SocketAddr], but: Option<SocketAddr>) -> Result<()> {
    let there = console.targets(PORT).await?;
    let there: BTreeSet<_> = there.into_iter().map(|one| one.address).collect();
    for address in all.iter().filter(|address| Some(**address) != but) {
        ensure!(
            there.contains(&address.to_string()),
            "{address} was taken away: {there:?}"
        );
    }
    Ok(())
}
