//! Listeners whose declaration changes while they serve.

use std::time::Duration;

use direct_access::Protocol;
use direct_access::listener::ListenerParameters;
use gate_controller::desired::Desired;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::settles::{bound, config, while_it_works};
use super::town::{listeners, operate};
use super::world::{World, desired};

const MINUTE: Duration = Duration::from_mins(1);

fn declared(protocol: Protocol, text: &str) -> Desired {
    let mut all = desired(80, 0..3);
    for listener in all.listeners.values_mut() {
        listener.protocol = protocol;
        listener.parameters = ListenerParameters::parse(text).unwrap().of(protocol);
    }
    all
}

fn described(world: &World) -> Value {
    let answer = operate(world, "DescribeListeners", &json!({}));
    answer["Listeners"][0].clone()
}

#[tokio::test(start_paused = true)]
async fn a_change_is_made_in_place_once_and_nothing_is_taken_back() {
    let world = World::new(config(100));
    let story = async {
        world.want(declared(Protocol::Tcp, "{}"));
        bound(&world, 3).await;
        sleep(MINUTE).await;
        let text = r#"{"HealthCheck":{"IntervalTime":9,"HealthNum":2},"Scheduler":"LEAST_CONN","SessionExpireTime":60}"#;
        world.want(declared(Protocol::Tcp, text));
        sleep(MINUTE).await;
        assert_eq!(world.calls("ModifyListener"), 1);
        world.want(declared(Protocol::Tcp, "{}"));
        sleep(MINUTE * 10).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(world.calls("ModifyListener"), 1);
    let there = described(&world);
    assert_eq!(there["HealthCheck"]["IntervalTime"], 9);
    assert_eq!(there["HealthCheck"]["UnHealthNum"], 3);
    assert_eq!(
        (&there["Scheduler"], &there["SessionExpireTime"]),
        (&json!("LEAST_CONN"), &json!(60))
    );
    assert_eq!(world.bound().len(), 3);
    let view = world.view();
    assert_eq!(view.listeners[0].health.earliest, Duration::from_secs(9));
    assert!(view.unchanged.is_empty());
}

/// A person changes it in the console: what is declared comes back, the rest stays.
#[tokio::test(start_paused = true)]
async fn what_is_declared_is_kept_so() {
    let world = World::new(config(100));
    let story = async {
        world.want(declared(Protocol::Tcp, r#"{"SessionExpireTime":60}"#));
        bound(&world, 3).await;
        let id = listeners(&world)[0]["id"].clone();
        let edit = json!({ "ListenerId": id, "SessionExpireTime": 0, "Scheduler": "LEAST_CONN" });
        operate(&world, "ModifyListener", &edit);
        sleep(MINUTE * 2).await;
    };
    while_it_works(&world, story).await;
    let there = described(&world);
    assert_eq!(
        (&there["Scheduler"], &there["SessionExpireTime"]),
        (&json!("LEAST_CONN"), &json!(60))
    );
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_somebody_else_is_told_and_not_changed() {
    let world = World::new(config(100));
    operate(
        &world,
        "CreateListener",
        &json!({ "Ports": [80], "Protocol": "TCP", "ListenerNames": ["mine"] }),
    );
    let story = async {
        world.want(declared(Protocol::Tcp, r#"{"SessionExpireTime":60}"#));
        bound(&world, 3).await;
        sleep(MINUTE).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(world.calls("ModifyListener"), 0);
    let told = world.view().unchanged[&Protocol::Tcp.at(80)][0].clone();
    assert!(
        told.contains("SessionExpireTime is 0, declared is 60"),
        "{told}"
    );
}

/// The API refuses the change: it is told and tried again now and then, and pods are bound meanwhile.
#[tokio::test(start_paused = true)]
async fn a_refused_change_keeps_nobody_waiting() {
    let world = World::new(config(100));
    let story = async {
        world.want(declared(
            Protocol::Tcp,
            r#"{"HealthCheck":{"IntervalTime":3,"TimeOut":2}}"#,
        ));
        bound(&world, 3).await;
        // Alone it is within its range; with what is there it is not.
        let mut bad = declared(Protocol::Tcp, r#"{"HealthCheck":{"TimeOut":4}}"#);
        bad.listeners = bad
            .listeners
            .into_iter()
            .map(|(slot, mut one)| {
                one.targets = desired(80, 0..9).listeners.remove(&slot).unwrap().targets;
                (slot, one)
            })
            .collect();
        world.want(bad);
        bound(&world, 9).await;
        sleep(MINUTE * 2).await;
        let told = world.view().unchanged[&Protocol::Tcp.at(80)][0].clone();
        assert!(
            told.contains("HealthCheck.TimeOut is 2, declared is 4"),
            "{told}"
        );
        assert!(told.contains("ModifyListener"), "{told}");
        let calls = world.calls("ModifyListener");
        assert!((2..12).contains(&calls), "{calls} calls");
        let mended = r#"{"HealthCheck":{"IntervalTime":6,"TimeOut":4}}"#;
        world.want(declared(Protocol::Tcp, mended));
        sleep(MINUTE).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(described(&world)["HealthCheck"]["TimeOut"], 4);
    assert!(world.view().unchanged.is_empty());
}

/// A listener's protocol cannot be changed: another one takes its place.
#[tokio::test(start_paused = true)]
async fn another_protocol_takes_the_place() {
    let world = World::new(config(100));
    let story = async {
        world.want(declared(Protocol::Tcp, "{}"));
        bound(&world, 3).await;
        sleep(MINUTE).await;
        let text = r#"{"Certificate":{"CertId":"abcd1234"}}"#;
        world.want(declared(Protocol::TcpSsl, text));
        sleep(MINUTE * 2).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(world.bound().len(), 3);
    let there = described(&world);
    assert_eq!(there["Protocol"], "TCP_SSL");
    assert_eq!(there["Certificate"]["CertId"], "abcd1234");
    assert_eq!(listeners(&world).len(), 1);
    assert_eq!(world.calls("ModifyListener"), 0);
}
