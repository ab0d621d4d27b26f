//! Whose is what: addresses that change hands, neighbours on the same listener, things deleted behind
//! our back.

use std::time::Duration;

use clb::HealthState;
use direct_access::gate::BindingState;
use direct_access::{Owner, Protocol};
use gate_controller::desired::Desired;
use gate_controller::plan::ObservedListener;
use gate_controller::view::{Seen, Sought};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::settles::{bound, config, while_it_works};
use super::town::{listeners, operate};
use super::world::{LOAD_BALANCER, World, desired, every_call_takes, service, tag, target};

const SECOND: Duration = Duration::from_secs(1);
/// A re-read, and the call that mends what it finds.
const REREAD: Duration = Duration::from_secs(65);

fn order(world: &World, number: u32, tag: &str) -> Value {
    let (ip, port) = target(number).address;
    json!({ "Targets": [{
        "ListenerId": listeners(world)[0]["id"], "EniIp": ip, "Port": port, "Weight": 3, "Tag": tag,
    }]})
}

fn held(world: &World) -> String {
    let view = world.view();
    let all = view.held.values().flatten().map(ToString::to_string);
    all.collect::<Vec<_>>().join("; ")
}

/// Pod 1 is gone, and another one has its address.
fn with_address_reused() -> Desired {
    let mut after = desired(80, 0..2);
    let slot = Protocol::Tcp.at(80);
    let listener = after.listeners.get_mut(&slot).unwrap();
    "uid-other".clone_into(&mut listener.targets[1].pod_uid);
    let others = std::sync::Arc::make_mut(&mut after.others);
    let fate = others.fates.remove("uid-1").unwrap();
    others.fates.insert("uid-other".to_owned(), fate);
    after
}

#[tokio::test(start_paused = true)]
async fn a_reused_address_is_freed_seen_free_and_bound_anew() {
    let world = World::new(config(100));
    let story = async {
        world.want(desired(80, 0..2));
        bound(&world, 2).await;
        sleep(SECOND * 20).await;
        let start = Instant::now();
        world.want(with_address_reused());
        let new = |(_, tagged): &(u64, Option<String>)| *tagged == Some(tag("uid-other"));
        while !world.bound().values().any(new) {
            sleep(SECOND / 10).await;
        }
        world.wire.since(start)
    };
    let calls = while_it_works(&world, story).await;
    let at = |action: &str| calls.iter().find(|call| call.action == action).unwrap();
    let freed = at("BatchDeregisterTargets").ended.unwrap();
    let anew = at("BatchRegisterTargets").sent;
    let looked = |call: &&super::wire::Call| {
        call.action == "DescribeTargets" && call.sent >= freed && call.ended.unwrap() <= anew
    };
    assert!(calls.iter().any(|call| looked(&call)), "{calls:#?}");
}

#[tokio::test(start_paused = true)]
async fn health_of_who_had_the_address_before_does_not_count() {
    let world = World::new(config(100));
    let mine = Owner::service(service());
    let sought = Sought {
        load_balancer: LOAD_BALANCER,
        slot: Protocol::Tcp.at(80),
        rule: None,
        owner: &mine,
        address: target(1).address,
        pod_uid: "uid-other",
    };
    let state = || world.context.views.state(&sought).0;
    let story = async {
        world.want(desired(80, 0..2));
        bound(&world, 2).await;
        sleep(SECOND * 20).await;
        world.want(with_address_reused());
        while state() == BindingState::Missing {
            alive(&world, Instant::now() - SECOND);
            sleep(SECOND / 10).await;
        }
        // Bound, but what was asked before says nothing, and what is asked at once is too early.
        alive(&world, Instant::now() - SECOND);
        assert!(
            matches!(state(), BindingState::Registered(_)),
            "{:?}",
            state()
        );
        alive(&world, Instant::now());
        assert!(
            matches!(state(), BindingState::Registered(_)),
            "{:?}",
            state()
        );
        sleep(SECOND * 11).await;
        alive(&world, Instant::now());
        assert_eq!(state(), BindingState::Healthy);
    };
    while_it_works(&world, story).await;
}

/// A poll sent at that moment found every target alive.
fn alive(world: &World, polled: Instant) {
    let view = world.view();
    let places = view.listeners.iter().flat_map(ObservedListener::places);
    let seen = Seen {
        state: HealthState::Alive,
        polled,
    };
    let all: Vec<_> = places.map(|(place, _)| (place, seen)).collect();
    world.context.views.saw(LOAD_BALANCER, all);
}

#[tokio::test(start_paused = true)]
async fn a_neighbours_target_with_our_address_stays_and_is_told() {
    let world = World::new(config(100));
    let story = async {
        world.want(desired(80, 0..1));
        bound(&world, 1).await;
        operate(
            &world,
            "BatchRegisterTargets",
            &order(&world, 7, "neighbour"),
        );
        sleep(REREAD).await;
        world.want(desired(80, [0, 7]));
        sleep(REREAD).await;
        assert!(held(&world).contains("10.0.0.7:8080"), "{}", held(&world));
        world.want(desired(80, 0..1));
        sleep(REREAD).await;
    };
    while_it_works(&world, story).await;
    let neighbours = (3, Some("neighbour".to_owned()));
    assert!(world.bound().values().any(|one| *one == neighbours));
}

