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
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{Router, response::Response};
use certs::resolver::{Generation, LeafResolver};
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
/// `farewell` says when answers say `Connection: close`; `finish` ends the connection as soon as no
/// request is in flight.
pub(crate) async fn serve<S>(
    stream: S,
    router: Router,
    patience: Patience,
    farewell: Farewell,
    finish: CancellationToken,
) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let phase = Arc::new(Phase::default());
    let stream = TokioIo::new(Timed::new(stream, phase.clone(), patience));
    let farewell = Arc::new(farewell);
    let service = service_fn(move |request| {
        respond(router.clone(), request, phase.clone(), farewell.clone())
    });
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
    farewell: Arc<Farewell>,
) -> Result<Response, Infallible> {
    phase.set(Phase::REQUEST);
    let mut response = router.call(request).await?;
    if farewell.is_due() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    phase.set(Phase::IDLE);
    Ok(response)
}

/// When a connection is to end with its next answer. Never without one: Go does not repeat a POST on a
/// connection that was closed under it.
#[derive(Clone, Debug)]
pub(crate) struct Farewell {
    /// The server is leaving.
    closing: Arc<AtomicBool>,
    /// What new connections are served with.
    leaf: Arc<LeafResolver>,
    /// What this one was, at best.
    generation: Generation,
}

impl Farewell {
    /// To be made before the handshake: a leaf swapped in meanwhile then counts as newer, whichever of
    /// the two was presented.
    pub(crate) fn before_handshake(closing: Arc<AtomicBool>, leaf: Arc<LeafResolver>) -> Self {
        let generation = leaf.generation();
        Self {
            closing,
            leaf,
            generation,
        }
    }

    fn is_due(&self) -> bool {
        self.closing.load(Ordering::Relaxed) || self.leaf.generation() != self.generation
    }
}

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For a request's body.
    pub(crate) body: Duration,
    /// For a request's head, from its first byte.
    pub(crate) head: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
}

impl Patience {
    fn allowed(&self, phase: u32) -> Duration {
        match phase {
            Phase::IDLE => self.idle,
            Phase::HEAD => self.head,
            _ => self.body,
        }
    }

    /// How often a connection looks at its clock.
    fn look_every(&self) -> Duration {
        self.idle.min(self.head).min(self.body) / 4
    }
}

/// Where a connection is. Written by the service, read by the stream, both in the same task. It
/// counts changes in its upper bits: back in the same phase is not the same as never having left it.
#[derive(Debug, Default)]
struct Phase(AtomicU32);

impl Phase {
    /// Nothing of a request has arrived.
    const IDLE: u32 = 0;
    /// Something has.
    const HEAD: u32 = 1;
    /// A request's head has been read; its body may still be coming.
    const REQUEST: u32 = 2;
    /// The bits of the phase.
    const MASK: u32 = 3;

    fn get(&self) -> u32 {
        self.mark() & Self::MASK
    }

    /// Differs after every change.
    fn mark(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u32) {
        let changes = (self.mark() & !Self::MASK).wrapping_add(Self::MASK + 1);
        self.0.store(changes | phase, Ordering::Relaxed);
    }
}

/// A stream whose reads fail when the peer takes too long.
///
/// Its alarm rings at a steady, slow beat and is never moved by a request: moving a timer wakes the
/// runtime's driver, which costs more than judging a review. So a limit strikes up to a quarter late.
struct Timed<S> {
    stream: S,
    phase: Arc<Phase>,
    patience: Patience,
    /// The phase's mark at the last look, and since when it has been the same.
    seen: (u32, Instant),
    alarm: Pin<Box<Sleep>>,
}

impl<S> Timed<S> {
    fn new(stream: S, phase: Arc<Phase>, patience: Patience) -> Self {
        let seen = (phase.mark(), Instant::now());
        let alarm = Box::pin(tokio::time::sleep_until(seen.1 + patience.look_every()));
        Self {
            stream,
            phase,
            patience,
            seen,
            alarm,
        }
    }

    /// Ready when the peer's time is up.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mark = self.phase.mark();
        if self.seen.0 != mark {
            self.seen = (mark, Instant::now());
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            if self.seen.1.elapsed() >= self.patience.allowed(self.phase.get()) {
                return Poll::Ready(());
            }
            let next = Instant::now() + self.patience.look_every();
            self.alarm.as_mut().reset(next);
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PATIENCE: Patience = Patience {
        body: Duration::from_secs(5),
        head: Duration::from_secs(5),
        idle: Duration::from_mins(3),
    };

    fn timed() -> (DuplexStream, Timed<DuplexStream>, Arc<Phase>) {
        let (peer, stream) = duplex(64);
        let phase = Arc::new(Phase::default());
        (peer, Timed::new(stream, phase.clone(), PATIENCE), phase)
    }

    /// How long a read lasts with a peer that says nothing more.
    async fn silence(stream: &mut Timed<DuplexStream>) -> Duration {
        let started = Instant::now();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        started.elapsed()
    }

    fn about(limit: Duration) -> std::ops::Range<Duration> {
        limit..limit + PATIENCE.look_every() + Duration::from_millis(10)
    }

    #[tokio::test(start_paused = true)]
    async fn every_phase_has_its_limit() {
        let (_peer, mut stream, phase) = timed();
        assert!(about(PATIENCE.idle).contains(&silence(&mut stream).await));
        phase.set(Phase::HEAD);
        assert!(about(PATIENCE.head).contains(&silence(&mut stream).await));
        phase.set(Phase::REQUEST);
        assert!(about(PATIENCE.body).contains(&silence(&mut stream).await));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_byte_of_a_request_starts_its_head() {
        let (mut peer, mut stream, phase) = timed();
        peer.write_all(b"P").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'P');
        assert_eq!(phase.get(), Phase::HEAD);
        assert!(about(PATIENCE.head).contains(&silence(&mut stream).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_connection_is_never_taken_for_an_idle_one() {
        let (mut peer, mut stream, phase) = timed();
        for _ in 0..5 {
            // A whole request is there at once and is answered at once: every pending read is an idle one.
            let sending = async {
                tokio::time::sleep(PATIENCE.idle / 2).await;
                peer.write_all(b"P").await.unwrap();
            };
            let (byte, ()) = tokio::join!(stream.read_u8(), sending);
            assert_eq!(byte.unwrap(), b'P');
            phase.set(Phase::REQUEST);
            phase.set(Phase::IDLE);
        }
        assert!(about(PATIENCE.idle).contains(&silence(&mut stream).await));
    }
}
