//! The load: as little work a request as possible, so that the server is what is measured. Requests
//! are bytes made once, answers are counted, and certificates are not verified.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{CONNECTIONS, server::Child};

/// What is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A request, on connections that stay open.
    KeepAlive,
    /// A connection with one request.
    Fresh,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) latencies: Vec<Duration>,
    /// Requests per second and CPU for each, round by round.
    rounds: Vec<[f64; 2]>,
    cpu: Duration,
    wall: Duration,
}

impl Sample {
    pub(crate) fn add(&mut self, other: Self) {
        self.rounds.push([other.per_second(), other.cpu_each()]);
        self.latencies.extend(other.latencies);
        self.cpu += other.cpu;
        self.wall += other.wall;
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.wall.as_secs_f64()
    }

    /// Ours against another's, in per cent: requests per second, and work done with the same CPU. Rounds
    /// next to each other are compared, and of those the median counts.
    pub(crate) fn share_of(&self, other: &Self) -> [f64; 2] {
        let pairs = || self.rounds.iter().zip(&other.rounds);
        [
            median(
                pairs()
                    .map(|([ours, _], [theirs, _])| 100.0 * ours / theirs)
                    .collect(),
            ),
            median(
                pairs()
                    .map(|([_, ours], [_, theirs])| 100.0 * theirs / ours)
                    .collect(),
            ),
        ]
    }

    /// Microseconds of server CPU for each.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latencies.len() as f64
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let at = (self.latencies.len() - 1) as f64 * share;
        self.latencies[at as usize].as_secs_f64() * 1e6
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Loads one server for that long.
pub(crate) fn run(child: &Child, review: &[u8], kind: Kind, time: Duration) -> Sample {
    let local = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (cpu, started) = (child.cpu(), std::time::Instant::now());
    let latencies = local.block_on(all(child.address, request(review).into(), kind, time));
    Sample {
        latencies,
        rounds: Vec::new(),
        cpu: child.cpu().saturating_sub(cpu),
        wall: started.elapsed(),
    }
}

async fn all(address: SocketAddr, request: Arc<[u8]>, kind: Kind, time: Duration) -> Vec<Duration> {
    let connector = connector();
    let until = Instant::now() + time;
    let mut clients = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (connector, request) = (connector.clone(), request.clone());
        clients.spawn(async move {
            match kind {
                Kind::KeepAlive => keep_alive(&connector, address, &request, until).await,
                Kind::Fresh => fresh(&connector, address, &request, until).await,
            }
        });
    }
    clients.join_all().await.concat()
}

async fn keep_alive(
    connector: &TlsConnector,
    address: SocketAddr,
    request: &[u8],
    until: Instant,
) -> Vec<Duration> {
    let mut stream = connect(connector, address).await;
    let mut buffer = vec![0; 4096];
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        ask(&mut stream, request, &mut buffer).await;
        latencies.push(started.elapsed());
    }
    latencies
}

async fn fresh(
    connector: &TlsConnector,
    address: SocketAddr,
    request: &[u8],
    until: Instant,
) -> Vec<Duration> {
    let mut buffer = vec![0; 4096];
    let mut latencies = Vec::new();
    while Instant::now() < until {
        let started = Instant::now();
        let mut stream = connect(connector, address).await;
        ask(&mut stream, request, &mut buffer).await;
        latencies.push(started.elapsed());
    }
    latencies
}

async fn ask(stream: &mut TlsStream<TcpStream>, request: &[u8], buffer: &mut [u8]) {
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    let mut filled = 0;
    loop {
        filled += stream.read(&mut buffer[filled..]).await.unwrap();
        let answer = &buffer[..filled];
        assert!(
            filled > 0 && answer.starts_with(b"HTTP/1.1 200"),
            "an answer"
        );
        // The answer is one object, so it is whole when its braces are closed.
        if answer.ends_with(b"}}") {
            return;
        }
    }
}

async fn connect(connector: &TlsConnector, address: SocketAddr) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("clb-gate-webhook.clb-gate.svc").unwrap();
    connector.connect(name, stream).await.unwrap()
}

fn request(review: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /mutate?timeout=3s HTTP/1.1\r\nHost: clb-gate-webhook.clb-gate.svc:443\r\nUser-Agent: kube-apiserver-admission\r\n\
         Content-Length: {}\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
        review.len()
    );
    [head.as_bytes(), review].concat()
}

fn connector() -> TlsConnector {
    let provider = certs::provider::provider();
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

/// Believes everything: verifying costs a client more than signing costs the server.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
