//! `clb-gate certs status`, `rotate` and `init`.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use gate_controller::certificates::{
    Ending, Gatherer, Goal, Rotation, What, Wish, manifests, report,
};
use tokio_util::sync::CancellationToken;

use super::print::{line, out};
use super::{connect_quietly, inside};
use crate::args::{Certs, Init, ManifestFormat, Output, Rotate, Status};

/// What shells report of a command that Ctrl-C has ended: 128 and the signal's number.
const INTERRUPTED: u8 = 130;
const HOW_TO_FOLLOW: &str = "see how far it is: clb-gate certs status";

pub(super) async fn run(command: Certs) -> Result<ExitCode> {
    match command {
        Certs::Status(args) => status(args).await,
        Certs::Rotate(args) => rotate(args).await,
        Certs::Init(args) => init(&args),
    }
}

async fn status(args: Status) -> Result<ExitCode> {
    let client = connect_quietly().await?;
    let cluster = Gatherer::new(client, &args.installation.namespace, inside());
    let gathered = Box::pin(cluster.all()).await?;
    let report = report(&gathered, runtime::clock::now());
    out(&match args.output {
        Output::Text => report.to_string(),
        Output::Json => format!("{}\n", report.json()),
    })?;
    Ok(ExitCode::from(report.verdict.exit_code()))
}

async fn rotate(args: Rotate) -> Result<ExitCode> {
    let start = Instant::now();
    let client = connect_quietly().await?;
    let mut rotation = Rotation::new(client, &args.installation.namespace, inside());
    rotation.timeout = args.timeout;
    let what = if args.ca { What::Ca } else { What::Leaf };
    let (wish, goal) = Box::pin(rotation.ask(what)).await?;
    let tell = |text: String| line(&format!("{:6.1} s  {text}", start.elapsed().as_secs_f32()));
    tell(asked(&wish, &goal));
    match rotation.leader().await? {
        Some(leader) if !args.wait => {
            line(&format!("{leader} leads and does it now; {HOW_TO_FOLLOW}"));
            return Ok(ExitCode::SUCCESS);
        }
        Some(leader) => tell(format!("{leader} leads and does it")),
        None => {
            tell("nobody seems to lead; waiting to be sure, then doing it from here".to_owned());
        }
    }
    follow(&rotation, &goal, tell).await
}

async fn follow(rotation: &Rotation, goal: &Goal, tell: impl FnMut(String)) -> Result<ExitCode> {
    let stop = CancellationToken::new();
    let mut following = std::pin::pin!(rotation.follow(goal, stop.clone(), tell));
    let ending = tokio::select! {
        ending = &mut following => ending,
        signal = tokio::signal::ctrl_c() => {
            signal.context("cannot listen for Ctrl-C")?;
            stop.cancel();
            tokio::select! {
                ending = &mut following => ending,
                // Whoever presses it twice does not want to wait for the lease's release.
                _ = tokio::signal::ctrl_c() => Ok(Ending::Interrupted),
            }
        }
    };
    match ending? {
        Ending::Done => Ok(ExitCode::SUCCESS),
        Ending::Interrupted => {
            line(&format!(
                "interrupted; the rotation goes on without this command: {HOW_TO_FOLLOW}, or run the same again to join it"
            ));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

fn asked(wish: &Wish, goal: &Goal) -> String {
    let noun = goal.what.noun();
    let id = goal.id.as_deref().unwrap_or_default();
    match wish {
        Wish::Ask => format!("asked for a new {noun} ({id})"),
        Wish::JoinRequest(_) => format!("a new {noun} was asked for already ({id}); joining that"),
        Wish::JoinRotation(_) => "a rotation is half-way; joining it".to_owned(),
        Wish::Missing(_) => format!("there is no {noun} yet; whoever leads makes it"),
    }
}

fn init(args: &Init) -> Result<ExitCode> {
    let made = manifests(&args.installation.namespace, runtime::clock::now())?;
    if std::io::stdout().is_terminal() {
        eprintln!("clb-gate: private keys follow; redirect them to where they are safe");
    }
    out(&match args.output {
        ManifestFormat::Yaml => made.yaml(),
        ManifestFormat::Json => format!("{}\n", made.json()),
    })?;
    Ok(ExitCode::SUCCESS)
}
