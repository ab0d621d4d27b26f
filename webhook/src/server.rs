//! The accept loop: TCP in, TLS off the accept path, and a way out that loses no call.
//!
//! API servers keep up to 25 idle connections to a webhook for 90 s each and may send a call on any of
//! them. So when the process is told to stop, the server goes on serving. It only says `Connection:
//! close` in every answer, and it leaves when nobody can have a connection to it any more.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use certs::resolver::LeafResolver;
use prometheus_client::metrics::gauge::Gauge;
use runtime::{BoxError, Readiness, Supervisor};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    SECOND,
    connection::{self, Farewell, Patience},
    handler::{self, Handler},
    metrics::Metrics,
};

/// Between accepts that fail, which is what happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a draining server looks whether it may leave.
const DRAIN_LOOK: Duration = Duration::from_millis(250);

/// How many connections, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections, handshakes included; more wait in the kernel's queue.
    pub connections: usize,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a request's head, from its first byte.
    pub head: Duration,
    /// For a request's body. The API server gives a webhook 3 s at most here, so no one waits longer.
    pub body: Duration,
    /// For an idle connection: twice the 90 s after which an API server closes it itself.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_024,
            handshake: 5 * SECOND,
            head: 5 * SECOND,
            body: 5 * SECOND,
            idle: 180 * SECOND,
        }
    }
}

/// How the server leaves.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long it serves on: longer than the 90 s an API server keeps an idle connection.
    pub hold: Duration,
    /// With no connection open it may leave sooner, if for this long nobody opened one. It covers the
    /// seconds until every kube-proxy has heard that this pod is going.
    pub quiet: Duration,
    /// For requests in flight at the very end.
    pub last_requests: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            hold: 95 * SECOND,
            quiet: 15 * SECOND,
            last_requests: 5 * SECOND,
        }
    }
}

impl Drain {
    /// Everything together, and some room. The pod's grace period must be longer.
    pub fn longest(&self) -> Duration {
        self.hold + self.last_requests + 5 * SECOND
    }

    /// Whether a draining server may leave.
    fn is_over(&self, observed: Observed) -> bool {
        let deserted = observed.connections == 0
            && observed.since_drain >= self.quiet
            && observed.since_accept >= self.quiet;
        deserted || observed.since_drain >= self.hold
    }
}

/// What a draining server sees of itself.
#[derive(Clone, Copy, Debug)]
struct Observed {
    connections: usize,
    since_accept: Duration,
    since_drain: Duration,
}

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on the HTTPS address {address}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Everything the accept loop needs.
#[derive(Clone, Debug)]
pub struct Server {
    /// How many connections, and how long they may take.
    pub limits: Limits,
    /// How it leaves.
    pub drain: Drain,
    /// The TLS settings, with the resolver that finds the leaf.
    pub tls: Arc<ServerConfig>,
    /// That resolver: connections made with a leaf it no longer has end with their next answer.
    pub leaf: Arc<LeafResolver>,
    /// Who answers.
    pub handler: Handler,
    /// Counters.
    pub metrics: Metrics,
}

