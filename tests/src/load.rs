//! A steady load through a VIP that counts every request and every failure, by cause.
//!
//! Open loop: requests start on time whether or not earlier ones have ended, each on a connection of
//! its own, so that nothing hides behind a slow answer or a kept connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// A request that has no answer after this failed. Long, because two cores carry everything.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests in flight at most: the load is bounded even when nothing answers.
const IN_FLIGHT: usize = 2_000;

/// What became of a load.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests begun.
    pub requests: u64,
    /// Failures by cause.
    pub failures: BTreeMap<String, u64>,
    /// Which pods answered, and how often.
    pub answers: BTreeMap<String, u64>,
    /// The slowest answer.
    pub slowest: Duration,
}

impl Report {
    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn count(&mut self, outcome: Result<String, String>, took: Duration) {
        match outcome {
            Ok(pod) => *self.answers.entry(pod).or_default() += 1,
            Err(cause) => *self.failures.entry(cause).or_default() += 1,
        }
        self.slowest = self.slowest.max(took);
    }
}

/// A load that runs until it is stopped.
pub struct Load {
    stop: watch::Sender<bool>,
    running: JoinSet<Report>,
}

impl Load {
    /// Starts `rate` requests a second to `GET /` of an address.
    pub fn start(address: SocketAddr, rate: u32) -> Self {
        Self::begin(None, address, rate)
    }

    /// The same from one of this machine's addresses.
    pub fn start_from(client: IpAddr, address: SocketAddr, rate: u32) -> Self {
        Self::begin(Some(client), address, rate)
    }

    fn begin(client: Option<IpAddr>, address: SocketAddr, rate: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(generate(client, address, rate, stopped));
        Self { stop, running }
    }

    /// Stops it and waits for what is in flight.
    pub async fn stop(mut self) -> Result<Report> {
        self.stop.send_replace(true);
        match self.running.join_next().await {
            Some(report) => Ok(report?),
            None => Ok(Report::default()),
        }
    }
}

async fn generate(
    client: Option<IpAddr>,
    address: SocketAddr,
    rate: u32,
    mut stopped: watch::Receiver<bool>,
) -> Report {
    let mut report = Report::default();
    let mut flying = JoinSet::new();
    let mut ticks = interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = ticks.tick() => {
                report.requests += 1;
                if flying.len() < IN_FLIGHT {
                    flying.spawn(timed(client, address));
                } else {
                    report.count(Err("too many in flight".to_owned()), Duration::ZERO);
                }
            }
            Some(Ok((outcome, took))) = flying.join_next() => report.count(outcome, took),
        }
    }
    while let Some(Ok((outcome, took))) = flying.join_next().await {
        report.count(outcome, took);
    }
    report
}

async fn timed(client: Option<IpAddr>, address: SocketAddr) -> (Result<String, String>, Duration) {
    let start = Instant::now();
    let outcome = timeout(PATIENCE, ask(client, address))
        .await
        .unwrap_or_else(|_| Err("timed out".to_owned()));
    (outcome.map(|body| first_word(&body)), start.elapsed())
}

/// One request on a connection of its own; the name of the pod that answered, or the cause of failure.
pub async fn get(address: SocketAddr) -> Result<String, String> {
    ask(None, address).await.map(|body| first_word(&body))
}

/// The same, from one of this machine's addresses if told so; all that the pod said.
pub async fn ask(client: Option<IpAddr>, address: SocketAddr) -> Result<String, String> {
    let told =
        |what: &'static str| move |error: std::io::Error| format!("{what}: {}", error.kind());
    let mut stream = connect(client, address).await.map_err(told("connect"))?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(told("send"))?;
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .await
        .map_err(told("receive"))?;
    let text = String::from_utf8_lossy(&answer);
    let status = text
        .split_whitespace()
        .nth(1)
        .ok_or("closed without an answer")?;
    if status != "200" {
        return Err(format!("status {status}"));
    }
    let body = text.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(body.to_owned())
}

async fn connect(client: Option<IpAddr>, address: SocketAddr) -> std::io::Result<TcpStream> {
    let Some(client) = client else {
        return TcpStream::connect(address).await;
    };
    let socket = if client.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A port from which an earlier connection was made may be used again.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(client, 0))?;
    socket.connect(address).await
}

fn first_word(body: &str) -> String {
    body.split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}
