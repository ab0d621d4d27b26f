//! Real TLS on loopback. Limits that should strike are short, limits that should not are an hour; what
//! is asserted is always an order of events or an end, never a time.

use std::pin::pin;

use certs::{
    issue::{self, Signer},
    layout::{LeafMaterial, ServiceNames},
    provider,
    resolver::{LeafResolver, server_config},
};
use futures::poll;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::{
    exposed::Exposed,
    fixtures::{review, service},
};

const NEVER: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_millis(200);
/// A test that waits this long for something has failed.
const PATIENCE: Duration = Duration::from_secs(20);

const LIMITS: Limits = Limits {
    connections: 64,
    handshake: NEVER,
    head: NEVER,
    body: NEVER,
    idle: NEVER,
};
const DRAIN: Drain = Drain {
    hold: NEVER,
    quiet: SOON,
    last_requests: NEVER,
};

struct Rig {
    address: SocketAddr,
    supervisor: Supervisor,
    readiness: Readiness,
    metrics: Metrics,
    tls: TlsConnector,
    leaf: Arc<LeafResolver>,
    signer: Signer,
}

fn names() -> ServiceNames {
    ServiceNames::new("clb-gate-webhook", "clb-gate")
}

impl Rig {
    async fn start(limits: Limits, drain: Drain) -> Self {
        let signer = Signer::from(issue::ca(1, runtime::clock::now()).unwrap());
        let leaf = Arc::new(LeafResolver::new());
        swap(&leaf, &signer);

        let exposed = Arc::new(Exposed::new());
        let key = runtime::Key::new("shop", "web");
        exposed.on_service(runtime::Change::Restarted(vec![(
            key,
            service("shop", "web"),
        )]));
        let (supervisor, readiness, metrics) =
            (Supervisor::new(), Readiness::new(), Metrics::default());
        let handler = Handler::new(exposed, metrics.clone());
        let tls = server_config(leaf.clone()).unwrap();
        let server = Server {
            limits,
            drain,
            tls,
            leaf: leaf.clone(),
            handler,
            metrics: metrics.clone(),
        };
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = server
            .spawn(&supervisor, any, readiness.clone())
            .await
            .unwrap();
        Self {
            address,
            supervisor,
            readiness,
            metrics,
            tls: connector(&signer),
            leaf,
            signer,
        }
    }

    async fn connect(&self) -> Connection {
        self.shake_hands(TcpStream::connect(self.address).await.unwrap())
            .await
    }

    async fn shake_hands<S: Stream>(&self, stream: S) -> Connection<S> {
        let name = ServerName::try_from("clb-gate-webhook.clb-gate.svc").unwrap();
        Connection(in_time(self.tls.connect(name, stream)).await.unwrap())
    }

    /// Serves a new leaf of the same CA, and returns it.
    fn swap_leaf(&self) -> Vec<u8> {
        swap(&self.leaf, &self.signer)
    }

    fn handshakes(&self, result: &'static str) -> u64 {
        self.metrics
            .handshakes
            .get_or_create(&crate::metrics::ResultLabel { result })
            .get()
    }
}

fn swap(leaf: &LeafResolver, signer: &Signer) -> Vec<u8> {
    let now = runtime::clock::now();
    let made = issue::leaf(signer, &names(), now).unwrap();
    let material = LeafMaterial {
        cert_pem: made.certificate.to_pem().into_bytes(),
        key_pem: made.key,
        bundle_pem: signer.certificate().to_pem().into_bytes(),
    };
    leaf.load(&material, &names(), now).unwrap();
    made.certificate.der().to_vec()
}

