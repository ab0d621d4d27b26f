//! A Service that speaks HTTP and HTTPS: its hosts become rules, and a listener that serves is replaced
//! only by one that can.

use direct_access::{CertificateId, ObjectRef};
use gate_controller::secrets::Certificates;
use serde_json::{Value, json};

use super::hamlet::Hamlet;
use super::settles::while_it_works;
use super::town::listeners;

const PROTOCOLS: &str = "service.cloud.tencent.com/specify-protocol";

fn speak(hamlet: &Hamlet, entry: Option<&Value>) {
    let said = entry.map_or_else(
        || json!({}),
        |entry| json!({ PROTOCOLS: json!({ "80": entry }).to_string() }),
    );
    hamlet.serve(&said);
}

/// What the Service is told, but for the config that is not there.
async fn settle(hamlet: &Hamlet) -> Vec<String> {
    hamlet.settle().await;
    let mut told = hamlet.settle().await;
    told.retain(|one| !one.contains("tuned"));
    told
}

fn read(hamlet: &Hamlet, name: &str, read: Result<&str, &str>) {
    let secret = ObjectRef {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    };
    assert!(hamlet.cluster.named_secrets().contains(&secret));
    let id = |server: &str| CertificateId {
        server: server.to_owned(),
        clients_ca: None,
    };
    let mut all: Certificates = hamlet.cluster.certificates();
    all.insert(secret, read.map(id).map_err(str::to_owned));
    hamlet.cluster.on_certificates(all);
}

/// Holder and address of every target.
fn bound(hamlet: &Hamlet) -> Vec<String> {
    let all = hamlet.world.bound().into_keys();
    all.map(|(holder, address)| {
        let place = holder.split_once(' ').unwrap().1;
        format!("{place} {address}")
    })
    .collect()
}

fn both(place: &str) -> Vec<String> {
    let pod = |number: u8| format!("{place} 10.0.0.{number}:8080");
    (1..=2).map(pod).collect()
}

