//! Credentials that somebody gives: a pod's identity at a simulated STS, and the chain of places.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clb::{
    ChainConfig, Client, Clock, CredentialsChain, CredentialsError, Endpoint, Exchange, Exchanging,
    Kind, Lookup, ProvideCredentials, SECRET_ID, SECRET_KEY, WebIdentity, WebIdentityCredentials,
};
use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use crate::local::{Local, failure, lb};
use crate::support::{Api, Reply, refusal};

const START: i64 = 1_551_113_065;

/// A clock that is set by hand.
fn clock() -> (Arc<AtomicI64>, Clock) {
    let second = Arc::new(AtomicI64::new(START));
    let read = second.clone();
    let now = move || Timestamp::from_second(read.load(Ordering::Relaxed)).unwrap();
    (second, Arc::new(now))
}

fn identity(token: &str) -> (tempfile::NamedTempFile, WebIdentity) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{token}\n")).unwrap();
    let identity = WebIdentity {
        region: "ap-guangzhou".parse().unwrap(),
        provider_id: "cls-1".to_owned(),
        token_file: file.path().to_owned(),
        role_arn: "qcs::cam::uin/1:roleName/gate".to_owned(),
    };
    (file, identity)
}

fn endpoint() -> Endpoint {
    "http://sts.invalid".parse().unwrap()
}

fn given(id: &str, expires: i64) -> Value {
    json!({"ExpiredTime": expires, "Expiration": "soon", "Credentials": {
        "Token": format!("token-{id}"), "TmpSecretId": id, "TmpSecretKey": "key-nobody-may-see"}})
}

/// An STS that gives credentials of two hours, named by their number.
fn sts(second: &Arc<AtomicI64>) -> Arc<Local> {
    let (count, second) = (AtomicUsize::new(0), second.clone());
    Local::new(move |_, _| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        let expires = second.load(Ordering::Relaxed) + 7200;
        Ok(given(&format!("id-{number}"), expires))
    })
}

async fn id(provider: &dyn ProvideCredentials) -> Result<String, CredentialsError> {
    Ok(provider.credentials().await?.secret_id)
}

#[tokio::test(start_paused = true)]
async fn the_token_is_shown_and_read_anew_at_each_renewal() {
    let (second, now) = clock();
    let (file, identity) = identity("one");
    let api = sts(&second);
    let provider = WebIdentityCredentials::over(identity, endpoint(), api.clone(), now);
    assert_eq!(id(&provider).await.unwrap(), "id-1");
    let body = json!({"ProviderId": "cls-1", "WebIdentityToken": "one", "DurationSeconds": 7200,
        "RoleArn": "qcs::cam::uin/1:roleName/gate", "RoleSessionName": "clb-gate"});
    assert_eq!(api.only("AssumeRoleWithWebIdentity"), body);

    std::fs::write(file.path(), "two").unwrap();
    tokio::time::advance(Duration::from_mins(1)).await;
    second.store(START + 6479, Ordering::Relaxed);
    assert_eq!(id(&provider).await.unwrap(), "id-1");
    second.store(START + 6480, Ordering::Relaxed);
    assert_eq!(id(&provider).await.unwrap(), "id-2");
    assert_eq!(api.asked()[1].1["WebIdentityToken"], "two");
}

#[tokio::test]
async fn the_request_is_as_sts_wants_it() {
    let (_, now) = clock();
    let (_file, identity) = identity("one");
    let answer = json!({"Response": given("id", START + 60)}).to_string();
    let api = Api::new([Reply::Body(answer)]).await;
    let provider = WebIdentityCredentials::new(identity, api.endpoint(), None, now).unwrap();
    let credentials = provider.credentials().await.unwrap();
    assert_eq!(credentials.secret_id, "id");
    assert!(!format!("{credentials:?} {provider:?}").contains("nobody-may-see"));
    let request = api.requests().remove(0);
    let host = format!("127.0.0.1:{}", api.port);
    for (name, value) in [
        ("authorization", "SKIP"),
        ("host", host.as_str()),
        ("x-tc-action", "AssumeRoleWithWebIdentity"),
        ("x-tc-region", "ap-guangzhou"),
        ("x-tc-timestamp", "1551113065"),
        ("x-tc-token", ""),
        ("x-tc-version", "2018-08-13"),
    ] {
        assert_eq!(request.header(name), value, "{name}");
    }
}

