//! While nothing changes, clb-gate writes nothing but its lease and the canary's dry run.
//!
//! `QUIET_SECONDS` says for how long to look (40).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::audit::{Audit, Write};
use clb_gate_tests::chain::Chain;
use clb_gate_tests::stage::{PATIENCE, alone};
use tokio::time::sleep;

/// Longer than anything but the canary sleeps, which comes once a minute.
const QUIET: u64 = 40;
/// The journeys before leave things to be digested: namespaces go, and what was on load balancers is
/// forgotten with the next look at them, after up to a minute.
const TRIES: usize = 4;

#[test]
fn nothing_is_written_while_nothing_changes() {
    alone("quiet", |world| async move {
        Chain::new(&world.client)?.settled(PATIENCE).await?;
        let audit = Audit::new()?;
        let length = length()?;
        let mut unusual = vec![];
        for _ in 0..TRIES {
            unusual = watched(&audit, length).await?;
            if unusual.is_empty() {
                return Ok(());
            }
            println!("not quiet yet:\n{}", unusual.join("\n"));
        }
        ensure!(unusual.is_empty(), "written:\n{}", unusual.join("\n"));
        Ok(())
    });
}

/// What was written in this time besides the usual.
async fn watched(audit: &Audit, length: Duration) -> Result<Vec<String>> {
    let start = audit.end()?;
    sleep(length).await;
    let written = audit.since(start)?;
    let usual = written.iter().filter(|write| is_usual(write));
    let (usual, canary) = (
        usual.count(),
        written.iter().filter(|write| write.is_dry_run()).count(),
    );
    println!(
        "for {length:?}: {} writes of leases, {canary} dry runs, {} others",
        usual.saturating_sub(canary),
        written.len() - usual
    );
    let unusual = written.iter().filter(|write| !is_usual(write));
    Ok(unusual.map(Write::line).collect())
}

fn is_usual(write: &Write) -> bool {
    let lease = write.object_ref.resource == "leases" && write.verb == "update";
    let canary = write.is_dry_run() && write.object_ref.namespace == "clb-gate-canary";
    lease || canary
}

fn length() -> Result<Duration> {
    let text = std::env::var("QUIET_SECONDS").unwrap_or_default();
    let seconds = if text.is_empty() {
        QUIET
    } else {
        text.parse().context("QUIET_SECONDS")?
    };
    Ok(Duration::from_secs(seconds))
}
