//! The application of demo and journeys: an HTTP server on 8080 that says which pod answered, can be
//! slow on request, and serves on for a while after SIGTERM, as an application behind a load balancer
//! should.
//!
//! Environment: `GRACE`, seconds it serves on after SIGTERM (10); `DELAY_SECONDS` before it listens
//! (0); `PORT` (8080).

use std::env;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Query};
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;
use tokio::net::{TcpListener, lookup_host};
use tokio::signal::unix::{SignalKind, signal};

/// The longest a request to `/slow` waits: longer than any drain, short enough to end.
const SLOWEST: Duration = Duration::from_mins(2);

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

#[derive(Deserialize)]
struct Resolve {
    name: String,
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
    say(&format!("listening on {port}"));
    let router = Router::new()
        .route("/", get(who))
        .route("/healthz", get(async || "ok\n"))
        .route("/slow", get(slow))
        .route("/resolve", get(resolve))
        .into_make_service_with_connect_info::<SocketAddr>();
    let grace = seconds("GRACE", 10);
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        () = async {
            terminated.recv().await;
            say(&format!("SIGTERM: serving on for {} s", grace.as_secs()));
            tokio::time::sleep(grace).await;
        } => say("done"),
    }
    Ok(())
}

/// The pod's name and the client's address.
async fn who(ConnectInfo(client): ConnectInfo<SocketAddr>) -> String {
    let pod = env::var("HOSTNAME").unwrap_or_default();
    format!("{pod} {}\n", client.ip())
}

async fn slow(client: ConnectInfo<SocketAddr>, Query(slow): Query<Slow>) -> String {
    tokio::time::sleep(Duration::from_millis(slow.ms).min(SLOWEST)).await;
    who(client).await
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
