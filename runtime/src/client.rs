//! The Kubernetes client, and the deadline every single call gets.
//!
//! kube sets no read timeout, and its built-in retries can stretch one call to minutes. Both are wrong for
//! code that holds a lease, or whose caches somebody trusts: so connections that fall silent are given up,
//! retries are off, and [`call`] bounds every call.

use std::time::Duration;

use http::{HeaderValue, header::USER_AGENT};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::{Client, Config};

/// A connection that takes longer than this is a black hole; the next attempt may reach another server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Enough for a healthy API server under load (its own service level is 1 s for 99 % of the calls).
pub const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// A connection on which nothing came for so long after something was sent is dead: answers take a third of it,
/// and a quiet watch is renewed before (`watch::renewal`).
pub(crate) const SILENCE: Duration = Duration::from_secs(45);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Neither a service account nor a kubeconfig could be read.
    #[error("no cluster to talk to: neither a service account in this pod nor a usable kubeconfig")]
    Infer(#[source] Box<kube::config::InferConfigError>),
    /// The configuration was read but no client could be made of it.
    #[error("the cluster's client configuration cannot be used")]
    Build(#[source] Box<kube::Error>),
    /// The user agent is not a legal header value.
    #[error("user agent {0:?} is not a legal header value")]
    UserAgent(String),
}

/// Makes a client from the pod's service account, or from `KUBECONFIG` or `~/.kube/config`.
///
/// The process must have installed its rustls provider before.
pub async fn connect(user_agent: &str) -> Result<Client, ClientError> {
    let mut config = Config::infer()
        .await
        .map_err(|e| ClientError::Infer(Box::new(e)))?;
    let agent = HeaderValue::from_str(user_agent)
        .map_err(|_| ClientError::UserAgent(user_agent.to_owned()))?;
    config.headers.push((USER_AGENT, agent));
    build(config, SILENCE)
}

fn build(mut config: Config, silence: Duration) -> Result<Client, ClientError> {
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(silence);
    // Else a connection that was idle in the pool would have less time for its next answer.
    config.reset_reader_on_write = true;
    config.default_retry = false;
    Client::try_from(config).map_err(|e| ClientError::Build(Box::new(e)))
}

/// A call to the Kubernetes API that did not succeed. The message names what was attempted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No answer within the deadline. The call may or may not have had an effect.
    #[error("{attempt}: no answer within {after:?}")]
    Timeout {
        /// What was attempted.
        attempt: String,
        /// The deadline.
        after: Duration,
    },
    /// An answer, or a transport error.
    #[error("{attempt}: {source}")]
    Api {
        /// What was attempted.
        attempt: String,
        /// What came back.
        #[source]
        source: Box<kube::Error>,
    },
}

impl CallError {
    /// The object is not there (404).
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Someone else wrote first, or the object exists already (409).
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }

    /// RBAC or an admission plugin said no (403).
    pub fn is_forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// The request can never succeed as it is (400, 422): a failed JSON-Patch `test` is one of these.
    pub fn is_invalid(&self) -> bool {
        matches!(self.code(), Some(400 | 422))
    }

    /// Worth another try as it is: a timeout, a broken connection, throttling, a server in trouble.
    pub fn is_transient(&self) -> bool {
        self.code().is_none_or(|code| code == 429 || code >= 500)
    }

    /// The HTTP status of the API server's answer, if there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Timeout { .. } => None,
            Self::Api { source, .. } => {
                if let kube::Error::Api(status) = source.as_ref() {
                    Some(status.code)
                } else {
                    None
                }
            }
        }
    }

    /// A label for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Api { .. } if self.is_conflict() => "conflict",
            Self::Api { .. } if self.is_not_found() => "not-found",
            Self::Api { .. } if self.is_forbidden() => "forbidden",
            Self::Api { .. } if self.is_invalid() => "invalid",
            Self::Api { .. } if self.is_transient() => "transient",
            Self::Api { .. } => "other",
        }
    }
}

/// Runs one API call under a deadline. `attempt` says what is attempted, e.g. `"get Secret clb-gate/x"`.
pub async fn call<T>(
    deadline: Duration,
    attempt: impl Into<String>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(CallError::Api {
            attempt: attempt.into(),
            source: Box::new(source),
        }),
        Err(_) => Err(CallError::Timeout {
            attempt: attempt.into(),
            after: deadline,
        }),
    }
}

/// Asks the API server for its version.
pub async fn server_version(client: &Client) -> Result<Info, CallError> {
    call(
        CALL_DEADLINE,
        "get the API server's version",
        client.apiserver_version(),
    )
    .await
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16) -> CallError {
        let status = Status {
            code,
            ..Status::default()
        };
        CallError::Api {
            attempt: "patch Pod a/b".into(),
            source: Box::new(kube::Error::Api(Box::new(status))),
        }
    }

    #[test]
    fn errors_are_told_apart_by_code() {
        assert!(answer(404).is_not_found() && !answer(404).is_transient());
        assert!(answer(409).is_conflict() && !answer(409).is_transient());
        assert!(answer(403).is_forbidden());
        assert!(answer(422).is_invalid());
        assert!(answer(429).is_transient());
        assert!(answer(503).is_transient());
        assert_eq!(answer(418).kind(), "other");
    }

    /// A watch has no deadline: only the connection's silence ends it.
    #[tokio::test]
    async fn a_connection_that_falls_silent_is_given_up() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", server.local_addr().unwrap());
        let config = Config::new(url.parse().unwrap());
        let client = build(config, Duration::from_millis(200)).unwrap();
        let asked = client.apiserver_version();
        let held = async {
            let connection = server.accept().await.unwrap();
            std::future::pending::<()>().await;
            drop(connection);
        };
        tokio::select! {
            answer = asked => assert!(answer.is_err()),
            () = held => unreachable!(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_ends_at_the_deadline() {
        let silence = std::future::pending::<kube::Result<()>>();
        let error = call(Duration::from_secs(3), "get Pod a/b", silence)
            .await
            .unwrap_err();
        assert!(error.is_transient());
        assert_eq!(error.to_string(), "get Pod a/b: no answer within 3s");
    }
}
