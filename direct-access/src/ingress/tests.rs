//! What an Ingress comes to, as a whole.

use serde_json::{Value, json};

use super::*;
use crate::attributes::attributes;
use crate::certificate::{CertificateId, CertificateRef};
use crate::load_balancer::LoadBalancer;
use crate::names;
use crate::names::ingress as own;
use crate::owner::Owner;
use crate::service::tests::service;
use crate::service::{ServiceFacts, TargetPort};
use crate::settings::{Manage, Ownership, Settings};
use crate::slot::Protocol;

/// A path as the API server gives it.
pub(super) fn path(path: &str, service: &str, port: &Value) -> Value {
    json!({"path": path, "pathType": "Prefix", "backend": {"service": {"name": service, "port": port}}})
}

/// A rule of one path.
pub(super) fn rule(host: &str, path: Value) -> Value {
    let mut rule = json!({"host": host, "http": {"paths": []}});
    rule["http"]["paths"] = Value::Array(vec![path]);
    rule
}

/// A direct-access Ingress `shop/NAME` on `lb-abcd1234` with this spec.
pub(crate) fn ingress(name: &str, spec: Value) -> IngressFacts {
    let mut object = json!({
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}"), "annotations": {
            (own::DIRECT_ACCESS): "true", (own::EXISTING_LOAD_BALANCER): "lb-abcd1234",
            "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
    });
    object["spec"] = spec;
    IngressFacts::prune(serde_json::from_value(object).unwrap())
}

/// One that leads `a.com/` to port 80 of Service `web`.
pub(super) fn simple() -> IngressFacts {
    let spec = json!({"rules": [rule("a.com", path("/", "web", &json!({"number": 80})))]});
    ingress("front", spec)
}

impl IngressFacts {
    /// The same with an annotation.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same without an annotation.
    #[must_use]
    pub(crate) fn without(mut self, key: &str) -> Self {
        self.annotations.remove(key);
        self
    }
}

/// Judged beside `web` (port 80, named `http`), `api` (port 8080) and `none`, which selects nothing.
pub(super) fn judged(ingress: &IngressFacts, settings: &Settings) -> IngressJudgement {
    let mut web = service("web");
    web.ports[0].name = Some("http".to_owned());
    let mut api = service("api");
    api.ports[0].port = 8080;
    let none = ServiceFacts {
        selector: [].into(),
        ..service("none")
    };
    let all = [web, api, none];
    let find = |name: &str| all.iter().find(|service| service.name == name);
    ingress_exposures(ingress, &find, settings)
}

pub(super) fn served(ingress: &IngressFacts) -> IngressServed {
    match judged(ingress, &Settings::default()) {
        IngressJudgement::Served(served) => served,
        IngressJudgement::NotOurs(reason) => panic!("{reason:?}"),
    }
}

pub(super) fn reason(ingress: &IngressFacts) -> IngressReason {
    match judged(ingress, &Settings::default()) {
        IngressJudgement::NotOurs(reason) => reason,
        IngressJudgement::Served(served) => panic!("served: {served:?}"),
    }
}

/// `HTTP:80 a.com/ -> web 8080`, in order.
pub(super) fn shown(served: &IngressServed) -> Vec<String> {
    let one = |exposure: &crate::Exposure| {
        let (protocol, port) = (exposure.protocol, exposure.port);
        let rule = exposure.rule.as_ref().unwrap();
        let default = if rule.default { " (default)" } else { "" };
        format!(
            "{protocol}:{port} {}{default} -> {} {}",
            rule.path, exposure.service.name, exposure.target
        )
    };
    served.exposures.iter().map(one).collect()
}

#[test]
fn a_path_becomes_a_rule_that_leads_to_pods() {
    let served = served(&simple());
    assert_eq!(shown(&served), ["HTTP:80 a.com/ -> web 8080"]);
    assert!(served.problems.is_empty() && served.incomplete.is_empty());
    let exposure = &served.exposures[0];
    assert_eq!(exposure.owner, Owner::ingress(simple().object()));
    assert_eq!(exposure.load_balancer.id(), Some("lb-abcd1234"));
    assert_eq!(exposure.selector, service("web").selector);
    assert_eq!(exposure.target, TargetPort::Number(8080));
}

