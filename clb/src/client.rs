//! The client: one call, from its parameters to its typed answer, with limiter, signature, deadline
//! and retries. The actions themselves are in `api`.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::actions::Action;
use crate::limit::{Limiter, Priority};
use crate::observe::Called;
use crate::retry::{Retry, jitter, retry};
use crate::sign::{self, Message, authorization};
use crate::transport::Transport;
use crate::wire::{Envelope, Head};
use crate::{
    Answer, BuildError, Config, Credentials, CredentialsError, Endpoint, Error, Exchange, Failure,
    LoadBalancerId, Region, SECRET_ID, Site, TOKEN,
};

const VERSION: &str = "2018-03-17";
const SERVICE: &str = "clb";
const REQUEST_CLIENT: &str = concat!("clb-gate/", env!("CARGO_PKG_VERSION"));

/// An answer and the id the API gave it, which is also the id of the task a write started.
pub(crate) struct Answered<T> {
    pub(crate) value: T,
    pub(crate) request_id: String,
}

/// A client of one endpoint and region. Clones share its connections and its limits.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    until: Option<Instant>,
    priority: Priority,
}

struct Shared {
    config: Config,
    exchange: Arc<dyn Exchange>,
    limiter: Limiter,
    headers: HeaderMap,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Config {
            endpoint, region, ..
        } = &self.shared.config;
        f.debug_struct("Client")
            .field("endpoint", &endpoint.to_string())
            .field("region", &region.as_str())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client. Nothing is sent yet.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let exchange = match &config.exchange {
            Some(exchange) => Arc::clone(exchange),
            None => Arc::new(Transport::new(
                &config.endpoint,
                config.extra_ca_pem.as_deref(),
            )?),
        };
        let limiter = Limiter::new(config.calls_per_second);
        let headers = common_headers(&config)?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                exchange,
                limiter,
                headers,
            }),
            until: None,
            priority: Priority::default(),
        })
    }

    /// The region asked.
    pub fn region(&self) -> &Region {
        &self.shared.config.region
    }

    /// Where the API is asked.
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.config.endpoint
    }

    /// The same client, none of whose calls goes on after `deadline`: for a leader whose lease ends.
    #[must_use]
    pub fn until(&self, deadline: Instant) -> Self {
        Self {
            until: Some(self.until.map_or(deadline, |own| own.min(deadline))),
            ..self.clone()
        }
    }

    /// The same client, whose calls wait for their turn with this priority.
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self {
            priority,
            ..self.clone()
        }
    }

    /// Makes one call: waits for its turn, signs, sends, reads, and does so again where that is right.
    pub(crate) async fn call<B, T>(
        &self,
        action: Action,
        load_balancer: Option<&LoadBalancerId>,
        parameters: &B,
    ) -> Result<Answered<T>, Error>
    where
        B: Serialize + Sync,
        T: DeserializeOwned,
    {
        let site = self.site(action, load_balancer);
        let body = serde_json::to_vec(parameters).map_err(|error| unserializable(&site, error))?;
        let body = Bytes::from(body);
        let deadline = self.deadline();
        let (mut number, mut replaced) = (0, false);
        loop {
            // Boxed, because it is most of what every caller's future would carry.
            let Attempt {
                credentials,
                measured,
                result,
            } = Box::pin(self.attempt(&site, body.clone(), deadline)).await;
            let again = match (&result, credentials) {
                (Err(error), Some(used)) if !replaced && refuses_credentials(error) => {
                    replaced = true;
                    self.other_credentials(&used, deadline).await
                }
                (Err(error), _) => {
                    let random = (self.shared.config.random)();
                    next_attempt(action, error, (number, random), deadline)
                }
                (Ok(_), _) => None,
            };
            self.report(action, &measured, result.as_ref().err(), again.is_some());
            let Some(at) = again else { return result };
            sleep_until(at).await;
            number += 1;
        }
    }

    /// When to make a call again whose credentials were refused: at once if there are others now,
    /// because a Secret was rotated or a token was withdrawn before its time.
    async fn other_credentials(&self, refused: &Credentials, deadline: Instant) -> Option<Instant> {
        self.shared.config.credentials.refused(refused);
        let others = self.credentials(deadline).await.ok()?;
        (!others.same(refused)).then(Instant::now)
    }

    async fn credentials(&self, deadline: Instant) -> Result<Credentials, CredentialsError> {
        timeout_at(deadline, self.shared.config.credentials.credentials())
            .await
            .unwrap_or(Err(CredentialsError::Late))
    }

    /// Reads what is asked for by a list of ids, `most` of them a call, and half as many where the
    /// answer is too large. `query` makes a call's parameters. No ids, no call.
    pub(crate) async fn call_in_parts<Id, B, T>(
        &self,
        action: Action,
        load_balancer: Option<&LoadBalancerId>,
        (ids, most): (&[Id], usize),
        query: impl Fn(&[Id]) -> B,
    ) -> Result<Vec<T>, Error>
    where
        B: Serialize + Sync,
        T: DeserializeOwned,
    {
        let mut parts: Vec<&[Id]> = ids.chunks(most).rev().collect();
        let mut answers = vec![];
        while let Some(part) = parts.pop() {
            let parameters = query(part);
            match self.call(action, load_balancer, &parameters).await {
                Ok(answered) => answers.push(answered.value),
                Err(Error::TooLarge { .. }) if part.len() > 1 => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(answers)
    }

    pub(crate) fn site(&self, action: Action, load_balancer: Option<&LoadBalancerId>) -> Site {
        let Config {
            endpoint, region, ..
        } = &self.shared.config;
        Site {
            action: action.name,
            load_balancer: load_balancer.cloned(),
            region: region.clone(),
            endpoint: endpoint.clone(),
            access: action.access,
        }
    }

    fn deadline(&self) -> Instant {
        let own = Instant::now() + self.shared.config.call_timeout;
        self.until.map_or(own, |until| until.min(own))
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        site: &Site,
        body: Bytes,
        deadline: Instant,
    ) -> Attempt<T> {
        let at = || Box::new(site.clone());
        let credentials = match self.credentials(deadline).await {
            Ok(credentials) => credentials,
            Err(cause) => return Attempt::unsent(Error::Credentials { site: at(), cause }),
        };
        let asked = Instant::now();
        let limiter = &self.shared.limiter;
        if !limiter.turn(site.action, self.priority, deadline).await {
            return Attempt::unsent(Error::Late { site: at() });
        }
        let sent = Instant::now();
        let result = match self.sign(site, &body, &credentials) {
            Ok(headers) => {
                let exchange = self.shared.exchange.exchange(headers, body);
                understand(site, bounded(deadline, exchange).await)
            }
            Err(cause) => Err(Error::Credentials { site: at(), cause }),
        };
        Attempt {
            credentials: Some(credentials),
            measured: Measured {
                wait: sent - asked,
                latency: sent.elapsed(),
            },
            result,
        }
    }

    /// Each attempt is signed anew: the signature holds the time, and a Secret may have rotated.
    fn sign(
        &self,
        site: &Site,
        body: &[u8],
        credentials: &Credentials,
    ) -> Result<HeaderMap, CredentialsError> {
        let Shared {
            config, headers, ..
        } = self.shared.as_ref();
        let at = (config.now)();
        let message = Message {
            service: SERVICE,
            host: config.endpoint.host(),
            content_type: sign::CONTENT_TYPE,
            body,
            at,
        };
        let mut headers = headers.clone();
        headers.insert(ACTION, HeaderValue::from_static(site.action));
        headers.insert(TIMESTAMP, HeaderValue::from(at.as_second()));
        headers.insert(
            AUTHORIZATION,
            secret_header(SECRET_ID, &authorization(credentials, &message))?,
        );
        if let Some(token) = session_token(credentials)? {
            headers.insert(SESSION_TOKEN, token);
        }
        Ok(headers)
    }

    fn report(&self, action: Action, measured: &Measured, error: Option<&Error>, retried: bool) {
        let outcome = error.map_or("ok", |error| error.kind().label());
        if let Some(error) = error {
            debug!(action = action.name, outcome, retried, "{error}");
        }
        self.shared.config.observer.called(Called {
            action: action.name,
            outcome,
            code: error.and_then(Error::code),
            latency: measured.latency,
            limiter_wait: measured.wait,
            retried,
        });
    }
}

/// What became of an attempt, and the credentials it was signed with, if it was.
struct Attempt<T> {
    credentials: Option<Credentials>,
    measured: Measured,
    result: Result<Answered<T>, Error>,
}

impl<T> Attempt<T> {
    fn unsent(error: Error) -> Self {
        Self {
            credentials: None,
            measured: Measured::default(),
            result: Err(error),
        }
    }
}

/// Refusals that other credentials may not meet. A permission is not one: it is granted without a
/// change of the credentials.
fn refuses_credentials(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        code.starts_with("AuthFailure")
            && !matches!(
                code,
                "AuthFailure.MFAFailure" | "AuthFailure.UnauthorizedOperation"
            )
    })
}

