//! One TCP listener's traffic: accept at the VIP, choose a target, copy both ways.
//!
//! A layer-4 CLB does not retry: a target that does not answer costs the client its connection.
//! What a security group stops cannot vanish before it was accepted, as it would on the way to a
//! real CLB; here the client is connected and hears nothing.

use super::Ground;
use super::open;
use super::port::{Pick, Port, Served};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tracing::debug;

/// How long a target may take to accept. A real CLB only passes the client's SYN on; a client
/// gives up after seconds.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// `IdleConnectTimeout` of TCP listeners unless told otherwise (API reference): after this even a
/// client that waits for nothing is let go.
const IDLE: Duration = Duration::from_mins(15);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Opens the port and serves it.
pub(super) async fn serve(port: Arc<Port>, address: SocketAddr, ground: Ground) {
    let listener = open::until_open(&port.listener, address, &ground.shared, open::stream).await;
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&ground.room).acquire_owned().await else {
            return;
        };
        let (client, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%address, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (port, ground) = (Arc::clone(&port), ground.clone());
        connections.spawn(async move {
            connection(&port, &ground, client, from).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(port: &Arc<Port>, ground: &Ground, mut client: TcpStream, from: SocketAddr) {
    let served = match port.pick(&ground.shared, from) {
        Pick::Served(served) => served,
        Pick::Nobody => return reset(&client),
        Pick::Dropped(reason) => {
            debug!(%from, listener = port.listener, "a connection is dropped: {reason}");
            return hear_nothing(client).await;
        }
    };
    let Some(mut target) = reach(ground, from, &served).await else {
        return reset(&client);
    };
    let _ = client.set_nodelay(true);
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
        reset(&client);
        reset(&target);
    }
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
async fn hear_nothing(mut client: TcpStream) {
    let mut lost = [0; 4096];
    let gone = async { while matches!(client.read(&mut lost).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(IDLE, gone).await;
    reset(&client);
}

/// Makes the close that follows an abort, so that the peer cannot take it for an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