#[rstest]
#[case::wrong_token(
    refusal("InvalidParameter.WebIdentityTokenError", "bad token secret-jwt."),
    "is a valid token for the identity provider cls-1"
)]
#[case::wrong_role(
    refusal("ResourceNotFound.RoleNotFound", "no"),
    "check that the role qcs::cam::uin/1:roleName/gate exists"
)]
#[case::broken(refusal("InternalError", "oops"), "InternalError: oops")]
#[case::expired(Reply::Body(json!({"Response": given("id", START)}).to_string()), "check this node's clock")]
#[case::no_sts(Reply::Status(404, "<html>".into()), "is it an STS endpoint?")]
#[case::web_page(Reply::Body("<html>key-nobody-may-see".into()), "an answer that is not STS's")]
#[case::lies(
    Reply::Body(json!({"Response": {"ExpiredTime": "key-nobody-may-see", "Credentials": 5}}).to_string()),
    "an answer that is not STS's"
)]
#[case::cut(Reply::Cut, "no answer")]
#[tokio::test]
async fn what_sts_says_instead_is_told_without_secrets(#[case] reply: Reply, #[case] shown: &str) {
    let (_, now) = clock();
    let (_file, identity) = identity("secret-jwt");
    let api = Api::new([reply]).await;
    let provider = WebIdentityCredentials::new(identity, api.endpoint(), None, now).unwrap();
    let error = provider.credentials().await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains(shown), "{text}");
    assert!(
        !text.contains("nobody-may-see") && !text.contains("secret-jwt"),
        "{text}"
    );
    assert!(!error.is_absent());
    // Nobody is asked again at once.
    provider.credentials().await.unwrap_err();
    assert_eq!(api.requests().len(), 1);
}

struct Silent;

impl Exchange for Silent {
    fn exchange(&self, _: http::HeaderMap, _: bytes::Bytes) -> Exchanging<'_> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_sts_costs_five_seconds_and_the_call_no_more_than_its_time() {
    let (_, now) = clock();
    let (_file, identity) = identity("one");
    let start = tokio::time::Instant::now();
    let silent = || {
        WebIdentityCredentials::over(identity.clone(), endpoint(), Arc::new(Silent), now.clone())
    };
    let error = id(&silent()).await.unwrap_err();
    assert!(
        error.is_transient() && error.to_string().contains("no answer within 5s"),
        "{error}"
    );
    assert_eq!(start.elapsed(), Duration::from_secs(5));

    let api = Local::answering(json!({}));
    let mut config = api.config();
    config.credentials = Arc::new(silent());
    config.call_timeout = Duration::from_secs(2);
    let error = Client::new(config)
        .unwrap()
        .describe_quota()
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("they did not come in time"),
        "{error}"
    );
    assert_eq!(error.kind(), Kind::Transient);
    assert!(api.asked().is_empty());
}

