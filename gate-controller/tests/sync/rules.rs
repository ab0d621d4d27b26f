//! Rules of a layer-7 listener, as an Ingress asks for them.

use std::time::Duration;

use direct_access::Protocol;
use gate_controller::desired::{Desired, DesiredRule, RuleKey};
use tokio::time::sleep;

use super::settles::{bound, config, while_it_works};
use super::town::listeners;
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
