//! A simulator in this process, a signer written for the tests alone, and small backends.

use bytes::Bytes;
use clb_sim::{Config, Delays, Handle, InProcess, InitialLoadBalancer, start};
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// The load balancer every simulator of these tests starts with.
pub(crate) const LB: &str = "lb-test0001";
const SECRET_ID: &str = "AKIDtest";
pub(crate) const SECRET_KEY: &str = "key";
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running simulator and the way to call it.
pub(crate) struct Sim {
    pub(crate) handle: Handle,
    pub(crate) key: String,
}

/// The configuration of a quick simulator; `third` makes its VIPs its own: 127.64.`third`.x.
pub(crate) fn config(third: u8) -> Config {
    Config {
        secret_id: SECRET_ID.to_owned(),
        secret_key: SECRET_KEY.to_owned(),
        vip_pool: format!("127.64.{third}.0/24").parse().unwrap(),
        load_balancers: vec![InitialLoadBalancer {
            id: LB.to_owned(),
            name: "test".to_owned(),
            ..InitialLoadBalancer::default()
        }],
        rate: 0,
        delays: Delays {
            task_ms: 1,
            ..Delays::default()
        },
        ..Config::default()
    }
}

impl Sim {
    pub(crate) async fn start(config: Config) -> Self {
        let handle = start(config).await.unwrap();
        Self {
            handle,
            key: SECRET_KEY.to_owned(),
        }
    }

    /// The `Response` of a call, success or error.
    pub(crate) async fn answer(&self, action: &str, body: &Value) -> Value {
        self.try_answer(action, body).await.unwrap()
    }

    /// As `answer`; none if the connection ended without one.
    pub(crate) async fn try_answer(&self, action: &str, body: &Value) -> Option<Value> {
        let body = body.to_string();
        let request = signed(&self.handle.http_addr.to_string(), action, &body, &self.key);
        let (status, content_type, answer) = send(self.handle.http_addr, request).await?;
        assert_eq!((status, content_type.as_str()), (200, "application/json"));
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        Some(answer["Response"].take())
    }

    /// The answer of a call that must succeed.
    pub(crate) async fn ok(&self, action: &str, body: Value) -> Value {
        let answer = self.answer(action, &body).await;
        assert!(answer["Error"].is_null(), "{action} {body}: {answer}");
        assert!(answer["RequestId"].is_string());
        answer
    }

    /// The code of a call that must fail.
    pub(crate) async fn refused(&self, action: &str, body: Value) -> String {
        let answer = self.answer(action, &body).await;
        let code = answer["Error"]["Code"].as_str();
        code.unwrap_or_else(|| panic!("{action} {body} was not refused: {answer}"))
            .to_owned()
    }

    /// A write, waited for.
    pub(crate) async fn done(&self, action: &str, body: Value) -> Value {
        let answer = self.ok(action, body).await;
        let task = json!({ "TaskId": answer["RequestId"] });
        let status = || async { self.ok("DescribeTaskStatus", task.clone()).await["Status"] == 0 };
        eventually("the task to be done", status).await;
        answer
    }

    /// A new TCP listener with a quick health check.
    pub(crate) async fn listener(&self, port: u16, more: Value) -> String {
        let mut body = json!({
            "LoadBalancerId": LB, "Ports": [port], "Protocol": "TCP",
            "HealthCheck": { "IntervalTime": 3, "TimeOut": 2, "HealthNum": 2, "UnHealthNum": 2 },
        });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = self.done("CreateListener", body).await;
        answer["ListenerIds"][0].as_str().unwrap().to_owned()
    }

    pub(crate) async fn bind(&self, listener: &str, targets: &[SocketAddr]) {
        let targets: Vec<Value> = targets
            .iter()
            .map(|target| batch_target(listener, *target))
            .collect();
        let body = json!({ "LoadBalancerId": LB, "Targets": targets });
        let answer = self.ok("BatchRegisterTargets", body).await;
        assert_eq!(answer["FailListenerIdSet"], json!([]));
    }

