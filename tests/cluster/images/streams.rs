//! What takes long: downloads of some seconds, and `WebSocket`s that live until one end goes away.
//!
//! `/download?ms=N` sends its body piece by piece over N milliseconds; the first line names the pod. `/socket`
//! gives back each message of a WebSocket, and says 1001 at SIGTERM. The header `x-pod` of both names the pod.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clb_gate_tests::frames::{Frame, GOING_AWAY};
use hyper::body::Bytes;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What a WebSocket's key is hashed with (RFC 6455, section 1.3).
const WEBSOCKET: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Which pod answers.
const POD: HeaderName = HeaderName::from_static("x-pod");
/// A download's pieces come this far apart.
const PIECE: Duration = Duration::from_millis(100);
/// A piece, as a line.
const LINE: &str = "................................................................\n";
/// The longest download.
const LONGEST: u64 = 60_000;
/// How long a client may take to say goodbye in its turn.
const GOODBYE: Duration = Duration::from_secs(2);

/// Tasks that live beside their requests.
pub(crate) type Tasks = Arc<Mutex<JoinSet<()>>>;

/// Open `WebSocket`s, and what tells them to end.
#[derive(Clone)]
pub(crate) struct Sockets {
    pub(crate) open: Tasks,
    pub(crate) ending: watch::Receiver<bool>,
}

#[derive(Deserialize)]
struct Download {
    ms: u64,
}

/// The routes.
pub(crate) fn router(sockets: Sockets) -> Router {
    Router::new()
        .route("/download", get(download))
        .route("/socket", get(socket))
        .with_state(sockets)
}

async fn download(
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Query(download): Query<Download>,
) -> Response {
    let pieces = download.ms.min(LONGEST) * 1000 / u64::try_from(PIECE.as_micros()).unwrap_or(1);
    let first = crate::introduction(client);
    let length = first.len() as u64 + pieces * LINE.len() as u64;
    let body = futures::stream::unfold((Some(first), pieces), async |(first, left)| {
        if let Some(first) = first {
            return Some((Ok(Bytes::from(first)), (None, left)));
        }
        let left = left.checked_sub(1)?;
        tokio::time::sleep(PIECE).await;
        Some((Ok::<_, Infallible>(Bytes::from(LINE)), (None, left)))
    });
    let headers = [(CONTENT_LENGTH, length.to_string()), (POD, crate::pod())];
    (headers, Body::from_stream(body)).into_response()
}

async fn socket(State(sockets): State<Sockets>, mut request: Request) -> impl IntoResponse {
    let agreed = agreement(&request);
    if agreed.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(&mut request);
        start(&sockets.open, converse(upgraded, sockets.ending));
    }
    ([(POD, crate::pod())], agreed)
}

/// Agrees to a WebSocket, or says that this is the place for one.
pub(crate) fn agreement(request: &Request) -> Response {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        let accepted = [(UPGRADE, "websocket")];
        return (StatusCode::UPGRADE_REQUIRED, accepted).into_response();
    };
    let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(WEBSOCKET);
    let headers = [
        (CONNECTION, "Upgrade".to_owned()),
        (UPGRADE, "websocket".to_owned()),
        (SEC_WEBSOCKET_ACCEPT, STANDARD.encode(hash.finish())),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// Starts one that lives beside its request, and forgets those that have ended.
pub(crate) fn start(tasks: &Tasks, task: impl Future<Output = ()> + Send + 'static) {
    let mut tasks = tasks.lock();
    while tasks.try_join_next().is_some() {}
    tasks.spawn(task);
}

/// A connection that breaks is its client's loss.
async fn converse(upgraded: OnUpgrade, mut ending: watch::Receiver<bool>) {
    let Ok(upgraded) = upgraded.await else { return };
    let mut stream = TokioIo::new(upgraded);
    let client_ended = tokio::select! {
        ended = give_back(&mut stream) => ended,
        _ = ending.wait_for(|ending| *ending) => false,
    };
    let status = if client_ended { None } else { Some(GOING_AWAY) };
    let last = Frame::Close(status).encode(false);
    if stream.write_all(&last).await.is_ok() && !client_ended {
        let _ = timeout(GOODBYE, give_back(&mut stream)).await;
    }
    let _ = stream.shutdown().await;
}

/// Gives messages back until the client says goodbye, or breaks off.
async fn give_back(stream: &mut TokioIo<Upgraded>) -> bool {
    let mut heard = Vec::new();
    loop {
        while let Some((frame, used)) = Frame::decode(&heard) {
            heard.drain(..used);
            match frame {
                Frame::Text(_) => {
                    if stream.write_all(&frame.encode(false)).await.is_err() {
                        return true;
                    }
                }
                Frame::Close(_) => return true,
                Frame::Other => {}
            }
        }
        if !matches!(stream.read_buf(&mut heard).await, Ok(1..)) {
            return true;
        }
    }
}
