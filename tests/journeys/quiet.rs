//! While nothing changes, clb-gate writes nothing but its lease and the canary's dry run. A program of its
//! own: what other journeys leave behind is digested for minutes.
//!
//! `QUIET_SECONDS` says for how long to look (65).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::audit::{Audit, Write};
use clb_gate_tests::chain::Chain;
use clb_gate_tests::stage::{PATIENCE, alone, serve};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use tokio::time::sleep;

/// Longer than anything sleeps: the canary and the slowest look at a load balancer come once a minute.
const QUIET: u64 = 65;
/// The last Event of a pod that became Ready is written after that.
const AT_REST: Duration = Duration::from_secs(5);

#[test]
fn nothing_is_written_while_nothing_changes() {
    alone("quiet", |world| async move {
        let service = Service::direct(&world.namespace, "web", "lb-demo0001", 8091);
        serve(&world, service, 2).await?;
        Chain::new(&world.client)?.settled(PATIENCE).await?;
        let audit = Audit::new()?;
        at_rest(&audit).await?;
        let unusual = watched(&audit, length()?).await?;
        ensure!(unusual.is_empty(), "written:\n{}", unusual.join("\n"));
        Ok(())
    });
}

/// Waits for the end of what the Service has set going.
async fn at_rest(audit: &Audit) -> Result<()> {
    eventually("nothing more is written", PATIENCE, || async {
        let unusual = watched(audit, AT_REST).await?;
        Ok(if unusual.is_empty() {
            Ok(())
        } else {
            Err(unusual.join("\n"))
        })
    })
    .await
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