    pub(crate) async fn vip(&self) -> String {
        let found = self
            .ok("DescribeLoadBalancers", json!({ "LoadBalancerIds": [LB] }))
            .await;
        found["LoadBalancerSet"][0]["LoadBalancerVips"][0]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// `HealthStatusDetail` of each target, in order of address.
    pub(crate) async fn health(&self, listener: &str) -> Vec<String> {
        let body = json!({ "LoadBalancerIds": [LB], "ListenerIds": [listener] });
        let answer = self.ok("DescribeTargetHealth", body).await;
        let rule = &answer["LoadBalancers"][0]["Listeners"][0]["Rules"][0];
        assert!(
            rule["Domain"].is_null() && rule["Url"].is_null() && rule["LocationId"].is_string()
        );
        let targets = rule["Targets"].as_array().cloned().unwrap_or_default();
        let detail = |target: &Value| target["HealthStatusDetail"].as_str().unwrap().to_owned();
        targets.iter().map(detail).collect()
    }

    pub(crate) async fn becomes(&self, listener: &str, wanted: &[&str]) {
        let reached = || async { self.health(listener).await == wanted };
        eventually(&format!("health {wanted:?}"), reached).await;
    }

    pub(crate) async fn send(
        &self,
        request: http::Request<Full<Bytes>>,
    ) -> Option<(u16, String, Bytes)> {
        send(self.handle.http_addr, request).await
    }

    pub(crate) async fn operator(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "sim");
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let (status, _, answer) = send(self.handle.http_addr, request).await.unwrap();
        (status, serde_json::from_slice(&answer).unwrap())
    }
}

pub(crate) fn batch_target(listener: &str, target: SocketAddr) -> Value {
    json!({ "ListenerId": listener, "EniIp": target.ip(), "Port": target.port() })
}

/// Waits until it is so, or gives up loudly.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let wait = async {
        while !is_so().await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "waited in vain for {what}");
}

/// A server that greets every connection with its name and then echoes it.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Backend {
    pub(crate) async fn start(name: char) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(echo(stream, name));
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }
}

async fn echo(mut stream: TcpStream, name: char) {
    if stream.write_all(&[name as u8]).await.is_err() {
        return;
    }
    let (mut read, mut write) = stream.split();
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// A connection to a port and the name of who greeted; none if nobody did.
pub(crate) async fn connect(vip: &str, port: u16) -> Option<(TcpStream, char)> {
    let mut stream = TcpStream::connect((vip, port)).await.ok()?;
    let name = stream.read_u8().await.ok()?;
    Some((stream, char::from(name)))
}

/// The same from an address of this machine.
pub(crate) async fn connect_from(
    client: Ipv4Addr,
    vip: &str,
    port: u16,
) -> Option<(TcpStream, char)> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((client, 0).into()).unwrap();
    let address = SocketAddr::new(vip.parse().unwrap(), port);
    let mut stream = socket.connect(address).await.ok()?;
    let name = stream.read_u8().await.ok()?;
    Some((stream, char::from(name)))
}

/// Whether what is written comes back.
pub(crate) async fn echoes(stream: &mut TcpStream) -> bool {
    let mut back = [0; 4];
    stream.write_all(b"ping").await.is_ok()
        && stream.read_exact(&mut back).await.is_ok()
        && &back == b"ping"
}

pub(crate) fn signed(
    host: &str,
    action: &str,
    body: &str,
    key: &str,
) -> http::Request<Full<Bytes>> {
    signed_at(jiff_now(), host, action, (body, key))
}

/// Who signs.
pub(crate) struct Signer {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) token: Option<String>,
}

/// A call signed by somebody now.
pub(crate) fn signed_by(
    signer: &Signer,
    host: &str,
    action: &str,
    body: &str,
) -> http::Request<Full<Bytes>> {
    signed_with(jiff_now(), host, action, (body, signer))
}

/// A call of another service and version, signed now.
pub(crate) fn signed_as(
    service: (&str, &str),
    host: &str,
    action: &str,
    (body, key): (&str, &str),
) -> http::Request<Full<Bytes>> {
    let signer = Signer {
        id: SECRET_ID.to_owned(),
        key: key.to_owned(),
        token: None,
    };
    signed_for(service, (jiff_now(), host, action), (body, &signer))
}

/// A call signed at a moment, in unix seconds.
pub(crate) fn signed_at(
    now: i64,
    host: &str,
    action: &str,
    (body, key): (&str, &str),
) -> http::Request<Full<Bytes>> {
    let signer = Signer {
        id: SECRET_ID.to_owned(),
        key: key.to_owned(),
        token: None,
    };
    signed_with(now, host, action, (body, &signer))
}