#[test]
fn hosts_paths_and_a_default_backend() {
    let mut two = rule("a.com", path("/", "web", &json!({"name": "http"})));
    let exact = json!({"path": "/api", "pathType": "Exact",
        "backend": {"service": {"name": "api", "port": {"number": 8080}}}});
    two["http"]["paths"].as_array_mut().unwrap().push(exact);
    let spec = json!({
        "rules": [two, {"http": {"paths": [path("/any", "web", &json!({"number": 80}))]}}],
        "defaultBackend": {"service": {"name": "api", "port": {"number": 8080}}},
    });
    let served = served(&ingress("front", spec));
    let expected = [
        "HTTP:80 a.com/ -> web 8080",
        "HTTP:80 a.com=/api -> api 8080",
        "HTTP:80 /any -> web 8080",
        "HTTP:80 / (default) -> api 8080",
    ];
    assert_eq!(shown(&served), expected);
    assert!(served.problems.is_empty(), "{:?}", served.problems);
}

#[test]
fn tls_moves_everything_to_https_with_the_hosts_certificate() {
    let spec = json!({
        "tls": [{"hosts": ["a.com"], "secretName": "cert-a"}, {"secretName": "cert-all"}],
        "rules": [rule("a.com", path("/", "web", &json!({"number": 80}))),
            rule("b.com", path("/", "web", &json!({"number": 80})))],
    });
    let served = served(&ingress("front", spec));
    let certificates: Vec<_> = served
        .exposures
        .iter()
        .map(|exposure| {
            assert_eq!((exposure.protocol, exposure.port), (Protocol::Https, 443));
            exposure.rule.as_ref().unwrap().certificate.clone().unwrap()
        })
        .collect();
    let secret = |name: &str| CertificateRef::Secret(simple().beside(name));
    assert_eq!(certificates, [secret("cert-a"), secret("cert-all")]);
}

#[test]
fn the_annotation_names_a_certificate_before_the_spec_does() {
    let spec = json!({
        "tls": [{"hosts": ["a.com"], "secretName": "cert-a"}],
        "rules": [rule("a.com", path("/", "web", &json!({"number": 80})))],
    });
    let text = r#"[{"hosts":["a.com"],"qcloud_cert_id":["abcd1234"]}]"#;
    let served = served(&ingress("front", spec).with(own::CERTIFICATE, text));
    let id = CertificateId {
        server: "abcd1234".to_owned(),
        clients_ca: None,
    };
    let rule = served.exposures[0].rule.as_ref().unwrap();
    assert_eq!(rule.certificate, Some(CertificateRef::Id(id)));
    assert!(served.problems.is_empty(), "{:?}", served.problems);
}

