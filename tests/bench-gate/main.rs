//! `make bench-gate`: how long after a CLB finds a target healthy its pod's gate opens, when a hundred pods
//! a second turn healthy, and how many calls that takes; beside a bare loop that polls and writes, in the
//! same run. The pods are objects on a node on paper, and the CLB's word for their health is an oracle's:
//! the moment of each Alive is known to the millisecond. Exits with 0 only if the promises are kept.

mod node;
mod oracle;
mod pods;
mod process;
mod reference;
mod report;
mod scale;
mod stage;
mod table;
mod turn;
mod watching;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use clap::value_parser;

use report::Report;
use scale::Scale;
use stage::Stage;

/// `--quick`: as many a second, for a tenth of the time.
const QUICK: Scale = Scale {
    pods: 600,
    load_balancers: 10,
    seconds: 6,
};

/// Healthy in the CLB to gate True
#[derive(Parser)]
struct Args {
    /// Pods, each of which turns healthy once
    #[arg(long, default_value_t = 6_000, value_parser = value_parser!(u16).range(100..=8_000))]
    pods: u16,
    /// Load balancers, over which the pods are spread evenly
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u16).range(1..=60))]
    load_balancers: u16,
    /// Seconds over which the pods turn healthy, evenly
    #[arg(long, default_value_t = 60, value_parser = value_parser!(u16).range(3..=3_600))]
    seconds: u16,
    /// 600 pods behind 10 load balancers over 6 s
    #[arg(long, conflicts_with_all = ["pods", "load_balancers", "seconds"])]
    quick: bool,
    /// Where to write the figures
    #[arg(long, value_name = "FILE", default_value = "target/bench-gate.json")]
    out: PathBuf,
}

impl Args {
    fn scale(&self) -> Result<Scale> {
        if self.quick {
            return Ok(QUICK);
        }
        let scale = Scale {
            pods: self.pods,
            load_balancers: self.load_balancers,
            seconds: self.seconds,
        };
        scale.checked()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nbench-gate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let scale = args.scale()?;
    println!(
        "{} pods on a node on paper, behind {} load balancers",
        scale.pods, scale.load_balancers
    );
    let stage = Stage::set(scale).await?;
    println!("clb-gate, {} s", scale.seconds);
    let ours = turn::ours(&stage).await?;
    println!("The bare loop, {} s", scale.seconds);
    let reference = turn::reference(&stage).await?;
    let report = Report::of(scale, &ours, &reference);
    // Before anything else: what was measured is not lost with a cluster that cannot be tidied.
    publish(&report, &args.out)?;
    stage.clear().await?;
    ensure!(report.broken.is_empty(), "{}", report.broken.join("\n  "));
    Ok(())
}

fn publish(report: &Report, out: &Path) -> Result<()> {
    println!("\n{}", table::print(report));
    let text = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(out, text).with_context(|| format!("writing {}", out.display()))?;
    println!("Figures: {}", out.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_quick_goes_alone() {
        Args::command().debug_assert();
        let parse = |args: &[&str]| Args::try_parse_from([&["bench-gate"], args].concat());
        assert_eq!(parse(&["--quick"]).unwrap().scale().unwrap(), QUICK);
        assert_eq!(QUICK.checked().unwrap(), QUICK);
        let usual = parse(&[]).unwrap().scale().unwrap();
        assert_eq!(
            (usual.pods, usual.load_balancers, usual.seconds),
            (6_000, 10, 60)
        );
        for refused in [
            &["--quick", "--pods", "200"][..],
            &["--pods", "99"],
            &["--seconds", "0"],
            &["--load-balancers", "61"],
        ] {
            assert!(parse(refused).is_err(), "{refused:?}");
        }
        assert!(parse(&["--load-balancers", "1"]).unwrap().scale().is_err());
    }
}
