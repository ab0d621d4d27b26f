//! What Services that speak HTTP and HTTPS add to what the CLB should hold.

use direct_access::{CertificateId, IngressFacts, ServiceFacts, Settings, names};

use super::tests::{front, service};
use super::*;
use crate::lifecycle::Made;
use crate::pod::PodRecord;
use crate::pod::tests::pod;
use crate::secrets::Certificates;

const SLOT: Slot = Protocol::Https.at(80);

fn speaking(name: &str, second: i64, entry: &str) -> ServiceFacts {
    let mut service = service(name);
    service.created = Some(jiff::Timestamp::from_second(second).unwrap());
    let text = format!(r#"{{"80":{entry}}}"#);
    service
        .annotations
        .insert(names::SPECIFY_PROTOCOL.to_owned(), text);
    service
}

/// HTTPS with this Secret for each host.
fn encrypted(name: &str, second: i64, hosts: &[(&str, &str)]) -> ServiceFacts {
    let hosts = hosts
        .iter()
        .map(|(host, tls)| format!(r#""{host}":{{"tls":"{tls}"}}"#));
    let hosts: Vec<_> = hosts.collect();
    let entry = format!(
        r#"{{"protocol":["HTTPS"],"hosts":{{{}}}}}"#,
        hosts.join(",")
    );
    speaking(name, second, &entry)
}

fn compute(
    services: &[ServiceFacts],
    ingresses: &[IngressFacts],
    certificates: &Certificates,
) -> Wanted {
    let pods = [PodRecord {
        weight: 7,
        rule_weight: 70,
        ..pod("a", 1)
    }];
    let asked = Asked {
        services: services.iter().collect(),
        ingresses: ingresses.iter().collect(),
        certificates: Some(certificates),
    };
    let (settings, ledger, made) = (Settings::default(), BTreeSet::new(), Made::default());
    wanted(&asked, &by_namespace(&pods), &settings, &ledger, &made)
}

fn desired(wanted: &Wanted) -> &Desired {
    &wanted.load_balancers["lb-abcd1234"]
}

fn key(domain: &str) -> RuleKey {
    RuleKey {
        domain: domain.to_owned(),
        url: "/".to_owned(),
    }
}

fn known(all: &[(&str, Result<&str, &str>)]) -> Certificates {
    let mut certificates = Certificates::default();
    for (name, read) in all {
        let secret = ObjectRef {
            namespace: "shop".to_owned(),
            name: (*name).to_owned(),
        };
        let id = |server: &str| CertificateId {
            server: server.to_owned(),
            clients_ca: None,
        };
        certificates.insert(secret, read.map(id).map_err(str::to_owned));
    }
    certificates
}

#[test]
fn a_host_of_a_service_is_a_rule_with_its_pods() {
    let http = r#"{"protocol":["HTTP","UDP"],"hosts":{"a.example":{},"b.example":{}}}"#;
    let wanted = compute(&[speaking("web", 1, http)], &[], &known(&[]));
    let listener = &desired(&wanted).listeners[&SLOT];
    assert_eq!(
        (listener.protocol, listener.targets.len()),
        (Protocol::Http, 0)
    );
    let rules: Vec<_> = listener.rules.keys().cloned().collect();
    assert_eq!(rules, [key("a.example"), key("b.example")]);
    // A Service's pods have the weight of Services' pods.
    let targets = &listener.rules[&key("a.example")].targets;
    assert_eq!((targets[0].address.1, targets[0].weight), (8080, 7));
    let datagrams = &desired(&wanted).listeners[&Protocol::Udp.at(80)];
    assert_eq!((datagrams.targets.len(), datagrams.rules.len()), (1, 0));
    assert!(wanted.problems.is_empty() && wanted.conflicts.is_empty());
    assert_eq!(wanted.exposures.len(), 3);
}

#[test]
fn each_host_shows_what_its_secret_names() {
    let hosts = [
        ("a.example", "cert-a"),
        ("b.example", "cert-b"),
        ("c.example", "cert-c"),
    ];
    let web = encrypted("web", 1, &hosts);
    let read = known(&[("cert-a", Ok("certa001")), ("cert-b", Err("E4011"))]);
    let wanted = compute(std::slice::from_ref(&web), &[], &read);
    let listener = &desired(&wanted).listeners[&SLOT];
    assert_eq!(listener.parameters.sni_switch, Some(1));
    let certificate = |domain: &str| listener.rules[&key(domain)].certificate.clone();
    assert!(matches!(certificate("a.example"), Certified::Known(id) if id.server == "certa001"));
    assert!(matches!(certificate("b.example"), Certified::Unknown(_)));
    assert_eq!(certificate("c.example"), Certified::Sought);
    let told: Vec<_> = wanted.problems[&web.owner()]
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(told.len(), 1);
    for part in [
        "Service shop/web",
        "specify-protocol][80]",
        "cert-b",
        "E4011",
    ] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
}

#[test]
fn a_host_that_cannot_be_read_leaves_the_others_served() {
    let entry = r#"{"protocol":["HTTP"],"hosts":{"a.example":{},"*.example":{}}}"#;
    let web = speaking("web", 1, entry);
    let wanted = compute(std::slice::from_ref(&web), &[], &known(&[]));
    let desired = desired(&wanted);
    assert_eq!(desired.listeners[&SLOT].rules.len(), 1);
    assert_eq!(desired.incomplete, [SLOT].into());
    assert_eq!(wanted.problems[&web.owner()].len(), 1);
    assert!(desired.others.held_slots.is_empty());
}

/// Services and Ingresses may have hosts of one listener; what two claim is the older's.
#[test]
fn a_service_shares_a_listener_with_an_ingress() {
    let http = r#"{"protocol":["HTTP"],"hosts":{"a.example":{},"b.example":{}}}"#;
    let young = speaking("web", 9, http);
    let old = IngressFacts {
        created: Some(jiff::Timestamp::from_second(1).unwrap()),
        ..front()
    };
    let wanted = compute(
        std::slice::from_ref(&young),
        std::slice::from_ref(&old),
        &known(&[]),
    );
    let listener = &desired(&wanted).listeners[&SLOT];
    let owner = |domain: &str| listener.owner_of(Some(&key(domain))).clone();
    assert_eq!(owner("a.example"), old.owner());
    assert_eq!(owner("b.example"), young.owner());
    // Each kind has its own word for the weight.
    let weight = |domain: &str| listener.rules[&key(domain)].targets[0].weight;
    assert_eq!((weight("a.example"), weight("b.example")), (70, 7));
    for claims in [young.owner(), old.owner()] {
        let told = wanted.conflicts[&claims][0].to_string();
        assert!(told.contains("HTTP:80 a.example/"), "{told}");
    }
}

#[test]
fn the_older_service_has_the_listener_where_two_speak_differently() {
    let http = r#"{"protocol":["HTTP"],"hosts":{"a.example":{}}}"#;
    let (old, young) = (service("old"), speaking("young", 9, http));
    let wanted = compute(&[young.clone(), old.clone()], &[], &known(&[]));
    let listener = &desired(&wanted).listeners[&SLOT];
    assert_eq!(
        (listener.protocol, &listener.owner),
        (Protocol::Tcp, &old.owner())
    );
    assert!(wanted.conflicts.contains_key(&young.owner()));
}
