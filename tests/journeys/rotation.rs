//! Certificates are renewed, and webhooks come and go, while pods are created as fast as the API server
//! takes them and it refuses every pod that no webhook has seen: not one creation fails.
//!
//! `ROTATIONS` says how many CA rotations in a row (1), `ROLLOUTS` how many rollouts meanwhile (1),
//! `LONG=1` that a rotation is interrupted at every step. A program of its own, because with
//! `failurePolicy: Fail` it would disturb others.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::chain::Chain;
use clb_gate_tests::creations::{Creations, Failure, Pace, Report};
use clb_gate_tests::operator::now;
use clb_gate_tests::ours::{
    INSTALLED, NAMESPACE, Part, address, is_ready, kill_minus_nine, strictly,
};
use clb_gate_tests::stage::{LOAD_BALANCER, PATIENCE, alone};
use clb_gate_tests::workload::Service;
use clb_gate_tests::{World, cli, kubectl};
use futures::future::try_join;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use nix::sys::signal::Signal;
use tokio::time::{Instant, sleep, timeout};

/// Three webhooks: one may be away while another is on its way.
const WEBHOOKS: usize = INSTALLED + 1;
/// Before and after what is measured.
const LEAD_IN: Duration = Duration::from_secs(2);
/// How long the API server may need to hear of a changed `EndpointSlice`, which it watches.
const HEARD_MS: i64 = 500;
/// Where a rotation is interrupted in a short form: after the new CA is made, and after it is published.
const SHORT: [(usize, Signal); 2] = [(3, Signal::SIGINT), (4, Signal::SIGKILL)];

#[test]
fn no_creation_fails_while_certificates_rotate_and_webhooks_roll() {
    alone("rotation", |world| async move {
        gated(&world, 8180).await?;
        strictly(&world.client, || rotated_under_load(&world)).await
    });
}

async fn rotated_under_load(world: &World) -> Result<()> {
    let (rotations, rollouts) = (number("ROTATIONS", 1)?, number("ROLLOUTS", 1)?);
    let chain = Chain::new(&world.client)?;
    let before = chain.settled(PATIENCE).await?;
    let creations = Creations::start(world, "load", Pace::FULL)?;
    sleep(LEAD_IN).await;
    let done = try_join(rotate(rotations, &creations), roll(world, rollouts)).await;
    sleep(LEAD_IN).await;
    let report = creations.stop().await;
    println!(
        "{rotations} CA rotations, {rotations} leaf rotations, {rollouts} rollouts of {WEBHOOKS} \
         webhooks with pods deleted after each: {}{}",
        report.line(),
        report.failures()
    );
    let ((), ()) = done?;
    ensure!(report.failed.is_empty(), "{} failed", report.failed.len());
    ensure!(
        report.ungated.is_empty(),
        "{} without",
        report.ungated.len()
    );
    let after = chain.settled(PATIENCE).await?;
    ensure!(after.ca.der() != before.ca.der(), "the CA is the old one");
    Ok(())
}

async fn rotate(times: usize, creations: &Creations) -> Result<()> {
    for round in 1..=times {
        let start = Instant::now();
        cli::done(&["certs", "rotate", "--ca", "--wait"]).await?;
        let ca = start.elapsed();
        cli::done(&["certs", "rotate", "--wait"]).await?;
        let leaf = start.elapsed().saturating_sub(ca);
        let so_far = creations.so_far().line();
        println!("  rotation {round}: CA {ca:.1?}, leaf {leaf:.1?}; {so_far}");
    }
    Ok(())
}

/// Rolls the webhooks, and deletes one after the other once they are through.
async fn roll(world: &World, times: usize) -> Result<()> {
    for round in 1..=times {
        let start = Instant::now();
        Part::Webhook.restart().await?;
        Part::Webhook.rolled().await?;
        let rolled = start.elapsed();
        let pods = Part::Webhook.pods(&world.client).await?;
        let staying = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        // A short form deletes one: each takes its successor's start.
        let deleted = if is_long()? { WEBHOOKS } else { 1 };
        for pod in staying.take(deleted) {
            Part::Webhook.delete(&world.client, &pod.name_any()).await?;
            Part::Webhook.ready(&world.client, WEBHOOKS).await?;
        }
        let all = start.elapsed();
        println!("  rollout {round}: {rolled:.1?}, with {deleted} pods deleted {all:.1?}");
    }
    Ok(())
}

#[test]
fn a_killed_webhook_fails_no_call_but_those_to_it() {
    alone("killed", |world| async move {
        gated(&world, 8181).await?;
        strictly(&world.client, || killed_under_load(&world)).await
    });
}

async fn killed_under_load(world: &World) -> Result<()> {
    let creations = Creations::start(world, "load", Pace::FULL)?;
    sleep(LEAD_IN).await;
    let pods = Part::Webhook.pods(&world.client).await?;
    let victim = pods.iter().find(|pod| is_ready(pod)).context("a webhook")?;
    let killed = kill_and_watch(world, victim).await;
    Part::Webhook.ready(&world.client, WEBHOOKS).await?;
    sleep(LEAD_IN).await;
    let report = creations.stop().await;
    let (killed, gone) = killed?;
    judge(&report, killed, gone)
}

