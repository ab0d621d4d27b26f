//! What objects mean.

use rstest::rstest;
use serde_json::json;

use super::*;

fn parse(spec: &Value) -> (TkeServiceConfig, Vec<String>) {
    let (config, told) = TkeServiceConfig::parse(spec);
    (config, told.iter().map(ToString::to_string).collect())
}

/// One TCP listener at port 80 with these fields besides.
fn listener(fields: &Value) -> (Option<ListenerParameters>, Vec<String>) {
    let mut whole = json!({"protocol": "TCP", "port": 80});
    let more = fields.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(more);
    let (config, told) = parse(&json!({"loadBalancer": {"l4Listeners": [whole]}}));
    (config.l4(Protocol::Tcp, 80).cloned(), told)
}

#[rstest]
#[case::absent(json!({}), json!({}))]
#[case::nulls(json!({"scheduler": null, "session": null, "healthCheck": null}), json!({}))]
#[case::scheduler(json!({"scheduler": "LEAST_CONN"}), json!({"Scheduler": "LEAST_CONN"}))]
#[case::session(json!({"session": {"enable": true, "sessionExpireTime": 100}}), json!({"SessionExpireTime": 100}))]
#[case::session_default(json!({"session": {"enable": true}}), json!({"SessionExpireTime": 30}))]
#[case::session_off(json!({"session": {"enable": false, "sessionExpireTime": 100}}), json!({"SessionExpireTime": 0}))]
#[case::old_spelling(json!({"session": {"enabled": true, "sessionExpireTime": 60}}), json!({"SessionExpireTime": 60}))]
#[case::check(
    json!({"healthCheck": {"enable": true, "intervalTime": 10, "healthNum": 2, "unHealthNum": 4, "timeout": 5}}),
    json!({"HealthCheck": {"HealthSwitch": 1, "TimeOut": 5, "IntervalTime": 10, "HealthNum": 2, "UnHealthNum": 4}})
)]
#[case::check_off(json!({"healthCheck": {"enabled": false}}), json!({"HealthCheck": {"HealthSwitch": 0}}))]
#[case::check_over_http(
    json!({"healthCheck": {"enable": true, "checkType": "HTTP", "httpVersion": "HTTP/1.1", "httpCode": 2,
        "httpCheckPath": "/healthz", "httpCheckDomain": "a.com", "httpCheckMethod": "GET", "checkPort": 8081,
        "sourceIpType": 1}}),
    json!({"HealthCheck": {"HealthSwitch": 1, "CheckType": "HTTP", "HttpVersion": "HTTP/1.1", "HttpCode": 2,
        "HttpCheckPath": "/healthz", "HttpCheckDomain": "a.com", "HttpCheckMethod": "GET", "CheckPort": 8081,
        "SourceIpType": 1}})
)]
fn good_values_apply(#[case] fields: Value, #[case] expected: Value) {
    let (read, told) = listener(&fields);
    assert_eq!(serde_json::to_value(read.unwrap()).unwrap(), expected);
    assert_eq!(told, Vec::<String>::new());
}

/// The scheduler beside it applies all the same.
#[rstest]
#[case(json!({"session": {"enable": "ture"}}), &["l4Listeners[0].session.enable", "\"ture\"", "true or false"])]
#[case(json!({"session": {"sessionExpireTime": 60}}), &["session.enable", "absent"])]
#[case(json!({"session": {"enable": true, "sessionExpireTime": 10}}), &["sessionExpireTime", "10", "30 to 3600"])]
#[case(json!({"session": true}), &["session", "an object"])]
#[case(json!({"session": {"enable": true, "enabled": false}}), &["session.enabled", "enable says otherwise"])]
#[case(json!({"healthCheck": {"intervalTime": 10}}), &["healthCheck.enable", "absent"])]
#[case(json!({"healthCheck": {"enable": true, "healthNum": 11}}), &["healthNum", "11", "2 to 10"])]
#[case(json!({"healthCheck": {"enable": true, "timeout": 10, "intervalTime": 10}}), &["timeout", "smaller than intervalTime 10"])]
#[case(json!({"healthCheck": {"enable": true, "checkType": "CUSTOM"}}), &["checkType", "CUSTOM", "TCP, HTTP, PING"])]
#[case(json!({"healthCheck": {"enable": true, "sendContext": "a"}}), &["sendContext", "does not set"])]
#[case(json!({"proxyProtocol": {"enable": true}}), &["proxyProtocol", "does not set"])]
#[case(json!({"sheduler": "WRR"}), &["sheduler", "no such field"])]
fn what_cannot_be_applied_is_named_and_the_rest_applies(
    #[case] mut fields: Value,
    #[case] parts: &[&str],
) {
    fields["scheduler"] = json!("LEAST_CONN");
    let (read, told) = listener(&fields);
    assert_eq!(read.unwrap().scheduler.as_deref(), Some("LEAST_CONN"));
    assert!(!told.is_empty());
    for part in parts {
        assert!(told[0].contains(part), "{part} in {told:?}");
    }
}