impl Server {
    /// Opens the port, serves it as an essential task, and returns the address (useful with port 0).
    /// When the drain begins, `readiness` fails.
    pub async fn spawn(
        self,
        supervisor: &Supervisor,
        listen: SocketAddr,
        readiness: Readiness,
    ) -> Result<SocketAddr, ListenError> {
        let failed = |source| ListenError {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let accepting = Accepting {
            slots: Arc::new(Semaphore::new(self.limits.connections)),
            acceptor: TlsAcceptor::from(self.tls.clone()),
            router: handler::router(self.handler.clone()),
            closing: Arc::default(),
            finish: CancellationToken::new(),
            last_accept: Instant::now(),
            supervisor: supervisor.clone(),
            server: self,
        };
        supervisor.spawn("https", accepting.run(listener, readiness));
        Ok(address)
    }
}

struct Accepting {
    server: Server,
    supervisor: Supervisor,
    slots: Arc<Semaphore>,
    acceptor: TlsAcceptor,
    router: Router,
    closing: Arc<AtomicBool>,
    finish: CancellationToken,
    last_accept: Instant,
}

impl Accepting {
    async fn run(mut self, listener: TcpListener, readiness: Readiness) -> Result<(), BoxError> {
        let draining = self.supervisor.draining();
        loop {
            tokio::select! {
                () = draining.cancelled() => break,
                accepted = accept(&listener, &self.slots) => self.take(accepted).await,
            }
        }
        readiness.fail("shutting down");
        self.closing.store(true, Ordering::Relaxed);
        tracing::info!(
            connections = self.connections(),
            "draining: serving on, closing after each answer"
        );
        self.serve_on(&listener, Instant::now()).await;
        drop(listener);
        self.finish().await;
        Ok(())
    }

    /// Serves like before until the drain is over.
    async fn serve_on(&mut self, listener: &TcpListener, since: Instant) {
        let mut look = tokio::time::interval(DRAIN_LOOK);
        while !self.server.drain.is_over(self.observe(since)) {
            tokio::select! {
                _ = look.tick() => {}
                accepted = accept(listener, &self.slots) => self.take(accepted).await,
            }
        }
    }

    /// Lets requests in flight end, and closes what is idle.
    async fn finish(self) {
        let left = self.connections();
        self.finish.cancel();
        let all = u32::try_from(self.server.limits.connections).unwrap_or(u32::MAX);
        let ended = self.slots.acquire_many(all);
        let in_time = tokio::time::timeout(self.server.drain.last_requests, ended)
            .await
            .is_ok();
        tracing::info!(left, in_time, "drained");
    }

    async fn take(&mut self, accepted: io::Result<(TcpStream, OwnedSemaphorePermit)>) {
        match accepted {
            Ok((stream, slot)) => {
                self.last_accept = Instant::now();
                self.spawn(stream, slot);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    fn spawn(&self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        let Limits {
            handshake,
            head,
            body,
            idle,
            ..
        } = self.server.limits;
        let (acceptor, router) = (self.acceptor.clone(), self.router.clone());
        let farewell = Farewell::before_handshake(self.closing.clone(), self.server.leaf.clone());
        let (metrics, finish) = (self.server.metrics.clone(), self.finish.child_token());
        self.supervisor.spawn_child("https connection", async move {
            let _slot = slot;
            let Some(stream) = shake_hands(&acceptor, stream, handshake, &metrics).await else {
                return;
            };
            let _open = Open::count(metrics.connections.clone());
            let patience = Patience { body, head, idle };
            if let Err(error) = connection::serve(stream, router, patience, farewell, finish).await
            {
                tracing::debug!(%error, "connection ended with an error");
            }
        });
    }

    fn connections(&self) -> usize {
        self.server
            .limits
            .connections
            .saturating_sub(self.slots.available_permits())
    }

    fn observe(&self, since: Instant) -> Observed {
        Observed {
            connections: self.connections(),
            since_accept: self.last_accept.elapsed(),
            since_drain: since.elapsed(),
        }
    }
}

/// Counts an open connection until it is dropped, even by a panic.
struct Open(Gauge);

impl Open {
    fn count(connections: Gauge) -> Self {
        connections.inc();
        Self(connections)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A connection and its slot. With all slots taken, connections wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Fails only on a connection that is gone already, which the handshake finds out.
    stream.set_nodelay(true).ok();
    Ok((stream, slot))
}

async fn shake_hands(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    deadline: Duration,
    metrics: &Metrics,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    match tokio::time::timeout(deadline, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            metrics.handshake("ok");
            Some(stream)
        }
        Ok(Err(error)) => {
            metrics.handshake("failed");
            tracing::debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => {
            metrics.handshake("timeout");
            None
        }
    }
}

#[cfg(test)]
mod tests;
