//! One HTTP or HTTPS listener's traffic. Everything a stranger can do is bounded: connections, the
//! time for a handshake and for standing still, the size of heads and bodies.

use super::body::{Answer, BodyError};
use super::doors::HTTP_2;
use super::greet::greet;
use super::helpers::{Helper, Helpers};
use super::pulse::Pulse;
use super::relay::Visit;
use super::site::Site;
use super::{Ground, accept, tcp};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tracing::debug;

/// `keepalive_timeout` (documentation "Layer-7 custom configuration"). It bounds every silence here:
/// no request, a head that does not end, a body that does not go on.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// nginx takes heads of four buffers of 8 KiB.
const LARGEST_HEAD: u32 = 32 * 1024;
/// What is read ahead of a request.
const BUFFER: usize = 64 * 1024;
/// nginx's `http2_max_concurrent_streams`.
const STREAMS: u32 = 128;

/// Opens the port and serves it.
pub(super) async fn serve(site: Arc<Site>, address: SocketAddr, ground: Ground) {
    accept::serve(&site.listener, address, &ground, |client, from| {
        let (site, ground) = (Arc::clone(&site), ground.clone());
        async move { connection(site, ground, client, from).await }
    })
    .await;
}

async fn connection(site: Arc<Site>, ground: Ground, client: TcpStream, from: SocketAddr) {
    if !site.lets_in(&ground.shared, from) {
        debug!(%from, listener = site.listener, "a security group stops a connection");
        return tcp::hear_nothing(client).await;
    }
    let _ = client.set_nodelay(true);
    if !site.secure {
        return requests((site, ground, from), client, false).await;
    }
    if let Some(stream) = greet(&site, &ground, client, from).await {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
        requests((site, ground, from), stream, http2).await;
    }
}

async fn requests<S>(
    (site, ground, client): (Arc<Site>, Ground, SocketAddr),
    stream: S,
    http2: bool,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (lines, tunnels) = (Helpers::new(), Helpers::new());
    let pulse = Pulse::new(KEEP_ALIVE);
    let visit = Arc::new(Visit {
        site,
        ground,
        client,
        pulse: pulse.clone(),
        lines: lines.helper(),
        tunnels: tunnels.helper(),
    });
    let served = async {
        if http2 {
            second(visit, stream, lines.helper()).await
        } else {
            first(visit, stream).await
        }
    };
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                debug!(%client, %error, "a connection ended");
            }
        }
        () = pulse.stopped() => debug!(%client, "a connection stood still for too long"),
    }
    // A tunnel outlives the HTTP it came from, and begins with what is left of its target's.
    tunnels.finish().await;
    drop(lines);
}

/// HTTP/1.
async fn first<S>(visit: Arc<Visit>, stream: S) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KEEP_ALIVE)
        .max_buf_size(BUFFER)
        .max_header_size(usize::try_from(LARGEST_HEAD).unwrap_or(BUFFER))
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| answer(Arc::clone(&visit), request)),
        )
        .with_upgrades()
        .await
}

/// HTTP/2.
async fn second<S>(visit: Arc<Visit>, stream: S, helper: Helper) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http2::Builder::new(helper)
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(LARGEST_HEAD)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| answer(Arc::clone(&visit), request)),
        )
        .await
}

async fn answer(
    visit: Arc<Visit>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, BodyError> {
    visit.answer(request).await
}