#[rstest]
#[case(json!({"port": 80}), "protocol")]
#[case(json!({"protocol": "SCTP", "port": 80}), "SCTP")]
#[case(json!({"protocol": "TCP"}), "port")]
#[case(json!({"protocol": "TCP", "port": 0}), "1 to 65535")]
#[case(json!("TCP"), "object")]
fn a_listener_that_is_none_spoils_no_other(#[case] bad: Value, #[case] told_of: &str) {
    let good = json!({"protocol": "UDP", "port": 53, "scheduler": "WRR"});
    let (config, told) = parse(&json!({"loadBalancer": {"l4Listeners": [bad, good]}}));
    assert_eq!(config.l4.len(), 1);
    assert!(config.l4(Protocol::Udp, 53).is_some() && config.l4(Protocol::Tcp, 53).is_none());
    assert!(told.iter().any(|told| told.contains(told_of)), "{told:?}");
}

#[test]
fn the_whole_may_be_empty_or_nonsense() {
    for spec in [json!(null), json!({}), json!({"loadBalancer": {}})] {
        assert_eq!(parse(&spec), (TkeServiceConfig::default(), vec![]));
    }
    for spec in [
        json!([]),
        json!({"loadBalancer": 1}),
        json!({"loadBalancer": {"l4Listeners": {}}}),
    ] {
        let (config, told) = parse(&spec);
        assert_eq!((config, told.len()), (TkeServiceConfig::default(), 1));
    }
}

#[test]
fn layer_seven_has_rules_by_domain_and_path() {
    let (config, told) = parse(
        &json!({"loadBalancer": {"internetMaxBandwidthOut": 100, "l7Listeners": [{
        "protocol": "HTTPS", "port": 443, "defaultServer": "a.com", "keepaliveEnable": 0, "domains": [
            {"domain": "", "http2": true, "rules": [
                {"url": "/", "forwardType": "GRPC", "scheduler": "IP_HASH",
                 "session": {"enable": true, "sessionExpireTime": 100},
                 "healthCheck": {"enable": true, "httpCode": 31, "httpCheckPath": "/health"}}]},
            {"domain": "*.a.com", "rules": [
                {"url": "/bad", "healthCheck": {"enable": true}},
                {"url": "/off", "healthCheck": {"enable": false}},
                {"url": "/good", "healthCheck": {"enable": true, "httpCheckDomain": "b.a.com"}}]}]}]}}),
    );
    assert_eq!(config.bandwidth, Some(100));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("keepaliveEnable") && told[1].contains("wildcard"));
    assert!(told[1].contains("l7Listeners[0].domains[1].rules[0].healthCheck.httpCheckDomain"));
    let rule = |path: (&str, &str)| config.rule(Protocol::Https, 443, path).unwrap();
    let first = rule(("", "/"));
    assert_eq!(
        (first.forward_type.as_deref(), first.http2),
        (Some("GRPC"), Some(true))
    );
    assert_eq!(first.parameters.scheduler.as_deref(), Some("IP_HASH"));
    assert_eq!(first.parameters.session_expire_time, Some(100));
    let checked = |path| rule(("*.a.com", path)).parameters.health_check.is_some();
    assert_eq!(
        [checked("/bad"), checked("/off"), checked("/good")],
        [false, true, true]
    );
    assert!(config.rule(Protocol::Http, 443, ("", "/")).is_none());
}

/// The documentation's sample, and what a Service with other ports is told.
#[test]
fn a_listener_that_the_service_lacks_is_named() {
    let spec = json!({"loadBalancer": {"l4Listeners": [
        {"protocol": "TCP", "port": 80, "healthCheck": {"enable": true, "intervalTime": 10, "timeout": 5}},
        {"protocol": "TCP", "port": 81}]}});
    let (config, told) = parse(&spec);
    assert_eq!(told, Vec::<String>::new());
    let absent = config.unmatched(|protocol, port| (protocol, port) == (Protocol::Tcp, 80));
    assert_eq!(absent.len(), 1);
    assert!(absent[0].to_string().contains("TCP:81"));
}

#[test]
fn it_is_merged_over_the_annotation_field_by_field() {
    let annotation = r#"{"HealthCheck":{"IntervalTime":9,"HealthNum":2},"Scheduler":"WRR"}"#;
    let annotation = ListenerParameters::parse(annotation).unwrap();
    let (config, _) = listener(&json!({"healthCheck": {"enable": true, "healthNum": 4}}));
    let both = annotation.with(&config.unwrap());
    let check = both.health_check.unwrap();
    assert_eq!((check.interval_time, check.health_num), (Some(9), Some(4)));
    assert_eq!(both.scheduler.as_deref(), Some("WRR"));
    let nothing = ListenerParameters::default();
    assert_eq!(annotation.with(&nothing), annotation);
}