/// Domain and certificate of every rule.
fn shown(hamlet: &Hamlet) -> Vec<(String, Value)> {
    let there = hamlet.there();
    let rules = there["Rules"].as_array().cloned().unwrap_or_default();
    let one = |rule: &Value| {
        let domain = rule["Domain"].as_str().unwrap().to_owned();
        (domain, rule["Certificate"]["CertId"].clone())
    };
    rules.iter().map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn hosts_come_change_and_go() {
    let hamlet = Hamlet::new();
    let http = |hosts: &Value| json!({"protocol": ["HTTP"], "hosts": hosts});
    let story = async {
        speak(&hamlet, Some(&http(&json!({"a.com": {}, "b.com": {}}))));
        assert_eq!(settle(&hamlet).await, Vec::<String>::new());
        let all = [both("HTTP:80 a.com/"), both("HTTP:80 b.com/")].concat();
        assert_eq!(bound(&hamlet), all);
        let id = listeners(&hamlet.world)[0]["id"].clone();

        // A typing error leaves its rule as it is, and a pod that comes is bound to the others.
        speak(&hamlet, Some(&http(&json!({"a.com": {}, "b,com": {}}))));
        hamlet.pod(3, 8080, None);
        let told = settle(&hamlet).await;
        assert!(
            told.len() == 1 && told[0].contains("b,com") && told[0].contains("[80].hosts"),
            "{told:?}"
        );
        let mut more = all.clone();
        more.insert(2, "HTTP:80 a.com/ 10.0.0.3:8080".to_owned());
        assert_eq!(bound(&hamlet), more);

        // Mended, and another host.
        let hosts = json!({"a.com": {}, "b.com": {}, "c.com": {}});
        speak(&hamlet, Some(&http(&hosts)));
        assert_eq!(settle(&hamlet).await, Vec::<String>::new());
        assert_eq!((bound(&hamlet).len(), shown(&hamlet).len()), (9, 3));

        // The default host goes.
        speak(&hamlet, Some(&http(&json!({"c.com": {}}))));
        assert_eq!(settle(&hamlet).await, Vec::<String>::new());
        settle(&hamlet).await;
        assert_eq!(shown(&hamlet), [("c.com".to_owned(), Value::Null)]);
        assert_eq!(listeners(&hamlet.world)[0]["id"], id);

        // No hosts at all holds the port.
        speak(&hamlet, Some(&json!({"protocol": ["HTTP"]})));
        let told = settle(&hamlet).await;
        assert!(told[0].contains("HTTP needs hosts"), "{told:?}");
        assert_eq!(bound(&hamlet).len(), 3);

        speak(&hamlet, None);
        assert_eq!(settle(&hamlet).await, Vec::<String>::new());
        settle(&hamlet).await;
        assert_eq!(hamlet.there()["Protocol"], "TCP");
        assert_eq!(bound(&hamlet).len(), 3);
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("CreateListener"), 2);
    assert_eq!(hamlet.world.view().problem, None);
}

#[tokio::test(start_paused = true)]
async fn what_serves_over_tcp_stays_until_the_certificates_are_known() {
    let hamlet = Hamlet::new();
    let https = json!({"protocol": ["HTTPS"],
        "hosts": {"a.com": {"tls": "cert-a"}, "b.com": {"tls": "cert-b"}}});
    let story = async {
        settle(&hamlet).await;
        assert_eq!(bound(&hamlet), both("TCP:80"));
        speak(&hamlet, Some(&https));
        assert_eq!(settle(&hamlet).await, Vec::<String>::new(), "being read");
        assert_eq!(bound(&hamlet), both("TCP:80"));
        read(&hamlet, "cert-a", Ok("certa001"));
        read(&hamlet, "cert-b", Err("it has no key qcloud_cert_id"));
        let told = settle(&hamlet).await;
        assert!(
            told.len() == 1 && told[0].contains("cert-b") && told[0].contains("no key"),
            "{told:?}"
        );
        assert_eq!(bound(&hamlet), both("TCP:80"));
        assert_eq!(hamlet.world.calls("DeleteListener"), 0);

        read(&hamlet, "cert-b", Ok("certb001"));
        assert_eq!(settle(&hamlet).await, Vec::<String>::new());
        let all = [both("HTTPS:80 a.com/"), both("HTTPS:80 b.com/")].concat();
        assert_eq!(bound(&hamlet), all);
        let certificate = |domain: &str, id: &str| (domain.to_owned(), json!(id));
        let mut expected = [
            certificate("a.com", "certa001"),
            certificate("b.com", "certb001"),
        ];
        assert_eq!(shown(&hamlet), expected);
        assert_eq!(hamlet.there()["SniSwitch"], 1);

        // Renewed in place.
        read(&hamlet, "cert-b", Ok("certb002"));
        settle(&hamlet).await;
        expected[1] = certificate("b.com", "certb002");
        assert_eq!(shown(&hamlet), expected);
        assert_eq!(hamlet.world.calls("ModifyDomainAttributes"), 1);
        assert_eq!(bound(&hamlet), all);

        // Back to what everybody may read.
        let http = json!({"protocol": ["HTTP"], "hosts": {"a.com": {}}});
        speak(&hamlet, Some(&http));
        settle(&hamlet).await;
        assert_eq!(bound(&hamlet), both("HTTP:80 a.com/"));
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("CreateListener"), 3);
    assert_eq!(hamlet.world.view().problem, None);
}

/// The annotation's check is that of each rule, made and changed.
#[tokio::test(start_paused = true)]
async fn rules_are_checked_as_the_service_says() {
    use super::hamlet::PARAMETERS;
    let hamlet = Hamlet::new();
    let entry =
        json!({"80": {"protocol": ["HTTP"], "hosts": {"a.com": {}, "b.com": {}}}}).to_string();
    let checked = |hamlet: &Hamlet| -> Vec<(Value, Value, Value)> {
        let rules = hamlet.there()["Rules"].as_array().cloned().unwrap();
        let one = |rule: &Value| {
            let check = &rule["HealthCheck"];
            (
                check["IntervalTime"].clone(),
                check["HttpCheckDomain"].clone(),
                rule["Scheduler"].clone(),
            )
        };
        rules.iter().map(one).collect()
    };
    let story = async {
        for (parameters, interval, scheduler) in [
            (
                r#"{"HealthCheck":{"IntervalTime":7,"CheckPort":81}}"#,
                7,
                "WRR",
            ),
            (
                r#"{"HealthCheck":{"IntervalTime":9},"Scheduler":"LEAST_CONN"}"#,
                9,
                "LEAST_CONN",
            ),
            // What is not said any more stays.
            ("{}", 9, "LEAST_CONN"),
        ] {
            hamlet.serve(&json!({ PROTOCOLS: entry, PARAMETERS: parameters }));
            assert_eq!(settle(&hamlet).await, Vec::<String>::new());
            let rule = |domain: &str| (json!(interval), json!(domain), json!(scheduler));
            assert_eq!(checked(&hamlet), [rule("a.com"), rule("b.com")]);
        }
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("ModifyRule"), 2);
    assert_eq!(hamlet.world.calls("CreateListener"), 1);
}
