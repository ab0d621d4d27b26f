//! What Ingresses add to what the CLB should hold.

use direct_access::tke_service_config::{Named, Read};
use direct_access::{IngressFacts, ServiceFacts, Settings, names};

use super::tests::{front, service};
use super::*;
use crate::judge::{Times, judge};
use crate::lifecycle::Made;
use crate::pod::tests::pod;
use crate::secrets::Certificates;
use crate::view::Views;

fn plain(name: &str) -> ServiceFacts {
    let mut service = service(name);
    service.annotations.clear();
    service
}

fn named(name: &str, second: i64) -> IngressFacts {
    IngressFacts {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        created: Some(jiff::Timestamp::from_second(second).unwrap()),
        ..front()
    }
}

fn at_path(mut ingress: IngressFacts, path: &str) -> IngressFacts {
    ingress.routes[0].path = Some(path.to_owned());
    ingress
}

fn with(mut ingress: IngressFacts, key: &str, value: &str) -> IngressFacts {
    ingress.annotations.insert(key.to_owned(), value.to_owned());
    ingress
}

fn compute(
    services: &[ServiceFacts],
    ingresses: &[IngressFacts],
    certificates: Option<&Certificates>,
) -> Wanted {
    let pods = [pod("a", 1)];
    let asked = Asked {
        services: services.iter().collect(),
        ingresses: ingresses.iter().collect(),
        certificates,
    };
    let (settings, ledger, made) = (Settings::default(), BTreeSet::new(), Made::default());
    wanted(&asked, &by_namespace(&pods), &settings, &ledger, &made)
}

fn listener(wanted: &Wanted, port: u16) -> &DesiredListener {
    &wanted.load_balancers["lb-abcd1234"].listeners[&Protocol::Http.at(port)]
}

fn key(url: &str) -> RuleKey {
    RuleKey {
        domain: "a.example".to_owned(),
        url: url.to_owned(),
    }
}

#[test]
fn a_path_is_a_rule_with_the_services_pods() {
    let wanted = compute(&[plain("web")], &[front()], None);
    let listener = listener(&wanted, 80);
    assert_eq!(listener.protocol, Protocol::Http);
    assert!(listener.targets.is_empty());
    let targets = &listener.rules[&key("/")].targets;
    assert_eq!((targets.len(), targets[0].address.1), (1, 8080));
    assert_eq!(listener.owner, front().owner());
    assert!(wanted.problems.is_empty() && wanted.conflicts.is_empty());
}

#[test]
fn one_made_for_an_ingress_is_used_once_its_tags_were_seen() {
    let mut unnamed = with(front(), names::ingress::LOAD_BALANCER_ID, "lb-made");
    unnamed
        .annotations
        .remove(names::ingress::EXISTING_LOAD_BALANCER);
    let settings = Settings {
        manage: direct_access::settings::Manage::LoadBalancers,
        ..Settings::default()
    };
    let (services, ingresses, pods) = ([plain("web")], [unnamed], [pod("a", 1)]);
    let asked = Asked {
        services: services.iter().collect(),
        ingresses: ingresses.iter().collect(),
        certificates: None,
    };
    let ledger = ["lb-made".to_owned()].into();
    let made_for = |uid: &str| {
        let made = Made::of([(uid.to_owned(), "lb-made".to_owned())]);
        wanted(&asked, &by_namespace(&pods), &settings, &ledger, &made)
    };
    let seen = made_for("uid-front");
    let rules = &seen.load_balancers["lb-made"].listeners[&Protocol::Http.at(80)].rules;
    assert_eq!(rules[&key("/")].targets.len(), 1);
    // Somebody typed the id: neither used nor emptied.
    let typed = made_for("uid-other");
    let load_balancer = &typed.load_balancers["lb-made"];
    assert!(load_balancer.hold && load_balancer.listeners.is_empty());
    assert_eq!(typed.exposures[0].load_balancer.id(), None);
}

