//! HTTP round the decision: two routes, POST only, and every limit checked before it costs anything.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, HeaderValue},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::{
    answer::{Answer, Outcome, Refusal, answer, answer_canary},
    exposed::Exposed,
    metrics::Metrics,
};

/// A legal review can be a little more than twice the API server's own limit of 3 MiB for an object
/// (object and oldObject); controller-runtime takes 7 MiB as well.
pub const LARGEST_BODY: usize = 7 * 1024 * 1024;
/// Bodies up to this are read without asking: 1,024 connections of it are 64 MiB.
const SMALL_BODY: usize = 64 * 1024;
/// What larger bodies may take together.
const LARGE_BODIES: usize = 4 * LARGEST_BODY;
/// For a large body and its turn. The API server waits 3 s at most, so no one waits longer. Small
/// bodies have no timer of their own, which would cost as much as judging them: the connection's limit
/// on silence ends them.
const LARGE_BODY_DEADLINE: Duration = Duration::from_secs(5);
/// The only content type the API server sends.
const JSON: &str = "application/json";

/// Answers reviews. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handler {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    exposed: Arc<Exposed>,
    metrics: Metrics,
    large_bodies: Semaphore,
}

impl Handler {
    /// A handler that judges by what `exposed` knows.
    pub fn new(exposed: Arc<Exposed>, metrics: Metrics) -> Self {
        let large_bodies = Semaphore::new(LARGE_BODIES);
        Self {
            shared: Arc::new(Shared {
                exposed,
                metrics,
                large_bodies,
            }),
        }
    }
}

/// The routes, without TLS and without a port.
pub fn router(handler: Handler) -> Router {
    Router::new()
        .route("/mutate", post(mutate))
        .route("/canary", post(canary))
        .with_state(handler)
}

async fn mutate(State(handler): State<Handler>, request: Request) -> Response {
    let shared = &handler.shared;
    match read(request, &shared.large_bodies).await {
        Ok(body) => {
            let started = Instant::now();
            let index = shared.exposed.index();
            let (outcome, response) = judge(&body, |body| answer(body, &index));
            shared.metrics.admission(outcome, started.elapsed());
            response
        }
        Err(refused) => {
            shared.metrics.admission(Outcome::Refused, Duration::ZERO);
            refuse(refused)
        }
    }
}

/// The same way as every pod's, and counted apart: nobody waits for the canary.
async fn canary(State(handler): State<Handler>, request: Request) -> Response {
    let shared = &handler.shared;
    let (outcome, response) = match read(request, &shared.large_bodies).await {
        Ok(body) => judge(&body, answer_canary),
        Err(refused) => (Outcome::Refused, refuse(refused)),
    };
    shared.metrics.canary(outcome);
    response
}

fn refuse(refused: Refused) -> Response {
    tracing::debug!(status = %refused.0, reason = refused.1, "refused a request");
    refused.into_response()
}

fn judge(
    body: &[u8],
    answer: impl FnOnce(&[u8]) -> Result<Answer, Refusal>,
) -> (Outcome, Response) {
    // Nothing in there should panic. If it does, one call fails, and it is seen in the log.
    match catch_unwind(AssertUnwindSafe(|| answer(body))) {
        Ok(Ok(answer)) => (answer.outcome, json(answer.body)),
        Ok(Err(refusal)) => {
            tracing::debug!(%refusal, "refused a review");
            (
                Outcome::Refused,
                (StatusCode::BAD_REQUEST, refusal.to_string()).into_response(),
            )
        }
        Err(_) => {
            tracing::error!(bytes = body.len(), "judging a review panicked");
            (
                Outcome::Refused,
                StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            )
        }
    }
}

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

type Refused = (StatusCode, &'static str);

const TOO_LARGE: Refused = (
    StatusCode::PAYLOAD_TOO_LARGE,
    "the body is larger than 7 MiB",
);
const TOO_SLOW: Refused = (StatusCode::REQUEST_TIMEOUT, "the body took longer than 5 s");
const NOT_JSON: Refused = (
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "content-type must be application/json",
);
const BROKEN: Refused = (
    StatusCode::BAD_REQUEST,
    "the body could not be read to its end",
);

/// Reads the body within every limit. What can be refused by its headers is refused unread.
async fn read(request: Request, large_bodies: &Semaphore) -> Result<Bytes, Refused> {
    if !is_json(request.headers()) {
        return Err(NOT_JSON);
    }
    let body = request.into_body();
    // A chunked body does not say how long it is, so it counts as the longest.
    let most = body.size_hint().upper().map_or(LARGEST_BODY, |bytes| {
        usize::try_from(bytes).unwrap_or(usize::MAX)
    });
    if most > LARGEST_BODY {
        return Err(TOO_LARGE);
    }
    if most <= SMALL_BODY {
        return whole(body).await;
    }
    // In a box, so that the usual request does not carry the room for its timer along.
    Box::pin(large(body, most, large_bodies)).await
}

async fn large(body: Body, bytes: usize, large_bodies: &Semaphore) -> Result<Bytes, Refused> {
    let reading = async {
        let _share = share(large_bodies, bytes).await;
        whole(body).await
    };
    tokio::time::timeout(LARGE_BODY_DEADLINE, reading)
        .await
        .unwrap_or(Err(TOO_SLOW))
}

async fn whole(body: Body) -> Result<Bytes, Refused> {
    let collected = Limited::new(body, LARGEST_BODY).collect().await;
    collected.map(Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() {
            TOO_LARGE
        } else {
            BROKEN
        }
    })
}

/// A share of the memory for large bodies, so that many at once wait for each other instead of
/// taking it all.
async fn share(large_bodies: &Semaphore, bytes: usize) -> Option<SemaphorePermit<'_>> {
    large_bodies
        .acquire_many(u32::try_from(bytes).ok()?)
        .await
        .ok()
}

/// `application/json`, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case(JSON)
}

#[cfg(test)]
mod tests;
