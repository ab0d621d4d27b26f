//! Small web servers and web clients for the tests of layer 7.

use crate::support::{LB, Sim, eventually};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// A server that answers with its name and what it was asked; `/health` with a chosen status,
/// `/slow` never. It echoes after an upgrade.
pub(crate) struct Web {
    pub(crate) address: SocketAddr,
    pub(crate) health: Arc<AtomicU16>,
    _serving: JoinSet<()>,
}

impl Web {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Arc::new(AtomicU16::new(200));
        let mut serving = JoinSet::new();
        let told = Arc::clone(&health);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, from)) = listener.accept().await {
                connections.spawn(serve(stream, from, name, Arc::clone(&told)));
            }
        });
        Self {
            address,
            health,
            _serving: serving,
        }
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, name: &'static str, health: Arc<AtomicU16>) {
    let upgraded: Arc<Mutex<Option<OnUpgrade>>> = Arc::default();
    let slot = Arc::clone(&upgraded);
    let service = service_fn(move |request| {
        let (slot, health) = (Arc::clone(&slot), Arc::clone(&health));
        async move {
            let answer = answer(request, (name, from), &health, &slot).await;
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let _ = connection.await;
    let taken = upgraded.lock().unwrap().take();
    if let Some(upgraded) = taken
        && let Ok(upgraded) = upgraded.await
    {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut read, &mut write).await;
    }
}

async fn answer(
    mut request: Request<Incoming>,
    (name, from): (&str, SocketAddr),
    health: &AtomicU16,
    slot: &Mutex<Option<OnUpgrade>>,
) -> Response<Full<Bytes>> {
    let headers: BTreeMap<String, String> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    if let Some(upgrade) = request.headers().get("upgrade").cloned() {
        *slot.lock().unwrap() = Some(hyper::upgrade::on(&mut request));
        let switching = Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", upgrade)
            .header("x-served-by", name);
        return switching.body(Full::default()).unwrap();
    }
    let path = request.uri().to_string();
    let status = match path.as_str() {
        "/slow" => std::future::pending().await,
        "/health" => health.load(Ordering::Relaxed),
        _ => 200,
    };
    let version = format!("{:?}", request.version());
    let body = request.into_body().collect().await;
    let body = body.map_or(0, |body| body.to_bytes().len());
    let said = json!({
        "name": name, "path": path, "headers": headers, "version": version, "from": from.ip(), "body": body,
    });
    let answer = Response::builder()
        .status(status)
        .header("x-served-by", name)
        .header("keep-alive", "timeout=1");
    answer.body(Full::from(said.to_string())).unwrap()
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// What the server said.
    pub(crate) said: Value,
}

impl Got {
    /// Who answered; nobody if it was the load balancer.
    pub(crate) fn name(&self) -> &str {
        self.said["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.said["headers"][name].as_str().unwrap_or_default()
    }

    /// The cookie it was told to keep, ready to be sent.
    pub(crate) fn cookie(&self) -> Option<&str> {
        let set = self.headers.get("set-cookie")?.to_str().unwrap();
        set.split(';').next()
    }

    async fn of(response: Response<Incoming>) -> Option<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Self {
            status: head.status.as_u16(),
            headers: head.headers,
            said: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }
}

pub(crate) fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    let request = Request::get(path).header("host", host);
    request.body(Full::default()).unwrap()
}

/// One request over a new connection; none if it ended without an answer.
pub(crate) async fn ask(at: (&str, u16), request: Request<Full<Bytes>>) -> Option<Got> {
    over(TcpStream::connect(at).await.ok()?, request).await
}

/// The same from an address of this machine.
pub(crate) async fn ask_from(
    client: Ipv4Addr,
    at: (&str, u16),
    request: Request<Full<Bytes>>,
) -> Option<Got> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client, 0).into()).unwrap();
    let address = SocketAddr::new(at.0.parse().unwrap(), at.1);
    over(socket.connect(address).await.ok()?, request).await
}

