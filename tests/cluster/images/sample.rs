//! The application of demo and journeys: an HTTP server on 8080 that says which pod answered, can be
//! slow on request, and serves on for a while after SIGTERM, as an application behind a load balancer
//! should. On the same port over UDP it answers the same to every datagram. `/via?to=ADDR` asks another
//! of its kind, over UDP with `&udp=true`: so a pod is a client. `/echo` agrees to a WebSocket and gives back
//! its bytes. [`streams`] has what takes long.
//!
//! Environment: `GRACE`, seconds it serves on after SIGTERM (10); `FINISH`: with `true` it does not serve on but
//! takes no new connection and finishes those it has, for which idle ones have `GRACE` ([`finish`]);
//! `DELAY_SECONDS` before it listens (0); `PORT` (8080).

mod finish;
mod streams;

use std::env;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, lookup_host};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use streams::{Sockets, Tasks, agreement, start};

/// The longest a request to `/slow` waits: longer than any drain, short enough to end.
const SLOWEST: Duration = Duration::from_mins(2);
/// How long `/via` waits for the other's answer.
const ASKED: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

#[derive(Deserialize)]
struct Resolve {
    name: String,
}

#[derive(Deserialize)]
struct Via {
    to: SocketAddr,
    #[serde(default)]
    udp: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sample: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> anyhow::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        () = tokio::time::sleep(seconds("DELAY_SECONDS", 0)) => {}
        _ = terminated.recv() => return Ok(()),
    }
    let port = number("PORT", 8080);
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    let datagrams = UdpSocket::bind(("0.0.0.0", port)).await?;
    say(&format!("listening on {port}"));
    let (end, ending) = watch::channel(false);
    let sockets = Sockets {
        open: Tasks::default(),
        ending: ending.clone(),
    };
    let open = sockets.open.clone();
    let router = routes().merge(streams::router(sockets));
    let grace = seconds("GRACE", 10);
    let serving = async {
        if number("FINISH", false) {
            finish::serve(listener, router, (ending, grace), open).await;
            return Ok(());
        }
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, router).await
    };
    let ends = async {
        terminated.recv().await;
        end.send_replace(true);
        if number("FINISH", false) {
            say("SIGTERM: finishing");
            std::future::pending::<()>().await;
        }
        say(&format!("SIGTERM: serving on for {} s", grace.as_secs()));
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        served = serving => served?,
        () = echo(&datagrams) => {}
        () = ends => {}
    }
    say("done");
    Ok(())
}

fn routes() -> Router {
    Router::new()
        .route("/", get(who))
        .route("/healthz", get(async || "ok\n"))
        .route("/slow", get(slow))
        .route("/resolve", get(resolve))
        .route("/via", get(via))
        .route("/echo", get(agree))
        .with_state(Tasks::default())
}

async fn who(ConnectInfo(client): ConnectInfo<SocketAddr>) -> String {
    introduction(client)
}

/// The pod's name and the client's address.
fn introduction(client: SocketAddr) -> String {
    format!("{} {}\n", pod(), client.ip())
}

fn pod() -> String {
    env::var("HOSTNAME").unwrap_or_default()
}

/// Agrees to a WebSocket.
async fn agree(State(echoes): State<Tasks>, mut request: Request) -> Response {
    let agreed = agreement(&request);
    if agreed.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgraded = hyper::upgrade::on(&mut request);
        start(&echoes, give_back(upgraded));
    }
    agreed
}

/// A connection that breaks is its client's loss.
async fn give_back(upgraded: OnUpgrade) {
    if let Ok(upgraded) = upgraded.await {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let _ = tokio::io::copy(&mut read, &mut write).await;
    }
}

/// Answers every datagram; one that cannot be answered is nobody's loss.
async fn echo(socket: &UdpSocket) {
    let mut datagram = [0; 2048];
    loop {
        if let Ok((_, client)) = socket.recv_from(&mut datagram).await {
            let _ = socket
                .send_to(introduction(client).as_bytes(), client)
                .await;
        }
    }
}

async fn slow(client: ConnectInfo<SocketAddr>, Query(slow): Query<Slow>) -> String {
    tokio::time::sleep(Duration::from_millis(slow.ms).min(SLOWEST)).await;
    who(client).await
}

/// What another one answers to this pod.
async fn via(Query(via): Query<Via>) -> (StatusCode, String) {
    let asked = async {
        if via.udp {
            ask_datagram(via.to).await
        } else {
            ask(via.to).await
        }
    };
    match tokio::time::timeout(ASKED, asked).await {
        Ok(Ok(answer)) => (StatusCode::OK, answer),
        Ok(Err(error)) => (StatusCode::BAD_GATEWAY, format!("{}: {error}\n", via.to)),
        Err(_) => (
            StatusCode::GATEWAY_TIMEOUT,
            format!("{}: no answer\n", via.to),
        ),
    }
}

async fn ask(to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok(body.to_owned())
}

async fn ask_datagram(to: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(to).await?;
    socket.send(b"who").await?;
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).await?;
    let answer = answer.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(answer).into_owned())
}

/// The addresses of a name, as this pod's DNS server gives them.
async fn resolve(Query(resolve): Query<Resolve>) -> (StatusCode, String) {
    match lookup_host((resolve.name.as_str(), 0)).await {
        Ok(addresses) => {
            let list: Vec<String> = addresses.map(|found| found.ip().to_string()).collect();
            (StatusCode::OK, format!("{}\n", list.join(" ")))
        }
        Err(error) => (
            StatusCode::BAD_GATEWAY,
            format!("{}: {error}\n", resolve.name),
        ),
    }
}

fn seconds(variable: &str, default: u64) -> Duration {
    Duration::from_secs(number(variable, default))
}

fn number<T: FromStr>(variable: &str, default: T) -> T {
    env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// A line in the pod's log, which must never fail the program.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
