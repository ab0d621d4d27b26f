//! Opens a listener's port, again and again until it opens, and says why it does not.

use crate::shared::Shared;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, UdpSocket};
use tracing::warn;

/// Connections waiting to be accepted; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 65_535;
const BIND_AGAIN: Duration = Duration::from_secs(1);

/// Waits until `bind` succeeds.
pub(super) async fn until_open<T>(
    listener: &str,
    address: SocketAddr,
    shared: &Shared,
    bind: fn(SocketAddr) -> io::Result<T>,
) -> T {
    loop {
        match bind(address) {
            Ok(opened) => {
                shared.bind_errors.lock().remove(listener);
                return opened;
            }
            Err(error) => {
                let text = format!("{address}: {error}");
                let before = shared
                    .bind_errors
                    .lock()
                    .insert(listener.to_owned(), text.clone());
                if before.as_deref() != Some(&text) {
                    warn!("{listener} cannot be served at {text}; trying again");
                }
                tokio::time::sleep(BIND_AGAIN).await;
            }
        }
    }
}

pub(super) fn stream(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

pub(super) fn datagram(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address, Type::DGRAM, Protocol::UDP)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
