//! Rules of a layer-7 listener, as an Ingress asks for them.

use std::time::Duration;

use direct_access::listener::ListenerParameters;
use direct_access::{CertificateId, Protocol};
use gate_controller::desired::{Certified, Desired, DesiredRule, RuleKey};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::settles::{bound, config, while_it_works};
use super::town::{listeners, operate};
use super::world::{World, desired};

const MINUTE: Duration = Duration::from_mins(1);

fn key(domain: &str, url: &str) -> RuleKey {
    RuleKey {
        domain: domain.to_owned(),
        url: url.to_owned(),
    }
}

/// Each rule has these pods.
fn with_rules(keys: &[RuleKey], pods: u32) -> Desired {
    let mut all = desired(80, 0..pods);
    let mut listener = all.listeners.remove(&Protocol::Tcp.at(80)).unwrap();
    let rule = DesiredRule {
        targets: std::mem::take(&mut listener.targets),
        ..DesiredRule::default()
    };
    listener.protocol = Protocol::Http;
    listener.rules = keys.iter().map(|key| (key.clone(), rule.clone())).collect();
    all.listeners.insert(Protocol::Http.at(80), listener);
    all
}

#[tokio::test(start_paused = true)]
async fn one_rule_too_many_is_told_and_the_others_are_served() {
    let world = World::new(config(100));
    world.clb.set_quotas(clb_sim::Quotas {
        rules: 2,
        ..clb_sim::Quotas::default()
    });
    let keys = ["/a", "/b", "/c"].map(|url| key("a.example", url));
    let story = async {
        world.want(with_rules(&keys, 3));
        bound(&world, 6).await;
        sleep(MINUTE).await;
        let view = world.view();
        let held = &view.held[&Protocol::Http.at(80)];
        let told = held[0].to_string();
        assert!(
            told.contains("a.example/c") && told.contains("E4005"),
            "{told}"
        );
        // Mended by asking for one less.
        world.want(with_rules(&keys[..2], 3));
        sleep(MINUTE).await;
        assert!(world.view().held.is_empty());
    };
    while_it_works(&world, story).await;
    assert_eq!(world.bound().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_rule_without_a_host_has_the_address_for_its_domain() {
    let world = World::new(config(100));
    let keys = [key("", "/"), key("a.example", "/")];
    let story = async {
        world.want(with_rules(&keys, 2));
        bound(&world, 4).await;
        sleep(MINUTE).await;
    };
    while_it_works(&world, story).await;
    let shown = listeners(&world);
    let rules = shown[0]["rules"].as_array().unwrap();
    let domains: Vec<_> = rules.iter().map(|rule| rule["domain"].as_str()).collect();
    let address = world.view().address.clone();
    assert!(
        address.is_some() && domains.contains(&address.as_deref()),
        "{domains:?}"
    );
    assert_eq!(rules.len(), 2);
}

/// The same over HTTPS, with this certificate.
fn encrypted(keys: &[RuleKey], certificate: &str) -> Desired {
    let mut all = with_rules(keys, 2);
    for listener in all.listeners.values_mut() {
        listener.protocol = Protocol::Https;
        listener.parameters = ListenerParameters {
            sni_switch: Some(1),
            ..ListenerParameters::default()
        };
        for rule in listener.rules.values_mut() {
            rule.certificate = Certified::Known(CertificateId {
                server: certificate.to_owned(),
                clients_ca: None,
            });
        }
    }
    all
}

fn described(world: &World) -> Vec<Value> {
    let answer = operate(world, "DescribeListeners", &json!({}));
    answer["Listeners"][0]["Rules"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}

/// Domain and the field, of every rule.
fn shown(world: &World, field: &str) -> Vec<(String, Value)> {
    let rules = described(world);
    let one = |rule: &Value| {
        let domain = rule["Domain"].as_str().unwrap_or_default().to_owned();
        (domain, rule.pointer(field).cloned().unwrap_or_default())
    };
    rules.iter().map(one).collect()
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_changes_is_shown_in_place() {
    let world = World::new(config(100));
    let keys = [
        key("a.example", "/"),
        key("a.example", "/shop"),
        key("b.example", "/"),
    ];
    let story = async {
        world.want(encrypted(&keys, "cert-old"));
        bound(&world, 6).await;
        sleep(MINUTE).await;
        let mut next = encrypted(&keys, "cert-old");
        for listener in next.listeners.values_mut() {
            let newer = encrypted(&keys[..2], "cert-new");
            for all in newer.listeners.into_values() {
                listener.rules.extend(all.rules);
            }
        }
        world.want(next);
        sleep(MINUTE * 2).await;
    };
    while_it_works(&world, story).await;
    let certificate = |domain: &str, id: &str| (domain.to_owned(), json!(id));
    let (a, b) = (
        certificate("a.example", "cert-new"),
        certificate("b.example", "cert-old"),
    );
    assert_eq!(shown(&world, "/Certificate/CertId"), [a.clone(), a, b]);
    assert_eq!(world.calls("ModifyDomainAttributes"), 1);
    assert_eq!(
        (world.calls("CreateRule"), world.calls("DeleteRule")),
        (1, 0)
    );
    assert_eq!(world.bound().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn the_default_host_is_passed_on_before_it_goes() {
    let world = World::new(config(100));
    let keys = [key("a.example", "/"), key("b.example", "/")];
    let story = async {
        world.want(with_rules(&keys, 2));
        bound(&world, 4).await;
        world.want(with_rules(&keys[1..], 2));
        sleep(MINUTE * 2).await;
        let left = ("b.example".to_owned(), json!(true));
        assert_eq!(shown(&world, "/DefaultServer"), [left]);
        // Somebody is to be the default later.
        let both = |default| {
            let mut both = with_rules(&[key("", "/"), keys[1].clone()], 2);
            for listener in both.listeners.values_mut() {
                listener.rules.get_mut(&key("", "/")).unwrap().default = default;
            }
            both
        };
        world.want(both(false));
        sleep(MINUTE).await;
        world.want(both(true));
        sleep(MINUTE).await;
        let defaults = shown(&world, "/DefaultServer");
        let of_b = defaults.iter().find(|(domain, _)| domain == "b.example");
        assert_eq!(of_b.map(|(_, default)| default), Some(&json!(false)));
        world.want(Desired {
            others: both(true).others,
            ..Desired::default()
        });
        sleep(MINUTE * 2).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(listeners(&world), Vec::<Value>::new());
    assert_eq!(world.calls("ModifyDomainAttributes"), 2);
    assert_eq!(world.view().problem, None);
}

#[tokio::test(start_paused = true)]
async fn on_a_listener_of_others_rules_are_used_and_none_is_made_or_deleted() {
    let world = World::new(config(100));
    let order = json!({ "Ports": [80], "Protocol": "HTTP", "ListenerNames": ["mine"] });
    let made = operate(&world, "CreateListener", &order);
    let rule = json!([{ "Domain": "a.example", "Url": "/" }]);
    let order = json!({ "ListenerId": made["ListenerIds"][0], "Rules": rule });
    operate(&world, "CreateRule", &order);
    let keys = [key("a.example", "/"), key("b.example", "/")];
    let story = async {
        world.want(with_rules(&keys, 2));
        bound(&world, 2).await;
        sleep(MINUTE).await;
        let told = world.view().held[&Protocol::Http.at(80)][0].to_string();
        assert!(
            told.contains("b.example/") && told.contains("did not make"),
            "{told}"
        );
        world.want(Desired {
            others: with_rules(&keys, 2).others,
            ..Desired::default()
        });
        sleep(MINUTE * 2).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(world.bound().len(), 0);
    assert_eq!(described(&world).len(), 1);
    assert_eq!(
        (world.calls("CreateRule"), world.calls("DeleteRule")),
        (0, 0)
    );
}
