//! One exchange with the API: headers and body there, status and body back. A seam, so that a program
//! can put its own connection there, or a test an API that lives in the same process.

use bytes::Bytes;
use http::StatusCode;
use http::header::HeaderMap;
use std::fmt;
use std::pin::Pin;

/// A failure below the API: the network, TLS, HTTP.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The future of one exchange.
pub type Exchanging<'a> = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + 'a>>;

/// Carries requests to the API. The client signs them, bounds their time and drops the future of one
/// whose time is up.
pub trait Exchange: Send + Sync {
    /// Sends one request (`POST /`) and reads its whole answer. `X-TC-Action` in `headers` names the
    /// action, `body` is its JSON parameters.
    fn exchange(&self, headers: HeaderMap, body: Bytes) -> Exchanging<'_>;
}

/// An answer of any status.
#[derive(Clone)]
pub struct Answer {
    /// The HTTP status. The API answers failures with 200 too.
    pub status: StatusCode,
    /// The body.
    pub body: Bytes,
}

/// The body may hold credentials, so it is not shown.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish()
    }
}

/// An exchange without an answer.
#[derive(Debug)]
pub enum Failure {
    /// The request was sent, or may have been.
    Lost(Cause),
    /// An answer with this status began, and is longer than we read.
    Oversized(StatusCode),
    /// The request was certainly not sent.
    Unsent(Cause),
}
