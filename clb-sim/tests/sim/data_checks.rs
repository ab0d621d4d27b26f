//! Every kind of health check, with real sockets.

use crate::data_udp::UdpBackend;
use crate::support::{Backend, LB, Sim, config, eventually};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

const PORT: u16 = 18080;

/// A quick check with these fields.
fn check(more: &Value) -> Value {
    let mut check = json!({ "IntervalTime": 3, "TimeOut": 2, "HealthNum": 2, "UnHealthNum": 2 });
    for (name, value) in more.as_object().unwrap() {
        check[name] = value.clone();
    }
    json!({ "HealthCheck": check })
}

/// The verdict on a target under a check of its own.
async fn verdict(sim: &Sim, listener: &str, target: SocketAddr) -> String {
    sim.bind(listener, &[target]).await;
    let judged = || async { sim.health(listener).await != ["Unknown"] };
    eventually("a verdict", judged).await;
    sim.health(listener).await.remove(0)
}

type Question = (SocketAddr, Vec<u8>);

/// A server with one answer, which remembers what it was asked and by whom.
struct Scripted {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Question>>>,
    _serving: JoinSet<()>,
}

impl Scripted {
    async fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let heard = Arc::clone(&asked);
        serving.spawn(async move {
            while let Ok((mut stream, from)) = listener.accept().await {
                let mut question = vec![0; 1024];
                let length = stream.read(&mut question).await.unwrap_or(0);
                question.truncate(length);
                heard.lock().await.push((from, question));
                // In two pieces: a check must not judge by the first.
                let (first, rest) = answer.split_at(answer.len() / 2);
                let _ = stream.write_all(first).await;
                let _ = stream.flush().await;
                let _ = stream.write_all(rest).await;
            }
        });
        Self {
            address,
            asked,
            _serving: serving,
        }
    }
}

#[tokio::test]
async fn tcp_listeners_are_checked_in_the_operator_s_words() {
    let sim = Sim::start(config(40)).await;
    let vip = sim.vip().await;
    let server = Scripted::start(b"+PONG\r\n").await;
    let custom = |port, context: &str, send: &str, receive: &str| {
        let fields = json!({
            "CheckType": "CUSTOM", "ContextType": context, "SendContext": send, "RecvContext": receive,
        });
        let sim = &sim;
        async move { sim.listener(port, check(&fields)).await }
    };
    let text = custom(PORT, "TEXT", "PING", "+PONG").await;
    let hex = custom(PORT + 1, "HEX", "50494E47", "2B504F4E47").await;
    let other = custom(PORT + 2, "TEXT", "PING", "-ERR").await;
    for (listener, wanted) in [(text, "Alive"), (hex, "Alive"), (other, "Dead")] {
        assert_eq!(verdict(&sim, &listener, server.address).await, wanted);
    }
    let asked = server.asked.lock().await;
    assert!(asked.iter().all(|(_, question)| question == b"PING"));
    // SourceIpType 0, the default.
    assert!(asked.iter().all(|(from, _)| from.ip().to_string() == vip));
}

#[tokio::test]
async fn udp_listeners_are_checked_in_the_operator_s_words() {
    let sim = Sim::start(config(41)).await;
    let (good, other) = (UdpBackend::start('1').await, UdpBackend::start('2').await);
    let fields = json!({
        "CheckType": "CUSTOM", "ContextType": "TEXT", "SendContext": "ping", "RecvContext": "1 127.64.41.1:",
    });
    let mut udp = check(&fields);
    udp["Protocol"] = json!("UDP");
    let listener = sim.listener(PORT, udp).await;
    sim.bind(&listener, &[good.address, other.address]).await;
    let mut wanted = [(good.address, "Alive"), (other.address, "Dead")];
    wanted.sort();
    sim.becomes(&listener, &wanted.map(|(_, health)| health))
        .await;
}

#[tokio::test]
async fn check_port_asks_another_port_of_the_target() {
    let sim = Sim::start(config(42)).await;
    let (backend, health) = (Backend::start('1').await, Backend::start('h').await);
    let elsewhere = check(&json!({ "CheckPort": health.address.port() }));
    let listener = sim.listener(PORT, elsewhere).await;
    let closed = SocketAddr::new(backend.address.ip(), 1);
    assert_eq!(verdict(&sim, &listener, closed).await, "Alive");
    drop(health);
    sim.becomes(&listener, &["Dead"]).await;
}

#[tokio::test]
async fn a_modified_check_counts_at_once() {
    let sim = Sim::start(config(45)).await;
    let backend = Backend::start('1').await;
    let http =
        json!({ "CheckType": "HTTP", "HttpCheckDomain": "a.example", "HttpVersion": "HTTP/1.1" });
    let listener = sim.listener(PORT, check(&http)).await;
    assert_eq!(verdict(&sim, &listener, backend.address).await, "Dead");
    let mut body = check(&json!({ "CheckType": "TCP" }));
    body["LoadBalancerId"] = json!(LB);
    body["ListenerId"] = json!(listener);
    sim.done("ModifyListener", body).await;
    sim.becomes(&listener, &["Alive"]).await;
}

#[tokio::test]
async fn http_checks_ask_as_configured_and_judge_by_class() {
    let sim = Sim::start(config(43)).await;
    let server = Scripted::start(b"HTTP/1.0 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    let http = |codes| {
        check(&json!({
            "CheckType": "HTTP", "HttpCheckDomain": "shop.example", "HttpCheckPath": "/up?x=1",
            "HttpCheckMethod": "GET", "HttpVersion": "HTTP/1.0", "HttpCode": codes,
        }))
    };
    let strict = sim.listener(PORT, http(1 | 2 | 4)).await;
    let lenient = sim.listener(PORT + 1, http(8)).await;
    assert_eq!(verdict(&sim, &strict, server.address).await, "Dead");
    assert_eq!(verdict(&sim, &lenient, server.address).await, "Alive");
    for (_, question) in server.asked.lock().await.iter() {
        let question = String::from_utf8_lossy(question).to_lowercase();
        assert!(
            question.starts_with("get /up?x=1 http/1.0\r\n"),
            "{question}"
        );
        assert!(question.contains("host: shop.example\r\n"), "{question}");
    }
}

#[tokio::test]
async fn udp_listeners_are_pinged_where_that_is_possible() {
    let sim = Sim::start(config(44)).await;
    let mut ping = check(&json!({}));
    ping["Protocol"] = json!("UDP");
    let listener = sim.listener(PORT, ping).await;
    // A port that nobody serves: PING asks the host only.
    let target = UdpSocket::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    if may_ping() {
        assert_eq!(verdict(&sim, &listener, target).await, "Alive");
    } else {
        eprintln!("skipped: PING needs CAP_NET_RAW or a group in net.ipv4.ping_group_range");
    }
}

fn may_ping() -> bool {
    use socket2::{Domain, Protocol, Socket, Type};
    let open = |kind| Socket::new(Domain::IPV4, kind, Some(Protocol::ICMPV4)).is_ok();
    open(Type::DGRAM) || open(Type::RAW)
}
