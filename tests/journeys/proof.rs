//! The proof's arm d, short: a rollout, more and fewer pods and an eviction under load, and no request fails.

use clb_gate_tests::proof::arm::Arm;
use clb_gate_tests::proof::plan::Size;
use clb_gate_tests::proof::report::missed;
use clb_gate_tests::proof::run::{Options, run};

use crate::stage::by_itself;

/// A tenth of what `make proof` does a second: others run beside it.
const RATE: u32 = 150;
/// A few thousand requests.
const REQUESTS: u64 = 3_000;

#[test]
fn no_client_notices_a_rollout_scaling_and_an_eviction() {
    by_itself(async {
        let options = Options {
            name: "short-proof".to_owned(),
            size: Size::Short,
            rate: RATE,
            replicas: 4,
            requests: REQUESTS,
            drain_seconds: Some(10),
            pre_stop: None,
        };
        let report = run(Arm::Drain, &options).await?;
        let longest = report.rollouts().into_iter().fold(0.0, f64::max);
        println!(
            "for proof: {} requests, {} failed, {} late, p99 {} us, rollout {longest:.1} s, WebSockets told 1001: {}",
            report.requests,
            report.failures(),
            report.late,
            report.p99_us,
            report.handed_over
        );
        let missed = missed(&[report], REQUESTS);
        anyhow::ensure!(missed.is_empty(), "{}", missed.join("\n"));
        Ok(())
    });
}