#[test]
fn without_a_certificate_https_is_told_and_existing_rules_keep_their_pods() {
    let served = served(&simple().with(own::LISTEN_PORTS, r#"[{"HTTPS":443}]"#));
    assert_eq!(served.exposures[0].rule.as_ref().unwrap().certificate, None);
    let told = served.problems[0].to_string();
    assert!(told.contains("E4040") && told.contains("a.com"), "{told}");
}

#[test]
fn a_bad_path_is_told_and_the_others_are_served() {
    let spec = json!({"rules": [
        rule("a.com", path("/", "web", &json!({"number": 80}))),
        rule("b.com", path("/", "gone", &json!({"number": 80}))),
    ]});
    let served = served(&ingress("front", spec));
    assert_eq!(shown(&served), ["HTTP:80 a.com/ -> web 8080"]);
    assert_eq!(served.problems.len(), 1);
    let told = served.problems[0].to_string();
    for part in [
        "Ingress shop/front",
        "spec.rules[1].http.paths[0].backend",
        "\"gone\"",
        "E4041",
    ] {
        assert!(told.contains(part), "{told}");
    }
    // What the bad one had stays until it is mended.
    assert!(served.incomplete.contains(&Protocol::Http.at(80)));
}

#[test]
fn one_host_and_path_is_one_rule() {
    let spec = json!({"rules": [
        rule("a.com", path("/", "web", &json!({"number": 80}))),
        rule("a.com", path("/", "api", &json!({"number": 8080}))),
    ]});
    let served = served(&ingress("front", spec));
    assert_eq!(shown(&served), ["HTTP:80 a.com/ -> web 8080"]);
    assert!(served.problems[0].to_string().contains("spec.rules[1]"));
}

#[test]
fn where_a_redirect_is_asked_for_nothing_is_forwarded_over_http() {
    let certificate = r#"[{"qcloud_cert_id":"abcd1234"}]"#;
    let served = served(
        &simple()
            .with(own::LISTEN_PORTS, r#"[{"HTTP":80},{"HTTPS":443}]"#)
            .with(own::CERTIFICATE, certificate)
            .with(own::AUTO_REWRITE, "true"),
    );
    assert_eq!(shown(&served), ["HTTPS:443 a.com/ -> web 8080"]);
    assert!(served.problems[0].to_string().contains("no redirects"));
}

#[test]
fn what_belongs_to_others_is_left_alone_without_a_word() {
    let without = [
        simple().without(own::DIRECT_ACCESS),
        simple().with(own::DIRECT_ACCESS, "false"),
        simple().with(own::CLASS_ANNOTATION, "nginx"),
        IngressFacts {
            class_name: Some("nginx".to_owned()),
            ..simple()
        },
        IngressFacts {
            going: true,
            ..simple()
        },
    ];
    for other in without {
        let reason = reason(&other);
        assert_eq!(reason.problem(&other), None);
        assert!(!reason.holds());
    }
    let beside_tke = Settings {
        ownership: Ownership::SkippedByTke,
        ..Settings::default()
    };
    let not_ours = IngressJudgement::NotOurs(IngressReason::ServedByTke);
    assert_eq!(judged(&simple(), &beside_tke), not_ours);
    let skipped = simple().with(own::MODE, "skip");
    assert!(matches!(
        judged(&skipped, &beside_tke),
        IngressJudgement::Served(_)
    ));
}

#[test]
fn the_class_is_ours_by_annotation_by_name_or_by_none() {
    let named = IngressFacts {
        class_name: Some("qcloud".to_owned()),
        ..simple()
    };
    let both = IngressFacts {
        class_name: Some("nginx".to_owned()),
        ..simple().with(own::CLASS_ANNOTATION, "qcloud")
    };
    for ours in [
        simple(),
        named,
        both,
        simple().with(own::CLASS_ANNOTATION, "qcloud"),
    ] {
        assert_eq!(served(&ours).exposures.len(), 1);
    }
}

#[test]
fn without_a_load_balancer_it_is_told_to_name_one() {
    let unnamed = simple().without(own::EXISTING_LOAD_BALANCER);
    let reason = reason(&unnamed);
    assert!(!reason.holds());
    assert!(
        reason
            .problem(&unnamed)
            .unwrap()
            .to_string()
            .contains(own::EXISTING_LOAD_BALANCER)
    );
}

#[test]
fn an_unreadable_one_holds_what_it_may_have() {
    let bad = simple().with(own::LISTEN_PORTS, r#"[{"HTTP":8080},{"HTTP":8443]"#);
    assert!(reason(&bad).holds());
    let ports: Vec<_> = bad.possible_slots().iter().map(|slot| slot.port).collect();
    assert_eq!(ports, [80, 443, 8080, 8443]);
}

#[test]
fn pruning_keeps_what_is_used_and_who_wrote_the_status() {
    let whole = json!({
        "metadata": {"namespace": "shop", "name": "front", "uid": "uid-front", "resourceVersion": "7",
            "annotations": {(own::DIRECT_ACCESS): "true", "example.com/other": "x"},
            "managedFields": [{"manager": names::FIELD_MANAGER, "operation": "Apply", "subresource": "status"}]},
        "spec": {"ingressClassName": "qcloud", "rules": [{"host": "a.com"}],
            "defaultBackend": {"resource": {"kind": "Bucket", "name": "b"}},
            "tls": [{"hosts": ["a.com"], "secretName": ""}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "198.18.0.130"}]}},
    });
    let pruned = IngressFacts::prune(serde_json::from_value(whole).unwrap());
    let expected = IngressFacts {
        namespace: "shop".to_owned(),
        name: "front".to_owned(),
        uid: "uid-front".to_owned(),
        class_name: Some("qcloud".to_owned()),
        annotations: [(own::DIRECT_ACCESS.to_owned(), "true".to_owned())].into(),
        routes: vec![RouteFacts {
            field: "spec.rules[0].http".to_owned(),
            host: Some("a.com".to_owned()),
            ..RouteFacts::default()
        }],
        default_backend: Some(Backend::Resource("Bucket b".to_owned())),
        tls: vec![TlsFacts {
            hosts: vec!["a.com".to_owned()],
            secret: None,
        }],
        version: 7,
        shown: vec!["198.18.0.130".to_owned()],
        shown_by_us: true,
        ..IngressFacts::default()
    };
    assert_eq!(pruned, expected);
}

#[test]
fn one_is_made_where_the_level_makes_them() {
    let unnamed = simple().without(own::EXISTING_LOAD_BALANCER);
    let at = |manage, ingress: &IngressFacts| {
        let settings = Settings {
            manage,
            ..Settings::default()
        };
        match judged(ingress, &settings) {
            IngressJudgement::Served(served) => {
                let on = served.exposures.iter().map(|one| &one.load_balancer);
                assert!(on.into_iter().all(|one| *one == served.load_balancer));
                Ok(served.load_balancer)
            }
            IngressJudgement::NotOurs(reason) => Err(reason),
        }
    };
    let none = Err(IngressReason::NoLoadBalancer);
    let made = |id: Option<&str>| Ok(LoadBalancer::Made(id.map(str::to_owned)));
    assert_eq!(at(Manage::Listeners, &unnamed), none);
    assert_eq!(at(Manage::LoadBalancers, &unnamed), made(None));
    let known = unnamed.clone().with(own::LOAD_BALANCER_ID, "lb-1");
    // Somebody typed the id: this level makes none, so there is nothing that could be ours.
    assert_eq!(at(Manage::Listeners, &known), none);
    assert_eq!(at(Manage::LoadBalancers, &known), made(Some("lb-1")));
    let claimed = IngressFacts {
        finalizer: true,
        ..known
    };
    assert_eq!(at(Manage::Backends, &claimed), made(Some("lb-1")));
    let named = claimed.with(own::EXISTING_LOAD_BALANCER, "lb-2");
    let existing = Ok(LoadBalancer::Existing("lb-2".to_owned()));
    assert_eq!(at(Manage::LoadBalancers, &named), existing);
}

#[test]
fn what_an_ingress_asks_of_a_clb_made_for_it_is_read() {
    let asking = simple()
        .with(own::SECURITY_GROUPS, "sg-b,sg-a")
        .with(own::PASS_TO_TARGET, "true");
    let (asked, problems) = attributes(&asking.words(), &LoadBalancer::Made(None));
    assert_eq!(asked.security_groups.unwrap(), ["sg-a", "sg-b"]);
    assert_eq!((asked.pass_to_target, problems), (Some(true), vec![]));
    // It names a CLB of the user's own, which is left alone.
    let told = served(&asking).problems;
    assert_eq!(told.len(), 2);
    assert!(
        told[0].to_string().contains("lb-abcd1234 is yours"),
        "{}",
        told[0]
    );
}
