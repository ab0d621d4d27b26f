//! From a `TkeServiceConfig` that comes, changes and goes to the rules of the Ingress that names it.

use direct_access::{IngressFacts, Protocol};
use gate_controller::configs::TkeServiceConfig;
use runtime::watch::Offered;
use runtime::{Change, Key};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::hamlet::{Hamlet, MINUTE};
use super::settles::while_it_works;
use super::town::operate;
use super::world::LOAD_BALANCER;

/// The Service is led to by an Ingress, `a.example/` and `a.example/shop` on port 443 of HTTPS, and asks for nothing
/// itself.
fn fronted() -> Hamlet {
    let hamlet = Hamlet::new();
    hamlet.serve(&json!({ "service.cloud.tencent.com/direct-access": "false" }));
    lead(&hamlet, "tuned");
    hamlet
}

fn lead(hamlet: &Hamlet, config: &str) {
    lead_host(hamlet, config, "a.example");
}

fn lead_host(hamlet: &Hamlet, config: &str, host: &str) {
    let path = |path: &str| {
        json!({"path": path, "pathType": "Prefix",
            "backend": {"service": {"name": "web", "port": {"number": 80}}}})
    };
    let certificate = json!([{"hosts": [host], "qcloud_cert_id": ["cert-a"]}]).to_string();
    let front = json!({
        "metadata": {"namespace": "shop", "name": "front", "uid": "uid-front", "annotations": {
            "ingress.cloud.tencent.com/direct-access": "true",
            "kubernetes.io/ingress.existLbId": LOAD_BALANCER,
            "ingress.cloud.tencent.com/certificate": certificate,
            "ingress.cloud.tencent.com/tke-service-config": config}},
        "spec": {"rules": [{"host": host, "http": {"paths": [path("/"), path("/shop")]}}]}});
    let front = IngressFacts::prune(serde_json::from_value(front).unwrap());
    let key = Key::new("shop", "front");
    hamlet.cluster.on_ingress(Change::Applied(key, front));
}

/// The config says this of `a.example` on port 443 of HTTPS.
fn declare(hamlet: &Hamlet, domain: &Value) {
    declare_of(hamlet, "a.example", domain);
}

fn declare_of(hamlet: &Hamlet, host: &str, domain: &Value) {
    let mut whole = json!({"domain": host});
    let fields = domain.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(fields);
    let listener = json!({"protocol": "HTTPS", "port": 443, "domains": [whole]});
    let object = TkeServiceConfig {
        spec: json!({"loadBalancer": {"l7Listeners": [listener]}}),
        ..TkeServiceConfig::default()
    };
    let change = Change::Applied(Key::new("shop", "tuned"), object.read());
    hamlet.cluster.on_configs(Offered::Change(change));
}

