//! A pod's own identity: Kubernetes signs a token, Tencent Cloud's STS gives credentials for it. TKE's
//! add-on `pod-identity-webhook` mounts the token and sets the variables.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

use super::temporary::{Issue, Issued, Issuing, Temporary};
use super::{Credentials, CredentialsError, Obtaining, ProvideCredentials};
use crate::transport::{Transport, chain};
use crate::wire::{Envelope, Head};
use crate::{Answer, BuildError, Clock, Endpoint, Exchange, Failure, Region, sign};

/// How long credentials are asked to last. Tencent's own SDKs ask for this; at most 12 hours.
const LIFE: Duration = Duration::from_hours(2);
/// STS answers in well under a second.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The part of their life, from its end, in which credentials are renewed, as in Tencent's SDKs.
const RENEW_IN_LAST: i32 = 10;
/// How we are named in Tencent's audit log.
const SESSION: &str = "clb-gate";

/// Whose token is shown to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// The region of the STS asked (`TKE_REGION`).
    pub region: Region,
    /// The identity provider known to CAM (`TKE_PROVIDER_ID`).
    pub provider_id: String,
    /// The file with the token, which is written anew before it expires
    /// (`TKE_WEB_IDENTITY_TOKEN_FILE`).
    pub token_file: PathBuf,
    /// The role asked for (`TKE_ROLE_ARN`).
    pub role_arn: String,
}

impl WebIdentity {
    /// Reads the variables that TKE sets; `Absent` where none is set.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, CredentialsError> {
        const NAMES: [&str; 4] = [
            "TKE_REGION",
            "TKE_PROVIDER_ID",
            "TKE_WEB_IDENTITY_TOKEN_FILE",
            "TKE_ROLE_ARN",
        ];
        const PLACE: &str = "the environment";
        let value = |name| lookup(name).filter(|text| !text.is_empty());
        let [_, provider, file, role] = NAMES;
        // The region alone says nothing: other programs read it too.
        if [provider, file, role]
            .into_iter()
            .all(|name| value(name).is_none())
        {
            return Err(CredentialsError::Absent {
                place: PLACE.to_owned(),
                problem: format!("{role} is not set"),
            });
        }
        let refused = |problem: String| CredentialsError::Refused {
            place: PLACE.to_owned(),
            problem,
        };
        let required = |name| {
            value(name).ok_or_else(|| {
                let all = NAMES.join(", ");
                refused(format!("{name} is not set; a pod's identity needs {all}"))
            })
        };
        let region = required(NAMES[0])?;
        Ok(Self {
            region: region
                .parse()
                .map_err(|error| refused(format!("TKE_REGION: {error}")))?,
            provider_id: required(provider)?,
            token_file: required(file)?.into(),
            role_arn: required(role)?,
        })
    }
}

/// Credentials for a pod's identity, renewed when a tenth of their life is left.
pub struct WebIdentityCredentials(Temporary<Sts>);

impl WebIdentityCredentials {
    /// Asks the STS at `endpoint`, whose certificate may be from `extra_ca_pem`. Nothing is sent yet.
    pub fn new(
        identity: WebIdentity,
        endpoint: Endpoint,
        extra_ca_pem: Option<&[u8]>,
        now: Clock,
    ) -> Result<Self, BuildError> {
        let exchange = Arc::new(Transport::new(&endpoint, extra_ca_pem)?);
        Ok(Self::over(identity, endpoint, exchange, now))
    }

    /// The same, with requests carried by `exchange`.
    pub fn over(
        identity: WebIdentity,
        endpoint: Endpoint,
        exchange: Arc<dyn Exchange>,
        now: Clock,
    ) -> Self {
        let sts = Sts {
            identity,
            endpoint,
            exchange,
            now: Arc::clone(&now),
        };
        Self(Temporary::new(sts, now))
    }
}

impl fmt::Debug for WebIdentityCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebIdentityCredentials")
            .finish_non_exhaustive()
    }
}

impl ProvideCredentials for WebIdentityCredentials {
    fn credentials(&self) -> Obtaining<'_> {
        Box::pin(self.0.credentials())
    }

    fn refused(&self, credentials: &Credentials) {
        self.0.refused(credentials);
    }
}

struct Sts {
    identity: WebIdentity,
    endpoint: Endpoint,
    exchange: Arc<dyn Exchange>,
    now: Clock,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Assume<'a> {
    provider_id: &'a str,
    web_identity_token: &'a str,
    role_arn: &'a str,
    role_session_name: &'a str,
    duration_seconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Assumed {
    expired_time: i64,
    credentials: Given,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    token: String,
    tmp_secret_id: String,
    tmp_secret_key: String,
}

impl Issue for Sts {
    fn issue(&self) -> Issuing<'_> {
        Box::pin(self.assume())
    }
}

