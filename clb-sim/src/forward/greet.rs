//! The TLS handshake of HTTPS and `TCP_SSL` listeners: the client says whom it looks for, and gets
//! the certificate for that name.

use super::Ground;
use super::site::Site;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// The client's connection in TLS; none if they do not come to terms in time.
pub(super) async fn greet(
    site: &Site,
    ground: &Ground,
    client: TcpStream,
    from: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE_TIME, handshake(site, ground, client)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(why)) => debug!(%from, listener = site.listener, "no TLS: {why}"),
        Err(_) => debug!(%from, listener = site.listener, "a TLS handshake took too long"),
    }
    None
}

async fn handshake(
    site: &Site,
    ground: &Ground,
    client: TcpStream,
) -> Result<TlsStream<TcpStream>, String> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), client);
    let hello = hello.await.map_err(|error| error.to_string())?;
    let config = site.door(&ground.shared, hello.client_hello().server_name())?;
    let stream = hello.into_stream(config).await;
    stream.map_err(|error| error.to_string())
}
