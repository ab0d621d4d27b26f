//! How long a review takes inside the process: body in memory, through the router, answer in memory.
//!
//! Budget: p99 of a 12 KB review at most 100 µs, flat from 1 to 10,000 Services, linear to 3 MiB.
//! Criterion adds means with confidence for the decision alone; the table has the percentiles.
#![allow(
    missing_docs,
    clippy::missing_panics_doc,
    reason = "criterion's macros"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot run should stop"
)]
#![allow(
    clippy::indexing_slicing,
    reason = "percentiles of a list that is never empty"
)]

use std::{hint::black_box, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use direct_access::{ExposureIndex, Settings};
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use runtime::{Change, Key};
use serde::de::IgnoredAny;
use tokio::time::Instant;
use tower::Service;
use webhook::{
    answer::{Outcome, answer},
    exposed::Exposed,
    handler::{Handler, router},
    metrics::Metrics,
};

#[path = "../fixtures/mod.rs"]
mod fixtures;

const KIB: usize = 1024;
const SERVICES: [usize; 3] = [1, 1_000, 10_000];
/// Review sizes, and how many samples each gets: about half a second a row.
const SIZES: [(usize, usize); 3] = [(12 * KIB, 20_000), (100 * KIB, 4_000), (3 * KIB * KIB, 200)];
/// For criterion, a row: the whole bench stays well under a minute.
const MEASURE: Duration = Duration::from_secs(2);

fn main() {
    table();
    benches();
    Criterion::default().configure_from_args().final_summary();
}

/// The table of percentiles.
fn table() {
    let local = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    println!("Admission handler in process: review in, answer out (microseconds)");
    println!(
        "{:>9}  {:>8}  {:>8}  {:>8}  {:>8}  {:>8}",
        "review", "Services", "samples", "p50", "p99", "max"
    );
    for (bytes, samples) in SIZES {
        for services in SERVICES {
            let row = local.block_on(measure(bytes, services, samples));
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| percentile(&row, share));
            println!(
                "{:>7}KB  {services:>8}  {samples:>8}  {p50:>8.1}  {p99:>8.1}  {max:>8.1}",
                bytes / KIB
            );
        }
    }
    println!();
}

async fn measure(bytes: usize, services: usize, samples: usize) -> Vec<Duration> {
    let mut routes = routes(services);
    let review = bytes::Bytes::from(fixtures::review(bytes));
    for _ in 0..samples / 10 {
        call(&mut routes, review.clone()).await;
    }
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        times.push(call(&mut routes, review.clone()).await);
    }
    times.sort_unstable();
    times
}

async fn call(routes: &mut Router, review: bytes::Bytes) -> Duration {
    let request = Request::post("/mutate").header(CONTENT_TYPE, "application/json");
    let request = request.body(Body::from(review)).unwrap();
    let started = Instant::now();
    let response = routes.call(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let took = started.elapsed();
    assert!(body.len() > 200, "not a patch");
    took
}

fn routes(services: usize) -> Router {
    let keyed =
        |facts: direct_access::ServiceFacts| (Key::new(&facts.namespace, &facts.name), facts);
    let exposed = Arc::new(Exposed::new());
    exposed.on_service(Change::Restarted(
        fixtures::services(services)
            .into_iter()
            .map(keyed)
            .collect(),
    ));
    router(Handler::new(exposed, Metrics::default()))
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let at = ((sorted.len() - 1) as f64 * share) as usize;
    sorted[at].as_secs_f64() * 1e6
}

/// Criterion's part: the decision alone, without HTTP, beside skipping through the same JSON.
fn decision(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    group
        .measurement_time(MEASURE)
        .warm_up_time(MEASURE / 4)
        .sample_size(50);
    for (bytes, _) in &SIZES[..2] {
        let review = fixtures::review(*bytes);
        group.throughput(Throughput::Bytes(review.len() as u64));
        let id = BenchmarkId::new(format!("{}KB", bytes / KIB), "skip");
        let skip = |review| serde_json::from_slice::<IgnoredAny>(review).unwrap();
        group.bench_function(id, |bencher| bencher.iter(|| skip(black_box(&review))));
        for services in SERVICES {
            let index = ExposureIndex::build(&fixtures::services(services), &Settings::default());
            assert_eq!(answer(&review, &index).unwrap().outcome, Outcome::Injected);
            let id = BenchmarkId::new(format!("{}KB", bytes / KIB), services);
            group.bench_function(id, |bencher| {
                bencher.iter(|| answer(black_box(&review), &index));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decision);