fn signed_with(
    now: i64,
    host: &str,
    action: &str,
    signed: (&str, &Signer),
) -> http::Request<Full<Bytes>> {
    signed_for(("clb", "2018-03-17"), (now, host, action), signed)
}

fn signed_for(
    (service, version): (&str, &str),
    (now, host, action): (i64, &str, &str),
    (body, signer): (&str, &Signer),
) -> http::Request<Full<Bytes>> {
    let (secret_id, key) = (&signer.id, &signer.key);
    let date = jiff::Timestamp::from_second(now)
        .unwrap()
        .strftime("%Y-%m-%d")
        .to_string();
    let hash = |text: &str| hex::encode(Sha256::digest(text));
    let canonical = format!(
        "POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n{}",
        hash(body)
    );
    let to_sign = format!(
        "TC3-HMAC-SHA256\n{now}\n{date}/{service}/tc3_request\n{}",
        hash(&canonical)
    );
    let hmac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let key = hmac(format!("TC3{key}").as_bytes(), &date);
    let key = hmac(&hmac(&key, service), "tc3_request");
    let signature = hex::encode(hmac(&key, &to_sign));
    http::Request::post("/")
        .header("content-type", "application/json")
        .header("host", host)
        .header("x-tc-action", action)
        .header("x-tc-version", version)
        .header("x-tc-timestamp", now.to_string())
        .header("x-tc-region", "ap-guangzhou")
        .header("x-tc-token", signer.token.as_deref().unwrap_or_default())
        .header(
            "authorization",
            format!(
                "TC3-HMAC-SHA256 Credential={secret_id}/{date}/{service}/tc3_request, SignedHeaders=content-type;host, Signature={signature}"
            ),
        )
        .body(Full::from(body.to_owned()))
        .unwrap()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a signature carries the real time"
)]
fn jiff_now() -> i64 {
    jiff::Timestamp::now().as_second()
}

async fn send(
    address: SocketAddr,
    request: http::Request<Full<Bytes>>,
) -> Option<(u16, String, Bytes)> {
    exchange(TcpStream::connect(address).await.unwrap(), request).await
}

/// One request over a connection: status, content type and body of the answer.
pub(crate) async fn exchange<S>(
    stream: S,
    request: http::Request<Full<Bytes>>,
) -> Option<(u16, String, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let exchange = async move {
        let response = sender.send_request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let content_type = head.headers["content-type"].to_str().unwrap().to_owned();
        Some((
            head.status.as_u16(),
            content_type,
            body.collect().await.ok()?.to_bytes(),
        ))
    };
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}

/// A simulator in this process, in virtual time.
pub(crate) struct VirtualClb {
    pub(crate) clb: InProcess,
}

impl VirtualClb {
    /// Quick, without a rate limit, always the same.
    pub(crate) fn new(change: impl FnOnce(Config) -> Config) -> Self {
        let config = Config {
            delays: Delays::default(),
            seed: Some(1),
            ..config(99)
        };
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let clb = InProcess::new(&change(config), start).unwrap();
        Self { clb }
    }

    pub(crate) async fn try_call(&self, action: &str, body: &Value) -> Option<Value> {
        let text = body.to_string();
        let now = self.clb.now().as_second();
        let request = signed_at(now, "clb.test", action, (&text, SECRET_KEY));
        let answer = self
            .clb
            .exchange(request.headers(), Bytes::from(text))
            .await?;
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        Some(answer["Response"].take())
    }

    pub(crate) async fn ok(&self, action: &str, body: Value) -> Value {
        let answer = self.try_call(action, &body).await.unwrap();
        assert!(answer["Error"].is_null(), "{action} {body}: {answer}");
        answer
    }

    pub(crate) async fn refused(&self, action: &str, body: Value) -> String {
        let answer = self.try_call(action, &body).await.unwrap();
        let code = answer["Error"]["Code"].as_str();
        code.unwrap_or_else(|| panic!("{action} {body} was not refused: {answer}"))
            .to_owned()
    }

    /// A listener made by the operator.
    pub(crate) fn listener(&self, mut body: Value) -> String {
        body["LoadBalancerId"] = json!(LB);
        let made = self.clb.operate("CreateListener", &body).unwrap();
        made["ListenerIds"][0].as_str().unwrap().to_owned()
    }

    pub(crate) async fn sleep_s(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}