#[test]
fn a_pod_waits_for_its_service_and_for_every_rule() {
    let both = compute(
        &[service("web")],
        &[with(
            front(),
            names::ingress::LISTEN_PORTS,
            r#"[{"HTTP":81}]"#,
        )],
        None,
    );
    assert_eq!(both.exposures.len(), 2);
    let pods = [pod("a", 1)];
    let verdict = judge(
        &both.exposures,
        &by_namespace(&pods),
        &Views::default(),
        both.network,
        Times {
            now: jiff::Timestamp::UNIX_EPOCH,
            unselected: &HashMap::new(),
        },
    );
    let told = &verdict.writes[0].1.message;
    assert!(told.contains("0/2"), "{told}");
}

#[test]
fn two_ingresses_share_a_listener_but_not_a_rule() {
    let all = [
        named("old", 1),
        at_path(named("other", 2), "/other"),
        named("young", 3),
    ];
    let wanted = compute(&[plain("web")], &all, None);
    let listener = listener(&wanted, 80);
    assert_eq!(*listener.owner_of(Some(&key("/"))), all[0].owner());
    assert_eq!(*listener.owner_of(Some(&key("/other"))), all[1].owner());
    assert_eq!(listener.rules.len(), 2);
    let told = |of: &IngressFacts| wanted.conflicts[&of.owner()][0].to_string();
    for part in [
        "Ingress shop/young",
        "HTTP:80 a.example/",
        "older Ingress shop/old",
    ] {
        assert!(told(&all[2]).contains(part), "{}", told(&all[2]));
    }
    assert!(told(&all[0]).contains("younger Ingress shop/young"));
    assert!(!wanted.conflicts.contains_key(&all[1].owner()));
}

#[test]
fn a_service_that_has_the_port_keeps_it_and_both_are_told() {
    let old = service("old");
    let wanted = compute(&[old.clone(), plain("web")], &[named("front", 1)], None);
    assert_eq!(listener(&wanted, 80).protocol, Protocol::Tcp);
    let told = wanted.conflicts[&front().owner()][0].to_string();
    assert!(told.contains("older Service shop/old"), "{told}");
    assert!(wanted.conflicts.contains_key(&old.owner()));
}

#[test]
fn a_certificate_that_is_not_known_keeps_a_rule_from_being_made_only() {
    let mut tls = front();
    tls.tls.push(direct_access::ingress::TlsFacts {
        hosts: vec![],
        secret: Some("cert".to_owned()),
    });
    let rule = |wanted: &Wanted| listener(wanted, 443).rules[&key("/")].clone();
    let unread = compute(&[plain("web")], &[tls.clone()], None);
    assert_eq!(rule(&unread).certificate, Certified::Sought);
    assert_eq!(rule(&unread).targets.len(), 1);
    assert!(unread.problems.is_empty());
    let secret = ObjectRef {
        namespace: "shop".to_owned(),
        name: "cert".to_owned(),
    };
    let mut certificates = Certificates::default();
    certificates.insert(
        secret.clone(),
        Err("it has no key qcloud_cert_id (E4011)".to_owned()),
    );
    let bad = compute(&[plain("web")], &[tls.clone()], Some(&certificates));
    let told = bad.problems[&tls.owner()][0].to_string();
    assert!(
        told.contains("E4011") && told.contains("\"cert\""),
        "{told}"
    );
    let id = CertificateId {
        server: "abcd1234".to_owned(),
        clients_ca: None,
    };
    certificates.insert(secret, Ok(id.clone()));
    let good = compute(&[plain("web")], &[tls], Some(&certificates));
    assert_eq!(rule(&good).certificate, Certified::Known(id));
}