/// These fields of the rule of `a.example` and a path.
fn rule(hamlet: &Hamlet, url: &str, fields: &[&str]) -> Vec<Value> {
    let there = hamlet.there();
    let rules = there["Rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["Url"] == url).unwrap();
    let field = |field: &&str| rule.pointer(field).cloned().unwrap_or_default();
    fields.iter().map(field).collect()
}

const FORWARDING: [&str; 5] = [
    "/HealthCheck/IntervalTime",
    "/HealthCheck/HttpCheckPath",
    "/Scheduler",
    "/SessionExpireTime",
    "/ForwardType",
];

fn shop(hamlet: &Hamlet) -> Value {
    rule(hamlet, "/shop", &FORWARDING).into()
}

fn http2(hamlet: &Hamlet) -> [Value; 2] {
    ["/", "/shop"].map(|url| rule(hamlet, url, &["/Http2"])[0].clone())
}

fn unchanged(hamlet: &Hamlet) -> Vec<String> {
    let view = hamlet.world.view();
    let told = view.unchanged.get(&Protocol::Https.at(443));
    told.cloned().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_config_that_comes_changes_and_goes_is_followed_by_rules_in_place() {
    let hamlet = fronted();
    let calls = |action: &str| hamlet.world.calls(action);
    let story = async {
        let told = hamlet.settle().await;
        assert!(told.len() == 1 && told[0].contains("E4043"), "{told:?}");
        let plain = rule(&hamlet, "/", &FORWARDING);
        assert_eq!(shop(&hamlet), json!([5, "/", "WRR", 0, "HTTP"]));
        assert_eq!(http2(&hamlet), [json!(false), json!(false)]);

        let check = json!({"enable": true, "intervalTime": 9, "httpCheckPath": "/healthz"});
        let session = json!({"enable": true, "sessionExpireTime": 60});
        declare(
            &hamlet,
            &json!({"http2": true, "rules": [{"url": "/shop", "scheduler": "LEAST_CONN", "session": session,
                "healthCheck": check, "forwardType": "HTTPS"}, {"url": "/other"}]}),
        );
        let told = hamlet.settle().await;
        assert!(
            told.len() == 1 && told[0].contains("a.example/other"),
            "{told:?}"
        );
        let tuned = json!([9, "/healthz", "LEAST_CONN", 60, "HTTPS"]);
        assert_eq!(shop(&hamlet), tuned);
        assert_eq!(rule(&hamlet, "/", &FORWARDING), plain, "not declared");
        assert_eq!(http2(&hamlet), [json!(true), json!(true)]);
        assert_eq!(calls("ModifyRule"), 1);
        assert_eq!(calls("ModifyDomainAttributes"), 1);

        // What it does not say any more stays.
        declare(
            &hamlet,
            &json!({"http2": false, "rules": [{"url": "/shop", "scheduler": "IP_HASH"}]}),
        );
        assert_eq!(hamlet.settle().await, Vec::<String>::new());
        let tuned = json!([9, "/healthz", "IP_HASH", 60, "HTTPS"]);
        assert_eq!(shop(&hamlet), tuned);
        assert_eq!(http2(&hamlet), [json!(false), json!(false)]);

        // Gone, and then no kind at all: the rules stay as they are.
        hamlet.withdraw();
        assert_eq!(hamlet.settle().await.len(), 1);
        hamlet.cluster.on_configs(Offered::Absent);
        sleep(MINUTE * 10).await;
        assert_eq!(hamlet.settle().await.len(), 1);
        assert_eq!(shop(&hamlet), tuned);
        assert_eq!(
            (calls("ModifyRule"), calls("ModifyDomainAttributes")),
            (2, 2)
        );
        assert!(unchanged(&hamlet).is_empty(), "{:?}", unchanged(&hamlet));
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!((calls("CreateRule"), calls("DeleteRule")), (1, 0));
    assert_eq!(calls("BatchDeregisterTargets"), 0);
}

/// Rules are made as declared but for what the API refuses, which is told.
#[tokio::test(start_paused = true)]
async fn rules_are_made_as_declared_and_what_is_refused_keeps_nothing_else_back() {
    let hamlet = fronted();
    let check =
        json!({"enable": true, "timeout": 10, "intervalTime": 10, "httpCheckPath": "/healthz"});
    declare(
        &hamlet,
        &json!({"http2": true, "rules": [{"url": "/", "scheduler": "IP_HASH"},
            {"url": "/shop", "scheduler": "LEAST_CONN", "healthCheck": check}]}),
    );
    let story = async {
        let told = hamlet.settle().await;
        assert!(
            told.len() == 1 && told[0].contains("smaller than intervalTime 10"),
            "{told:?}"
        );
        assert_eq!(hamlet.world.bound().len(), 4);
        assert_eq!(
            shop(&hamlet),
            json!([5, "/healthz", "LEAST_CONN", 0, "HTTP"])
        );
        assert_eq!(rule(&hamlet, "/", &["/Scheduler"]), ["IP_HASH"]);
        assert_eq!(http2(&hamlet), [json!(true), json!(true)]);
        assert_eq!(hamlet.world.calls("ModifyDomainAttributes"), 0);
        let told = unchanged(&hamlet);
        assert!(
            told[0].contains("HealthCheck.TimeOut is 2, declared is 10"),
            "{told:?}"
        );
        // Another config: what that one says.
        lead(&hamlet, "other");
        assert_eq!(hamlet.settle().await.len(), 1);
        lead(&hamlet, "tuned");
        let check = json!({"enable": true, "timeout": 9, "intervalTime": 10});
        declare(
            &hamlet,
            &json!({"rules": [{"url": "/shop", "healthCheck": check}]}),
        );
        assert_eq!(hamlet.settle().await, Vec::<String>::new());
        assert_eq!(
            shop(&hamlet),
            json!([10, "/healthz", "LEAST_CONN", 0, "HTTP"])
        );
        assert!(unchanged(&hamlet).is_empty(), "{:?}", unchanged(&hamlet));
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("CreateRule"), 1);
}

/// The API refuses a rule for a wildcard whose check names no host: it is made once the object names one.
#[tokio::test(start_paused = true)]
async fn a_wildcard_is_served_once_its_check_has_a_host_to_ask_for() {
    let hamlet = fronted();
    lead_host(&hamlet, "tuned", "*.a.example");
    let check = json!({"enable": true, "httpCheckDomain": "www.a.example"});
    let both = ["/", "/shop"].map(|url| json!({"url": url, "healthCheck": check}));
    let story = async {
        let told = hamlet.settle().await.concat();
        assert!(
            told.contains("*.a.example") && told.contains("httpCheckDomain"),
            "{told}"
        );
        assert_eq!(hamlet.world.calls("CreateRule"), 0);
        declare_of(&hamlet, "*.a.example", &json!({ "rules": both }));
        assert_eq!(hamlet.settle().await, Vec::<String>::new());
        let asked = rule(
            &hamlet,
            "/shop",
            &["/Domain", "/HealthCheck/HttpCheckDomain"],
        );
        assert_eq!(asked, ["*.a.example", "www.a.example"]);
        assert_eq!(hamlet.world.bound().len(), 4);
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
}

/// On a listener of somebody else nothing is changed, and what differs is told.
#[tokio::test(start_paused = true)]
async fn rules_of_others_stay_as_they_are() {
    let hamlet = fronted();
    let order =
        json!({ "Ports": [443], "Protocol": "HTTPS", "ListenerNames": ["theirs"], "SniSwitch": 1 });
    let made = operate(&hamlet.world, "CreateListener", &order);
    let certificate = json!({"SSLMode": "UNIDIRECTIONAL", "CertId": "cert-a"});
    let rules = ["/", "/shop"]
        .map(|url| json!({ "Domain": "a.example", "Url": url, "Certificate": certificate }));
    let order = json!({ "ListenerId": made["ListenerIds"][0], "Rules": rules });
    operate(&hamlet.world, "CreateRule", &order);
    declare(
        &hamlet,
        &json!({"rules": [{"url": "/shop", "scheduler": "LEAST_CONN"}]}),
    );
    let story = async {
        assert_eq!(hamlet.settle().await, Vec::<String>::new());
        assert_eq!(hamlet.world.bound().len(), 4);
        assert_eq!(shop(&hamlet)[2], "WRR");
        let told = unchanged(&hamlet);
        assert!(
            told.len() == 1 && told[0].contains("declared is \"LEAST_CONN\""),
            "{told:?}"
        );
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("ModifyRule"), 0);
}
