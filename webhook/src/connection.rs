//! One TLS connection, from the handshake to its end.
//!
//! Time limits are our own, because hyper's header timeout also runs while a connection is idle and
//! would close it. That loses calls: Go does not repeat a POST on a connection that the server closed
//! under it. So a request that has begun must arrive quickly, and an idle connection may stay longer
//! than any API server keeps one.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, response::Response};
use http::{HeaderValue, Request, header::CONNECTION};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Serves requests on a stream until either side ends it.
///
/// `closing` makes every answer say `Connection: close`; `finish` ends the connection as soon as no
/// request is in flight.
pub(crate) async fn serve<S>(
    stream: S,
    router: Router,
    patience: Patience,
    closing: Arc<AtomicBool>,
    finish: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let phase = Arc::new(Phase::default());
    let stream = TokioIo::new(Timed::new(stream, phase.clone(), patience));
    let service =
        service_fn(move |request| respond(router.clone(), request, phase.clone(), closing.clone()));
    let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(stream, service));
    tokio::select! {
        biased;
        result = connection.as_mut() => return result,
        () = finish.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn respond(
    mut router: Router,
    request: Request<Incoming>,
    phase: Arc<Phase>,
    closing: Arc<AtomicBool>,
) -> Result<Response, Infallible> {
    phase.set(Phase::REQUEST);
    let mut response = router.call(request).await?;
    if closing.load(Ordering::Relaxed) {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    phase.set(Phase::IDLE);
    Ok(response)
}

/// How long a peer may be silent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// In the middle of a request's head.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
}

/// Where a connection is. Written by the service, read by the stream, both in the same task.
#[derive(Debug, Default)]
struct Phase(AtomicU8);

impl Phase {
    /// Nothing of a request has arrived.
    const IDLE: u8 = 0;
    /// Something has.
    const HEAD: u8 = 1;
    /// A request is being answered; reading its body has a deadline of its own.
    const REQUEST: u8 = 2;

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }
}

/// A stream whose reads fail when the peer has been silent for too long.
struct Timed<S> {
    stream: S,
    phase: Arc<Phase>,
    patience: Patience,
    /// The phase at the last look, and since when.
    seen: (u8, Instant),
    alarm: Pin<Box<Sleep>>,
}

impl<S> Timed<S> {
    fn new(stream: S, phase: Arc<Phase>, patience: Patience) -> Self {
        let seen = (Phase::IDLE, Instant::now());
        let alarm = Box::pin(tokio::time::sleep_until(seen.1 + patience.idle));
        Self {
            stream,
            phase,
            patience,
            seen,
            alarm,
        }
    }

    /// Ready when the peer's time is up. The alarm is moved only when it would ring too late, and set
    /// anew when it rang too early, so that a busy connection hardly touches the timer.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.deadline() else {
            return Poll::Pending;
        };
        if self.alarm.deadline() > deadline {
            self.alarm.as_mut().reset(deadline);
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.alarm.as_mut().reset(deadline);
        }
    }

    fn deadline(&mut self) -> Option<Instant> {
        let phase = self.phase.get();
        if self.seen.0 != phase {
            self.seen = (phase, Instant::now());
        }
        match phase {
            Phase::IDLE => Some(self.seen.1 + self.patience.idle),
            Phase::HEAD => Some(self.seen.1 + self.patience.head),
            _ => None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => {
                ready!(self.poll_overdue(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(result) => {
                if buffer.filled().len() > before && self.phase.get() == Phase::IDLE {
                    self.phase.set(Phase::HEAD);
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
