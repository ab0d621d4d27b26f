//! `clb-gate`: the one binary. Wires; decides nothing.

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return explain(&error),
    };
    certs::provider::install();
    match commands::run(args.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("clb-gate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A command line that cannot be read is a failure like others: clap's own code, 2, means something else
/// to scripts that call `plan`.
fn explain(error: &clap::Error) -> ExitCode {
    // Nobody is left to be told where even that fails.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
