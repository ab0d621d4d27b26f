//! A new leaf in the Secret is served by every webhook about at once.
//!
//! `RELOADS` says how often it is replaced (5).

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use certs::Certificate;
use clb_gate_tests::chain::{Chain, today};
use clb_gate_tests::figures::Figures;
use clb_gate_tests::ours::webhooks;
use clb_gate_tests::stage::{PATIENCE, alone};
use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

const RELOADS: usize = 5;
/// A bound, not a measurement.
const SERVED: Duration = Duration::from_secs(20);
/// What clb-gate promises, where nothing else keeps the machine busy.
const PROMISED: Duration = Duration::from_secs(1);
/// Between two handshakes with the same webhook.
const PAUSE: Duration = Duration::from_millis(5);

#[test]
fn a_new_leaf_is_served_by_all() {
    alone("reload", |world| async move {
        let chain = Chain::new(&world.client)?;
        chain.settled(PATIENCE).await?;
        let signer = chain.signer().await?;
        let all = webhooks(&world.client).await?;
        let mut took = vec![];
        for _ in 0..reloads()? {
            let leaf = chain.put_leaf(&signer, today()?).await?;
            let served = all.iter().map(|pod| served(&chain, *pod, &leaf));
            took.extend(try_join_all(served).await?.into_iter().max());
        }
        let took = Figures::new(took);
        let verdict = took.verdict(99, PROMISED);
        println!(
            "leaf written -> served by all {}: {took}; {verdict}",
            all.len()
        );
        Ok(())
    });
}

/// How long after now a webhook presents a leaf.
async fn served(chain: &Chain, pod: IpAddr, leaf: &Certificate) -> Result<Duration> {
    let start = Instant::now();
    while chain.presents(pod).await? != *leaf.der() {
        if start.elapsed() > SERVED {
            bail!("{pod} does not serve the new leaf after {SERVED:?}");
        }
        sleep(PAUSE).await;
    }
    Ok(start.elapsed())
}

fn reloads() -> Result<usize> {
    let text = std::env::var("RELOADS").unwrap_or_default();
    if text.is_empty() {
        return Ok(RELOADS);
    }
    text.parse().context("RELOADS")
}
