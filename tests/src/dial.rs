//! A TLS handshake as the API server makes it, to see which leaf a webhook presents.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
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
    /// With the crypto that clb-gate has.
    pub fn new() -> Result<Self> {
        certs::provider::install();
        let provider = CryptoProvider::get_default().context("no crypto provider")?;
        let config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(Arc::clone(provider))))
            .with_no_client_auth();
        Ok(Self {
            connector: Arc::new(config).into(),
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

/// Takes every certificate, and still wants to see that the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
