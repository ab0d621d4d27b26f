//! Who may call and what, temporary credentials, and the operator's edits, through the real doors.

use crate::support::{LB, SECRET_KEY, Signer, Sim, config, signed_by};
use http_body_util::Full;
use serde_json::{Value, json};

impl Sim {
    async fn code_as(&self, signer: &Signer, action: &str) -> String {
        let host = self.handle.http_addr.to_string();
        let body = json!({ "LoadBalancerId": LB }).to_string();
        let request = signed_by(signer, &host, action, &body);
        let (_, _, answer) = self.send(request).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let code = answer["Response"]["Error"]["Code"].as_str();
        code.unwrap_or("ok").to_owned()
    }

    async fn post(&self, path: &str, body: Value) {
        let (status, answer) = self.operator("POST", path, &body.to_string()).await;
        assert_eq!(status, 200, "{path} {body}: {answer}");
    }

    async fn plain(&self, path: &str) -> (u16, String) {
        let request = http::Request::get(path).header("host", "metadata");
        let request = request.body(Full::default()).unwrap();
        let (status, _, text) = self.send(request).await.unwrap();
        (status, String::from_utf8(text.to_vec()).unwrap())
    }

    async fn assume(&self, body: Value) -> Value {
        let request = http::Request::post("/")
            .header("host", "sts")
            .header("content-type", "application/json")
            .header("authorization", "SKIP")
            .header("x-tc-action", "AssumeRoleWithWebIdentity")
            .header("x-tc-version", "2018-08-13")
            .header("x-tc-region", "ap-guangzhou")
            .body(Full::from(body.to_string()))
            .unwrap();
        let (_, _, answer) = self.send(request).await.unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        answer["Response"].take()
    }
}

fn temporary(credentials: &Value) -> Signer {
    let text = |name: &str| credentials[name].as_str().unwrap().to_owned();
    Signer {
        id: text("TmpSecretId"),
        key: text("TmpSecretKey"),
        token: Some(text("Token")),
    }
}

