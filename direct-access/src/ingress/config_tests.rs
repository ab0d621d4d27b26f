//! What a `TkeServiceConfig` means for the Ingress that names it: good, bad, absent, changed and removed.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::tests::{ingress, judged, path, rule, served, simple};
use super::*;
use crate::names::ingress as own;
use crate::settings::{Manage, Settings};
use crate::tke_service_config::{Named, Read, bandwidth_of_ingress};

fn found(l7: &Value) -> Named {
    let spec = json!({"loadBalancer": {"l7Listeners": l7}});
    Named::Found(Arc::new(Read::of(&spec)))
}

/// Of one rule `a.com/` on port 80 of HTTP.
fn one(rule: &Value) -> Value {
    let mut whole = json!({"url": "/"});
    let more = rule.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(more);
    json!([{"protocol": "HTTP", "port": 80, "domains": [{"domain": "a.com", "rules": [whole]}]}])
}

fn naming(front: IngressFacts, config: Named) -> IngressFacts {
    IngressFacts {
        config,
        ..front.with(own::TKE_SERVICE_CONFIG, "tuned")
    }
}

/// By listener and rule, and what the user is told.
fn outcome(front: &IngressFacts) -> (Vec<(String, Value)>, Vec<String>) {
    let served = served(front);
    let one = |exposure: &crate::Exposure| {
        let path = &exposure.rule.as_ref().unwrap().path;
        let place = format!("{}:{} {path}", exposure.protocol, exposure.port);
        (place, serde_json::to_value(&exposure.parameters).unwrap())
    };
    (
        served.exposures.iter().map(one).collect(),
        served.problems.iter().map(ToString::to_string).collect(),
    )
}

#[rstest]
#[case::absent(json!({}), json!({}))]
#[case::scheduler(json!({"scheduler": "IP_HASH"}), json!({"Scheduler": "IP_HASH"}))]
#[case::session(json!({"session": {"enable": true}}), json!({"SessionExpireTime": 30}))]
#[case::no_session(json!({"session": {"enabled": false}}), json!({"SessionExpireTime": 0}))]
#[case::forward_type(json!({"forwardType": "HTTPS"}), json!({"ForwardType": "HTTPS"}))]
#[case::check(
    json!({"healthCheck": {"enable": true, "intervalTime": 10, "timeout": 5, "healthNum": 2, "unHealthNum": 4,
        "httpCode": 2, "httpCheckPath": "/healthz", "httpCheckDomain": "b.com", "httpCheckMethod": "GET"}}),
    json!({"HealthCheck": {"HealthSwitch": 1, "IntervalTime": 10, "TimeOut": 5, "HealthNum": 2, "UnHealthNum": 4,
        "HttpCode": 2, "HttpCheckPath": "/healthz", "HttpCheckDomain": "b.com", "HttpCheckMethod": "GET"}})
)]
#[case::check_over_tcp(
    json!({"healthCheck": {"enable": true, "checkType": "TCP"}}),
    json!({"HealthCheck": {"HealthSwitch": 1, "CheckType": "TCP"}})
)]
#[case::no_check(json!({"healthCheck": {"enable": false, "httpCode": 2}}), json!({"HealthCheck": {"HealthSwitch": 0}}))]
fn what_an_object_declares_holds_for_its_rules(#[case] declared: Value, #[case] expected: Value) {
    let front = naming(simple(), found(&one(&declared)));
    let rules = vec![("HTTP:80 a.com/".to_owned(), expected)];
    assert_eq!(outcome(&front), (rules, vec![]));
    // Removed: nothing is declared, so the CLB keeps what it has.
    let plain = vec![("HTTP:80 a.com/".to_owned(), json!({}))];
    assert_eq!(outcome(&simple()), (plain, vec![]));
}

