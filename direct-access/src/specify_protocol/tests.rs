//! Good values and bad ones, and what stays of the rest.

use rstest::rstest;

use super::*;
use crate::certificate::CertificateRef;
use crate::service::tests::service;

fn with(text: Option<&str>) -> ServiceFacts {
    let mut service = service("web");
    let pair = text.map(|text| (names::SPECIFY_PROTOCOL.to_owned(), text.to_owned()));
    service.annotations.extend(pair);
    service
}

fn certificate() -> ListenerParameters {
    ListenerParameters::parse(r#"{"Certificate":{"CertId":"abcd1234"}}"#).unwrap()
}

fn served(service: &ServiceFacts, parameters: &ListenerParameters) -> Vec<String> {
    let spoken = spoken(service, parameters).unwrap();
    let shown = |one: &SpokenPort| {
        let hosts = one.rules.iter().map(|rule| format!(" {}", rule.path));
        let hosts: String = hosts.collect();
        format!("{}:{}>{}{hosts}", one.protocol, one.port, one.target)
    };
    spoken.ports.iter().map(shown).collect()
}

#[rstest]
#[case::absent(None, &["TCP:80>8080"])]
#[case::same(Some(r#"{"80":{"protocol":["TCP"]}}"#), &["TCP:80>8080"])]
#[case::other(Some(r#"{"80":{"protocol":["UDP"]}}"#), &["UDP:80>8080"])]
#[case::both(Some(r#"{"80":{"protocol":["TCP","UDP"]}}"#), &["TCP:80>8080", "UDP:80>8080"])]
#[case::tls(Some(r#"{"80":{"protocol":["TCP_SSL"]}}"#), &["TCP_SSL:80>8080"])]
#[case::tls_and_udp(Some(r#"{"80":{"protocol":["TCP_SSL","UDP"]}}"#), &["TCP_SSL:80>8080", "UDP:80>8080"])]
#[case::nothing(Some("{}"), &["TCP:80>8080"])]
#[case::http(Some(r#"{"80":{"protocol":["HTTP"],"hosts":{"a.com":{},"b.com":{}}}}"#), &["HTTP:80>8080 a.com/ b.com/"])]
#[case::null(Some(r#"{"80":{"protocol":["HTTP"],"hosts":{"a.com":null}}}"#), &["HTTP:80>8080 a.com/"])]
#[case::https(Some(r#"{"80":{"protocol":["HTTPS"],"hosts":{"a.com":{"tls":"cert-a"}}}}"#), &["HTTPS:80>8080 a.com/"])]
#[case::http_and_udp(Some(r#"{"80":{"protocol":["HTTP","UDP"],"hosts":{"a.com":{}}}}"#), &["HTTP:80>8080 a.com/", "UDP:80>8080"])]
fn good_values_are_served(#[case] text: Option<&str>, #[case] expected: &[&str]) {
    let service = with(text);
    assert_eq!(served(&service, &certificate()), expected);
    assert_eq!(spoken(&service, &certificate()).unwrap().problems, []);
}

/// The other port goes on as its Service says, and the bad one keeps what it has on the CLB.
#[rstest]
#[case(r#"{"80":{"protocol":["SCTP"]}}"#, "TCP, UDP, TCP_SSL, HTTP and HTTPS")]
#[case(r#"{"80":{"protocol":["tcp"]}}"#, "\"tcp\"")]
#[case(r#"{"80":{"protocol":["QUIC"]}}"#, "QUIC is not served")]
#[case(r#"{"80":{"protocol":["HTTP"]}}"#, "HTTP needs hosts")]
#[case(r#"{"80":{"protocol":["HTTPS"],"tls":"cert"}}"#, "HTTPS needs hosts")]
#[case(r#"{"80":{"protocol":["HTTP","UDP"],"hosts":{}}}"#, "HTTP needs hosts")]
#[case(r#"{"80":{"protocol":["HTTP"],"hosts":["a.com"]}}"#, "does not parse")]
#[case(r#"{"80":{"protocol":["HTTP"],"hosts":{"*.a.com":{}}}}"#, "wildcard")]
#[case(r#"{"80":{"protocol":["HTTP"],"hosts":{"":{}}}}"#, "at least one dot")]
#[case(r#"{"80":{"protocol":["HTTP"],"hosts":{"a.com":"cert"}}}"#, "hosts")]
#[case(
    r#"{"80":{"protocol":["HTTP","HTTPS"],"hosts":{"a.com":{}}}}"#,
    "HTTP and HTTPS cannot share"
)]
#[case(
    r#"{"80":{"protocol":["TCP","HTTP"],"hosts":{"a.com":{}}}}"#,
    "cannot share"
)]
#[case(
    r#"{"80":{"protocol":["TCP"],"hosts":{"a.com":{}}}}"#,
    "hosts belong to HTTP"
)]
#[case(r#"{"80":{"protocol":[]}}"#, "at least one")]
#[case(r#"{"80":{"protocol":"TCP"}}"#, "does not parse")]
#[case(r#"{"80":{"protocols":["TCP"]}}"#, "protocols")]
#[case(r#"{"80":{"protocol":["TCP","TCP_SSL"]}}"#, "cannot share")]
#[case(r#"{"80":{"protocol":["TCP_SSL"]}}"#, "needs a certificate")]
#[case(
    r#"{"80":{"protocol":["TCP_SSL"],"tls":"cert-secret"}}"#,
    "\"cert-secret\""
)]
fn a_bad_port_is_told_and_held_and_the_others_are_served(#[case] text: &str, #[case] told: &str) {
    let mut service = with(Some(text));
    let other = PortFacts {
        port: 81,
        ..service.ports[0].clone()
    };
    service.ports.push(other);
    let spoken = spoken(&service, &ListenerParameters::default()).unwrap();
    assert_eq!(
        served(&service, &ListenerParameters::default()),
        ["TCP:81>8080"]
    );
    assert_eq!(spoken.held, [Protocol::Tcp.at(80), Protocol::Udp.at(80)]);
    let problem = spoken.problems[0].to_string();
    for part in ["shop/web", "specify-protocol][80]", told] {
        assert!(problem.contains(part), "{part} in {problem}");
    }
}

