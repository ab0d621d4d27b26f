//! One TCP or `TCP_SSL` listener's traffic: accept at the VIP, choose a target, copy both ways.
//!
//! A layer-4 CLB does not retry: a target that does not answer costs the client its connection.
//! What a security group stops cannot vanish before it was accepted, as it would on the way to a
//! real CLB; here the client is connected and hears nothing.

use super::greet::greet;
use super::port::{Pick, Port, Served};
use super::site::Site;
use super::{Ground, accept};
use crate::visits::Visit;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tracing::debug;

/// How long a target may take to accept. A real CLB only passes the client's SYN on; a client
/// gives up after seconds.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// `IdleConnectTimeout` of TCP listeners unless told otherwise (API reference): after this even a
/// client that waits for nothing is let go.
const IDLE: Duration = Duration::from_mins(15);

/// Opens the port and serves it.
pub(super) async fn serve(port: Arc<Port>, address: SocketAddr, ground: Ground) {
    accept::serve(&port.listener, address, &ground, |client, from| {
        let (port, ground) = (Arc::clone(&port), ground.clone());
        async move { connection(&port, &ground, client, from).await }
    })
    .await;
}

/// The same behind TLS, which ends here: targets get what is inside.
pub(super) async fn serve_tls(
    port: Arc<Port>,
    site: Arc<Site>,
    address: SocketAddr,
    ground: Ground,
) {
    accept::serve(&port.listener, address, &ground, |client, from| {
        let (port, site, ground) = (Arc::clone(&port), Arc::clone(&site), ground.clone());
        async move {
            if let Some(client) = greet(&site, &ground, client, from).await {
                connection(&port, &ground, client, from).await;
            }
        }
    })
    .await;
}

/// A client's connection, with or without TLS.
pub(super) trait Client: AsyncRead + AsyncWrite + Unpin {
    fn socket(&self) -> &TcpStream;
}

impl Client for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Client for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn connection(port: &Arc<Port>, ground: &Ground, mut client: impl Client, from: SocketAddr) {
    let picked = port.pick(&ground.shared, from);
    remember(ground, from, &picked);
    let served = match picked {
        Pick::Served(served) => served,
        Pick::Nobody => return reset(client.socket()),
        Pick::Dropped(reason) => {
            debug!(%from, listener = port.listener, "a connection is dropped: {reason}");
            return hear_nothing(client).await;
        }
    };
    let Some(mut target) = reach(ground, from, &served).await else {
        return reset(client.socket());
    };
    let _ = client.socket().set_nodelay(true);
    let _ = target.set_nodelay(true);
    // copy_bidirectional passes a half-close on and ends when both directions have.
    let whole = tokio::select! {
        copied = copy_bidirectional(&mut client, &mut target) => copied.is_ok(),
        () = served.cut.cancelled() => {
            // Nothing more goes through; the client is told only if the listener wants it so.
            if !port.resets() {
                drop(served);
                hear_nothing(client).await;
                return reset(&target);
            }
            false
        }
    };
    if !whole {
        reset(client.socket());
        reset(&target);
    }
}

fn remember(ground: &Ground, from: SocketAddr, picked: &Pick) {
    let target = match picked {
        Pick::Served(served) => Some(served.target()),
        Pick::Nobody | Pick::Dropped(_) => None,
    };
    let at = ground.shared.clock.now();
    let mut visits = ground.shared.visits.lock();
    visits.remember(from, Visit { at, target });
}

async fn reach(ground: &Ground, from: SocketAddr, served: &Served) -> Option<TcpStream> {
    let client = ground.outgoing.is_transparent().then_some(from);
    let connecting = ground.outgoing.connect(client, served.target());
    tokio::select! {
        connected = tokio::time::timeout(CONNECT_TIME, connecting) => connected.ok()?.ok(),
        () = served.cut.cancelled() => None,
    }
}

/// What the client sends is lost, until it goes away.
pub(super) async fn hear_nothing(mut client: impl Client) {
    let mut lost = [0; 4096];
    let gone = async { while matches!(client.read(&mut lost).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(IDLE, gone).await;
    reset(client.socket());
}

/// Makes the close that follows an abort, so that the peer cannot take it for an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