/// The rest of it holds.
#[rstest]
#[case::scheduler(json!({"scheduler": "BEST"}), &["rules[0].scheduler", "BEST", "WRR, LEAST_CONN, IP_HASH"])]
#[case::forward_type(json!({"forwardType": "TCP"}), &["rules[0].forwardType", "HTTP, HTTPS, GRPC"])]
#[case::layer_4(json!({"healthCheck": {"enable": true, "checkPort": 80}}), &["checkPort", "layer-4"])]
#[case::over_tcp(
    json!({"healthCheck": {"enable": true, "checkType": "TCP", "httpCheckPath": "/a"}}),
    &["healthCheck.httpCheckPath", "checkType: HTTP beside it"]
)]
#[case::too_long(
    json!({"healthCheck": {"enable": true, "timeout": 9, "intervalTime": 9}}),
    &["healthCheck.timeout", "smaller than intervalTime 9"]
)]
#[case::number(json!({"session": {"enable": true, "sessionExpireTime": 9}}), &["sessionExpireTime", "30 to 3600"])]
#[case::unknown(json!({"weight": 1}), &["rules[0].weight", "no such field"])]
fn what_is_not_applied_to_a_rule_is_told_on_the_ingress(
    #[case] mut declared: Value,
    #[case] parts: &[&str],
) {
    let object = declared.as_object_mut().unwrap();
    let more = json!({"enable": true, "sessionExpireTime": 60});
    let session = object.entry("session").or_insert(more);
    let enabled = session["sessionExpireTime"] == json!(60);
    let front = naming(simple(), found(&one(&declared)));
    let (rules, told) = outcome(&front);
    let expected = if enabled { 60 } else { 30 };
    assert_eq!(rules[0].1["SessionExpireTime"], json!(expected));
    assert_eq!(told.len(), 1, "{told:?}");
    let object = "Ingress shop/front: TkeServiceConfig shop/tuned: spec.loadBalancer.l7Listeners[0].domains[0]";
    for part in [&[object], parts].concat() {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
}

#[rstest]
#[case::no_kind(Named::NoKind, "tuned", &["no TkeServiceConfigs", "E4043"])]
#[case::missing(Named::Missing, "tuned", &["in the Ingress's namespace", "E4043"])]
#[case::reserved(found(&one(&json!({}))), "a-auto-ingress-config", &["E4051"])]
fn a_name_that_leads_nowhere_is_told(
    #[case] config: Named,
    #[case] name: &str,
    #[case] parts: &[&str],
) {
    let front = naming(simple(), config).with(own::TKE_SERVICE_CONFIG, name);
    let (rules, told) = outcome(&front);
    assert_eq!((rules.len(), told.len()), (1, 1), "{told:?}");
    for part in [&[own::TKE_SERVICE_CONFIG, name], parts].concat() {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
}

/// The same path on two listeners, an exact one and one without a host; what the Ingress has no rule for.
#[test]
fn each_rule_of_each_listener_has_its_own_declaration() {
    let exact = |url: &str| {
        let mut exact = path(url, "web", &json!({"number": 80}));
        exact["pathType"] = json!("Exact");
        exact
    };
    let spec = json!({"tls": [{"secretName": "cert"}], "rules": [
        rule("a.com", path("/", "web", &json!({"number": 80}))),
        {"http": {"paths": [exact("/x")]}},
        // Its backend cannot be read: its declaration is no mistake.
        rule("gone.com", path("/", "gone", &json!({"number": 80})))]});
    let front = ingress("front", spec).with(own::RULE_MIX_BOTH, "true");
    let rules = |domain: &str, url: &str, scheduler: &str| json!({"domain": domain, "rules": [{"url": url, "scheduler": scheduler}]});
    let config = found(&json!([
        {"protocol": "HTTP", "port": 80, "defaultServer": "a.com", "domains": [
            {"domain": "a.com", "http2": true, "rules": [{"url": "/", "scheduler": "WRR"}, {"url": "/no"}]},
            rules("gone.com", "/", "WRR")]},
        {"protocol": "HTTPS", "port": 443, "domains": [
            {"domain": "a.com", "http2": true, "rules": [{"url": "/", "scheduler": "IP_HASH"}]},
            rules("", "/x", "LEAST_CONN"), rules("b.com", "/", "WRR")]},
        {"protocol": "HTTPS", "port": 8443}]));
    let (rules, mut told) = outcome(&naming(front, config));
    let rules: std::collections::BTreeMap<_, _> = rules.into_iter().collect();
    assert_eq!(rules["HTTP:80 a.com/"], json!({"Scheduler": "WRR"}));
    let encrypted = json!({"Scheduler": "IP_HASH", "Http2": true});
    assert_eq!(rules["HTTPS:443 a.com/"], encrypted);
    assert_eq!(rules["HTTP:80 =/x"], json!({}));
    assert_eq!(rules["HTTPS:443 =/x"], json!({"Scheduler": "LEAST_CONN"}));
    told.retain(|one| one.contains("TkeServiceConfig"));
    assert_eq!(told.len(), 5, "{told:#?}");
    let parts = [
        ["l7Listeners[2]", "HTTPS:8443"],
        ["l7Listeners[0].defaultServer", "spec.defaultBackend"],
        ["l7Listeners[0].domains[0].http2", "of HTTPS listeners"],
        ["l7Listeners[0].domains[0].rules[1]", "a.com/no"],
        ["l7Listeners[1].domains[2].rules[0]", "b.com/"],
    ];
    for [field, part] in parts {
        let named = |one: &&String| one.contains(field) && one.contains(part);
        assert!(told.iter().any(|one| named(&one)), "{field}: {told:#?}");
    }
}

/// One object may be for a Service too, and the bandwidth is of a CLB that clb-gate makes.
#[test]
fn of_what_is_for_services_an_ingress_is_not_told() {
    let spec = json!({"loadBalancer": {"internetMaxBandwidthOut": 5,
        "l4Listeners": [{"protocol": "TCP", "port": 90, "scheduler": "BEST"}]}});
    let front = naming(simple(), Named::Found(Arc::new(Read::of(&spec))));
    let (_, told) = outcome(&front);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("lb-abcd1234 is yours"), "{told:?}");
}

/// Of a public CLB that clb-gate makes it is the bandwidth; an internal one has no public traffic.
#[rstest]
#[case::public(None, None)]
#[case::internal(Some("subnet-1"), Some("the Ingress's CLB is an internal one"))]
fn bandwidth_is_of_a_public_clb_that_is_made_for_the_ingress(
    #[case] subnet: Option<&str>,
    #[case] expected: Option<&str>,
) {
    let spec = json!({"loadBalancer": {"internetMaxBandwidthOut": 5}});
    let mut front = naming(simple(), Named::Found(Arc::new(Read::of(&spec))))
        .without(own::EXISTING_LOAD_BALANCER);
    if let Some(id) = subnet {
        front = front.with(own::INTERNAL_SUBNET, id);
    }
    let level = Settings {
        manage: Manage::LoadBalancers,
        ..Settings::default()
    };
    let told = match judged(&front, &level) {
        IngressJudgement::Served(served) => served.problems,
        IngressJudgement::NotOurs(reason) => panic!("{reason:?}"),
    };
    assert_eq!(told.len(), usize::from(expected.is_some()), "{told:?}");
    assert!(
        told.iter()
            .all(|one| one.to_string().contains(expected.unwrap_or_default()))
    );
    assert_eq!(bandwidth_of_ingress(&front), Some(5));
}

/// A wildcard is served once the object says whom its check asks for, and told before and after.
#[rstest]
#[case::domain(json!({"healthCheck": {"enable": true, "httpCheckDomain": "www.a.com"}}), true)]
#[case::over_tcp(json!({"healthCheck": {"enable": true, "checkType": "TCP"}}), true)]
#[case::interval_alone(json!({"healthCheck": {"enable": true, "intervalTime": 9}}), false)]
#[case::scheduler_alone(json!({"scheduler": "IP_HASH"}), false)]
fn a_wildcard_needs_a_domain_to_ask_for(#[case] declared: Value, #[case] is_served: bool) {
    let backend = json!({"number": 80});
    let spec = json!({"rules": [rule("*.a.com", path("/", "web", &backend)), rule("b.com", path("/", "web", &backend))]});
    let front = ingress("front", spec);
    let mut listeners = one(&declared);
    listeners[0]["domains"][0]["domain"] = json!("*.a.com");
    for (front, is_served) in [
        (naming(front.clone(), found(&listeners)), is_served),
        (front, false),
    ] {
        let served = served(&front);
        let hosts: Vec<_> = served
            .exposures
            .iter()
            .map(|one| one.rule.as_ref().unwrap().path.to_string())
            .collect();
        let expected: &[&str] = if is_served {
            &["*.a.com/", "b.com/"]
        } else {
            &["b.com/"]
        };
        assert_eq!(hosts, expected);
        let told = served
            .problems
            .iter()
            .any(|one| one.field == "spec.rules[0].host");
        assert_eq!(told, !is_served, "{:?}", served.problems);
        assert_eq!(served.incomplete.is_empty(), is_served);
    }
}
