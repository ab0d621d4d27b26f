//! What objects mean.

use rstest::rstest;
use serde_json::json;

use super::*;

pub(super) fn text(told: &NotApplied) -> String {
    format!("{} is {:?}: {}", told.field, told.value, told.why)
}

fn parse(spec: &Value) -> (TkeServiceConfig, Vec<String>) {
    let (config, told) = TkeServiceConfig::parse(spec);
    (config, told.iter().map(text).collect())
}

/// One TCP listener at port 80 with these fields besides.
fn listener(fields: &Value) -> (Option<ListenerParameters>, Vec<String>) {
    let mut whole = json!({"protocol": "TCP", "port": 80});
    let more = fields.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(more);
    let (config, told) = parse(&json!({"loadBalancer": {"l4Listeners": [whole]}}));
    let listener = config.l4(Protocol::Tcp, 80);
    (listener.map(|one| one.parameters.clone()), told)
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
#[case(json!({"healthCheck": true}), &["healthCheck", "an object"])]
#[case(json!({"healthCheck": {"enable": "yes"}}), &["healthCheck.enable", "yes", "true or false"])]
#[case(json!({"healthCheck": {"enable": true, "unHealthNum": 1}}), &["unHealthNum", "1", "2 to 10"])]
#[case(json!({"healthCheck": {"enable": true, "timeout": 61}}), &["timeout", "61", "2 to 60"])]
#[case(json!({"healthCheck": {"enable": true, "intervalTime": 301}}), &["intervalTime", "301", "2 to 300"])]
#[case(json!({"healthCheck": {"enable": true, "intervalTime": "9"}}), &["intervalTime", "\"9\"", "a number"])]
#[case(json!({"healthCheck": {"enable": true, "checkType": "GRPC"}}), &["checkType", "GRPC", "TCP, HTTP, CUSTOM"])]
#[case(json!({"healthCheck": {"enable": true, "checkPort": 0}}), &["checkPort", "1 to 65535"])]
#[case(json!({"healthCheck": {"enable": true, "httpCode": 32}}), &["httpCode", "32", "1 to 31"])]
#[case(json!({"healthCheck": {"enable": true, "httpCheckPath": "healthz"}}), &["httpCheckPath", "begins with /"])]
#[case(json!({"healthCheck": {"enable": true, "httpCheckDomain": 1}}), &["httpCheckDomain", "a text"])]
#[case(json!({"healthCheck": {"enable": true, "httpCheckMethod": "POST"}}), &["httpCheckMethod", "HEAD, GET"])]
#[case(json!({"healthCheck": {"enable": true, "httpVersion": "HTTP/2"}}), &["httpVersion", "HTTP/1.0, HTTP/1.1"])]
#[case(json!({"healthCheck": {"enable": true, "sourceIpType": 2}}), &["sourceIpType", "0 to 1"])]
#[case(json!({"healthCheck": {"enable": true, "contextType": "TXT"}}), &["contextType", "TEXT, HEX"])]
#[case(json!({"healthCheck": {"enable": true, "sendContext": ""}}), &["sendContext", "1 to 500"])]
#[case(json!({"healthCheck": {"enable": true, "contextType": "HEX", "recvContext": "0"}}), &["recvContext", "even number"])]
#[case(json!({"healthCheck": {"enable": true, "extendedCode": "12"}}), &["extendedCode", "does not set"])]
#[case(json!({"listenerName": "mine"}), &["listenerName", "does not set"])]
#[case(json!({"proxyProtocol": {"enable": true}}), &["proxyProtocol", "does not set"])]
#[case(json!({"sheduler": "WRR"}), &["sheduler", "no such field"])]
fn what_cannot_be_applied_is_named_and_the_rest_applies(
    #[case] mut fields: Value,
    #[case] parts: &[&str],
) {
    fields["scheduler"] = json!("LEAST_CONN");
    let (read, told) = listener(&fields);
    assert_eq!(read.unwrap().scheduler.as_deref(), Some("LEAST_CONN"));
    assert_eq!(told.len(), 1, "{told:?}");
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
    assert_eq!(
        first.field,
        "spec.loadBalancer.l7Listeners[0].domains[0].rules[0]"
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
    let absent = config.unmatched_l4(|protocol, port| (protocol, port) == (Protocol::Tcp, 80));
    assert_eq!(absent.len(), 1);
    assert_eq!(
        (absent[0].field.as_str(), absent[0].value.as_str()),
        ("spec.loadBalancer.l4Listeners[1]", "TCP:81")
    );
    assert_eq!(config.unmatched_l7(|_, _| false), []);
}

#[rstest]
#[case(json!({"checkType": "HTTP"}), "checkType")]
#[case(json!({"httpCode": 2}), "httpCode")]
#[case(json!({"httpCheckPath": "/"}), "over HTTP")]
fn a_udp_listener_is_not_checked_over_http(#[case] mut check: Value, #[case] named: &str) {
    check["enable"] = json!(true);
    let listener = json!({"protocol": "UDP", "port": 53, "healthCheck": check});
    let (config, told) = parse(&json!({"loadBalancer": {"l4Listeners": [listener]}}));
    let declared = config.l4(Protocol::Udp, 53).unwrap();
    let only = json!({"HealthCheck": {"HealthSwitch": 1}});
    assert_eq!(serde_json::to_value(&declared.parameters).unwrap(), only);
    assert!(told[0].contains(named), "{told:?}");
}

#[test]
fn a_check_in_the_users_own_words_is_read() {
    let check = json!({"enable": true, "checkType": "CUSTOM", "contextType": "HEX", "sendContext": "0A", "recvContext": "FF"});
    for protocol in ["TCP", "UDP"] {
        let listener = json!({"protocol": protocol, "port": 80, "healthCheck": check});
        let (config, told) = parse(&json!({"loadBalancer": {"l4Listeners": [listener]}}));
        let declared = config.l4.values().next().unwrap();
        let read = serde_json::to_value(&declared.parameters).unwrap();
        let expected = json!({"HealthCheck": {"HealthSwitch": 1, "CheckType": "CUSTOM", "ContextType": "HEX",
            "SendContext": "0A", "RecvContext": "FF"}});
        assert_eq!((read, told), (expected, vec![]));
    }
}

/// TCP and `TCP_SSL` have one place, and so have HTTP and HTTPS; UDP has another.
#[test]
fn the_first_section_of_a_place_holds() {
    let l4 = json!([{"protocol": "TCP", "port": 80, "scheduler": "WRR"}, {"protocol": "UDP", "port": 80},
        {"protocol": "TCP_SSL", "port": 80, "scheduler": "LEAST_CONN"}]);
    let rule = |scheduler: &str| json!({"url": "/", "scheduler": scheduler});
    let l7 = json!([{"protocol": "HTTP", "port": 81, "domains": [{"domain": "a.com", "rules": [rule("WRR"), rule("IP_HASH")]}]},
        {"protocol": "HTTP", "port": 81}]);
    let (config, told) = parse(&json!({"loadBalancer": {"l4Listeners": l4, "l7Listeners": l7}}));
    assert_eq!(
        (config.l4.len(), config.l7.len(), told.len()),
        (2, 1, 3),
        "{told:?}"
    );
    assert!(told.iter().all(|one| one.contains("the first holds")));
    assert!(config.l4(Protocol::Tcp, 80).is_some() && config.l4(Protocol::TcpSsl, 80).is_none());
    let rule = config.rule(Protocol::Http, 81, ("a.com", "/")).unwrap();
    assert_eq!(rule.parameters.scheduler.as_deref(), Some("WRR"));
}

#[test]
fn a_rules_check_that_takes_too_long_is_told_and_kept() {
    let rule = json!({"healthCheck": {"enable": true, "timeout": 10, "intervalTime": 10, "checkPort": 80}});
    let l7 = json!([{"protocol": "HTTP", "port": 80, "domains": [{"domain": "a.com", "rules": [rule]}]}]);
    let (config, told) = parse(&json!({"loadBalancer": {"l7Listeners": l7}}));
    let rule = config.rule(Protocol::Http, 80, ("a.com", "/")).unwrap();
    assert_eq!(
        rule.parameters.health_check.as_ref().unwrap().time_out,
        Some(10)
    );
    assert!(
        told[0].contains("checkPort") && told[1].contains("smaller than intervalTime 10"),
        "{told:?}"
    );
}