/// Kills a webhook; when that was, and when its endpoint was gone.
async fn kill_and_watch(world: &World, victim: &Pod) -> Result<(i64, i64)> {
    let address = address(victim).context("an address")?;
    let slices: Api<EndpointSlice> = Api::namespaced(world.client.clone(), NAMESPACE);
    let label = format!("kubernetes.io/service-name={}", Part::Webhook.name());
    let listed = slices.list(&ListParams::default().labels(&label)).await?;
    let version = listed.metadata.resource_version.unwrap_or_default();
    let ours = WatchParams::default().labels(&label);
    let mut events = slices.watch(&ours, &version).await?.boxed();
    kill_minus_nine(&world.client, &victim.name_any()).await?;
    let killed = now()?;
    let watching = async {
        while let Some(event) = events.try_next().await? {
            if let WatchEvent::Modified(slice) = event
                && !serves(&slice, address)
            {
                return now();
            }
        }
        anyhow::bail!("the watch ended")
    };
    let gone = timeout(PATIENCE, watching).await;
    Ok((killed, gone.context("the endpoint stays")??))
}

fn serves(slice: &EndpointSlice, address: IpAddr) -> bool {
    let address = address.to_string();
    let mut endpoints = slice.endpoints.iter();
    endpoints.any(|endpoint| {
        let conditions = endpoint.conditions.clone().unwrap_or_default();
        endpoint.addresses.contains(&address) && conditions.ready != Some(false)
    })
}

fn judge(report: &Report, killed: i64, gone: i64) -> Result<()> {
    let begun_after = |at: i64| report.failed.iter().filter(move |one| one.begun > at);
    let in_flight = report.failed.len() - begun_after(killed).count();
    let late: Vec<&Failure> = begun_after(gone + HEARD_MS).collect();
    println!(
        "one of {WEBHOOKS} webhooks killed: {}; of the failed {in_flight} were in flight, {} were begun \
         in the {} ms until its endpoint was gone, {} later{}",
        report.line(),
        report.failed.len() - in_flight - late.len(),
        gone - killed,
        late.len(),
        causes(report)
    );
    ensure!(report.ungated.is_empty(), "pods without the gate");
    ensure!(
        late.is_empty(),
        "calls to an endpoint that was gone: {late:?}"
    );
    Ok(())
}

fn causes(report: &Report) -> String {
    let what = report.failed.iter().map(|one| {
        let from = one.why.find("dial tcp").or_else(|| one.why.find("failed"));
        let text = one.why.get(from.unwrap_or_default()..).unwrap_or_default();
        text.chars().take(160).collect::<String>()
    });
    let distinct: BTreeSet<_> = what.collect();
    let lines: Vec<_> = distinct.into_iter().take(4).collect();
    lines.iter().map(|cause| ["\n  ", cause].concat()).collect()
}

#[test]
fn a_rotation_interrupted_anywhere_ends_well_when_run_again() {
    alone("interrupted", |world| async move {
        let chain = Chain::new(&world.client)?;
        chain.settled(PATIENCE).await?;
        if !is_long()? {
            for (step, signal) in SHORT {
                ensure!(interrupted(&chain, step, signal).await?, "no step {step}");
            }
            return Ok(());
        }
        println!("interrupted while a controller leads:");
        at_every_step(&chain).await?;
        println!("interrupted while nobody leads, so that the command does the work:");
        Part::Controller.stop(&world.client).await?;
        let outcome = at_every_step(&chain).await;
        Part::Controller.scale(&world.client, INSTALLED).await?;
        outcome
    });
}

async fn at_every_step(chain: &Chain) -> Result<()> {
    for step in 1.. {
        for signal in [Signal::SIGINT, Signal::SIGKILL] {
            if !interrupted(chain, step, signal).await? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Interrupts a rotation after so many lines of progress and runs it again; false where it ended before.
async fn interrupted(chain: &Chain, step: usize, signal: Signal) -> Result<bool> {
    let rotate = ["certs", "rotate", "--ca", "--wait"];
    let before = chain.settled(PATIENCE).await?;
    let mut running = cli::Running::start(&rotate)?;
    let mut last = String::new();
    for _ in 0..step {
        match running.line().await? {
            Some(line) => last = line,
            None => return Ok(false),
        }
    }
    // It may have ended just now, after its last line.
    let struck = running.signal(signal).is_ok();
    let first = running.end().await?;
    let again = cli::done(&rotate).await?;
    println!(
        "  {signal} after \"{}\" (exit code {:?}{}): run again, done after {} lines",
        last.trim(),
        first.code,
        if struck { "" } else { ", too late" },
        again.lines.len()
    );
    cli::status_is_green(PATIENCE).await?;
    let after = chain.settled(PATIENCE).await?;
    ensure!(after.ca.der() != before.ca.der(), "the CA is the old one");
    Ok(true)
}

/// A Service whose pods get the gate from every webhook.
async fn gated(world: &World, port: u16) -> Result<()> {
    let service = Service::direct(&world.namespace, "load", LOAD_BALANCER, port);
    kubectl::apply(&service.yaml()).await?;
    world.webhooks_gate("load", true).await
}

fn is_long() -> Result<bool> {
    Ok(number("LONG", 0)? > 0)
}

fn number(variable: &str, otherwise: usize) -> Result<usize> {
    let text = std::env::var(variable).unwrap_or_default();
    if text.is_empty() {
        return Ok(otherwise);
    }
    let number = text.parse();
    number.with_context(|| format!("{variable} is {text:?}, not a number"))
}
