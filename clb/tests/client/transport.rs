//! How the client behaves towards a server that throttles, is busy, breaks, lies or stays silent.

use crate::support::{Api, Attempts, Reply, config, ok, refusal};
use clb::{
    BatchTarget, Client, Error, Kind, ListenerId, ListenerQuery, LoadBalancerId, Target, Task,
};
use rstest::rstest;
use std::sync::Arc;
use std::time::Duration;

fn lb() -> LoadBalancerId {
    LoadBalancerId::new("lb-demo0001")
}

fn targets(count: u16) -> Vec<BatchTarget> {
    let target = |port| Target::new("172.16.0.12".parse().unwrap(), port);
    (0..count)
        .map(|port| BatchTarget::new(ListenerId::new("lbl-1"), target(port)))
        .collect()
}

/// A client that remembers its attempts.
fn watched(api: &Api) -> (Client, Arc<Attempts>) {
    let (mut config, attempts) = (config(api.endpoint()), Arc::new(Attempts::default()));
    config.observer = attempts.clone();
    (Client::new(config).unwrap(), attempts)
}

async fn read(client: &Client) -> Result<usize, Error> {
    Ok(client.describe_targets(&lb(), &[]).await?.len())
}

async fn write(client: &Client) -> Result<(), Error> {
    client
        .batch_register_targets(&lb(), &targets(1))
        .await
        .map(drop)
}

#[tokio::test]
async fn a_request_has_the_headers_the_api_asks_for() {
    let api = Api::new([ok("")]).await;
    read(&api.client()).await.unwrap();
    let request = api.requests().remove(0);
    assert_eq!(request.line, "POST / HTTP/1.1");
    let host = format!("127.0.0.1:{}", api.port);
    let expected = [
        ("host", host.as_str()),
        ("content-type", "application/json"),
        ("x-tc-action", "DescribeTargets"),
        ("x-tc-language", "en-US"),
        ("x-tc-region", "ap-guangzhou"),
        (
            "x-tc-requestclient",
            concat!("clb-gate/", env!("CARGO_PKG_VERSION")),
        ),
        ("x-tc-timestamp", "1551113065"),
        ("x-tc-token", "token-nobody-may-see"),
        ("x-tc-version", "2018-03-17"),
    ];
    for (name, value) in expected {
        assert_eq!(request.header(name), value, "{name}");
    }
    let authorization = request.header("authorization");
    let start = "TC3-HMAC-SHA256 Credential=AKIDexample/2019-02-25/clb/tc3_request, SignedHeaders=content-type;host, Signature=";
    assert!(authorization.starts_with(start), "{authorization}");
}

#[tokio::test]
async fn a_throttled_call_is_made_again_be_it_read_or_write() {
    let throttled = || {
        refusal(
            "RequestLimitExceeded",
            "Your current request times equals to 21",
        )
    };
    let api = Api::new([throttled(), ok(""), throttled(), ok("")]).await;
    let (client, attempts) = watched(&api);
    read(&client).await.unwrap();
    write(&client).await.unwrap();
    assert_eq!(
        *attempts.0.lock().unwrap(),
        [
            "DescribeTargets throttled RequestLimitExceeded +",
            "DescribeTargets ok -",
            "BatchRegisterTargets throttled RequestLimitExceeded +",
            "BatchRegisterTargets ok -",
        ]
    );
}

#[rstest]
#[case("FailedOperation.ResourceInOperating", "busy")]
#[case(
    "FailedOperation",
    "Loadbalancer(lb-3456gh5) is not in normal desState, maybe some tasks are being processed, please try later."
)]
#[tokio::test]
async fn a_write_waits_for_a_busy_load_balancer(#[case] code: &str, #[case] message: &str) {
    let api = Api::new([refusal(code, message), ok("")]).await;
    write(&api.client()).await.unwrap();
    assert_eq!(api.requests().len(), 2);
}

