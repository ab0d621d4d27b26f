//! `make bench-path`: the ways from a client through a CLB to a pod, side by side in one run: direct
//! connection, `NodePort` forwarding, and `NodePort` forwarding with `externalTrafficPolicy: Local`. Prints
//! Tencent's "Solution Comparison" with figures and writes them as JSON. Exits with 0 only if direct
//! connection kept its promises; times are reported and never judged.

mod arm;
mod client;
mod conntrack;
mod nodes;
mod report;
mod stage;
mod table;
mod tally;
mod update;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use arm::{Arm, PerArm, order};
use client::Amount;
use report::{Report, broken};
use stage::Stage;
use tally::{Part, Persistence};

/// One request at a time.
const ALONE: Amount = Amount {
    requests: 300,
    at_a_time: 1,
    within: Duration::from_secs(10),
};
/// As many at a time as keep two processors busy.
const BUSY: Amount = Amount {
    requests: 1_500,
    at_a_time: 8,
    within: Duration::from_secs(10),
};
/// Before each arm's first turn, so that nobody pays for what all need.
const WARM: Amount = Amount {
    requests: 100,
    at_a_time: 1,
    within: Duration::from_secs(5),
};
/// All clients come back twenty times.
const RETURNS: Amount = Amount {
    requests: 32 * 21,
    at_a_time: 1,
    within: Duration::from_secs(20),
};

/// Where no VPC has a pod: TEST-NET-1 (RFC 5737).
const NOWHERE: &str = "192.0.2.1:8080";

/// Client -> CLB -> pod, three ways
#[derive(Parser)]
struct Args {
    /// Where to write the figures
    #[arg(long, value_name = "FILE", default_value = "target/bench-path.json")]
    json: PathBuf,
    /// How often each arm has its turn
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench-path: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    println!("Three pods an arm, two on node-1 and one on node-2, behind one load balancer");
    let stage = Stage::set().await?;
    let mut report = Report {
        rounds: usize::from(args.rounds),
        amounts: [ALONE.requests, BUSY.requests],
        at_a_time: BUSY.at_a_time,
        unknown_address: nowhere(&stage).await?,
        ..Report::default()
    };
    println!(
        "{} rounds, in each of which every arm has its turn",
        args.rounds
    );
    let parts = measure(&stage, report.rounds).await?;
    let direct = parts.get(Arm::Direct);
    report.performance =
        PerArm::new(|arm| tally::performance(parts.get(arm), direct, stage.maps.get(arm)));
    println!("Clients that come back to a CLB with session persistence");
    report.persistence = come_back(&stage).await?;
    println!("An update of all pods under load");
    report.update = update::run(&stage).await?;
    report.broken = broken(&report);
    conclude(&report, &args.json)?;
    stage.world.end().await
}

fn conclude(report: &Report, json: &Path) -> Result<()> {
    println!("\n{}", table::print(report));
    let text = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(json, text).with_context(|| format!("writing {}", json.display()))?;
    println!("Figures: {}", json.display());
    ensure!(report.broken.is_empty(), "{}", report.broken.join("\n  "));
    Ok(())
}

/// What the API says to the address of a pod that the CLB's VPC does not know.
async fn nowhere(stage: &Stage) -> Result<Option<String>> {
    let address: SocketAddr = NOWHERE.parse()?;
    let bound = stage.console.bind(Arm::Direct.port(), address, 0).await;
    Ok(bound.err().map(|error| format!("{error:#}")))
}

async fn measure(stage: &Stage, rounds: usize) -> Result<PerArm<Vec<Part>>> {
    for arm in Arm::ALL {
        client::send(stage.front(arm.port()), WARM).await;
    }
    let mut parts = PerArm::<Vec<Part>>::default();
    for round in 0..rounds {
        for arm in order(round) {
            let part = turn(stage, arm).await?;
            parts.get_mut(arm).push(part);
        }
    }
    Ok(parts)
}

async fn turn(stage: &Stage, arm: Arm) -> Result<Part> {
    let (front, pods) = (stage.front(arm.port()), stage.pods.get(arm));
    let mark = stage.nodes.mark(pods).await?;
    let alone = client::send(front, ALONE).await;
    let busy = client::send(front, BUSY).await;
    let (wire, tracked) = stage.nodes.since(&mark, arm, pods).await?;
    Ok(Part {
        alone,
        busy,
        wire,
        tracked,
    })
}

async fn come_back(stage: &Stage) -> Result<PerArm<Persistence>> {
    let mut kept = PerArm::default();
    for arm in Arm::ALL {
        let load = client::send(stage.front(arm.sticky_port()), RETURNS).await;
        ensure!(
            load.failures.is_empty(),
            "{arm}: requests failed: {:?}",
            load.failures
        );
        *kept.get_mut(arm) = tally::persistence(&load.answers, stage.maps.get(arm));
    }
    Ok(kept)
}
