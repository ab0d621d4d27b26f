//! Every annotation and field by itself: good values, bad values, absent, changed and removed.

use rstest::rstest;
use serde_json::{Value, json};

use super::tests::{ingress, path, reason, rule, served, shown, simple};
use super::*;
use crate::names::ingress as own;

fn problem(ingress: &IngressFacts) -> String {
    reason(ingress).problem(ingress).unwrap().to_string()
}

fn listeners(ingress: &IngressFacts) -> Vec<String> {
    let all = shown(&served(ingress));
    let of = |text: String| text.split(' ').next().unwrap().to_owned();
    all.into_iter().map(of).collect()
}

#[rstest]
#[case(None, &["HTTP:80"])]
#[case(Some(r#"[{"HTTP":8080}]"#), &["HTTP:8080"])]
#[case(Some(r#"[{"HTTP":80},{"HTTPS":443}]"#), &["HTTP:80", "HTTPS:443"])]
#[case(Some(r#"[{"HTTP":80},{"HTTP":81}]"#), &["HTTP:80", "HTTP:81"])]
#[case(Some(r#"[{"HTTPS":8443}]"#), &["HTTPS:8443"])]
fn listen_ports(#[case] value: Option<&str>, #[case] expected: &[&str]) {
    let front = value.map_or_else(simple, |value| simple().with(own::LISTEN_PORTS, value));
    assert_eq!(listeners(&front), expected);
}

