//! What a client is built from, and why building one can fail.

use jiff::Timestamp;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::retry::random;
use crate::{Endpoint, Exchange, NoObserver, Observer, ProvideCredentials, Region};

/// Tells the time requests are signed with.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Gives random numbers, which spread retries. They need not be hard to guess.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a [`Client`](crate::Client) is built from.
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// Where the API is.
    pub endpoint: Endpoint,
    /// The region meant.
    pub region: Region,
    /// Who we are.
    pub credentials: Arc<dyn ProvideCredentials>,
    /// CA certificates (PEM) trusted beside the system's, for an endpoint with a private CA.
    pub extra_ca_pem: Option<Vec<u8>>,
    /// The time one call may take, its wait for the limiter and its retries included. Each page of
    /// a read that takes several is a call of its own.
    pub call_timeout: Duration,
    /// The limit for each action.
    pub calls_per_second: NonZeroU32,
    /// The language of the API's messages.
    pub language: Language,
    /// Tells the time.
    pub now: Clock,
    /// Told of every attempt.
    pub observer: Arc<dyn Observer>,
    /// Carries the requests instead of HTTP connections to the endpoint, which then only says what
    /// host is signed.
    pub exchange: Option<Arc<dyn Exchange>>,
    /// Spreads retries; a test that is to run the same way twice gives its own.
    pub random: Random,
}

impl Config {
    /// A configuration with the usual values for the rest.
    pub fn new(
        endpoint: Endpoint,
        region: Region,
        credentials: Arc<dyn ProvideCredentials>,
        now: Clock,
    ) -> Self {
        Self {
            endpoint,
            region,
            credentials,
            extra_ca_pem: None,
            call_timeout: CALL_TIMEOUT,
            calls_per_second: CALLS_PER_SECOND,
            language: Language::English,
            now,
            observer: Arc::new(NoObserver),
            exchange: None,
            random: Arc::new(random),
        }
    }
}

/// Batches take up to a few seconds; the controller's lease outlasts this.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The API's limit for every action used here (<https://cloud.tencent.com/document/api/214/30676>).
const CALLS_PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// The language of the API's messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Chinese.
    Chinese,
    /// English.
    #[default]
    English,
}

impl Language {
    pub(crate) fn header(self) -> &'static str {
        match self {
            Self::Chinese => "zh-CN",
            Self::English => "en-US",
        }
    }
}

/// Why a client cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No TLS implementation was chosen for the process.
    #[error(
        "no rustls crypto provider is installed; the program must install one before it makes a client"
    )]
    CryptoProvider,
    /// The extra CA is no CA.
    #[error(
        "extra CA for {endpoint}: {problem}; accepted are one or more PEM blocks BEGIN CERTIFICATE"
    )]
    ExtraCa {
        /// The endpoint it is for.
        endpoint: Endpoint,
        /// What is wrong with it.
        problem: String,
    },
    /// TLS has nothing to trust.
    #[error(
        "no CA certificates to check {endpoint} with: {cause}; mount a bundle at \
         /etc/ssl/certs/ca-certificates.crt, or name it in SSL_CERT_FILE, or give an extra CA"
    )]
    NoRoots {
        /// The endpoint.
        endpoint: Endpoint,
        /// Why not.
        cause: rustls::Error,
    },
    /// A value cannot be sent as an HTTP header.
    #[error("{0} cannot be sent as an HTTP header")]
    Header(&'static str),
}
