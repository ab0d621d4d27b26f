//! `make proof`: one load and one story for every way from a CLB to a pod, side by side in one run, and a
//! count of every request that went wrong. Prints a table, writes JSON and a page to look at. Exits with 0 only
//! if arm d lost nothing and what arm e lost is explained by what was killed.

mod args;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use clb_gate_tests::proof::report::{Run, missed};
use clb_gate_tests::proof::run::run;
use clb_gate_tests::proof::{page, table};

use args::Args;

#[tokio::main]
async fn main() -> ExitCode {
    // Bad flags: exit code 2, by clap.
    match prove(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nproof: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn prove(args: &Args) -> Result<()> {
    let options = args.options();
    let mut found = Run {
        rate: options.rate,
        replicas: options.replicas,
        wanted: options.requests,
        ..Run::default()
    };
    fs::create_dir_all(&args.out).with_context(|| format!("creating {}", args.out.display()))?;
    for arm in args.arms() {
        found.arms.push(run(arm, &options).await?);
        found.missed = missed(&found.arms, options.requests);
        // After each arm: a run that is stopped leaves what it has found.
        write(&found, &args.out)?;
    }
    println!("\n{}", table::print(&found));
    println!("Figures: {}", args.out.join("proof.json").display());
    println!("To look at: {}", args.out.join("proof.html").display());
    ensure!(found.missed.is_empty(), "{}", found.missed.join("\n  "));
    Ok(())
}

fn write(run: &Run, out: &Path) -> Result<()> {
    let json = serde_json::to_string_pretty(run)? + "\n";
    for (name, text) in [("proof.json", json), ("proof.html", page::html(run))] {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