#[rstest]
#[case("")]
#[case("80")]
#[case("[]")]
#[case(r#"{"HTTP":80}"#)]
#[case(r#"[{"TCP":80}]"#)]
#[case(r#"[{"http":80}]"#)]
#[case(r#"[{"HTTP":0}]"#)]
#[case(r#"[{"HTTP":70000}]"#)]
#[case(r#"[{"HTTP":"80"}]"#)]
#[case(r#"[{"HTTP":80},{"HTTPS":80}]"#)]
fn listen_ports_refused(#[case] value: &str) {
    let bad = simple().with(own::LISTEN_PORTS, value);
    let told = problem(&bad);
    for part in ["Ingress shop/front", own::LISTEN_PORTS, "HTTPS"] {
        assert!(told.contains(part), "{told}");
    }
    // Mended by another value, and by removing it.
    assert_eq!(
        listeners(&bad.with(own::LISTEN_PORTS, r#"[{"HTTP":80}]"#)),
        ["HTTP:80"]
    );
    assert_eq!(listeners(&simple()), ["HTTP:80"]);
}

/// Two rules: `a.com/` to web and `/health` of any host to api, with a certificate for all.
fn mixed(http: &str, https: &str) -> IngressFacts {
    let spec = json!({
        "tls": [{"secretName": "cert"}],
        "rules": [
            rule("a.com", path("/", "web", &json!({"number": 80}))),
            {"http": {"paths": [path("/health", "api", &json!({"number": 8080}))]}},
        ],
    });
    ingress("front", spec)
        .with(own::RULE_MIX, "true")
        .with(own::HTTP_RULES, http)
        .with(own::HTTPS_RULES, https)
}

const A: &str =
    r#"[{"host":"a.com","path":"/","backend":{"serviceName":"web","servicePort":"80"}}]"#;
const A_INSIDE: &str =
    r#"[{"path":"/","backend":{"serviceName":"web","servicePort":80,"host":"a.com"}}]"#;
const HEALTH: &str = r#"[{"path":"/health","backend":{"serviceName":"api","servicePort":"8080"}}]"#;

#[rstest]
#[case(HEALTH, A, &["HTTPS:443 a.com/ -> web 8080", "HTTP:80 /health -> api 8080"])]
#[case(HEALTH, A_INSIDE, &["HTTPS:443 a.com/ -> web 8080", "HTTP:80 /health -> api 8080"])]
#[case(A_INSIDE, "null", &["HTTP:80 a.com/ -> web 8080", "HTTPS:443 /health -> api 8080"])]
// What neither names is on HTTPS; what both name is on both.
#[case("null", "[]", &["HTTPS:443 a.com/ -> web 8080", "HTTPS:443 /health -> api 8080"])]
#[case(A, A, &["HTTP:80 a.com/ -> web 8080", "HTTPS:443 a.com/ -> web 8080", "HTTPS:443 /health -> api 8080"])]
fn http_rules_and_https_rules(#[case] http: &str, #[case] https: &str, #[case] expected: &[&str]) {
    let front = mixed(http, https);
    assert_eq!(shown(&served(&front)), expected);
    assert!(
        served(&front).problems.is_empty(),
        "{:?}",
        served(&front).problems
    );
    // Without the switch they say nothing.
    let off = front.with(own::RULE_MIX, "false");
    let all = [
        "HTTPS:443 a.com/ -> web 8080",
        "HTTPS:443 /health -> api 8080",
    ];
    assert_eq!(shown(&served(&off)), all);
}

#[rstest]
#[case(own::HTTP_RULES, "E4022")]
#[case(own::HTTPS_RULES, "E4023")]
fn http_rules_and_https_rules_refused(#[case] key: &str, #[case] code: &str) {
    let bad = [
        "",
        "yes",
        "{}",
        r#"[{"path":"/"}]"#,
        r#"[{"path":"/","backend":{"serviceName":"web"}}]"#,
        r#"[{"path":"/","backend":{"serviceName":"web","servicePort":70000}}]"#,
    ];
    for value in bad {
        let told = problem(&mixed(HEALTH, A).with(key, value));
        assert!(told.contains(key) && told.contains(code), "{told}");
    }
    let stray =
        r#"[{"host":"b.com","path":"/","backend":{"serviceName":"web","servicePort":"80"}}]"#;
    let served = served(&mixed(HEALTH, A).with(key, stray));
    let told = served.problems[0].to_string();
    assert!(
        told.contains(key) && told.contains("b.com/ to web:80"),
        "{told}"
    );
    assert_eq!(served.exposures.len(), 2);
}

/// As TKE writes one by hand: it is told, and the other rules are where they are named.
#[test]
fn a_redirect_among_the_rules_is_told_and_forwards_nothing() {
    let redirect =
        r#"{"host":"a.com","path":"/old","rewrite":{"port":443,"host":"a.com","path":"/new"}}"#;
    let rules = HEALTH.replacen('[', &format!("[{redirect},"), 1);
    let [with, without] = [&rules, HEALTH].map(|http| served(&mixed(http, A)));
    assert_eq!(shown(&with), shown(&without));
    assert_eq!(with.problems.len(), 1);
    let told = with.problems[0].to_string();
    for part in [own::HTTP_RULES, "a.com/old with rewrite", "no redirects"] {
        assert!(told.contains(part), "{told}");
    }
}

#[rstest]
#[case(own::RULE_MIX)]
#[case(own::RULE_MIX_BOTH)]
fn rule_mix_refused(#[case] key: &str) {
    for value in ["", "True", "1", "{}"] {
        let told = problem(&simple().with(key, value));
        assert!(told.contains(key) && told.contains("E4044"), "{told}");
    }
}

#[test]
fn rule_mix_both() {
    let front = mixed(HEALTH, A).with(own::RULE_MIX_BOTH, "true");
    assert_eq!(
        listeners(&front),
        ["HTTP:80", "HTTPS:443", "HTTP:80", "HTTPS:443"]
    );
}

#[rstest]
#[case("yes")]
#[case("True")]
#[case("")]
fn direct_access_refused(#[case] value: &str) {
    let bad = simple().with(own::DIRECT_ACCESS, value);
    assert!(reason(&bad).holds());
    let told = problem(&bad);
    assert!(
        told.contains("E4037") && told.contains(own::DIRECT_ACCESS),
        "{told}"
    );
}

#[rstest]
#[case("lb-")]
#[case("LB-abcd1234")]
#[case("demo")]
#[case("")]
fn existing_load_balancer_refused(#[case] value: &str) {
    let bad = simple().with(own::EXISTING_LOAD_BALANCER, value);
    assert!(reason(&bad).holds());
    assert!(problem(&bad).contains("lb-abcd1234"));
    assert_eq!(
        served(&bad.with(own::EXISTING_LOAD_BALANCER, "lb-other123"))
            .load_balancer
            .id(),
        Some("lb-other123")
    );
}

#[rstest]
#[case(r#"[{"hosts":["a.com"],"qcloud_cert_id":["abcd1234"]}]"#)]
#[case(r#"[{"hosts":["a.com"],"qcloud_cert_id":"abcd1234"}]"#)]
#[case(r#"[{"qcloud_cert_id":["abcd1234"]}]"#)]
#[case(r#"[{"hosts":["*.com"],"qcloud_cert_id":["abcd1234"]}]"#)]
fn certificate(#[case] value: &str) {
    let front = simple().with(own::CERTIFICATE, value);
    assert_eq!(listeners(&front), ["HTTPS:443"]);
    let served = served(&front);
    assert!(served.problems.is_empty(), "{:?}", served.problems);
    assert!(
        served.exposures[0]
            .rule
            .as_ref()
            .unwrap()
            .certificate
            .is_some()
    );
}

#[rstest]
#[case("abcd1234", "JSON array")]
#[case(r#"[{"hosts":["a.com"]}]"#, "qcloud_cert_id")]
#[case(r#"[{"hosts":["a.com"],"qcloud_cert_id":["two words"]}]"#, "E4035")]
#[case(r#"[{"hosts":["a.com"],"qcloud_cert_id":[]}]"#, "E4035")]
#[case(
    r#"[{"hosts":["a.com"],"qcloud_cert_id":["abcd1234","abcd5678"]}]"#,
    "one certificate a host"
)]
#[case(r#"[{"hosts":["b.com"],"qcloud_cert_id":["abcd1234"]}]"#, "E4040")]
#[case(
    r#"[{"hosts":["a.com"],"qcloud_cert_id":["a"]},{"hosts":["a.com"],"qcloud_cert_id":["b"]}]"#,
    "E4049"
)]
#[case(r#"[{"qcloud_cert_id":["a"]},{"qcloud_cert_id":["b"]}]"#, "E4048")]
fn certificate_refused(#[case] value: &str, #[case] told: &str) {
    let served = served(&simple().with(own::CERTIFICATE, value));
    let all: Vec<_> = served.problems.iter().map(ToString::to_string).collect();
    assert!(all.iter().any(|problem| problem.contains(told)), "{all:?}");
    // Never over HTTP what was meant to be encrypted.
    assert!(
        shown(&served)
            .iter()
            .all(|text| text.starts_with("HTTPS:443"))
    );
}

