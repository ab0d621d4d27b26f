//! A probe by HTTP: the status of one answer.

use crate::state::health_check::HttpCheck;
use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// More of an answer's body is not read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The status the target answers with; none if it does not answer in HTTP.
pub(super) async fn status(stream: TcpStream, check: &HttpCheck) -> Option<u16> {
    let request = request(check)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::pin!(connection);
    let response = sender.send_request(request);
    tokio::pin!(response);
    let response = tokio::select! {
        biased;
        response = &mut response => response,
        // The connection may end in the same moment; the answer is there or is an error.
        _ = &mut connection => response.await,
    };
    let (head, body) = response.ok()?.into_parts();
    // A server that is cut off in the middle of its answer would log an error at every probe.
    let rest = Limited::new(body, LONGEST_ANSWER).collect();
    tokio::pin!(rest);
    tokio::select! {
        biased;
        _ = &mut rest => {}
        _ = &mut connection => {}
    }
    Some(head.status.as_u16())
}

fn request(check: &HttpCheck) -> Option<Request<Empty<Bytes>>> {
    Request::builder()
        .method(if check.head {
            Method::HEAD
        } else {
            Method::GET
        })
        .uri(&check.path)
        .version(if check.version_1_0 {
            Version::HTTP_10
        } else {
            Version::HTTP_11
        })
        .header("host", &check.domain)
        .header("user-agent", "clb-healthcheck")
        .header("connection", "close")
        .body(Empty::new())
        .ok()
}
