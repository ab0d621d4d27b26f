//! Direct HTTPS, side by side in one run: ours, and two reference servers with the same TLS settings
//! and the same router, which read the same bodies and answer the same bytes. `skip` goes once through the
//! JSON without keeping any of it (the least a server that looks at its input must do), `none` looks
//! at nothing.
//!
//! Each server is a process of its own with one thread, on one core where `taskset` is at hand; the
//! load comes from this process. Rounds are interleaved, so that a noisy machine is noisy for all.
//! Requests per second are what a client sees; CPU per request is what the server used, and what
//! remains true when something else takes the cores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot run should stop"
)]
#![allow(clippy::indexing_slicing, clippy::panic, reason = "likewise")]
#![allow(clippy::cast_precision_loss, reason = "counts of a few seconds")]

#[path = "../fixtures/mod.rs"]
mod fixtures;
#[path = "https/load.rs"]
mod load;
#[path = "https/server.rs"]
mod server;

use std::time::Duration;

use load::{Kind, Sample};
use server::{Child, Flavour};

/// As many connections as an API server keeps to one webhook.
const CONNECTIONS: usize = 25;
/// Keep-alive rounds of every server.
const ROUNDS: usize = 12;
/// Of each.
const ROUND: Duration = Duration::from_secs(1);
/// Bodies of the keep-alive rounds: a usual review and a large one.
const SIZES: [usize; 2] = [12 * 1024, 100 * 1024];

fn main() {
    if let Some(flavour) = std::env::args().skip_while(|arg| arg != "--serve").nth(1) {
        return server::serve(Flavour::parse(&flavour));
    }
    server::leave_the_first_core();
    let children: Vec<_> = Flavour::ALL.into_iter().map(Child::start).collect();
    println!("Direct HTTPS, one server core, {CONNECTIONS} connections, TLS 1.3, P-256 leaf");
    for bytes in SIZES {
        let review = fixtures::review(bytes);
        println!("\nkeep-alive, {} KB review", review.len() / 1024);
        let samples = rounds(&children, &review, Kind::KeepAlive, ROUNDS);
        report(&children, &samples, "requests/s");
        ratios(&samples);
    }
    println!("\nfresh connections, each with one 12 KB review");
    let samples = rounds(&children, &fixtures::review(SIZES[0]), Kind::Fresh, 4);
    report(&children, &samples, "connections/s");
    println!("\nresident memory after load");
    for child in &children {
        println!(
            "  {:<5} {:>6.1} MiB",
            child.flavour.name(),
            child.resident_mib()
        );
    }
}

/// One sample a server, its rounds interleaved with the others'.
fn rounds(children: &[Child], review: &[u8], kind: Kind, rounds: usize) -> Vec<Sample> {
    let mut totals: Vec<_> = children.iter().map(|_| Sample::default()).collect();
    for child in children {
        load::run(child, review, kind, ROUND / 2);
    }
    for round in 0..rounds {
        for turn in 0..children.len() {
            let at = (round + turn) % children.len();
            totals[at].add(load::run(&children[at], review, kind, ROUND));
        }
    }
    for total in &mut totals {
        total.latencies.sort_unstable();
    }
    totals
}

fn report(children: &[Child], samples: &[Sample], unit: &str) {
    println!(
        "  {:<5} {unit:>13}  {:>9}  {:>9}  {:>12}  {:>13}",
        "", "p50 us", "p99 us", "CPU us each", "per core/s"
    );
    for (child, sample) in children.iter().zip(samples) {
        println!(
            "  {:<5} {:>13.0}  {:>9.0}  {:>9.0}  {:>12.1}  {:>13.0}",
            child.flavour.name(),
            sample.per_second(),
            sample.percentile(0.5),
            sample.percentile(0.99),
            sample.cpu_each(),
            1e6 / sample.cpu_each(),
        );
    }
}

fn ratios(samples: &[Sample]) {
    let [ours, skip, none] = samples else {
        panic!("three servers")
    };
    for (name, other, aim) in [("skip", skip, "budget 90 %"), ("none", none, "aim 60 %")] {
        let [seen, cpu] = ours.share_of(other);
        println!(
            "  ours / {name}: {seen:.0} % of its requests/s, {cpu:.0} % by CPU per request ({aim})"
        );
    }
}
