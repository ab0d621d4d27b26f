//! The admin port: plain HTTP for the kubelet's probes and for whoever collects metrics. It is apart
//! from the port that does the work, so that a broken certificate is visible instead of fatal.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{
    ready::Readiness,
    supervise::{BoxError, Supervisor},
};

/// Probes and scrapes come one at a time; more than this at once is someone else's mistake.
const MOST_CONNECTIONS: usize = 64;
/// One request a connection, and this long for all of it, so that no slot is held for good.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(10);
/// Between accepts that fail, which is what happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What `prometheus-client` writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the admin port serves.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Behind `/readyz`.
    pub readiness: Readiness,
    /// Behind `/metrics`.
    pub metrics: Arc<Registry>,
    /// More routes of the caller's own; empty if none.
    pub extra: Router,
}

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on the admin address {address}")]
pub struct AdminError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Opens the port, serves it as a supporting task, and returns the address (useful with port 0).
pub async fn spawn(supervisor: &Supervisor, admin: Admin) -> Result<SocketAddr, AdminError> {
    let failed = |source| AdminError {
        address: admin.listen,
        source,
    };
    let listener = TcpListener::bind(admin.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let router = router(admin.readiness, admin.metrics).merge(admin.extra);
    supervisor.spawn_support("admin", serve(supervisor.clone(), listener, router));
    Ok(address)
}

/// The routes, without a port.
pub fn router(readiness: Readiness, metrics: Arc<Registry>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz).with_state(readiness))
        .route("/metrics", get(scrape).with_state(metrics))
}

async fn readyz(State(readiness): State<Readiness>) -> Response {
    let missing = readiness.missing();
    let remarks = readiness.remarks();
    let remarks = remarks
        .iter()
        .map(|(part, remark)| format!("note: {part}: {remark}\n"));
    if missing.is_empty() {
        let lines: String = std::iter::once("ready\n".to_owned())
            .chain(remarks)
            .collect();
        return lines.into_response();
    }
    let lines = missing
        .iter()
        .map(|part| format!("{}: {}\n", part.name, part.reason));
    let lines: String = lines.chain(remarks).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines).into_response()
}

async fn scrape(State(metrics): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &metrics) {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn serve(
    supervisor: Supervisor,
    listener: TcpListener,
    router: Router,
) -> Result<(), BoxError> {
    let slots = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let slot = slots.clone().acquire_owned().await?;
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "admin accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let router = router.clone();
        supervisor.spawn_child("admin connection", async move {
            connection(stream, router).await;
            drop(slot);
        });
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_DEADLINE, serving).await {
        tracing::debug!(%error, "admin connection failed");
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: &Router, path: &str) -> (StatusCode, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let kind = answer
            .headers()
            .get(CONTENT_TYPE)
            .map(|kind| kind.to_str().unwrap().to_owned());
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            kind.unwrap_or_default(),
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn readyz_names_what_is_missing() {
        let readiness = Readiness::new();
        let leaf = readiness.handle("leaf");
        let router = router(readiness, Arc::default());
        let (status, _, body) = ask(&router, "/readyz").await;
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "leaf: not yet reported\n")
        );
        leaf.ready();
        assert_eq!(ask(&router, "/readyz").await.2, "ready\n");
        leaf.remark(Some("a newer one was refused".into()));
        let (status, _, body) = ask(&router, "/readyz").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(body, "ready\nnote: leaf: a newer one was refused\n");
    }

    #[tokio::test]
    async fn metrics_are_openmetrics() {
        let mut registry = Registry::default();
        let calls = Counter::<u64>::default();
        registry.register("calls", "Calls made", calls.clone());
        calls.inc();
        let router = router(Readiness::new(), Arc::new(registry));
        let (status, kind, body) = ask(&router, "/metrics").await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, OPENMETRICS));
        assert!(
            body.contains("calls_total 1\n") && body.ends_with("# EOF\n"),
            "{body}"
        );
    }

    #[tokio::test]
    async fn serves_on_a_port_with_the_callers_own_routes() {
        let supervisor = Supervisor::new();
        let admin = Admin {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            readiness: Readiness::new(),
            metrics: Arc::default(),
            extra: Router::new().route("/plan", get(async || "the plan")),
        };
        let address = spawn(&supervisor, admin).await.unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET /plan HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("the plan"),
            "{answer}"
        );
    }
}