#[tokio::test(start_paused = true)]
async fn a_target_taken_away_behind_our_back_is_bound_again_while_another_listener_is_busy() {
    let world = World::new(config(100));
    let both = |busy: u32| {
        let mut both = desired(80, 0..3);
        both.listeners.extend(desired(81, 0..busy).listeners);
        let others = desired(81, 0..busy.max(3)).others;
        Desired { others, ..both }
    };
    let story = async {
        world.want(both(1));
        bound(&world, 4).await;
        sleep(SECOND * 5).await;
        operate(&world, "BatchDeregisterTargets", &order(&world, 2, ""));
        // Pods come all the time to the other listener.
        for busy in 2..=14 {
            world.want(both(busy));
            sleep(SECOND * 5).await;
        }
        assert_eq!(world.bound().len(), 3 + 14);
    };
    while_it_works(&world, story).await;
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_lost_the_only_pod_is_not_believed() {
    let world = World::new(config(100));
    let story = async {
        world.want(desired(80, 0..1));
        bound(&world, 1).await;
        sleep(SECOND * 20).await;
        world.inboxes[LOAD_BALANCER].put(&Desired::default());
        sleep(SECOND * 20).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(world.bound().len(), 1);
    assert!(*world.village.reads.lock() > 0);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_a_neighbour_uses_is_not_deleted() {
    let world = World::new(config(100));
    let story = async {
        world.want(desired(80, []));
        while listeners(&world).is_empty() {
            sleep(SECOND).await;
        }
        // Long after it was last read, and long before it is read again.
        sleep(SECOND * 20).await;
        operate(
            &world,
            "BatchRegisterTargets",
            &order(&world, 7, "neighbour"),
        );
        world.want(Desired::default());
        sleep(REREAD).await;
        assert_eq!(listeners(&world).len(), 1);
        operate(&world, "BatchDeregisterTargets", &order(&world, 7, ""));
        sleep(REREAD).await;
        assert_eq!(listeners(&world).len(), 0);
    };
    while_it_works(&world, story).await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_of_another_protocol_is_left_alone_and_told() {
    let world = World::new(config(100));
    let listener = json!({ "Ports": [80], "Protocol": "HTTP", "ListenerNames": ["neighbour"] });
    operate(&world, "CreateListener", &listener);
    let story = async {
        let mut both = desired(80, 0..2);
        both.listeners.extend(desired(81, 0..2).listeners);
        world.want(both);
        bound(&world, 2).await;
        sleep(REREAD).await;
    };
    while_it_works(&world, story).await;
    assert!(held(&world).contains("protocol HTTP"), "{}", held(&world));
    assert_eq!(listeners(&world)[0]["name"], "neighbour");
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_deleted_behind_our_back_is_told_and_the_others_go_on() {
    let ids = [LOAD_BALANCER.to_owned(), "lb-00000002".to_owned()];
    let world = World::of(config(100), &ids, Duration::ZERO);
    let story = async {
        for id in &ids {
            world.want_on(id, desired(80, 0..2));
        }
        bound(&world, 4).await;
        let gone = json!({ "LoadBalancerIds": [LOAD_BALANCER] });
        world.clb.operate("DeleteLoadBalancer", &gone).unwrap();
        sleep(REREAD).await;
        world.want_on(&ids[1], desired(80, 0..9));
        sleep(SECOND * 5).await;
        assert_eq!(world.bound().len(), 9);
        let problem = world.view().problem.clone().unwrap_or_default();
        assert!(problem.contains("no such CLB"), "{problem}");
    };
    tokio::select! {
        () = world.all_writers() => panic!("the writers ended"),
        () = story => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_quota_is_kept_to_without_asking_for_more() {
    let mut config = config(100);
    config.quotas.targets = 50;
    let world = World::new(config);
    let story = async {
        sleep(SECOND * 2).await;
        world.want(desired(80, 0..80));
        bound(&world, 50).await;
        sleep(SECOND * 5).await;
    };
    tokio::select! {
        () = world.all_writers() => panic!("the writers ended"),
        () = story => {}
    }
    assert_eq!(world.calls("BatchRegisterTargets"), 1);
    assert!(held(&world).contains("quota of 50"), "{}", held(&world));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_load_balancers_that_begin_together_are_asked_about_by_twenties() {
    let ids: Vec<_> = (0..100).map(|number| format!("lb-{number:08}")).collect();
    let world = World::of(config(1000), &ids, Duration::ZERO);
    let story = async {
        for id in &ids {
            world.want_on(id, desired(80, 0..1));
        }
        bound(&world, 100).await
    };
    let took = tokio::select! {
        () = world.all_writers() => panic!("the writers ended"),
        took = story => took,
    };
    // One for who was first, five for the ninety-nine who waited; the same once more for the last of
    // them, to whom the limit of calls lets nobody come for some seconds.
    assert!(
        world.calls("DescribeLoadBalancers") <= 12,
        "{:?}",
        world.clb.calls()
    );
    assert!(took < SECOND * 60, "{took:?}");
}

/// A read that overtakes the task of a deletion still shows the listener, which is then deleted again.
#[tokio::test(start_paused = true)]
async fn what_is_gone_already_was_deleted() {
    let world = World::new(config(100));
    let story = async {
        world.want(desired(80, 0..1));
        bound(&world, 1).await;
        // Tasks were done with their answers so far.
        world.clb.set_delays(clb_sim::Delays {
            task_ms: 1500,
            ..every_call_takes(100)
        });
        world.want(Desired::default());
        let mut problems = vec![];
        for _ in 0..600 {
            problems.extend(world.view().problem.clone());
            sleep(SECOND / 10).await;
        }
        problems
    };
    let problems = while_it_works(&world, story).await;
    assert!(listeners(&world).is_empty());
    assert_eq!(problems, Vec::<String>::new());
}