fn connector(signer: &Signer) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(signer.certificate().der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(provider::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

struct Connection<S = TcpStream>(TlsStream<S>);

impl<S: Stream> Connection<S> {
    /// The leaf of its handshake.
    fn presented(&self) -> Vec<u8> {
        self.0.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    /// Posts a review and returns the head of the answer.
    async fn ask(&mut self) -> String {
        let body = review(12_000);
        let head = format!(
            "POST /mutate?timeout=3s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.write_all(head.as_bytes()).await.unwrap();
        self.0.write_all(&body).await.unwrap();
        let head = self.read_head().await;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        in_time(self.0.read_exact(&mut body)).await.unwrap();
        assert!(body.starts_with(b"{\"apiVersion\""));
        head
    }

    async fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(in_time(self.0.read_u8()).await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Waits for the server to end the connection, without or with an error.
    async fn ended(mut self) {
        let mut rest = Vec::new();
        let _ = in_time(self.0.read_to_end(&mut rest)).await;
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("in time")
}

/// Waits until something that is not an event of its own has become true.
async fn eventually(condition: impl Fn() -> bool) {
    in_time(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn one_connection_carries_many_calls() {
    let rig = Rig::start(LIMITS, DRAIN).await;
    let mut connection = rig.connect().await;
    for _ in 0..3 {
        let head = connection.ask().await;
        assert!(
            head.starts_with("HTTP/1.1 200") && !head.contains("connection: close"),
            "{head}"
        );
    }
    assert_eq!(
        (rig.handshakes("ok"), rig.metrics.connections.get()),
        (1, 1)
    );
    drop(connection);
    eventually(|| rig.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn a_silent_handshake_ends_and_holds_nobody_up() {
    let rig = Rig::start(
        Limits {
            handshake: SOON,
            ..LIMITS
        },
        DRAIN,
    )
    .await;
    let mut silent = TcpStream::connect(rig.address).await.unwrap();
    assert!(rig.connect().await.ask().await.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    in_time(silent.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rig.handshakes("timeout"), 1);
}

#[tokio::test]
async fn what_is_not_tls_ends_alone() {
    let rig = Rig::start(LIMITS, DRAIN).await;
    let mut plain = TcpStream::connect(rig.address).await.unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    let _ = in_time(plain.read_to_end(&mut rest)).await;
    assert_eq!(rig.handshakes("failed"), 1);
    assert!(rig.connect().await.ask().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn slow_heads_end_but_idle_connections_stay() {
    let rig = Rig::start(
        Limits {
            head: SOON,
            ..LIMITS
        },
        DRAIN,
    )
    .await;
    let mut fresh = rig.connect().await;
    let mut used = rig.connect().await;
    used.ask().await;
    let mut slow = rig.connect().await;
    slow.0
        .write_all(b"POST /mutate HTTP/1.1\r\nHost:")
        .await
        .unwrap();
    let mut slow_again = rig.connect().await;
    slow_again.ask().await;
    slow_again.0.write_all(b"POST /mut").await.unwrap();
    // Both were silent for longer than the limit when the slow ones have ended.
    slow.ended().await;
    slow_again.ended().await;
    assert!(fresh.ask().await.starts_with("HTTP/1.1 200"));
    assert!(used.ask().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn slow_bodies_end() {
    let rig = Rig::start(
        Limits {
            body: SOON,
            ..LIMITS
        },
        DRAIN,
    )
    .await;
    let mut slow = rig.connect().await;
    slow.0.write_all(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{").await.unwrap();
    slow.ended().await;
}

#[tokio::test]
async fn idle_connections_end_at_last() {
    let rig = Rig::start(
        Limits {
            idle: SOON,
            ..LIMITS
        },
        DRAIN,
    )
    .await;
    rig.connect().await.ended().await;
    let mut used = rig.connect().await;
    used.ask().await;
    used.ended().await;
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_their_turn() {
    let rig = Rig::start(
        Limits {
            connections: 1,
            ..LIMITS
        },
        DRAIN,
    )
    .await;
    let mut first = rig.connect().await;
    let mut second = pin!(rig.connect());
    for _ in 0..5 {
        assert!(poll!(second.as_mut()).is_pending());
        first.ask().await;
    }
    assert_eq!(rig.handshakes("ok"), 1);
    drop(first);
    assert!(second.await.ask().await.starts_with("HTTP/1.1 200"));
}

fn says_close(head: &str) -> bool {
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    head.contains("connection: close\r\n")
}

#[tokio::test]
async fn a_new_leaf_ends_older_connections_with_their_next_answer_and_never_before() {
    let rig = Rig::start(LIMITS, DRAIN).await;
    let (mut used, fresh, mut in_flight) = (
        rig.connect().await,
        rig.connect().await,
        rig.connect().await,
    );
    assert!(!says_close(&used.ask().await));
    let head = "POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{";
    in_flight.0.write_all(head.as_bytes()).await.unwrap();
    let old = used.presented();
    let new = rig.swap_leaf();

    let mut late = rig.connect().await;
    assert_eq!((late.presented(), used.presented()), (new, old));
    for _ in 0..3 {
        assert!(!says_close(&late.ask().await));
    }
    // Idle all the while, and still there.
    eventually(|| rig.metrics.connections.get() == 4).await;
    for mut connection in [used, fresh] {
        assert!(says_close(&connection.ask().await));
        connection.ended().await;
    }
    in_flight.0.write_all(b"}").await.unwrap();
    let head = in_flight.read_head().await;
    assert!(head.contains("connection: close\r\n"), "{head}");
    in_flight.ended().await;
    assert!(!says_close(&late.ask().await));
}

#[tokio::test]
async fn the_same_leaf_read_again_ends_no_connection() {
    let rig = Rig::start(LIMITS, DRAIN).await;
    let mut connection = rig.connect().await;
    let now = runtime::clock::now();
    let made = issue::leaf(&rig.signer, &names(), now).unwrap();
    let material = LeafMaterial {
        cert_pem: made.certificate.to_pem().into_bytes(),
        key_pem: made.key,
        bundle_pem: rig.signer.certificate().to_pem().into_bytes(),
    };
    rig.leaf.load(&material, &names(), now).unwrap();
    assert!(says_close(&connection.ask().await));
    let mut connection = rig.connect().await;
    rig.leaf.load(&material, &names(), now).unwrap();
    let refused = LeafMaterial::default();
    assert!(rig.leaf.load(&refused, &names(), now).is_err());
    assert!(!says_close(&connection.ask().await));
}

#[tokio::test]
async fn a_leaf_swapped_in_during_a_handshake_counts_as_newer() {
    let rig = Rig::start(LIMITS, DRAIN).await;
    let old = rig.connect().await.presented();
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let between = async {
        let mut server = TcpStream::connect(rig.address).await.unwrap();
        let mut hello = vec![0; 64 * 1024];
        // The server answers a whole hello with its leaf.
        loop {
            tokio::select! {
                count = far.read(&mut hello) => {
                    let count = count.unwrap();
                    server.write_all(&hello[..count]).await.unwrap();
                }
                readable = server.readable() => break readable.unwrap(),
            }
        }
        rig.swap_leaf();
        tokio::io::copy_bidirectional(&mut far, &mut server)
            .await
            .ok();
    };
    let asking = async {
        let mut connection = rig.shake_hands(near).await;
        assert_eq!(connection.presented(), old);
        assert!(says_close(&connection.ask().await));
        connection.ended().await;
    };
    in_time(async { tokio::join!(between, asking) }).await;
}

#[tokio::test]
async fn a_draining_server_loses_no_call() {
    let rig = Rig::start(LIMITS, DRAIN).await;
    let (mut idle, mut used) = (rig.connect().await, rig.connect().await);
    used.ask().await;
    rig.supervisor.drain();
    eventually(|| !rig.readiness.is_ready()).await;

    // Longer than the quiet time: connections that are open keep the server alive.
    tokio::time::sleep(2 * SOON).await;
    let mut late = rig.connect().await;
    for connection in [&mut idle, &mut used, &mut late] {
        assert!(connection.ask().await.contains("connection: close\r\n"));
    }
    for connection in [idle, used, late] {
        connection.ended().await;
    }
    in_time(rig.supervisor.run(PATIENCE)).await.unwrap();
    assert!(TcpStream::connect(rig.address).await.is_err());
}

#[tokio::test]
async fn after_the_hold_idle_connections_are_closed_and_calls_in_flight_finish() {
    let rig = Rig::start(
        LIMITS,
        Drain {
            hold: SOON,
            ..DRAIN
        },
    )
    .await;
    let idle = rig.connect().await;
    let mut in_flight = rig.connect().await;
    in_flight.0.write_all(b"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{").await.unwrap();
    rig.supervisor.drain();
    idle.ended().await;
    in_flight.0.write_all(b"}").await.unwrap();
    let head = in_flight.read_head().await;
    assert!(
        head.starts_with("HTTP/1.1 400") && head.contains("connection: close"),
        "{head}"
    );
    in_flight.ended().await;
    in_time(rig.supervisor.run(PATIENCE)).await.unwrap();
}

#[test]
fn the_drain_ends_when_deserted_or_when_nobody_can_hold_a_connection() {
    let drain = Drain::default();
    let over = |connections, since_accept, since_drain| {
        let [since_accept, since_drain] = [since_accept, since_drain].map(Duration::from_secs);
        drain.is_over(Observed {
            connections,
            since_accept,
            since_drain,
        })
    };
    assert!(over(0, 15, 15));
    assert!(!over(0, 14, 60), "somebody came just now");
    assert!(!over(0, 3_600, 14), "not every kube-proxy has heard");
    assert!(
        !over(1, 3_600, 94),
        "an idle connection may still carry a call"
    );
    assert!(over(1, 0, 95));
    assert!(
        drain.longest() < Duration::from_mins(2),
        "the pod's grace period"
    );
}