#[derive(Default)]
struct Measured {
    wait: Duration,
    latency: Duration,
}

/// When to try again, if at all: never at or after the deadline, when it could not be answered.
fn next_attempt(
    action: Action,
    error: &Error,
    (attempt, random): (u32, u64),
    deadline: Instant,
) -> Option<Instant> {
    match retry(action.access, error.kind(), attempt) {
        Retry::After(delay) => Some(Instant::now() + jitter(delay, random))
            .filter(|at| *at < deadline && !is_late(error)),
        Retry::GiveUp => None,
    }
}

fn is_late(error: &Error) -> bool {
    matches!(error, Error::Late { .. })
}

async fn bounded(
    deadline: Instant,
    exchange: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    // Connecting has its own, shorter limit, so a request that takes this long has mostly been sent.
    timeout_at(deadline, exchange)
        .await
        .unwrap_or_else(|elapsed| Err(Failure::Lost(elapsed.into())))
}

fn understand<T: DeserializeOwned>(
    site: &Site,
    answer: Result<Answer, Failure>,
) -> Result<Answered<T>, Error> {
    let site = || Box::new(site.clone());
    let Answer { status, body } = match answer {
        Ok(answer) => answer,
        Err(Failure::Unsent(cause)) => {
            return Err(Error::Unsent {
                site: site(),
                cause,
            });
        }
        Err(Failure::Lost(cause)) => {
            return Err(Error::Lost {
                site: site(),
                cause,
            });
        }
        Err(Failure::Oversized(http::StatusCode::OK)) => {
            return Err(Error::TooLarge { site: site() });
        }
        Err(Failure::Oversized(status)) => {
            return Err(Error::Unreadable {
                site: site(),
                status: status.as_u16(),
                problem: "the answer is larger than any of the API's".to_owned(),
            });
        }
    };
    let unreadable = |problem| Error::Unreadable {
        site: site(),
        status: status.as_u16(),
        problem,
    };
    if status != http::StatusCode::OK {
        return Err(unreadable(format!(
            "the API answers with 200 only; got {}",
            excerpt(&body)
        )));
    }
    let not_ours =
        |error: serde_json::Error| unreadable(format!("{error}; got {}", excerpt(&body)));
    let head: Envelope<Head> = serde_json::from_slice(&body).map_err(not_ours)?;
    let Head { error, request_id } = head.response;
    if let Some(failure) = error {
        if failure.code == "ResponseSizeLimitExceeded" {
            return Err(Error::TooLarge { site: site() });
        }
        return Err(Error::Api {
            site: site(),
            code: failure.code,
            message: failure.message,
            request_id,
        });
    }
    let value: Envelope<T> = serde_json::from_slice(&body).map_err(not_ours)?;
    Ok(Answered {
        value: value.response,
        request_id,
    })
}

