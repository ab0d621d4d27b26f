//! How an ordinary application ends that knows nothing of load balancers: after SIGTERM it takes no new
//! connection and finishes those it has. Answers say `Connection: close`, `WebSocket`s end with 1001, and who
//! has not asked again within the grace is let go.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::streams::Tasks;

/// What began before the end may take this long after the grace.
const LAST: Duration = Duration::from_secs(10);

/// Serves until `ending` and then finishes.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    (mut ending, grace): (watch::Receiver<bool>, Duration),
    sockets: Tasks,
) {
    let mut connections = JoinSet::new();
    let told = ending.clone();
    loop {
        tokio::select! {
            Ok((stream, from)) = listener.accept() => {
                let told = (told.clone(), grace);
                connections.spawn(connection(stream, from, router.clone(), told));
            }
            Some(_) = connections.join_next() => {}
            _ = ending.wait_for(|ending| *ending) => break,
        }
    }
    drop(listener);
    let finished = async {
        while connections.join_next().await.is_some() {}
        let mut sockets = std::mem::take(&mut *sockets.lock());
        while sockets.join_next().await.is_some() {}
    };
    let _ = timeout(grace + LAST, finished).await;
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    (mut ending, grace): (watch::Receiver<bool>, Duration),
) {
    let _ = stream.set_nodelay(true);
    let told = ending.clone();
    let answers = service_fn(move |request| answer(router.clone(), request, from, told.clone()));
    let whole = http1::Builder::new().serve_connection(TokioIo::new(stream), answers);
    let mut whole = pin!(whole.with_upgrades());
    let over = async {
        let _ = ending.wait_for(|ending| *ending).await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        _ = whole.as_mut() => return,
        () = over => whole.as_mut().graceful_shutdown(),
    }
    let _ = whole.await;
}

async fn answer(
    router: Router,
    mut request: Request<Incoming>,
    from: SocketAddr,
    ending: watch::Receiver<bool>,
) -> Result<Response<Body>, std::convert::Infallible> {
    request.extensions_mut().insert(ConnectInfo(from));
    let mut response = TowerToHyperService::new(router).call(request).await?;
    if *ending.borrow() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response)
}
