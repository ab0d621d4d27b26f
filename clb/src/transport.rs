//! The exchange over HTTP, and the one thing it must tell when it fails: whether the request can have
//! arrived.

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client, Error as HttpError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::exchange::{Answer, Exchange, Exchanging, Failure};
use crate::{BuildError, Cause, Endpoint};

/// The largest answer read. `DescribeTargets` of a load balancer with 50 listeners of 200 targets is
/// about 4 MB.
const ANSWER_BYTES: usize = 20 * 1024 * 1024;
/// A reachable endpoint accepts within one retransmission of the first packet.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Below the 60 s and more after which servers and NAT gateways drop an idle connection: a request
/// on a connection that the other side just closed is in doubt.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// One for each action that is called often.
const IDLE_CONNECTIONS: usize = 8;

/// Carries requests over HTTP connections to one endpoint: what a [`Client`](crate::Client) uses where
/// its configuration names nothing else, for programs that put something of their own around it.
pub struct Transport {
    uri: Uri,
    pool: Pool,
}

/// Plain HTTP needs neither a crypto provider nor roots, so it must not ask for them.
enum Pool {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transport({})", self.uri)
    }
}

impl Transport {
    /// Opens nothing yet. `extra_ca_pem` is trusted beside the system's CAs.
    pub fn new(endpoint: &Endpoint, extra_ca_pem: Option<&[u8]>) -> Result<Self, BuildError> {
        let uri = endpoint
            .to_string()
            .parse()
            .map_err(|_| BuildError::Header("the endpoint"))?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let pool = if endpoint.is_tls() {
            let https = HttpsConnectorBuilder::new()
                .with_tls_config(tls_config(endpoint, extra_ca_pem)?)
                .https_only()
                .enable_http1()
                .wrap_connector(connector);
            Pool::Tls(builder().build(https))
        } else {
            Pool::Plain(builder().build(connector))
        };
        Ok(Self { uri, pool })
    }

    async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        self.send(request).await
    }

    /// Reads what is at `path`, which begins with `/`.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        let mut parts = self.uri.clone().into_parts();
        let path = path
            .parse()
            .map_err(|error| Failure::Unsent(Box::new(error)))?;
        parts.path_and_query = Some(path);
        let uri = Uri::from_parts(parts).map_err(|error| Failure::Unsent(Box::new(error)))?;
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri;
        self.send(request).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let response = match &self.pool {
            Pool::Plain(client) => client.request(request).await,
            Pool::Tls(client) => client.request(request).await,
        };
        let (head, body) = response.map_err(sent_or_not)?.into_parts();
        let body = read(body)
            .await
            .map_err(|cause| oversized_or_lost(head.status, cause))?;
        Ok(Answer {
            status: head.status,
            body,
        })
    }
}

impl Exchange for Transport {
    fn exchange(&self, headers: HeaderMap, body: Bytes) -> Exchanging<'_> {
        Box::pin(self.post(headers, body))
    }
}

/// An error with all its causes: the outermost often says no more than "client error".
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}

fn builder() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS);
    builder
}

async fn read(body: Incoming) -> Result<Bytes, Cause> {
    Ok(Limited::new(body, ANSWER_BYTES).collect().await?.to_bytes())
}

fn oversized_or_lost(status: StatusCode, cause: Cause) -> Failure {
    if cause.is::<LengthLimitError>() {
        Failure::Oversized(status)
    } else {
        Failure::Lost(cause)
    }
}

/// hyper reports `canceled` only for a request it still holds whole; everything else after the
/// connection stood may have reached the server.
fn sent_or_not(error: HttpError) -> Failure {
    let canceled = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<hyper::Error>())
        .is_some_and(hyper::Error::is_canceled);
    if error.is_connect() || canceled {
        Failure::Unsent(error.into())
    } else {
        Failure::Lost(error.into())
    }
}

fn tls_config(
    endpoint: &Endpoint,
    extra_ca_pem: Option<&[u8]>,
) -> Result<ClientConfig, BuildError> {
    let provider = CryptoProvider::get_default()
        .ok_or(BuildError::CryptoProvider)?
        .clone();
    let extra = extra_ca_pem.map_or(Ok(vec![]), |pem| certificates(endpoint, pem))?;
    // The extra certificates are added first, so where there are some, only they can be at fault.
    let fault = if extra.is_empty() {
        no_roots
    } else {
        bad_extra_ca
    };
    let verifier =
        Verifier::new_with_extra_roots(extra, provider).map_err(|cause| fault(endpoint, cause))?;
    let builder = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(builder.with_no_client_auth())
}

fn no_roots(endpoint: &Endpoint, cause: rustls::Error) -> BuildError {
    BuildError::NoRoots {
        endpoint: endpoint.clone(),
        cause,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the same shape as no_roots")]
fn bad_extra_ca(endpoint: &Endpoint, cause: rustls::Error) -> BuildError {
    BuildError::ExtraCa {
        endpoint: endpoint.clone(),
        problem: cause.to_string(),
    }
}

fn certificates(
    endpoint: &Endpoint,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let refuse = |problem: String| BuildError::ExtraCa {
        endpoint: endpoint.clone(),
        problem,
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| refuse(error.to_string()))?;
    if found.is_empty() {
        return Err(refuse("it has no certificate".to_owned()));
    }
    Ok(found)
}