#[rstest]
#[case::closed(Reply::Cut)]
#[case::cut_short(Reply::Part)]
#[case::status(Reply::Status(502, "<html>Bad Gateway</html>".into()))]
#[case::web_page(Reply::Body("<html>welcome</html>".into()))]
#[case::other_json(Reply::Body("[1, 2]".into()))]
#[case::no_response(Reply::Body("{}".into()))]
#[case::empty(Reply::Body(String::new()))]
#[case::internal(refusal("InternalError", "oops"))]
#[tokio::test]
async fn a_write_in_doubt_is_not_sent_again_but_a_read_is(#[case] reply: Reply) {
    let api = Api::new([reply.clone(), reply, ok("")]).await;
    let client = api.client();
    let error = write(&client).await.unwrap_err();
    assert_eq!(error.kind(), Kind::UnknownOutcome, "{error}");
    assert_eq!(api.requests().len(), 1, "the write was sent again");
    let text = error.to_string();
    assert!(
        text.starts_with("BatchRegisterTargets lb-demo0001 in ap-guangzhou: "),
        "{text}"
    );
    read(&client).await.unwrap();
    assert_eq!(api.requests().len(), 3, "the read was not sent again");
}

#[tokio::test]
async fn an_answer_too_large_is_not_asked_for_again() {
    let zeros = || Reply::Zeros(21 * 1024 * 1024);
    let api = Api::new([zeros(), zeros()]).await;
    let client = api.client();
    let error = write(&client).await.unwrap_err();
    assert_eq!(error.kind(), Kind::UnknownOutcome, "{error}");
    let one = [ListenerId::new("lbl-1")];
    let error = client.describe_targets(&lb(), &one).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_deadline() {
    let api = Api::new([Reply::Never, Reply::Never]).await;
    let mut config = config(api.endpoint());
    config.call_timeout = Duration::from_millis(300);
    let client = Client::new(config).unwrap();
    assert_eq!(
        write(&client).await.unwrap_err().kind(),
        Kind::UnknownOutcome
    );
    assert_eq!(read(&client).await.unwrap_err().kind(), Kind::Transient);
    assert_eq!(api.requests().len(), 2);
}

#[tokio::test]
async fn a_write_to_a_closed_port_was_certainly_not_done() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(config(endpoint.parse().unwrap())).unwrap();
    let error = write(&client).await.unwrap_err();
    assert!(matches!(error, Error::Unsent { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Transient);
    assert!(
        error
            .to_string()
            .contains(&format!("cannot reach {endpoint}: ")),
        "{error}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn nothing_is_sent_after_the_deadline() {
    let api = Api::new([ok("")]).await;
    let client = api.client();
    let late = client.until(tokio::time::Instant::now());
    let error = write(&late).await.unwrap_err();
    assert!(matches!(error, Error::Late { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Transient);
    assert!(api.requests().is_empty());
    write(&client).await.unwrap();
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_costs_nothing() {
    let body = r#"{"Response":{"RequestId":"r"}}"#;
    let api = Api::new([Reply::Last(body.into()), Reply::Last(body.into()), ok("")]).await;
    let client = api.client();
    for _ in 0..3 {
        read(&client).await.unwrap();
    }
}

#[rstest]
#[case(
    "AuthFailure.SignatureFailure",
    Kind::Denied,
    "check TENCENTCLOUD_SECRET_KEY"
)]
#[case(
    "AuthFailure.SecretIdNotFound",
    Kind::Denied,
    "check TENCENTCLOUD_SECRET_ID"
)]
#[case("AuthFailure.SignatureExpire", Kind::Denied, "clock")]
#[case(
    "UnauthorizedOperation",
    Kind::Denied,
    "allow clb:BatchRegisterTargets"
)]
#[case(
    "InvalidParameter.LBIdNotFound",
    Kind::Gone,
    "check the load balancer's id"
)]
#[case("UnsupportedRegion", Kind::Invalid, "check the region ap-guangzhou")]
#[case("LimitExceeded", Kind::Quota, "quota")]
#[tokio::test]
async fn a_refusal_says_what_to_check_and_is_not_repeated(
    #[case] code: &str,
    #[case] kind: Kind,
    #[case] advice: &str,
) {
    let api = Api::new([refusal(code, "No.")]).await;
    let error = write(&api.client()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.request_id()),
        (kind, Some(code), Some("req-no"))
    );
    let start = format!("BatchRegisterTargets lb-demo0001 in ap-guangzhou: {code}: No; ");
    let text = error.to_string();
    assert!(text.starts_with(&start) && text.contains(advice), "{text}");
    assert!(!format!("{error:?} {text}").contains("nobody-may-see"));
    assert_eq!(api.requests().len(), 1);
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_denied_and_nothing_is_sent() {
    let api = Api::new([]).await;
    let mut config = config(api.endpoint());
    config.credentials = Arc::new(clb::EnvCredentials::new(|_: &str| None));
    let error = read(&Client::new(config).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(
        error
            .to_string()
            .contains("TENCENTCLOUD_SECRET_ID is not set"),
        "{error}"
    );
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn lists_the_api_would_not_take_are_not_sent() {
    let api = Api::new([]).await;
    let client = api.client();
    for (count, shown) in [(0, "0 targets given"), (501, "501 targets given")] {
        let error = client
            .batch_deregister_targets(&lb(), &targets(count))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(shown), "{error}");
    }
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn long_lists_of_ids_are_read_in_pages() {
    let api = Api::new(std::iter::repeat_n(ok(""), 9)).await;
    let client = api.client();
    let listeners: Vec<ListenerId> = (0..101)
        .map(|n| ListenerId::new(format!("lbl-{n}")))
        .collect();
    client
        .describe_targets(&lb(), &listeners[..41])
        .await
        .unwrap();
    let query = ListenerQuery {
        listener_ids: listeners,
        ..ListenerQuery::default()
    };
    client.describe_listeners(&lb(), &query).await.unwrap();
    let ids: Vec<LoadBalancerId> = (0..21)
        .map(|n| LoadBalancerId::new(format!("lb-{n}")))
        .collect();
    client.describe_load_balancers(&ids).await.unwrap();
    client.describe_load_balancers(&[]).await.unwrap();
    let count = |field: &str, body: &serde_json::Value| body[field].as_array().map(Vec::len);
    let sizes: Vec<usize> = api
        .requests()
        .iter()
        .filter_map(|r| count("ListenerIds", &r.body).or_else(|| count("LoadBalancerIds", &r.body)))
        .collect();
    assert_eq!(sizes, [20, 20, 1, 100, 1, 20, 1]);
    assert_eq!(api.requests().len(), 7);
}

#[tokio::test]
async fn a_task_is_watched_to_its_end() {
    let running = || ok(r#""Status":2,"Message":null"#);
    let api = Api::new([running(), Reply::Cut, running(), ok(r#""Status":0"#)]).await;
    let task = Task::new("5c85074-3e7f");
    api.client()
        .wait_task(&task, Duration::from_secs(20))
        .await
        .unwrap();
    assert!(
        api.requests()
            .iter()
            .all(|request| request.body["TaskId"] == "5c85074-3e7f")
    );
    assert_eq!(api.requests().len(), 4);
}

#[rstest]
#[case(
    r#""Status":1,"Message":null"#,
    Kind::Transient,
    "the API gave no reason"
)]
#[case(r#""Status":1,"Message":"ENI not found""#, Kind::Gone, "ENI not found")]
#[tokio::test]
async fn a_failed_task_is_an_error(#[case] status: &str, #[case] kind: Kind, #[case] shown: &str) {
    let api = Api::new([ok(status)]).await;
    let error = api
        .client()
        .wait_task(&Task::new("t"), Duration::from_secs(20))
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.request_id()), (kind, Some("t")));
    assert!(error.to_string().contains(shown), "{error}");
}

#[tokio::test]
async fn a_task_that_does_not_end_is_left_and_an_unknown_one_has_ended() {
    let api = Api::new(std::iter::repeat_n(ok(r#""Status":2"#), 50)).await;
    let error = api
        .client()
        .wait_task(&Task::new("t"), Duration::from_millis(250))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TaskUnfinished { .. }), "{error:?}");

    let unknown = || refusal("InvalidParameter", "task t not found");
    let api = Api::new([unknown(), unknown(), unknown()]).await;
    api.client()
        .wait_task(&Task::new("t"), Duration::from_secs(20))
        .await
        .unwrap();
}
