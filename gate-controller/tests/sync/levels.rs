//! Each level with its own least CAM policy: it does its whole work; with the policy of the level below,
//! what is forbidden is told by name, and everything else goes on.

use std::time::Duration;

use direct_access::Protocol;
use direct_access::settings::Manage;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::settles::{bound, config, while_it_works};
use super::town::{listeners, operate};
use super::world::{World, desired};

const BACKENDS: &str = include_str!("../../../docs/cam/backends.json");
const LISTENERS: &str = include_str!("../../../docs/cam/listeners.json");
const MINUTE: Duration = Duration::from_mins(1);

/// Works at this level with this policy.
fn world(manage: Manage, policy: &str) -> World {
    let world = World::new(clb_sim::Config {
        secret_id: "AKIDleast".to_owned(),
        secret_key: "least".to_owned(),
        ..config(100)
    });
    let policy: Value = serde_json::from_str(policy).unwrap();
    let account = json!({ "secret_id": "AKIDleast", "secret_key": "least", "policy": policy });
    world.clb.add_account(&account).unwrap();
    *world.village.manage.lock() = Some(manage);
    world
}

fn unauthorized(world: &World) -> Vec<String> {
    let calls = world.clb.calls();
    let all = calls["calls"].as_object().unwrap().iter();
    let refused = all.filter(|(_, by_code)| {
        let mut codes = by_code.as_object().unwrap().keys();
        codes.any(|code| code.starts_with("UnauthorizedOperation"))
    });
    refused.map(|(action, _)| action.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn backends_does_its_whole_work_with_its_own_policy() {
    let world = world(Manage::Backends, BACKENDS);
    operate(
        &world,
        "CreateListener",
        &json!({ "Ports": [80], "Protocol": "TCP" }),
    );
    let story = async {
        world.want(desired(80, 0..9));
        bound(&world, 9).await;
        sleep(MINUTE).await;
        world.want(desired(80, 0..5));
        sleep(MINUTE).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(world.bound().len(), 5);
    assert_eq!(unauthorized(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn listeners_does_its_whole_work_with_its_own_policy() {
    let world = world(Manage::Listeners, LISTENERS);
    let story = async {
        world.want(desired(80, 0..9));
        bound(&world, 9).await;
        sleep(MINUTE).await;
        world.want(desired(80, []));
        sleep(MINUTE).await;
        let mut none = desired(80, []);
        none.listeners.clear();
        world.want(none);
        sleep(MINUTE).await;
    };
    while_it_works(&world, story).await;
    assert!(listeners(&world).is_empty());
    assert_eq!(unauthorized(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn listeners_with_the_policy_of_backends_says_what_is_forbidden_and_goes_on() {
    let world = world(Manage::Listeners, BACKENDS);
    operate(
        &world,
        "CreateListener",
        &json!({ "Ports": [80], "Protocol": "TCP" }),
    );
    let story = async {
        let mut both = desired(81, 0..2);
        both.listeners.extend(desired(80, 0..2).listeners);
        world.want(both);
        bound(&world, 2).await;
        sleep(MINUTE).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(unauthorized(&world), ["CreateListener"]);
    let view = world.view();
    let held = &view.held[&Protocol::Tcp.at(81)];
    assert!(held[0].to_string().contains("CreateListener"), "{held:?}");
}
