//! A TLS handshake as the API server makes it, to see which leaf a webhook presents.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Where a webhook listens.
const PORT: u16 = 8443;
/// Whom the API server asks for.
const NAME: &str = "clb-gate-webhook.clb-gate.svc";
/// A handshake takes milliseconds; two busy cores need more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at leaves, whoever signed them.
#[derive(Clone)]
pub struct Dialler {
    connector: TlsConnector,
}

impl Dialler {
    /// Accepts whatever is presented.
    pub fn new() -> Result<Self> {
        Ok(Self {
            connector: certs::handshake::client_config()?.into(),
        })
    }

    /// The leaf that the webhook at a pod's address presents.
    pub async fn leaf(&self, pod: IpAddr) -> Result<CertificateDer<'static>> {
        let address = SocketAddr::new(pod, PORT);
        timeout(PATIENCE, self.handshake(address))
            .await
            .with_context(|| format!("{address} makes no TLS handshake within {PATIENCE:?}"))?
    }

    async fn handshake(&self, address: SocketAddr) -> Result<CertificateDer<'static>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(NAME)?;
        let stream = self.connector.connect(name, stream).await?;
        let (_, connection) = stream.get_ref();
        let chain = connection.peer_certificates().unwrap_or_default();
        let leaf = chain.first().context("no certificate")?;
        Ok(leaf.clone().into_owned())
    }
}