/// The beginning of an answer nobody understands, in one printable line.
fn excerpt(body: &[u8]) -> String {
    const LENGTH: usize = 120;
    let start = body.get(..LENGTH).unwrap_or(body);
    format!(
        "{:?} ({} bytes)",
        String::from_utf8_lossy(start),
        body.len()
    )
}

fn unserializable(site: &Site, error: serde_json::Error) -> Error {
    Error::Unsent {
        site: Box::new(site.clone()),
        cause: error.into(),
    }
}

const ACTION: HeaderName = HeaderName::from_static("x-tc-action");
const LANGUAGE: HeaderName = HeaderName::from_static("x-tc-language");
const REGION: HeaderName = HeaderName::from_static("x-tc-region");
const SENDER: HeaderName = HeaderName::from_static("x-tc-requestclient");
const SESSION_TOKEN: HeaderName = HeaderName::from_static("x-tc-token");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-tc-timestamp");
const API_VERSION: HeaderName = HeaderName::from_static("x-tc-version");

fn common_headers(config: &Config) -> Result<HeaderMap, BuildError> {
    let header =
        |name, text: &str| HeaderValue::from_str(text).map_err(|_| BuildError::Header(name));
    Ok(HeaderMap::from_iter([
        (HOST, header("the endpoint's host", config.endpoint.host())?),
        (REGION, header("the region", config.region.as_str())?),
        (CONTENT_TYPE, HeaderValue::from_static(sign::CONTENT_TYPE)),
        (LANGUAGE, HeaderValue::from_static(config.language.header())),
        (SENDER, HeaderValue::from_static(REQUEST_CLIENT)),
        (API_VERSION, HeaderValue::from_static(VERSION)),
    ]))
}

fn session_token(credentials: &Credentials) -> Result<Option<HeaderValue>, CredentialsError> {
    credentials
        .token
        .as_ref()
        .map(|token| secret_header(TOKEN, token.expose_secret()))
        .transpose()
}

fn secret_header(name: &'static str, text: &str) -> Result<HeaderValue, CredentialsError> {
    let malformed = |_| CredentialsError::Malformed {
        name,
        place: "the credentials".to_owned(),
    };
    let mut value = HeaderValue::from_str(text).map_err(malformed)?;
    value.set_sensitive(true);
    Ok(value)
}
