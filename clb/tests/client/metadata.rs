//! The metadata service, simulated: the machine's role, region and VPC.

use std::sync::Arc;
use std::time::Duration;

use clb::{Clock, CredentialsError, Endpoint, Metadata, ProvideCredentials, RoleCredentials};
use rstest::rstest;
use serde_json::json;

use crate::support::{Api, Reply};

const NOW: i64 = 1_551_113_065;

fn now() -> Clock {
    Arc::new(|| jiff::Timestamp::from_second(NOW).unwrap())
}

fn metadata(endpoint: Endpoint) -> Metadata {
    Metadata::new(endpoint).unwrap()
}

fn text(body: &str) -> Reply {
    Reply::Body(body.to_owned())
}

fn missing() -> Reply {
    Reply::Status(404, "not found".to_owned())
}

fn given(expires: i64, code: &str) -> Reply {
    let answer = json!({"TmpSecretId": "AKIDrole", "TmpSecretKey": "key-nobody-may-see",
        "ExpiredTime": expires, "Expiration": "soon", "Token": "token-nobody-may-see", "Code": code});
    Reply::Body(answer.to_string())
}

async fn role(replies: Vec<Reply>) -> (Api, Result<String, CredentialsError>) {
    let api = Api::new(replies).await;
    let service = metadata(api.endpoint()).timeout(Duration::from_millis(300));
    let provider = RoleCredentials::new(service, now());
    assert!(!format!("{provider:?}").contains("nobody-may-see"));
    let got = provider.credentials().await;
    (api, got.map(|credentials| credentials.secret_id))
}

#[tokio::test]
async fn the_role_of_the_machine_gives_credentials() {
    let (api, got) = role(vec![text("gate-role\n"), given(NOW + 3600, "Success")]).await;
    assert_eq!(got.unwrap(), "AKIDrole");
    let lines: Vec<String> = api
        .requests()
        .into_iter()
        .map(|request| request.line)
        .collect();
    let root = "GET /latest/meta-data/cam/security-credentials/";
    assert_eq!(
        lines,
        [
            format!("{root} HTTP/1.1"),
            format!("{root}gate-role HTTP/1.1")
        ]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn they_are_renewed_when_five_minutes_are_left() {
    let replies = [
        text("gate-role"),
        given(NOW + 300, "Success"),
        text("gate-role"),
        given(NOW + 3600, "Success"),
    ];
    let api = Api::new(replies).await;
    let provider = RoleCredentials::new(metadata(api.endpoint()), now());
    provider.credentials().await.unwrap();
    provider.credentials().await.unwrap();
    assert_eq!(api.requests().len(), 2, "not at every call");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
    provider.credentials().await.unwrap();
    assert_eq!(api.requests().len(), 4);
    provider.credentials().await.unwrap();
    assert_eq!(api.requests().len(), 4);
}

#[rstest]
#[case::no_role(vec![missing()], "no role")]
#[case::silent(vec![Reply::Never], "no answer within 300ms")]
#[case::broken(vec![Reply::Status(500, String::new())], "HTTP status 500")]
#[case::cut(vec![Reply::Cut], "no role")]
#[tokio::test]
async fn a_machine_without_a_role_has_no_credentials(
    #[case] replies: Vec<Reply>,
    #[case] shown: &str,
) {
    let (_api, got) = role(replies).await;
    let error = got.unwrap_err();
    assert!(error.is_absent(), "{error:?}");
    assert!(error.to_string().contains(shown), "{error}");
}

#[rstest]
#[case::wrong_role(vec![text("gate-role"), missing()], "role gate-role: it has no credentials")]
#[case::failed(vec![text("gate-role"), given(NOW + 3600, "Failed")], "the answer is \"Failed\"")]
#[case::expired(vec![text("gate-role"), given(NOW, "Success")], "expired already")]
#[case::slow(vec![text("gate-role"), Reply::Never], "no answer within 300ms")]
#[case::a_portal(vec![text("<html>log in</html>")], "no name of a role")]
#[case::a_path(vec![text("../../other")], "no name of a role")]
#[case::web_page(vec![text("gate-role"), text("<html>key-nobody-may-see")], "no credentials in it")]
#[case::lies(
    vec![text("gate-role"), text(r#"{"Code":"Success","ExpiredTime":"key-nobody-may-see"}"#)],
    "no credentials in it"
)]
#[case::half(
    vec![text("gate-role"), text(r#"{"Code":"Success","TmpSecretKey":"key-nobody-may-see"}"#)],
    "no credentials in it"
)]
#[tokio::test]
async fn a_role_that_does_not_work_is_told_without_secrets(
    #[case] replies: Vec<Reply>,
    #[case] shown: &str,
) {
    let (_api, got) = role(replies).await;
    let error = got.unwrap_err();
    let all = format!("{error} {error:?}");
    assert!(!error.is_absent(), "{all}");
    assert!(error.to_string().contains(shown), "{error}");
    assert!(!all.contains("nobody-may-see"), "{all}");
}

#[tokio::test]
async fn region_and_vpc_are_read() {
    let api = Api::new([
        text("ap-tokyo"),
        text("52:54:00:12:34:56"),
        text("vpc-12345678\n"),
    ])
    .await;
    let service = metadata(api.endpoint());
    assert_eq!(service.region().await.unwrap().as_str(), "ap-tokyo");
    assert_eq!(service.vpc_id().await.unwrap(), "vpc-12345678");
    let last = api.requests().pop().unwrap().line;
    let path = "/latest/meta-data/network/interfaces/macs/52:54:00:12:34:56/vpc-id";
    assert_eq!(last, format!("GET {path} HTTP/1.1"));
}

#[rstest]
#[case::nobody(missing(), "it has no placement/region")]
#[case::a_portal(text("<html>log in</html>"), "accepted is a Tencent Cloud region")]
#[case::silent(Reply::Never, "no answer within")]
#[tokio::test]
async fn elsewhere_there_is_no_region(#[case] reply: Reply, #[case] shown: &str) {
    let api = Api::new([reply]).await;
    let service = metadata(api.endpoint()).timeout(Duration::from_millis(300));
    let error = service.region().await.unwrap_err().to_string();
    assert!(
        error.contains(shown) && error.contains(&api.endpoint().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_vpc_that_is_none_is_not_taken() {
    for replies in [
        [text("not a mac"), missing()],
        [text("52:54:00:12:34:56"), text("<html>")],
    ] {
        let api = Api::new(replies).await;
        metadata(api.endpoint()).vpc_id().await.unwrap_err();
    }
}
