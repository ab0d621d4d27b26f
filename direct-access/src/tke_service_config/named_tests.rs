//! What an object means for the Service that names it.

use std::sync::Arc;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::named::{Named, Read};
use crate::exposure::{Judgement, exposures};
use crate::load_balancer::LoadBalancer;
use crate::names;
use crate::service::tests::service;
use crate::service::{PortFacts, ServiceFacts};
use crate::settings::{Manage, Settings};

/// Service `shop/web` on TCP:80 with an annotation beside the object `tuned`.
fn naming(config: Named, annotation: Option<&str>) -> ServiceFacts {
    let mut naming = service("web");
    let mut say =
        |key: &str, value: &str| naming.annotations.insert(key.to_owned(), value.to_owned());
    say(names::TKE_SERVICE_CONFIG, "tuned");
    if let Some(text) = annotation {
        say(names::LISTENER_PARAMETERS, text);
    }
    naming.config = config;
    naming
}

fn found(load_balancer: &Value) -> Named {
    Named::Found(Arc::new(Read::of(&json!({"loadBalancer": load_balancer}))))
}

/// Of the object's one TCP listener on port 80.
fn listener(fields: &Value) -> Named {
    let mut whole = json!({"protocol": "TCP", "port": 80});
    let more = fields.as_object().unwrap().clone();
    whole.as_object_mut().unwrap().extend(more);
    found(&json!({"l4Listeners": [whole]}))
}

/// The listener's parameters and what the user is told.
fn outcome(service: &ServiceFacts) -> (Value, Vec<String>) {
    let settings = Settings {
        manage: Manage::LoadBalancers,
        ..Settings::default()
    };
    match exposures(service, &settings) {
        Judgement::Served(served) => (
            serde_json::to_value(&served.exposures[0].parameters).unwrap(),
            served.problems.iter().map(ToString::to_string).collect(),
        ),
        Judgement::NotOurs(reason) => panic!("{reason:?}"),
    }
}

const ANNOTATION: &str = r#"{"HealthCheck":{"IntervalTime":9,"HealthNum":2},"Scheduler":"WRR"}"#;

/// The object wins, field by field; what it does not declare the annotation does.
#[rstest]
#[case::absent(json!({}), None, json!({}))]
#[case::alone(
    json!({"scheduler": "LEAST_CONN", "session": {"enable": true}}),
    None,
    json!({"Scheduler": "LEAST_CONN", "SessionExpireTime": 30})
)]
#[case::annotation_alone(
    json!({}),
    Some(ANNOTATION),
    json!({"HealthCheck": {"IntervalTime": 9, "HealthNum": 2}, "Scheduler": "WRR"})
)]
#[case::both(
    json!({"scheduler": "LEAST_CONN", "healthCheck": {"enable": true, "healthNum": 4}}),
    Some(ANNOTATION),
    json!({"HealthCheck": {"HealthSwitch": 1, "IntervalTime": 9, "HealthNum": 4}, "Scheduler": "LEAST_CONN"})
)]
#[case::http_of_both(
    json!({"healthCheck": {"enable": true, "httpCode": 2}}),
    Some(r#"{"HealthCheck":{"CheckType":"HTTP","HttpCheckDomain":"a","HttpVersion":"HTTP/1.1"}}"#),
    json!({"HealthCheck": {"HealthSwitch": 1, "CheckType": "HTTP", "HttpCheckDomain": "a", "HttpVersion": "HTTP/1.1",
        "HttpCode": 2}})
)]
#[case::another_kind(
    json!({"healthCheck": {"enable": true, "checkType": "TCP"}}),
    Some(r#"{"HealthCheck":{"CheckType":"HTTP","HttpCheckDomain":"a","HttpVersion":"HTTP/1.1"}}"#),
    json!({"HealthCheck": {"HealthSwitch": 1, "CheckType": "TCP"}})
)]
#[case::own_words(
    json!({"healthCheck": {"enable": true, "checkType": "CUSTOM", "contextType": "TEXT", "sendContext": "ping",
        "recvContext": "pong"}}),
    None,
    json!({"HealthCheck": {"HealthSwitch": 1, "CheckType": "CUSTOM", "ContextType": "TEXT", "SendContext": "ping",
        "RecvContext": "pong"}})
)]
fn what_an_object_declares_holds_for_its_listeners(
    #[case] declared: Value,
    #[case] annotation: Option<&str>,
    #[case] expected: Value,
) {
    let service = naming(listener(&declared), annotation);
    assert_eq!(outcome(&service), (expected, vec![]));
}