#[tokio::test]
async fn a_missing_token_file_is_named() {
    let (_, now) = clock();
    let (_file, mut identity) = identity("one");
    identity.token_file = PathBuf::from("/nowhere/token");
    let provider = WebIdentityCredentials::over(identity, endpoint(), Arc::new(Silent), now);
    let error = id(&provider).await.unwrap_err();
    assert!(
        error.to_string().contains("cannot read /nowhere/token"),
        "{error}"
    );
    assert!(
        !error.is_absent(),
        "a pod with an identity never takes the machine's"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_the_api_refuses_is_replaced_and_the_call_made_again_once() {
    let (second, now) = clock();
    let (_file, identity) = identity("one");
    let sts = sts(&second);
    let provider = WebIdentityCredentials::over(identity, endpoint(), sts.clone(), now);
    let refused = Arc::new(Mutex::new(true));
    let refuse = refused.clone();
    let api = Local::new(move |_, _| {
        Ok(if std::mem::take(&mut *refuse.lock().unwrap()) {
            failure("AuthFailure.TokenFailure")
        } else {
            json!({})
        })
    });
    let mut config = api.config();
    config.credentials = Arc::new(provider);
    let client = Client::new(config).unwrap();
    let calls = || (sts.asked().len(), api.asked().len());
    // Just issued: other ones would be refused as well.
    client.set_security_groups(&lb(), &[]).await.unwrap_err();
    assert_eq!(calls(), (1, 1));
    tokio::time::advance(Duration::from_secs(10)).await;
    client.set_security_groups(&lb(), &[]).await.unwrap();
    assert_eq!(calls(), (2, 2));
    tokio::time::advance(Duration::from_secs(10)).await;
    *refused.lock().unwrap() = true;
    client.set_security_groups(&lb(), &[]).await.unwrap();
    assert_eq!(calls(), (3, 4));
}

#[tokio::test]
async fn a_rotated_secret_is_used_for_the_call_that_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let write = |id: &str| {
        std::fs::write(directory.path().join(SECRET_ID), id).unwrap();
        std::fs::write(directory.path().join(SECRET_KEY), "key").unwrap();
    };
    write("old");
    let path = directory.path().to_owned();
    let api = Local::new(move |_, _| {
        let id = std::fs::read_to_string(path.join(SECRET_ID)).unwrap();
        std::fs::write(path.join(SECRET_ID), "new").unwrap();
        Ok(if id == "old" {
            failure("AuthFailure.SecretIdNotFound")
        } else {
            json!({})
        })
    });
    let mut config = api.config();
    config.credentials = Arc::new(clb::DirectoryCredentials::new(directory.path()));
    let client = Client::new(config).unwrap();
    client.set_security_groups(&lb(), &[]).await.unwrap();
    assert_eq!(api.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_stays_refused_is_not_tried_again() {
    let api = Local::answering(failure("AuthFailure.SignatureFailure"));
    api.client()
        .set_security_groups(&lb(), &[])
        .await
        .unwrap_err();
    assert_eq!(api.asked().len(), 1);
}

/// A chain of an environment, a file and a metadata service.
fn chain(
    env: &'static [(&'static str, &'static str)],
    file: &str,
    metadata: Endpoint,
) -> CredentialsChain {
    let lookup: Lookup = Arc::new(move |name: &str| {
        let found = env.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    let mut config = ChainConfig::new(lookup, clock().1);
    config.files = vec![PathBuf::from(file)];
    config.sts = "http://127.0.0.1:1".parse().unwrap();
    config.metadata = Some(metadata);
    config.build().unwrap()
}

#[tokio::test]
async fn the_first_place_that_has_credentials_gives_them() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[default]\nsecret_id = file\nsecret_key = k\n").unwrap();
    let path = file.path().to_str().unwrap();
    let expires = START + 3600;
    let role = json!({"TmpSecretId": "role", "TmpSecretKey": "k", "Token": "t", "Code": "Success", "ExpiredTime": expires});
    let api = Api::new([Reply::Body("gate".into()), Reply::Body(role.to_string())]).await;
    let both: &[(&str, &str)] = &[(SECRET_ID, "env"), (SECRET_KEY, "k")];
    assert_eq!(id(&chain(both, path, api.endpoint())).await.unwrap(), "env");
    assert_eq!(id(&chain(&[], path, api.endpoint())).await.unwrap(), "file");
    assert!(
        api.requests().is_empty(),
        "the metadata service was asked in vain"
    );
    assert_eq!(
        id(&chain(&[], "/nowhere", api.endpoint())).await.unwrap(),
        "role"
    );
}

#[tokio::test]
async fn a_pod_whose_identity_does_not_work_takes_no_others() {
    let api = Api::new([]).await;
    let env: &[(&str, &str)] = &[
        ("TKE_REGION", "ap-guangzhou"),
        ("TKE_PROVIDER_ID", "cls-1"),
        ("TKE_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token"),
        ("TKE_ROLE_ARN", "qcs::cam::uin/1:roleName/gate"),
    ];
    let error = id(&chain(env, "/nowhere", api.endpoint()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/nowhere/token"), "{error}");
    let half: &[(&str, &str)] = &[("TKE_ROLE_ARN", "qcs::cam::uin/1:roleName/gate")];
    let error = id(&chain(half, "/nowhere", api.endpoint()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("TKE_REGION is not set"),
        "{error}"
    );
    assert!(api.requests().is_empty());
}

#[tokio::test]
async fn nowhere_is_said_with_all_places() {
    let nobody = "http://127.0.0.1:1".parse().unwrap();
    let error = id(&chain(&[], "/nowhere", nobody)).await.unwrap_err();
    assert!(error.is_absent());
    for part in [
        "TENCENTCLOUD_SECRET_ID is not set in the environment",
        "TKE_ROLE_ARN is not set in the environment",
        "TENCENTCLOUD_SECRET_ID is not set in /nowhere",
        "the metadata service http://127.0.0.1:1",
        "set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
