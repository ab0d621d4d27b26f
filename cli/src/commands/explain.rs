//! `clb-gate explain` and `clb-gate doctor`: what is wrong, and what to do about it.

use std::process::ExitCode;

use anyhow::Result;
use gate_controller::explain::doctor;
use gate_controller::explain::{Explainer, Object, Report};

use super::print::out;
use super::{connect_quietly, inside, sources};
use crate::args::{Doctor, Explain, ExplainObject, Output};

pub(super) async fn run(command: Explain) -> Result<ExitCode> {
    let (kind, args, probes) = match command {
        Explain::Pod(args) => (Object::Pod, args.object, args.probe),
        Explain::Service(args) => (Object::Service, args, false),
        Explain::Ingress(args) => (Object::Ingress, args, false),
    };
    let ExplainObject {
        name,
        namespace,
        output,
        from,
    } = args;
    let client = connect_quietly().await?;
    let namespace = namespace.unwrap_or_else(|| client.default_namespace().to_owned());
    let installation = &from.namespace_of_installation;
    let explainer = Explainer::new(client, installation, sources(from.places), probes);
    let report = Box::pin(explainer.explain(kind, &namespace, &name)).await?;
    print(&report, output)?;
    Ok(ExitCode::from(report.verdict.exit_code()))
}

fn print(report: &Report, output: Output) -> Result<()> {
    out(&match output {
        Output::Text => report.to_string(),
        Output::Json => format!("{}\n", report.json()),
    })
}

pub(super) async fn doctor(args: Doctor) -> Result<ExitCode> {
    let client = connect_quietly().await?;
    let from = args.from;
    let installation = &from.namespace_of_installation;
    let doctor = doctor::Doctor::new(client, installation, sources(from.places), inside());
    let report = Box::pin(doctor.report()).await?;
    out(&match args.output {
        Output::Text => report.to_string(),
        Output::Json => format!("{}\n", report.json()),
    })?;
    Ok(ExitCode::from(report.exit_code()))
}