#[rstest]
#[case(json!([{"hosts": ["a.com"]}]), "E4009")]
#[case(json!([{"hosts": ["b.com"], "secretName": "cert"}]), "E4040")]
#[case(json!([{"secretName": "a"}, {"secretName": "b"}]), "E4048")]
#[case(json!([{"hosts": ["a.com"], "secretName": "a"}, {"hosts": ["a.com"], "secretName": "b"}]), "E4049")]
fn tls_refused(#[case] tls: Value, #[case] code: &str) {
    let spec =
        json!({"tls": tls, "rules": [rule("a.com", path("/", "web", &json!({"number": 80})))]});
    let served = served(&ingress("front", spec));
    let all: Vec<_> = served.problems.iter().map(ToString::to_string).collect();
    assert!(all.iter().any(|problem| problem.contains(code)), "{all:?}");
    assert_eq!(served.exposures.len(), 1);
}

#[rstest]
#[case("", "a.com/")]
#[case("/", "a.com/")]
#[case("/api/v1.0/x-y_z?q=1", "a.com/api/v1.0/x-y_z?q=1")]
fn paths(#[case] value: &str, #[case] expected: &str) {
    let spec = json!({"rules": [rule("a.com", path(value, "web", &json!({"number": 80})))]});
    let served = served(&ingress("front", spec));
    assert_eq!(
        served.exposures[0].rule.as_ref().unwrap().path.to_string(),
        expected
    );
}

#[rstest]
#[case("api".to_owned())]
#[case("/with space".to_owned())]
#[case("/ümlaut".to_owned())]
#[case(format!("/{}", "x".repeat(120)))]
fn paths_refused(#[case] value: String) {
    let spec = json!({"rules": [rule("a.com", path(&value, "web", &json!({"number": 80})))]});
    let served = served(&ingress("front", spec));
    let told = served.problems[0].to_string();
    assert!(served.exposures.is_empty());
    assert!(
        told.contains("spec.rules[0].http.paths[0].path") && told.contains("E4031"),
        "{told}"
    );
}

#[rstest]
#[case("com", "E4052")]
#[case("A.com", "E4052")]
#[case("a_b.com", "E4052")]
#[case("-a.com", "E4052")]
#[case("*.a.com", "httpCheckDomain")]
#[case("*.com", "E4052")]
#[case("a.*.com", "E4052")]
#[case("*", "E4052")]
fn hosts_refused(#[case] host: &str, #[case] told: &str) {
    let spec = json!({"rules": [rule(host, path("/", "web", &json!({"number": 80})))]});
    let served = served(&ingress("front", spec));
    let text = served.problems[0].to_string();
    assert!(
        text.contains("spec.rules[0].host") && text.contains(told),
        "{text}"
    );
    assert!(served.exposures.is_empty() && !served.incomplete.is_empty());
}

#[rstest]
#[case(json!({"service": {"name": "web", "port": {"number": 81}}}), "E4042")]
#[case(json!({"service": {"name": "web", "port": {"name": "https"}}}), "E4042")]
#[case(json!({"service": {"name": "web"}}), "E4042")]
#[case(json!({"service": {"name": "gone", "port": {"number": 80}}}), "E4041")]
#[case(json!({"service": {"name": "none", "port": {"number": 80}}}), "selector")]
#[case(json!({"resource": {"kind": "Bucket", "name": "b"}}), "only a Service")]
fn backends_refused(#[case] backend: Value, #[case] told: &str) {
    let bad = json!({"path": "/", "pathType": "Prefix", "backend": backend});
    let spec = json!({"rules": [rule("a.com", bad)]});
    let served = served(&ingress("front", spec));
    let text = served.problems[0].to_string();
    assert!(
        text.contains("spec.rules[0].http.paths[0].backend") && text.contains(told),
        "{text}"
    );
}

#[test]
fn a_rule_without_paths_is_told() {
    let served = served(&ingress("front", json!({"rules": [{"host": "a.com"}]})));
    assert!(served.problems[0].to_string().contains("E4013"));
}

#[test]
fn auto_rewrite_refused() {
    let told = problem(&simple().with(own::AUTO_REWRITE, "yes"));
    assert!(
        told.contains(own::AUTO_REWRITE) && told.contains("\"true\" and \"false\""),
        "{told}"
    );
}