/// What of a check cannot be meant together is named, and the rest holds.
#[rstest]
#[case::http_without_domain(
    json!({"checkType": "HTTP", "httpVersion": "HTTP/1.1", "httpCode": 2, "healthNum": 2}),
    json!({"HealthSwitch": 1, "HealthNum": 2}),
    &["httpCheckDomain is \"absent\"", "checkType HTTP needs it"]
)]
#[case::http_without_version(
    json!({"checkType": "HTTP", "httpCheckDomain": "a"}),
    json!({"HealthSwitch": 1}),
    &["httpVersion is \"absent\""]
)]
#[case::http_field_of_a_tcp_check(
    json!({"httpCheckPath": "/healthz", "healthNum": 2}),
    json!({"HealthSwitch": 1, "HealthNum": 2}),
    &["httpCheckPath is \"/healthz\"", "checkType: HTTP beside it"]
)]
#[case::custom_without_answer(
    json!({"checkType": "CUSTOM", "contextType": "TEXT", "sendContext": "ping"}),
    json!({"HealthSwitch": 1}),
    &["recvContext is \"absent\""]
)]
#[case::custom_field_of_a_tcp_check(
    json!({"sendContext": "ping"}),
    json!({"HealthSwitch": 1}),
    &["sendContext is \"ping\"", "checkType: CUSTOM"]
)]
#[case::too_long(
    json!({"timeout": 10, "intervalTime": 10}),
    json!({"HealthSwitch": 1, "TimeOut": 10, "IntervalTime": 10}),
    &["timeout is \"10\"", "smaller than intervalTime 10", "sent as it is"]
)]
fn what_does_not_fit_is_named(
    #[case] mut check: Value,
    #[case] expected: Value,
    #[case] parts: &[&str],
) {
    check["enable"] = json!(true);
    let declared = json!({"scheduler": "WRR", "healthCheck": check});
    let (there, told) = outcome(&naming(listener(&declared), None));
    assert_eq!(there, json!({"Scheduler": "WRR", "HealthCheck": expected}));
    assert_eq!(told.len(), 1, "{told:?}");
    let whole = [
        "Service shop/web",
        "TkeServiceConfig shop/tuned: spec.loadBalancer.l4Listeners[0].healthCheck.",
    ];
    for part in whole.iter().chain(parts) {
        assert!(told[0].contains(part), "{part} in {told:?}");
    }
}

/// The annotation's pause is shorter than what the object waits for.
#[test]
fn both_together_may_be_too_long() {
    let annotation = r#"{"HealthCheck":{"IntervalTime":3}}"#;
    let check = json!({"healthCheck": {"enable": true, "timeout": 4}});
    let (_, told) = outcome(&naming(listener(&check), Some(annotation)));
    assert!(
        told[0].contains("timeout is \"4\"; it must be smaller than intervalTime 3"),
        "{told:?}"
    );
}

/// A check that is off is not looked at.
#[rstest]
#[case::too_long(json!({"timeout": 10, "intervalTime": 10}))]
#[case::over_http(json!({"checkType": "HTTP"}))]
#[case::in_own_words(json!({"checkType": "CUSTOM"}))]
fn how_a_check_that_is_off_would_be_done_says_nothing(#[case] mut check: Value) {
    check["enable"] = json!(false);
    let (there, told) = outcome(&naming(listener(&json!({"healthCheck": check})), None));
    assert_eq!(there, json!({"HealthCheck": {"HealthSwitch": 0}}));
    assert_eq!(told, Vec::<String>::new());
}