#[test]
fn a_port_that_the_service_lacks_is_told_and_ignored() {
    let service = with(Some(r#"{"8080":{"protocol":["UDP"]},"web":{}}"#));
    let spoken = spoken(&service, &ListenerParameters::default()).unwrap();
    assert_eq!((spoken.ports.len(), spoken.problems.len()), (1, 2));
    assert_eq!(spoken.held, []);
    assert!(spoken.problems[0].to_string().contains("has the ports 80"));
}

#[rstest]
#[case("TCP")]
#[case(r#"["TCP"]"#)]
#[case("{")]
fn what_is_no_object_holds_the_service(#[case] text: &str) {
    let reason = spoken(&with(Some(text)), &ListenerParameters::default()).unwrap_err();
    assert!(reason.holds());
}

#[test]
fn two_service_ports_of_one_number_keep_their_own_targets() {
    let mut dns = with(Some(r#"{"80":{"protocol":["UDP","TCP"]}}"#));
    let udp = PortFacts {
        name: None,
        port: 80,
        protocol: "UDP".to_owned(),
        target: TargetPort::Number(5353),
    };
    dns.ports.push(udp);
    assert_eq!(served(&dns, &certificate()), ["UDP:80>5353", "TCP:80>8080"]);
    dns.annotations.clear();
    assert_eq!(served(&dns, &certificate()), ["TCP:80>8080", "UDP:80>5353"]);
}

/// The hosts of an HTTPS port with their certificates, and what is told.
fn encrypted(entry: &str, parameters: &ListenerParameters) -> (Vec<String>, Vec<String>, bool) {
    let service = with(Some(&format!(r#"{{"80":{entry}}}"#)));
    let spoken = spoken(&service, parameters).unwrap();
    let shown = |rule: &Rule| {
        let certificate = match &rule.certificate {
            None => "none".to_owned(),
            Some(CertificateRef::Secret(secret)) => format!("Secret {secret}"),
            Some(CertificateRef::Id(id)) => format!("{id:?}"),
        };
        format!("{} {certificate}", rule.path)
    };
    let rules = spoken.ports.iter().flat_map(|one| &one.rules);
    (
        rules.map(shown).collect(),
        spoken.problems.iter().map(ToString::to_string).collect(),
        spoken.incomplete.contains(&Protocol::Https.at(80)),
    )
}

/// A host's own comes first, then the port's, then that of all the Service's listeners.
#[test]
fn a_host_shows_the_certificate_that_is_named_nearest() {
    let entry =
        r#"{"protocol":["HTTPS"],"tls":"cert","hosts":{"a.com":{"tls":"cert-a"},"b.com":{}}}"#;
    let (rules, told, incomplete) = encrypted(entry, &certificate());
    assert_eq!(
        rules,
        ["a.com/ Secret shop/cert-a", "b.com/ Secret shop/cert"]
    );
    assert_eq!((told.len(), incomplete), (0, false));

    let entry = r#"{"protocol":["HTTPS"],"hosts":{"a.com":{"tls":"cert-a"},"b.com":{"tls":""}}}"#;
    let mutual =
        r#"{"Certificate":{"SSLMode":"MUTUAL","CertId":"abcd1234","CertCaId":"ca001234"}}"#;
    let (rules, told, _) = encrypted(entry, &ListenerParameters::parse(mutual).unwrap());
    assert_eq!(rules[0], "a.com/ Secret shop/cert-a");
    assert!(
        rules[1].contains("abcd1234") && rules[1].contains("ca001234"),
        "{rules:?}"
    );
    assert_eq!(told.len(), 0);
    let (rules, ..) = encrypted(entry, &certificate());
    assert!(rules[1].contains("clients_ca: None"), "{rules:?}");
}

/// What is there keeps its certificate, and the other hosts are served.
#[rstest]
#[case::none("{}", &["HTTPS needs a certificate", "qcloud_cert_id", "E4040"])]
#[case::a_path(r#"{"tls":"../../kube-system/secrets/cert"}"#, &["../../kube-system", "name of a Secret"])]
#[case::a_parent(r#"{"tls":".."}"#, &["\"..\"", "name of a Secret"])]
#[case::upper_case(r#"{"tls":"Cert"}"#, &["\"Cert\"", "name of a Secret"])]
fn a_host_without_a_certificate_is_told_and_waits(#[case] host: &str, #[case] parts: &[&str]) {
    let entry =
        format!(r#"{{"protocol":["HTTPS"],"hosts":{{"a.com":{host},"b.com":{{"tls":"cert"}}}}}}"#);
    let (rules, told, incomplete) = encrypted(&entry, &ListenerParameters::default());
    assert_eq!(rules, ["a.com/ none", "b.com/ Secret shop/cert"]);
    assert_eq!((told.len(), incomplete), (1, false));
    for part in [&["[80].hosts", "\"a.com\""], parts].concat() {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
}

#[rstest]
#[case::wildcard("*.a.com", "{}", "wildcard")]
#[case::upper_case("A.com", "{}", "E4052")]
#[case::no_dot("localhost", "{}", "E4052")]
#[case::unknown("a.com", r#"{"cert":"a"}"#, "unknown field `cert`")]
#[case::no_text("a.com", r#"{"tls":7}"#, "does not parse")]
fn a_bad_host_is_told_and_the_others_are_served(
    #[case] host: &str,
    #[case] said: &str,
    #[case] told: &str,
) {
    let entry =
        format!(r#"{{"protocol":["HTTPS"],"hosts":{{"{host}":{said},"b.com":{{"tls":"cert"}}}}}}"#);
    let (rules, problems, incomplete) = encrypted(&entry, &ListenerParameters::default());
    assert_eq!(rules, ["b.com/ Secret shop/cert"]);
    assert_eq!((problems.len(), incomplete), (1, true));
    for part in ["[80].hosts", host, told] {
        assert!(problems[0].contains(part), "{part}: {problems:?}");
    }
}

#[test]
fn a_certificate_over_http_is_told_and_ignored() {
    let text = r#"{"80":{"protocol":["HTTP"],"hosts":{"a.com":{"tls":"cert"}}}}"#;
    let spoken = spoken(&with(Some(text)), &certificate()).unwrap();
    assert_eq!(spoken.ports[0].rules[0].certificate, None);
    assert_eq!((spoken.problems.len(), spoken.incomplete.len()), (1, 0));
    assert!(spoken.problems[0].to_string().contains("ignored over HTTP"));
}
