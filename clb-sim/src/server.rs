//! The two doors, HTTP and HTTPS. Everything a stranger can do is bounded: connections, the time
//! for a TLS handshake and for headers, the size of a body and the time it may take.

use crate::accounts::metadata;
use crate::admin;
use crate::api::{Api, LARGEST_BODY};
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

/// Connections per door.
const CONNECTIONS: usize = 2000;
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
const HEADER_TIME: Duration = Duration::from_secs(30);
const BODY_TIME: Duration = Duration::from_secs(30);
/// Out of file descriptors is the usual reason; do not spin on it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// One door.
pub(crate) struct Door {
    pub(crate) api: Arc<Api>,
    pub(crate) listener: TcpListener,
    /// Plain HTTP without.
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Door {
    /// Serves until it is dropped.
    pub(crate) async fn serve(self) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        // Owned here, so that connections end with their door.
        let mut connections = JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    debug!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (api, tls) = (Arc::clone(&self.api), self.tls.clone());
            connections.spawn(async move {
                connection(api, tls, stream).await;
                drop(permit);
            });
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn connection(api: Arc<Api>, tls: Option<TlsAcceptor>, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else {
        return requests(api, stream, "http").await;
    };
    match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
        Ok(Ok(stream)) => requests(api, stream, "https").await,
        Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
        Err(_) => debug!("TLS handshake took too long"),
    }
}

async fn requests<S>(api: Arc<Api>, stream: S, listener: &'static str)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let api = Arc::clone(&api);
        async move { serve(&api, request, listener).await }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        debug!(%error, "connection ended");
    }
}

/// A connection that is cut instead of answered.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the answer is lost on purpose")]
    OnPurpose,
    #[error("the body could not be read")]
    Body,
}

async fn serve(
    api: &Api,
    request: Request<Incoming>,
    listener: &'static str,
) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let body = read(body).await?;
    if parts.uri.path().starts_with(admin::PREFIX) {
        return Ok(operator(api, &parts, body, listener));
    }
    if listener == "http" && parts.uri.path().starts_with(metadata::PREFIX) {
        return Ok(machine_metadata(api, &parts));
    }
    let answer = api
        .answer(&parts, body, listener)
        .await
        .ok_or(Cut::OnPurpose)?;
    Ok(json(StatusCode::OK, answer))
}

fn operator(
    api: &Api,
    parts: &Parts,
    body: Option<Bytes>,
    listener: &'static str,
) -> Response<Full<Bytes>> {
    if listener != "http" {
        return json(StatusCode::NOT_FOUND, Bytes::new());
    }
    let (status, answer) = admin::answer(api, parts, &body.unwrap_or_default());
    json(status, answer.to_string().into())
}

fn machine_metadata(api: &Api, parts: &Parts) -> Response<Full<Bytes>> {
    let found = (parts.method == http::Method::GET).then(|| api.metadata(parts.uri.path()));
    let found = found.flatten();
    let mut response = Response::new(Full::new(Bytes::from(found.clone().unwrap_or_default())));
    if found.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    let text = http::HeaderValue::from_static("text/plain");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, text);
    response
}

/// The body, or `None` if it is too large.
async fn read(body: Incoming) -> Result<Option<Bytes>, Cut> {
    let collected = tokio::time::timeout(BODY_TIME, Limited::new(body, LARGEST_BODY).collect());
    match collected.await {
        Ok(Ok(body)) => Ok(Some(body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Ok(None),
        Ok(Err(_)) | Err(_) => Err(Cut::Body),
    }
}

/// No charset: Tencent's Python SDK overlooks errors in an answer that names one.
fn json(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}
