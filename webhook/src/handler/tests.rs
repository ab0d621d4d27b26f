use axum::http::{Method, header::CONTENT_LENGTH};
use futures::stream;
use rstest::rstest;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::fixtures::{review, service};

fn routes() -> Router {
    let exposed = Arc::new(Exposed::new());
    let key = runtime::Key::new("shop", "web");
    exposed.on_service(runtime::Change::Restarted(vec![(
        key,
        service("shop", "web"),
    )]));
    router(Handler::new(exposed, Metrics::default()))
}

fn post_json(body: impl Into<Body>) -> Request {
    post_to("/mutate", body)
}

fn post_to(path: &str, body: impl Into<Body>) -> Request {
    Request::post(path)
        .header(CONTENT_TYPE, JSON)
        .body(body.into())
        .unwrap()
}

async fn ask(request: Request) -> (StatusCode, Bytes) {
    let response = routes().oneshot(request).await.unwrap();
    let status = response.status();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

/// A body that fails the test when it is touched.
fn unread() -> Body {
    Body::from_stream(stream::once(async {
        panic!("read a body that could be refused by its headers") as Result<Bytes, std::io::Error>
    }))
}

#[tokio::test]
async fn a_review_is_answered_as_json() {
    let response = routes().oneshot(post_json(review(12_000))).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], JSON);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
}

#[tokio::test]
async fn the_canary_gets_the_gate_without_any_service_and_is_counted_apart() {
    let metrics = Metrics::default();
    let routes = router(Handler::new(Arc::new(Exposed::new()), metrics.clone()));
    let request = post_to("/canary?timeout=3s", review(12_000));
    let response = routes.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], JSON);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["response"]["patchType"], "JSONPatch");
    assert_eq!(metrics.admitted(Outcome::Injected), (0, 1));
}

#[rstest]
#[case::nonsense("/canary", "{", StatusCode::BAD_REQUEST)]
#[case::elsewhere("/canary/", "{}", StatusCode::NOT_FOUND)]
#[tokio::test]
async fn the_canarys_route_refuses_as_the_other_does(
    #[case] path: &str,
    #[case] body: &'static str,
    #[case] expected: StatusCode,
) {
    assert_eq!(ask(post_to(path, body)).await.0, expected);
    let large = Body::from(vec![b' '; LARGEST_BODY + 1]);
    let status = ask(post_to("/canary", large)).await.0;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let text = Request::post("/canary").body(unread()).unwrap();
    assert_eq!(ask(text).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[rstest]
#[case::chunked(12_000)]
#[case::chunked_and_large(3 * 1024 * 1024)]
#[tokio::test]
async fn a_body_may_come_in_pieces(#[case] bytes: usize) {
    let pieces: Vec<_> = review(bytes)
        .chunks(1_000)
        .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)))
        .collect();
    let (status, _) = ask(post_json(Body::from_stream(stream::iter(pieces)))).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn only_post_is_accepted() {
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let request = Request::builder()
            .method(method)
            .uri("/mutate")
            .body(Body::empty())
            .unwrap();
        assert_eq!(ask(request).await.0, StatusCode::METHOD_NOT_ALLOWED);
    }
    let elsewhere = Request::post("/").body(Body::empty()).unwrap();
    assert_eq!(ask(elsewhere).await.0, StatusCode::NOT_FOUND);
}

#[rstest]
#[case(None, StatusCode::UNSUPPORTED_MEDIA_TYPE)]
#[case(Some("text/plain"), StatusCode::UNSUPPORTED_MEDIA_TYPE)]
#[case(Some("application/jsonx"), StatusCode::UNSUPPORTED_MEDIA_TYPE)]
#[tokio::test]
async fn a_wrong_content_type_is_refused_unread(
    #[case] kind: Option<&str>,
    #[case] expected: StatusCode,
) {
    let mut request = Request::post("/mutate");
    if let Some(kind) = kind {
        request = request.header(CONTENT_TYPE, kind);
    }
    assert_eq!(ask(request.body(unread()).unwrap()).await.0, expected);
}

#[tokio::test]
async fn content_type_parameters_are_fine() {
    let request = Request::post("/mutate")
        .header(CONTENT_TYPE, "Application/JSON; charset=utf-8")
        .body(review(1).into())
        .unwrap();
    assert_eq!(ask(request).await.0, StatusCode::OK);
}

#[tokio::test]
async fn more_than_seven_mebibytes_are_refused() {
    let declared = Body::from(vec![b' '; LARGEST_BODY + 1]);
    assert_eq!(
        ask(post_json(declared)).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let endless =
        stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 8_192])));
    assert_eq!(
        ask(post_json(Body::from_stream(endless))).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let exact = Body::from(vec![b' '; LARGEST_BODY]);
    assert_eq!(ask(post_json(exact)).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let silent = stream::pending::<Result<Bytes, std::io::Error>>();
    assert_eq!(
        ask(post_json(Body::from_stream(silent))).await.0,
        StatusCode::REQUEST_TIMEOUT
    );
}

#[tokio::test(start_paused = true)]
async fn large_bodies_that_hang_do_not_keep_small_ones_waiting() {
    let routes = routes();
    let hanging = (0..10).map(|_| {
        let silent = stream::pending::<Result<Bytes, std::io::Error>>();
        routes.clone().oneshot(post_json(Body::from_stream(silent)))
    });
    let mut hanging = futures::future::join_all(hanging);
    assert!(futures::poll!(&mut hanging).is_pending());
    let small = routes.clone().oneshot(post_json(review(12_000)));
    assert_eq!(
        futures::FutureExt::now_or_never(small)
            .unwrap()
            .unwrap()
            .status(),
        StatusCode::OK
    );
}

#[rstest]
#[case::empty("")]
#[case::truncated("{\"apiVersion\":")]
#[case::not_json("hello")]
#[case::null("null")]
#[tokio::test]
async fn nonsense_is_a_client_error(#[case] body: &'static str) {
    let (status, text) = ask(post_json(body)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        std::str::from_utf8(&text)
            .unwrap()
            .starts_with("the body is not an AdmissionReview")
    );
}

#[tokio::test]
async fn a_broken_body_is_a_client_error() {
    let broken = stream::iter([Err::<Bytes, _>(std::io::Error::other("reset"))]);
    let request = post_json(Body::from_stream(broken));
    assert!(!request.headers().contains_key(CONTENT_LENGTH));
    assert_eq!(ask(request).await.0, StatusCode::BAD_REQUEST);
}