/// One request over this connection.
pub(crate) async fn over<S>(stream: S, request: Request<Full<Bytes>>) -> Option<Got>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let exchange = async move { Got::of(sender.send_request(request).await.ok()?).await };
    let (got, _) = tokio::join!(exchange, connection);
    got
}

/// Requests over one HTTP/2 connection, all at once.
pub(crate) async fn over_http2<S>(stream: S, requests: Vec<Request<Full<Bytes>>>) -> Vec<Got>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let spawned = Spawned::default();
    let (mut sender, connection) = http2::handshake(spawned.clone(), TokioIo::new(stream))
        .await
        .unwrap();
    spawned.execute(async {
        let _ = connection.await;
    });
    let mut answers = Vec::new();
    for request in requests {
        sender.ready().await.unwrap();
        answers.push(sender.send_request(request));
    }
    let mut got = Vec::new();
    for answer in answers {
        got.push(Got::of(answer.await.unwrap()).await.unwrap());
    }
    got
}

/// Tasks that end with the test.
#[derive(Clone, Default)]
struct Spawned(Arc<Mutex<JoinSet<()>>>);

impl<F> Executor<F> for Spawned
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.lock().unwrap().spawn(async move {
            task.await;
        });
    }
}

/// A WebSocket's beginning over this connection: who agreed to it, and the connection since.
pub(crate) async fn websocket<S>(
    stream: S,
    host: &str,
    path: &str,
) -> Option<(String, TokioIo<Upgraded>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let mut request = get(host, path);
    let headers = request.headers_mut();
    headers.insert("connection", "Upgrade".parse().unwrap());
    headers.insert("upgrade", "websocket".parse().unwrap());
    headers.insert(
        "sec-websocket-key",
        "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap(),
    );
    headers.insert("sec-websocket-version", "13".parse().unwrap());
    let upgrade = async move {
        let mut response = sender.send_request(request).await.ok()?;
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["upgrade"], "websocket");
        let name = response.headers()["x-served-by"]
            .to_str()
            .unwrap()
            .to_owned();
        Some((name, hyper::upgrade::on(&mut response).await.ok()?))
    };
    let (upgraded, _) = tokio::join!(upgrade, connection.with_upgrades());
    upgraded.map(|(name, upgraded)| (name, TokioIo::new(upgraded)))
}

/// A rule of layer 7 without health check and its targets; its location.
pub(crate) async fn rule(sim: &Sim, listener: &str, rule: Value, targets: &[&Web]) -> String {
    let mut fields = json!({ "HealthCheck": { "HealthSwitch": 0 } });
    for (name, value) in rule.as_object().unwrap() {
        fields[name] = value.clone();
    }
    let body = json!({ "LoadBalancerId": LB, "ListenerId": listener, "Rules": [fields] });
    let made = sim.done("CreateRule", body).await;
    let location = made["LocationIds"][0].as_str().unwrap().to_owned();
    if !targets.is_empty() {
        let targets = targets.iter().map(|web| {
            let mut target = target(listener, &location, web);
            target["Weight"] = json!(10);
            target
        });
        let targets: Vec<Value> = targets.collect();
        let body = json!({ "LoadBalancerId": LB, "Targets": targets });
        sim.ok("BatchRegisterTargets", body).await;
    }
    location
}

pub(crate) fn target(listener: &str, location: &str, web: &Web) -> Value {
    json!({
        "ListenerId": listener, "LocationId": location,
        "EniIp": web.address.ip(), "Port": web.address.port(),
    })
}

pub(crate) async fn unbind(sim: &Sim, listener: &str, location: &str, web: &Web) {
    let targets = json!([target(listener, location, web)]);
    let body = json!({ "LoadBalancerId": LB, "Targets": targets });
    sim.ok("BatchDeregisterTargets", body).await;
}

/// A listener whose port is open.
pub(crate) async fn listener(sim: &Sim, port: u16, fields: Value) -> String {
    let made = sim.listener(port, fields).await;
    let vip = sim.vip().await;
    eventually("the port to open", || async {
        TcpStream::connect((vip.as_str(), port)).await.is_ok()
    })
    .await;
    made
}