#[test]
fn an_unreadable_ingress_holds_its_pods_and_ports() {
    let bad = with(front(), names::ingress::LISTEN_PORTS, "[8080");
    let wanted = compute(&[plain("web")], std::slice::from_ref(&bad), None);
    assert!(wanted.others.held_pods.contains("uid-a"));
    for port in [80, 443, 8080] {
        assert!(wanted.others.held_slots.contains(&Protocol::Http.at(port)));
    }
    assert!(wanted.problems.contains_key(&bad.owner()));
}

#[test]
fn a_part_that_is_unreadable_leaves_its_listeners_as_they_are() {
    let mut bad = front();
    let mut second = bad.routes[0].clone();
    second.path = Some("no slash".to_owned());
    bad.routes.push(second);
    let wanted = compute(&[plain("web")], &[bad], None);
    let desired = &wanted.load_balancers["lb-abcd1234"];
    assert!(desired.incomplete.contains(&Protocol::Http.at(80)));
    assert_eq!(listener(&wanted, 80).rules.len(), 1);
    assert!(wanted.others.held_slots.is_empty());
}

#[test]
fn the_older_ingress_names_the_certificate_of_a_host() {
    let with = |name, second, path, id: &str| {
        let value = format!(r#"[{{"hosts":["a.example"],"qcloud_cert_id":["{id}"]}}]"#);
        let ingress = at_path(named(name, second), path);
        with(ingress, names::ingress::CERTIFICATE, &value)
    };
    let all = [
        with("young", 2, "/shop", "certnew0"),
        with("old", 1, "/", "certold0"),
    ];
    let wanted = compute(&[plain("web")], &all, None);
    let https = &wanted.load_balancers["lb-abcd1234"].listeners[&Protocol::Https.at(443)];
    assert_eq!(https.parameters.sni_switch, Some(1));
    for path in ["/", "/shop"] {
        let Certified::Known(id) = &https.rules[&key(path)].certificate else {
            panic!()
        };
        assert_eq!(id.server, "certold0");
    }
    let told = wanted.problems[&all[0].owner()][0].to_string();
    assert!(
        told.contains("older Ingress shop/old") && told.contains("a.example"),
        "{told}"
    );
    assert!(!wanted.problems.contains_key(&all[1].owner()));
}

/// An Ingress on HTTPS whose `TkeServiceConfig` says this of HTTP/2.
fn speaking(ingress: IngressFacts, http2: bool) -> IngressFacts {
    let path = ingress.routes[0].path.clone();
    let domain =
        serde_json::json!({"domain": "a.example", "http2": http2, "rules": [{"url": path}]});
    let listener = serde_json::json!({"protocol": "HTTPS", "port": 443, "domains": [domain]});
    let spec = serde_json::json!({"loadBalancer": {"l7Listeners": [listener]}});
    let named = with(ingress, names::ingress::TKE_SERVICE_CONFIG, "tuned");
    let certificate = r#"[{"hosts":["a.example"],"qcloud_cert_id":["cert-a"]}]"#;
    IngressFacts {
        config: Named::Found(Arc::new(Read::of(&spec))),
        ..with(named, names::ingress::CERTIFICATE, certificate)
    }
}

#[test]
fn a_domain_speaks_http2_as_the_older_of_its_rules_says() {
    let old = speaking(named("old", 1), true);
    let young = speaking(at_path(named("young", 2), "/shop"), false);
    let alike = speaking(at_path(named("alike", 3), "/alike"), true);
    let all = [old, young.clone(), alike];
    let wanted = compute(&[plain("web")], &all, None);
    let rules = &listener(&wanted, 443).rules;
    let http2: Vec<_> = rules.values().map(|rule| rule.parameters.http2).collect();
    assert_eq!(http2, [Some(true); 3]);
    let told: Vec<_> = wanted.problems.keys().collect();
    assert_eq!(told, [&young.owner()]);
    let told = wanted.problems[&young.owner()][0].to_string();
    assert!(told.contains("http2") && told.contains("TCP:443"), "{told}");
}