impl Sts {
    async fn assume(&self) -> Result<Issued, CredentialsError> {
        let path = &self.identity.token_file;
        let token =
            std::fs::read_to_string(path).map_err(|cause| CredentialsError::Unreadable {
                path: path.clone(),
                cause,
            })?;
        let token = token.trim();
        let body = serde_json::to_vec(&Assume {
            provider_id: &self.identity.provider_id,
            web_identity_token: token,
            role_arn: &self.identity.role_arn,
            role_session_name: SESSION,
            duration_seconds: LIFE.as_secs(),
        })
        .map_err(|error| self.unreachable(error.to_string()))?;
        let asked = (self.now)();
        let exchange = self
            .exchange
            .exchange(self.headers(asked)?, Bytes::from(body));
        let answer = match timeout(TIMEOUT, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => return Err(self.unreachable(described(&failure))),
            Err(_) => return Err(self.unreachable(format!("no answer within {TIMEOUT:?}"))),
        };
        self.understand(&answer, token, asked)
    }

    fn headers(&self, at: Timestamp) -> Result<HeaderMap, CredentialsError> {
        let header = |text: &str| {
            HeaderValue::from_str(text)
                .map_err(|_| self.unreachable(format!("{text:?} cannot be sent as a header")))
        };
        Ok(HeaderMap::from_iter([
            (HOST, header(self.endpoint.host())?),
            (AUTHORIZATION, HeaderValue::from_static("SKIP")),
            (CONTENT_TYPE, HeaderValue::from_static(sign::CONTENT_TYPE)),
            (
                name("x-tc-action"),
                HeaderValue::from_static("AssumeRoleWithWebIdentity"),
            ),
            (name("x-tc-region"), header(self.identity.region.as_str())?),
            (name("x-tc-timestamp"), HeaderValue::from(at.as_second())),
            (name("x-tc-version"), HeaderValue::from_static("2018-08-13")),
        ]))
    }

    /// What the parser says of an answer may quote a secret, so it is not repeated.
    fn understand(
        &self,
        answer: &Answer,
        token: &str,
        asked: Timestamp,
    ) -> Result<Issued, CredentialsError> {
        let status = answer.status;
        if status != http::StatusCode::OK {
            return Err(self.unreachable(format!("HTTP status {status}; is it an STS endpoint?")));
        }
        let lies = |_| self.unreachable("an answer that is not STS's".to_owned());
        let head: Envelope<Head> = serde_json::from_slice(&answer.body).map_err(lies)?;
        if let Some(error) = head.response.error {
            return Err(self.refused(&error.code, &error.message.replace(token, "...")));
        }
        let got: Envelope<Assumed> = serde_json::from_slice(&answer.body).map_err(lies)?;
        let Assumed {
            expired_time,
            credentials,
        } = got.response;
        let expires = Timestamp::from_second(expired_time)
            .ok()
            .filter(|expires| *expires > asked)
            .ok_or_else(|| {
                self.unreachable(
                    "credentials that have expired already; check this node's clock".to_owned(),
                )
            })?;
        Ok(Issued {
            renew: renew_at(asked, expires),
            expires,
            credentials: Credentials {
                secret_id: credentials.tmp_secret_id,
                secret_key: credentials.tmp_secret_key.into(),
                token: Some(credentials.token.into()),
            },
        })
    }

    fn refused(&self, code: &str, message: &str) -> CredentialsError {
        let advice = match code {
            "InvalidParameter.WebIdentityTokenError" => {
                format!(
                    "; check that {} is a valid token for the identity provider {}",
                    self.identity.token_file.display(),
                    self.identity.provider_id
                )
            }
            "ResourceNotFound.RoleNotFound" => {
                format!("; check that the role {} exists", self.identity.role_arn)
            }
            _ => String::new(),
        };
        let problem = format!("{code}: {}{advice}", message.trim_end_matches(['.', ' ']));
        let place = self.place();
        if code.starts_with("InternalError") || code.starts_with("RequestLimitExceeded") {
            return CredentialsError::Unreachable { place, problem };
        }
        CredentialsError::Refused { place, problem }
    }

    fn unreachable(&self, problem: String) -> CredentialsError {
        CredentialsError::Unreachable {
            place: self.place(),
            problem,
        }
    }

    fn place(&self) -> String {
        format!("AssumeRoleWithWebIdentity at {}", self.endpoint)
    }
}

fn renew_at(asked: Timestamp, expires: Timestamp) -> Timestamp {
    let last: SignedDuration = asked.duration_until(expires) / RENEW_IN_LAST;
    expires.checked_sub(last).unwrap_or(expires)
}

fn name(text: &'static str) -> HeaderName {
    HeaderName::from_static(text)
}

fn described(failure: &Failure) -> String {
    match failure {
        Failure::Lost(cause) => format!("no answer: {}", chain(cause.as_ref())),
        Failure::Oversized(_) => "an answer that is not STS's".to_owned(),
        Failure::Unsent(cause) => format!("cannot be reached: {}", chain(cause.as_ref())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_renewed_in_the_last_tenth_of_their_life() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(renew_at(at(0), at(7200)), at(6480));
    }

    #[test]
    fn the_variables_come_together_or_not_at_all() {
        let set = |names: &'static [&'static str]| {
            WebIdentity::from_env(move |name| names.contains(&name).then(|| "ap-x".to_owned()))
        };
        assert!(set(&[]).unwrap_err().is_absent());
        assert!(set(&["TKE_REGION"]).unwrap_err().is_absent());
        let half = set(&["TKE_REGION", "TKE_ROLE_ARN"]).unwrap_err();
        assert!(!half.is_absent());
        assert!(
            half.to_string().contains("TKE_PROVIDER_ID is not set"),
            "{half}"
        );
    }
}
