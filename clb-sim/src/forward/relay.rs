//! One request through layer 7: find its rule, choose a target, ask it, hand the answer back.
//!
//! A target is asked over a connection of its own, in HTTP/1.1 (`KeepaliveEnable` is off by default).
//! There is no second try at another target. What the load balancer says itself is what nginx says:
//! 404 without a rule, 413 for too much, 502 and 504 for a target that does not work or not in time,
//! 503 without a target. A request whose target is deregistered before it has answered is lost.

use super::body::{Answer, BodyError, Held, Upload, download, text};
use super::headers::{Asker, back, host, onward, upgrade};
use super::helpers::Helper;
use super::port::{Pick, Port, Served, Session};
use super::pulse::Pulse;
use super::site::Site;
use super::tunnel::tunnel;
use super::{Ground, cookie};
use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::rt::Executor;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tracing::debug;

/// `proxy_connect_timeout`, `proxy_read_timeout` and `client_max_body_size` (documentation "Layer-7
/// custom configuration").
const CONNECT_TIME: Duration = Duration::from_secs(4);
const ANSWER_TIME: Duration = Duration::from_mins(1);
const LARGEST_BODY: usize = 60 * 1024 * 1024;

/// A client's connection, as its requests see it.
pub(super) struct Visit {
    pub(super) site: Arc<Site>,
    pub(super) ground: Ground,
    pub(super) client: SocketAddr,
    pub(super) pulse: Pulse,
    /// Drives connections to targets.
    pub(super) lines: Helper,
    /// Drives what connections become after an upgrade.
    pub(super) tunnels: Helper,
}

/// A request, taken apart.
struct Asked {
    head: Parts,
    body: Limited<Upload>,
    /// What the client wants the connection to become, and the connection then.
    upgrade: Option<(HeaderValue, OnUpgrade)>,
    /// Shows that the wait for the answer goes on.
    quiet: Pulse,
}

/// Why there is no answer of a target.
enum Failure {
    /// The load balancer answers instead.
    Own(StatusCode),
    /// The client's connection is cut.
    Lost,
}