#[rstest]
#[case::not_looked(Named::NotLooked, "tuned", None)]
#[case::missing(Named::Missing, "tuned", Some(("no such TkeServiceConfig", "E4043")))]
#[case::empty(Named::Missing, "", Some(("accepted is the name of one", "E4043")))]
#[case::no_kind(Named::NoKind, "tuned", Some(("component tke-service-config", "E4043")))]
#[case::reserved(Named::Found(Arc::default()), "web-auto-service-config", Some(("TKE keeps names", "E4051")))]
#[case::reserved_of_ingresses(Named::Missing, "web-auto-ingress-config", Some(("another name", "E4051")))]
fn a_name_that_leads_nowhere_is_told_and_holds_nothing(
    #[case] config: Named,
    #[case] name: &str,
    #[case] expected: Option<(&str, &str)>,
) {
    let mut naming = naming(config, Some(r#"{"Scheduler":"WRR"}"#));
    naming
        .annotations
        .insert(names::TKE_SERVICE_CONFIG.to_owned(), name.to_owned());
    let (there, told) = outcome(&naming);
    assert_eq!(there, json!({"Scheduler": "WRR"}));
    assert_eq!(told.len(), usize::from(expected.is_some()), "{told:?}");
    if let Some((part, code)) = expected {
        for part in [part, code, names::TKE_SERVICE_CONFIG, &format!("{name:?}")] {
            assert!(told[0].contains(part), "{part} in {told:?}");
        }
    }
}

/// TKE keeps such names for itself: what is there under one is not the user's.
#[test]
fn an_object_of_a_reserved_name_is_not_applied() {
    let mut naming = naming(listener(&json!({"scheduler": "LEAST_CONN"})), None);
    let reserved = "web-auto-service-config".to_owned();
    naming
        .annotations
        .insert(names::TKE_SERVICE_CONFIG.to_owned(), reserved);
    let (there, told) = outcome(&naming);
    assert_eq!((there, told.len()), (json!({}), 1));
}

/// Nothing is named, so nothing holds, whatever was joined before.
#[test]
fn without_the_annotation_nothing_holds() {
    let mut naming = naming(listener(&json!({"scheduler": "LEAST_CONN"})), None);
    naming.annotations.remove(names::TKE_SERVICE_CONFIG);
    assert_eq!(outcome(&naming), (json!({}), vec![]));
}

/// One object may be for a Service and an Ingress: each is told of its own layer only.
#[test]
fn a_service_is_told_of_ports_it_lacks_and_of_no_rules() {
    let both = found(&json!({
        "l4Listeners": [{"protocol": "UDP", "port": 80}, {"protocol": "TCP", "port": 80}, {"protocol": "TCP", "port": 81}],
        "l7Listeners": [{"protocol": "HTTP", "port": 80, "keepaliveEnable": 1}]}));
    let (_, told) = outcome(&naming(both, None));
    assert_eq!(told.len(), 2, "{told:?}");
    for lacking in [
        "l4Listeners[0] is \"UDP:80\"",
        "l4Listeners[2] is \"TCP:81\"",
    ] {
        assert!(told.iter().any(|one| one.contains(lacking)), "{told:?}");
    }
}

/// A port whose protocol cannot be read stays as it is, and nobody says that it is not there.
#[test]
fn a_held_port_is_there() {
    let mut naming = naming(listener(&json!({"scheduler": "WRR"})), None);
    naming.ports.push(PortFacts {
        port: 81,
        ..naming.ports[0].clone()
    });
    let bad = r#"{"80":{"protocol":["SCTP"]}}"#.to_owned();
    naming
        .annotations
        .insert(names::SPECIFY_PROTOCOL.to_owned(), bad);
    let (_, told) = outcome(&naming);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("specify-protocol"));
}

#[rstest]
#[case::existing(true, false, Some(("lb-abcd1234 is yours", None)))]
#[case::made(false, false, Some(("", Some(50))))]
#[case::internal(false, true, Some(("internal one", Some(50))))]
fn bandwidth_is_for_public_clbs_of_our_making(
    #[case] existing: bool,
    #[case] internal: bool,
    #[case] expected: Option<(&str, Option<u32>)>,
) {
    let mut naming = naming(found(&json!({"internetMaxBandwidthOut": 50})), None);
    if !existing {
        naming.annotations.remove(names::EXISTING_LOAD_BALANCER);
    }
    if internal {
        naming
            .annotations
            .insert(names::INTERNAL_SUBNET.to_owned(), "subnet-1".to_owned());
    }
    let (_, told) = outcome(&naming);
    let (part, asked) = expected.unwrap();
    assert_eq!(told.len(), usize::from(!part.is_empty()), "{told:?}");
    assert!(
        told.iter()
            .all(|one| one.contains(part) && one.contains("internetMaxBandwidthOut is \"50\""))
    );
    if asked.is_some() {
        assert_eq!(super::bandwidth(&naming), asked);
        assert!(matches!(
            crate::load_balancer::asked_for(
                &naming,
                &Settings {
                    manage: Manage::LoadBalancers,
                    ..Settings::default()
                }
            ),
            Ok(LoadBalancer::Made(_))
        ));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "TCP", "UDP", "TCP_SSL", "HTTP", "WRR", "CUSTOM", "PING", "TEXT", "HEX", "/", "a.com",
        "HTTP/1.1", "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..100_i64).prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let field = prop::sample::select(vec![
        "loadBalancer",
        "l4Listeners",
        "protocol",
        "port",
        "scheduler",
        "session",
        "enable",
        "enabled",
        "sessionExpireTime",
        "healthCheck",
        "timeout",
        "intervalTime",
        "checkType",
        "checkPort",
        "httpCode",
        "httpVersion",
        "httpCheckDomain",
        "contextType",
        "sendContext",
        "recvContext",
        "internetMaxBandwidthOut",
        "x",
    ]);
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(field.clone().prop_map(str::to_owned), inner, 0..8)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is in an object, its Service is served and its listeners can be asked for.
    #[test]
    fn no_object_keeps_a_service_from_being_served(spec in json_value(), check in json_value()) {
        for spec in [spec, json!({"loadBalancer": {"l4Listeners": [{"protocol": "TCP", "port": 80, "healthCheck": check}]}})] {
            let service = naming(Named::Found(Arc::new(Read::of(&spec))), Some(ANNOTATION));
            let (mut there, _) = outcome(&service);
            // What was told and is sent all the same.
            if let Some(check) = there.get_mut("HealthCheck").and_then(Value::as_object_mut) {
                check.remove("TimeOut");
            }
            let read = crate::listener::ListenerParameters::parse(&there.to_string());
            prop_assert!(read.is_ok(), "{read:?}");
        }
    }
}