#[tokio::test]
async fn an_account_may_do_what_its_policy_allows() {
    let sim = Sim::start(config(40)).await;
    let reader = Signer {
        id: "AKIDreader".to_owned(),
        key: "k".to_owned(),
        token: None,
    };
    assert_eq!(
        sim.code_as(&reader, "DescribeListeners").await,
        "AuthFailure.SecretIdNotFound"
    );
    let policy = json!({ "version": "2.0", "statement": [
        { "effect": "allow", "action": ["clb:Describe*"], "resource": ["*"] },
        { "effect": "deny", "action": ["clb:DescribeTargets"], "resource": ["*"] },
    ] });
    let account = json!({ "secret_id": reader.id, "secret_key": reader.key, "policy": policy });
    sim.post("/_sim/accounts", account).await;
    assert_eq!(sim.code_as(&reader, "DescribeListeners").await, "ok");
    assert_eq!(
        sim.code_as(&reader, "DescribeTargets").await,
        "UnauthorizedOperation"
    );
    assert_eq!(
        sim.code_as(&reader, "DeleteLoadBalancerListeners").await,
        "UnauthorizedOperation"
    );
    let expired =
        json!({ "secret_id": "AKIDold", "secret_key": "k", "token": "t", "expires_at": 1 });
    sim.post("/_sim/accounts", expired).await;
    let old = Signer {
        id: "AKIDold".to_owned(),
        key: "k".to_owned(),
        token: Some("t".to_owned()),
    };
    assert_eq!(
        sim.code_as(&old, "DescribeListeners").await,
        "AuthFailure.TokenFailure"
    );
    let wrong = Signer {
        key: "not-it".to_owned(),
        ..reader
    };
    assert_eq!(
        sim.code_as(&wrong, "DescribeListeners").await,
        "AuthFailure.SignatureFailure"
    );
    assert_eq!(
        sim.operator("DELETE", "/_sim/accounts/AKIDreader", "")
            .await
            .0,
        200
    );
    let (status, answer) = sim
        .operator("POST", "/_sim/accounts", r#"{"secret_key":"hush"}"#)
        .await;
    assert!(
        status == 400 && !answer.to_string().contains("hush"),
        "{answer}"
    );
}

#[tokio::test]
async fn temporary_credentials_come_from_sts_and_from_the_machine() {
    let mut config = config(41);
    config.metadata_role = Some("node".to_owned());
    let sim = Sim::start(config).await;
    let ask = |token: &str| {
        json!({
            "ProviderId": "OIDC", "WebIdentityToken": token, "RoleArn": "qcs::cam::uin/1:roleName/gate",
            "RoleSessionName": "s", "DurationSeconds": 100,
        })
    };
    let answer = sim.assume(ask("jwt")).await;
    let signer = temporary(&answer["Credentials"]);
    assert!(answer["ExpiredTime"].is_i64() && answer["RequestId"].is_string());
    assert_eq!(sim.code_as(&signer, "DescribeListeners").await, "ok");
    let bare = Signer {
        token: None,
        ..signer
    };
    assert_eq!(
        sim.code_as(&bare, "DescribeListeners").await,
        "AuthFailure.TokenFailure"
    );
    let role = json!({ "arn": "qcs::cam::uin/1:roleName/other", "web_identity_token": "theirs" });
    sim.post("/_sim/roles", role).await;
    let refused = sim.assume(ask("jwt")).await;
    assert_eq!(refused["Error"]["Code"], "ResourceNotFound.RoleNotFound");
    let role = json!({ "arn": "qcs::cam::uin/1:roleName/gate", "web_identity_token": "jwt2" });
    sim.post("/_sim/roles", role).await;
    let refused = sim.assume(ask("jwt")).await;
    assert_eq!(
        refused["Error"]["Code"],
        "InvalidParameter.WebIdentityTokenError"
    );

    let machine = "/latest/meta-data/";
    assert_eq!(
        sim.plain(&format!("{machine}placement/region")).await.1,
        "ap-guangzhou"
    );
    let mac = sim.plain(&format!("{machine}mac")).await.1;
    let vpc = sim
        .plain(&format!("{machine}network/interfaces/macs/{mac}/vpc-id"))
        .await;
    assert_eq!(vpc, (200, "vpc-demo0001".to_owned()));
    let credentials = format!("{machine}cam/security-credentials/");
    assert_eq!(sim.plain(&credentials).await, (200, "node".to_owned()));
    let given = sim.plain(&format!("{credentials}node")).await.1;
    let given: Value = serde_json::from_str(&given).unwrap();
    assert_eq!(given["Code"], "Success");
    assert_eq!(
        sim.code_as(&temporary(&given), "DescribeListeners").await,
        "ok"
    );
    // Lives of no length: what is given out has expired already.
    let short = json!({ "metadata_role": "node", "duration_s": 0 }).to_string();
    sim.operator("PUT", "/_sim/temporary-credentials", &short)
        .await;
    let given = sim.plain(&format!("{credentials}node")).await.1;
    let given: Value = serde_json::from_str(&given).unwrap();
    assert_eq!(
        sim.code_as(&temporary(&given), "DescribeListeners").await,
        "AuthFailure.TokenFailure"
    );
    assert_eq!(sim.plain(&format!("{credentials}other")).await.0, 404);
    sim.operator("PUT", "/_sim/temporary-credentials", "{}")
        .await;
    assert_eq!(sim.plain(&credentials).await.0, 404, "no role");
}

#[tokio::test]
async fn operators_edit_behind_the_apis_back_and_see_each_call() {
    let mut slow = config(42);
    slow.delays.task_ms = 60_000;
    let sim = Sim::start(slow).await;
    let create = json!({ "action": "CreateListener", "body": { "LoadBalancerId": LB, "Ports": [80, 81], "Protocol": "TCP" } });
    let (_, made) = sim.operator("POST", "/_sim/do", &create.to_string()).await;
    let listener = made["ListenerIds"][0].as_str().unwrap().to_owned();
    let target = json!({ "load_balancer": LB, "listener": listener, "ip": "10.9.9.9", "port": 80, "tag": "theirs" });
    sim.post("/_sim/targets", target.clone()).await;
    let batch: Vec<Value> = (1..=3)
        .map(|number| json!({ "ListenerId": listener, "EniIp": format!("10.0.0.{number}"), "Port": 80 }))
        .collect();
    sim.operator("PUT", "/_sim/delays", r#"{"task_ms":1}"#)
        .await;
    sim.ok(
        "BatchRegisterTargets",
        json!({ "LoadBalancerId": LB, "Targets": batch }),
    )
    .await;
    let (_, calls) = sim.operator("GET", "/_sim/calls", "").await;
    let last = calls["last"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (
            &last["action"],
            &last["targets"],
            &last["load_balancers"],
            &last["outcome"]
        ),
        (
            &json!("BatchRegisterTargets"),
            &json!(3),
            &json!([LB]),
            &json!("ok")
        )
    );
    sim.operator("DELETE", "/_sim/targets", &target.to_string())
        .await;
    let (_, state) = sim.operator("GET", "/_sim/state", "").await;
    let targets = &state["load_balancers"][0]["listeners"][0]["targets"];
    assert_eq!(targets.as_array().unwrap().len(), 3);
    let (_, quotas) = sim
        .operator("PUT", "/_sim/quotas", r#"{"targets":3}"#)
        .await;
    assert_eq!(
        (&quotas["targets"], &quotas["listeners"]),
        (&json!(3), &json!(50))
    );
    let one = json!({ "LoadBalancerId": LB, "ListenerId": listener, "Targets": [{ "EniIp": "10.0.0.4", "Port": 80 }] });
    assert_eq!(sim.refused("RegisterTargets", one).await, "LimitExceeded");
    let path = format!("/_sim/load-balancers/{LB}/listeners/{listener}");
    assert_eq!(sim.operator("DELETE", &path, "").await.0, 200);
    assert_eq!(sim.operator("DELETE", &path, "").await.0, 400, "gone");
    assert_eq!(
        sim.operator("PUT", "/_sim/quotas", r#"{"beds":3}"#).await.0,
        400
    );
    assert_eq!(
        sim.operator("DELETE", &format!("/_sim/load-balancers/{LB}"), "")
            .await
            .0,
        200
    );
    assert_eq!(
        sim.refused("DescribeListeners", json!({ "LoadBalancerId": LB }))
            .await,
        "InvalidParameter.LBIdNotFound"
    );
    assert_eq!(sim.key, SECRET_KEY);
}

#[tokio::test]
async fn the_whole_state_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut kept = config(43);
    kept.state = Some(folder.path().join("state.json"));
    let sim = Sim::start(kept.clone()).await;
    let web = sim
        .done(
            "CreateListener",
            json!({ "LoadBalancerId": LB, "Ports": [80], "Protocol": "HTTP" }),
        )
        .await;
    let rule = json!({
        "LoadBalancerId": LB, "ListenerId": web["ListenerIds"][0],
        "Rules": [{ "Domain": "a.com", "Url": "/" }],
    });
    sim.done("CreateRule", rule).await;
    sim.done(
        "SetLoadBalancerSecurityGroups",
        json!({ "LoadBalancerId": LB, "SecurityGroups": ["sg-a"] }),
    )
    .await;
    let order = json!({ "LoadBalancerType": "OPEN", "ClientToken": "once" });
    let made = sim.done("CreateLoadBalancer", order.clone()).await;
    sim.operator("PUT", "/_sim/quotas", r#"{"rules":7}"#).await;
    sim.handle.shutdown().await.unwrap();
    let sim = Sim::start(kept).await;
    let (_, state) = sim.operator("GET", "/_sim/state", "").await;
    let mut all = state["load_balancers"].as_array().unwrap().iter();
    let found = all.find(|found| found["id"] == LB).unwrap();
    assert_eq!(found["listeners"][0]["rules"][0]["domain"], "a.com");
    assert_eq!(found["security_groups"], json!(["sg-a"]));
    assert_eq!(
        sim.ok("CreateLoadBalancer", order).await["LoadBalancerIds"],
        made["LoadBalancerIds"]
    );
    assert_eq!(sim.operator("GET", "/_sim/quotas", "").await.1["rules"], 7);
}
