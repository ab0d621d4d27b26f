//! A client that begins a WebSocket over TLS and then sends bytes, as far as a load balancer sees of one.
//! What the ends make of the bytes is their own affair.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The key of RFC 6455, section 1.3, and what accepts it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Milliseconds on an idle machine; two busy cores need more.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens one to `host` at `vip`:443, trusting what is in the file alone, and says these one after another,
/// each once the last came back.
pub async fn echoed(
    vip: &str,
    (host, path): (&str, &str),
    trusted: &Path,
    all: &[&str],
) -> Result<()> {
    let connector = connector(trusted)?;
    let whole = async {
        let mut opened = open(&connector, vip, (host, path)).await?;
        for one in all {
            opened.write_all(one.as_bytes()).await?;
            let mut back = vec![0; one.len()];
            opened.read_exact(&mut back).await?;
            ensure!(back == one.as_bytes(), "{one:?} came back as {back:?}");
        }
        Ok(())
    };
    let in_time = timeout(PATIENCE, whole).await;
    in_time.with_context(|| format!("no echo from wss://{host}{path} within {PATIENCE:?}"))?
}

fn connector(trusted: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted)?)?;
    let mut config = ClientConfig::builder_with_provider(certs::provider::provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

async fn open(
    connector: &TlsConnector,
    vip: &str,
    (host, path): (&str, &str),
) -> Result<TokioIo<Upgraded>> {
    let stream = TcpStream::connect((vip, 443)).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let stream = connector.connect(name, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(HOST, host)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header("sec-websocket-version", "13")
        .header(SEC_WEBSOCKET_KEY, KEY)
        .body(Empty::<Bytes>::new())?;
    let upgrade = async move {
        let mut response = sender.send_request(request).await?;
        let (status, headers) = (response.status(), response.headers());
        let accepted = headers.get(SEC_WEBSOCKET_ACCEPT);
        ensure!(
            status == StatusCode::SWITCHING_PROTOCOLS
                && accepted.is_some_and(|value| value == ACCEPTED),
            "{status} {headers:?}"
        );
        Ok(hyper::upgrade::on(&mut response).await?)
    };
    let (upgraded, connection) = tokio::join!(upgrade, connection.with_upgrades());
    let upgraded = upgraded?;
    connection?;
    Ok(TokioIo::new(upgraded))
}
