//! Bodies on their way through layer 7: they show that the connection lives, are cut when their
//! target is deregistered, and hold what the request holds until they end.

use super::port::Served;
use super::pulse::Pulse;
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// What clients get.
pub(super) type Answer = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ends too early.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the target was deregistered")]
    Cut,
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// What a request holds while its answer is under way.
pub(super) struct Held {
    pub(super) served: Served,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// A client's body.
pub(super) struct Upload {
    pub(super) inner: Incoming,
    /// The connection's, and that of the wait for an answer.
    pub(super) pulses: [Pulse; 2],
}

/// A target's body.
struct Download {
    inner: Incoming,
    pulse: Pulse,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _held: Held,
}

/// A text of the load balancer's own.
pub(super) fn text(text: &str) -> Answer {
    let whole = Full::new(Bytes::from(text.to_owned()));
    whole.map_err(|never| match never {}).boxed_unsync()
}

/// A target's body, for the client.
pub(super) fn download(inner: Incoming, pulse: Pulse, held: Held) -> Answer {
    let cut = Box::pin(held.served.cut.clone().cancelled_owned());
    let download = Download {
        inner,
        pulse,
        cut,
        _held: held,
    };
    download.boxed_unsync()
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if polled.is_ready() {
            self.pulses.iter().for_each(Pulse::beat);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(BodyError::Cut)));
        }
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if polled.is_ready() {
            self.pulse.beat();
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
