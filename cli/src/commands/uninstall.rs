//! `clb-gate uninstall`.

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use gate_controller::uninstall::{Decision, Uninstall as Remover, decide};

use super::connect_quietly;
use super::print::line;
use crate::args::Uninstall;

pub(super) async fn run(args: Uninstall) -> Result<ExitCode> {
    let client = connect_quietly().await?;
    let mut remover = Remover::new(client, &args.installation.namespace);
    remover.keep_load_balancers = args.keep_load_balancers;
    remover.wait = args.wait;
    remover.timeout = args.timeout;
    let found = Box::pin(remover.look()).await?;
    match decide(&found, args.keep_load_balancers) {
        Decision::Nothing => {
            line("nothing of clb-gate is left");
            return Ok(ExitCode::SUCCESS);
        }
        Decision::Refuse(why) => {
            line(&found.to_string());
            bail!("nothing was touched: {why}");
        }
        Decision::Go => line(&found.to_string()),
    }
    if !args.yes && !agreed()? {
        bail!("nothing was touched");
    }
    Box::pin(remover.run(&found, |told| line(&told))).await?;
    if !args.wait {
        line("what is in the namespaces goes within about two minutes; nothing waits for it");
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks whoever sits there.
fn agreed() -> Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("nothing was touched: nobody is here to ask; say --yes to go on");
    }
    print!("Type yes to go on: ");
    std::io::stdout()
        .flush()
        .context("cannot print the question")?;
    let mut answer = String::new();
    let mut input = input.lock();
    input
        .read_line(&mut answer)
        .context("cannot read the answer")?;
    Ok(answer.trim() == "yes")
}
