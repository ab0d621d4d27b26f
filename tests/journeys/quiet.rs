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
/// For what other journeys have left to be done.
const CALM: Duration = Duration::from_secs(5);

#[test]
fn nothing_is_written_while_nothing_changes() {
    alone("quiet", |world| async move {
        Chain::new(&world.client)?.settled(PATIENCE).await?;
        let audit = Audit::new()?;
        calm(&audit).await?;
        let start = audit.end()?;
        let length = length()?;
        sleep(length).await;
        let written = audit.since(start)?;
        let lines: Vec<_> = written
            .iter()
            .filter(|w| !is_usual(w))
            .map(Write::line)
            .collect();
        ensure!(lines.is_empty(), "written:\n{}", lines.join("\n"));
        let canary = written.iter().filter(|write| write.is_dry_run()).count();
        println!(
            "nothing changed for {length:?}: {} writes of leases, {canary} dry runs, 0 others",
            written.len() - canary
        );
        Ok(())
    });
}

/// Waits until the journeys before are digested: their namespaces go, and targets with them.
async fn calm(audit: &Audit) -> Result<()> {
    let mut quiet = 0;
    for _ in 0..12 {
        let place = audit.end()?;
        sleep(CALM).await;
        let busy = audit.since(place)?.iter().any(|write| !is_usual(write));
        quiet = if busy { 0 } else { quiet + 1 };
        if quiet == 2 {
            break;
        }
    }
    Ok(())
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
