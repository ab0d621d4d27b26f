//! `clb-gate`: the one binary. Wires; decides nothing.

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = args::Args::parse();
    certs::provider::install();
    match commands::run(args.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clb-gate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
