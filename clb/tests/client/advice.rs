//! What a user reads: which of endpoint, region, key, token, clock and permission is wrong.

use clb::{About, Client, Error, Failure};
use rstest::rstest;
use serde_json::{Value, json};

use crate::local::{Local, failure, lb};
use crate::support::{Api, Reply, config};

async fn error(respond: impl Fn() -> Result<Value, Failure> + Send + Sync + 'static) -> Error {
    let api = Local::new(move |_, _| respond());
    let write = |client: Client| async move {
        let group = ["sg-1".to_owned()];
        client.set_security_groups(&lb(), &group).await
    };
    write(api.client()).await.unwrap_err()
}

#[rstest]
#[case(
    "AuthFailure.SecretIdNotFound",
    About::Key,
    "TENCENTCLOUD_SECRET_ID: no such key at http://clb.invalid"
)]
#[case("AuthFailure.InvalidSecretId", About::Key, "TENCENTCLOUD_SECRET_ID")]
#[case("AuthFailure.SignatureFailure", About::Key, "TENCENTCLOUD_SECRET_KEY")]
#[case(
    "AuthFailure.TokenFailure",
    About::Token,
    "TENCENTCLOUD_TOKEN: it has expired"
)]
#[case("AuthFailure.SignatureExpire", About::Clock, "clock")]
#[case(
    "AuthFailure.UnauthorizedOperation",
    About::Permission,
    "allow clb:SetLoadBalancerSecurityGroups"
)]
#[case(
    "UnauthorizedOperation.CamNoAuth",
    About::Permission,
    "allow clb:SetLoadBalancerSecurityGroups"
)]
#[case("UnsupportedRegion", About::Region, "check the region ap-guangzhou")]
#[case(
    "InvalidParameter.RegionNotFound",
    About::Region,
    "check the region ap-guangzhou"
)]
#[case(
    "InvalidAction",
    About::Endpoint,
    "check the endpoint http://clb.invalid"
)]
#[case(
    "NoSuchVersion",
    About::Endpoint,
    "check the endpoint http://clb.invalid"
)]
#[case(
    "InvalidParameter.LBIdNotFound",
    About::LoadBalancer,
    "in ap-guangzhou"
)]
#[case("LimitExceeded", About::Quota, "quota")]
#[tokio::test(start_paused = true)]
async fn a_code_says_what_to_check(
    #[case] code: &'static str,
    #[case] about: About,
    #[case] text: &str,
) {
    let error = error(move || Ok(failure(code))).await;
    let advice = error.advice().unwrap();
    assert_eq!(advice.about(), about, "{error}");
    assert!(advice.to_string().contains(text), "{advice}");
    assert!(
        error.to_string().ends_with(&format!("; {advice}")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn other_codes_give_no_advice() {
    for code in ["FailedOperation", "InvalidParameterValue", "Brand.New", ""] {
        let error = error(move || Ok(failure(code))).await;
        assert!(error.advice().is_none(), "{error}");
    }
    let lost = error(|| Err(Failure::Lost("cut".into()))).await;
    assert!(lost.advice().is_none(), "{lost}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_nobody_answers_at_is_told_from_one_that_is_not_the_apis() {
    let unsent = error(|| Err(Failure::Unsent("dns error".into()))).await;
    assert!(
        unsent
            .to_string()
            .contains("cannot reach http://clb.invalid: dns error; check the endpoint"),
        "{unsent}"
    );
    assert_eq!(unsent.advice().unwrap().about(), About::Endpoint);
}

#[rstest]
#[case::web_page(Reply::Body("<html>welcome</html>".into()))]
#[case::moved(Reply::Status(301, String::new()))]
#[case::other_json(Reply::Body(json!({"kind": "Status"}).to_string()))]
#[tokio::test]
async fn a_server_that_is_not_the_apis_is_told(#[case] reply: Reply) {
    let api = Api::new([reply]).await;
    let client = Client::new(config(api.endpoint())).unwrap();
    let error = client.set_security_groups(&lb(), &[]).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("answered with HTTP status") && text.contains("check the endpoint"),
        "{text}"
    );
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_told() {
    // RFC 2606 keeps this name from ever existing.
    let client = Client::new(config("http://clb.invalid".parse().unwrap())).unwrap();
    let error = client.set_security_groups(&lb(), &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unsent { .. }), "{error:?}");
    assert_eq!(error.advice().unwrap().about(), About::Endpoint);
}
