//! The metadata service, which tells a virtual machine of Tencent Cloud about itself. There is none
//! elsewhere, so every question has a short time limit.

use http::StatusCode;
use std::time::Duration;
use tokio::time::timeout;

use crate::transport::{Transport, chain};
use crate::{BuildError, Endpoint, Failure, Region};

const ROOT: &str = "/latest/meta-data/";
/// The service is on the machine's own link.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The metadata service.
pub struct Metadata {
    endpoint: Endpoint,
    transport: Transport,
    timeout: Duration,
}

/// Why the metadata service does not answer.
#[derive(Debug, thiserror::Error)]
#[error("metadata service {endpoint}: {problem}")]
pub struct MetadataError {
    endpoint: Endpoint,
    problem: String,
}

impl Metadata {
    /// The service at `endpoint`; nothing is sent yet.
    pub fn new(endpoint: Endpoint) -> Result<Self, BuildError> {
        Ok(Self {
            transport: Transport::new(&endpoint, None)?,
            endpoint,
            timeout: TIMEOUT,
        })
    }

    /// Where every virtual machine of Tencent Cloud has it.
    pub fn default_endpoint() -> Endpoint {
        Endpoint::plain("metadata.tencentyun.com")
    }

    /// The same with another time limit for each question.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The region the machine is in.
    pub async fn region(&self) -> Result<Region, MetadataError> {
        let text = self.required("placement/region").await?;
        text.parse()
            .map_err(|error| self.error(format!("placement/region: {error}")))
    }

    /// The network the machine's first interface is in.
    pub async fn vpc_id(&self) -> Result<String, MetadataError> {
        let mac = self.required("mac").await?;
        let known = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        if !mac.bytes().all(known) {
            return Err(self.error("mac: not a hardware address".to_owned()));
        }
        let path = format!("network/interfaces/macs/{mac}/vpc-id");
        let id = self.required(&path).await?;
        if !id.starts_with("vpc-") || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(self.error(format!("{path}: not the id of a VPC")));
        }
        Ok(id)
    }

    async fn required(&self, path: &str) -> Result<String, MetadataError> {
        let text = self.get(path).await?;
        let text = text.ok_or_else(|| self.error(format!("it has no {path}")))?;
        Ok(text.trim().to_owned())
    }

    /// What is under a path below `/latest/meta-data/`, or `None` where there is nothing.
    pub(crate) async fn get(&self, path: &str) -> Result<Option<String>, MetadataError> {
        let answer = timeout(self.timeout, self.transport.get(&format!("{ROOT}{path}"))).await;
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(Failure::Lost(cause) | Failure::Unsent(cause))) => {
                return Err(self.error(chain(cause.as_ref())));
            }
            Ok(Err(Failure::Oversized(_))) => {
                return Err(self.error(format!("{path}: the answer is too long")));
            }
            Err(_) => return Err(self.error(format!("no answer within {:?}", self.timeout))),
        };
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => match std::str::from_utf8(&answer.body) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(_) => Err(self.error(format!("{path}: the answer is no text"))),
            },
            other => Err(self.error(format!("{path}: HTTP status {other}"))),
        }
    }

    fn error(&self, problem: String) -> MetadataError {
        MetadataError {
            endpoint: self.endpoint.clone(),
            problem,
        }
    }
}
