//! Accepting connections at a listener's port, as many as there is room for.

use super::Ground;
use super::open;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tracing::debug;

const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Opens the port and serves each connection; dropped, it drops them all.
pub(super) async fn serve<F>(
    listener: &str,
    address: SocketAddr,
    ground: &Ground,
    connection: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let socket = open::until_open(listener, address, &ground.shared, open::stream).await;
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&ground.room).acquire_owned().await else {
            return;
        };
        let (client, from) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%address, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let served = connection(client, from);
        connections.spawn(async move {
            served.await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}