impl Visit {
    /// Answers a request; an error cuts the connection, or the stream.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, BodyError> {
        self.pulse.beat();
        match self.relay(request).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Own(status)) => Ok(own(status)),
            Err(Failure::Lost) => Err(BodyError::Cut),
        }
    }

    async fn relay(&self, request: Request<Incoming>) -> Result<Response<Answer>, Failure> {
        let shared = &self.ground.shared;
        let asked = self.take_apart(request)?;
        let port = self
            .site
            .port(shared, &host(&asked.head), asked.head.uri.path())
            .ok_or(Failure::Own(StatusCode::NOT_FOUND))?;
        let session = port.session(shared);
        let token = match &session {
            Session::Cookie(name, _) => cookie::token(&asked.head.headers, name),
            Session::Off | Session::Address(_) => None,
        };
        let held = self.hold(&port, token).await?;
        let chosen = held.served.token();
        let cut = held.served.cut.clone();
        let mut answer = tokio::select! {
            answer = self.ask(asked, held) => answer?,
            () = cut.cancelled() => return Err(Failure::Lost),
        };
        if let Session::Cookie(name, life) = session
            && token != Some(chosen)
            && let Some(value) = cookie::to_keep(&name, chosen, life)
        {
            answer.headers_mut().append(SET_COOKIE, value);
        }
        Ok(answer)
    }

    fn take_apart(&self, mut request: Request<Incoming>) -> Result<Asked, Failure> {
        let wanted = upgrade(request.headers()).filter(|_| request.version() == Version::HTTP_11);
        let upgrade = wanted.map(|wanted| (wanted, hyper::upgrade::on(&mut request)));
        let (head, body) = request.into_parts();
        if body.size_hint().lower() > u64::try_from(LARGEST_BODY).unwrap_or(u64::MAX) {
            return Err(Failure::Own(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let quiet = Pulse::new(ANSWER_TIME);
        let upload = Upload {
            inner: body,
            pulses: [self.pulse.clone(), quiet.clone()],
        };
        Ok(Asked {
            head,
            body: Limited::new(upload, LARGEST_BODY),
            upgrade,
            quiet,
        })
    }

    /// A target, and room for a connection to it.
    async fn hold(&self, port: &Arc<Port>, token: Option<u128>) -> Result<Held, Failure> {
        let served = match port.pick_with(&self.ground.shared, self.client, token) {
            Pick::Served(served) => served,
            Pick::Nobody => return Err(Failure::Own(StatusCode::SERVICE_UNAVAILABLE)),
            Pick::Dropped(reason) => {
                debug!(client = %self.client, listener = port.listener, "a request is dropped: {reason}");
                tokio::time::sleep(CONNECT_TIME).await;
                return Err(Failure::Own(StatusCode::GATEWAY_TIMEOUT));
            }
        };
        let permit = Arc::clone(&self.ground.room).try_acquire_owned();
        let permit = permit.map_err(|_| Failure::Own(StatusCode::SERVICE_UNAVAILABLE))?;
        Ok(Held {
            served,
            _permit: permit,
        })
    }

    async fn ask(&self, asked: Asked, held: Held) -> Result<Response<Answer>, Failure> {
        let answered = self.exchange(asked, &held.served).await;
        let working = match &answered {
            // The client's own doing says nothing about the target.
            Err(Failure::Own(status)) => !status.is_server_error(),
            Ok(_) | Err(Failure::Lost) => true,
        };
        held.served.tell(working);
        let (mut response, client_side) = answered?;
        self.pulse.beat();
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let client_side = client_side.ok_or(Failure::Own(StatusCode::BAD_GATEWAY))?;
            let target_side = hyper::upgrade::on(&mut response);
            self.tunnels.execute(tunnel(client_side, target_side, held));
            return Ok(handed_back(response, |_| text("")));
        }
        let pulse = self.pulse.clone();
        Ok(handed_back(response, |body| download(body, pulse, held)))
    }

    /// The target's answer, and the client's connection if it is to become something else.
    async fn exchange(
        &self,
        asked: Asked,
        served: &Served,
    ) -> Result<(Response<Incoming>, Option<OnUpgrade>), Failure> {
        let stream = self.reach(served).await?;
        let bad = |error: hyper::Error| Failure::of(&error);
        let (mut sender, line) = http1::handshake(TokioIo::new(stream)).await.map_err(bad)?;
        self.lines.execute(line.with_upgrades());
        let client = Asker {
            address: self.client.ip(),
            secure: self.site.secure,
            now: self.ground.shared.clock.now(),
        };
        let (wanted, client_side) = asked.upgrade.unzip();
        let request = onward(&asked.head, client, wanted.as_ref()).map(|()| asked.body);
        let answer = tokio::select! {
            answer = sender.send_request(request) => answer.map_err(bad)?,
            () = asked.quiet.stopped() => return Err(Failure::Own(StatusCode::GATEWAY_TIMEOUT)),
        };
        Ok((answer, client_side))
    }

    async fn reach(&self, served: &Served) -> Result<TcpStream, Failure> {
        let outgoing = self.ground.outgoing;
        // A client's port may be the source of one connection only; here it may ask for several.
        let client = SocketAddr::new(self.client.ip(), 0);
        let from = outgoing.is_transparent().then_some(client);
        let connecting = outgoing.connect(from, served.target());
        match tokio::time::timeout(CONNECT_TIME, connecting).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                Ok(stream)
            }
            Ok(Err(_)) => Err(Failure::Own(StatusCode::BAD_GATEWAY)),
            Err(_) => Err(Failure::Own(StatusCode::GATEWAY_TIMEOUT)),
        }
    }
}

impl Failure {
    /// What is wrong with an exchange.
    fn of(error: &hyper::Error) -> Self {
        let too_long = error
            .source()
            .is_some_and(<dyn Error + 'static>::is::<LengthLimitError>);
        if too_long {
            return Self::Own(StatusCode::PAYLOAD_TOO_LARGE);
        }
        if error.is_user() {
            // The client's body broke off.
            return Self::Lost;
        }
        Self::Own(StatusCode::BAD_GATEWAY)
    }
}

fn handed_back(
    response: Response<Incoming>,
    body: impl FnOnce(Incoming) -> Answer,
) -> Response<Answer> {
    let (mut head, incoming) = response.into_parts();
    back(&mut head);
    Response::from_parts(head, body(incoming))
}

/// An answer of the load balancer itself.
fn own(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(text(&format!("{status}\n")));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
