//! One load balancer from what is wanted to what is there.

use std::time::Duration;

use tokio::time::Instant;

use super::world::{World, desired, every_call_takes};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn config(millis: u32) -> clb_sim::Config {
    clb_sim::Config {
        delays: every_call_takes(millis),
        quotas: targets_per_listener(100_000),
        ..clb_sim::Config::default()
    }
}

fn targets_per_listener(targets: usize) -> clb_sim::Quotas {
    clb_sim::Quotas {
        targets,
        ..clb_sim::Quotas::default()
    }
}

/// Until the simulator has this many targets; how long that took.
pub(crate) async fn bound(world: &World, targets: usize) -> Duration {
    let start = Instant::now();
    while world.bound().len() != targets {
        assert!(start.elapsed() < SECOND * 600, "{:?}", world.clb.calls());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    start.elapsed()
}

/// Follows the story while the writer works.
pub(crate) async fn while_it_works<T>(world: &World, story: impl Future<Output = T>) -> T {
    let writer = Box::pin(world.writer());
    tokio::select! {
        () = writer => panic!("the writer ended"),
        told = story => told,
    }
}

#[tokio::test(start_paused = true)]
async fn two_thousand_targets_take_four_calls_and_no_pause() {
    let world = World::new(config(1000));
    let took = while_it_works(&world, async {
        world.want(desired(80, 0..1));
        bound(&world, 1).await;
        tokio::time::sleep(SECOND * 10).await;
        world.clb.reset_calls();
        world.want(desired(80, 0..1801));
        bound(&world, 1801).await
    });
    let took = took.await;
    assert_eq!(world.calls("BatchRegisterTargets"), 4);
    assert!(took < SECOND * 9 / 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_takes_two_calls() {
    let world = World::new(config(100));
    let story = async {
        for number in 1..=400 {
            world.want(desired(80, 0..number));
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
        bound(&world, 400).await
    };
    while_it_works(&world, story).await;
    assert_eq!(world.calls("BatchRegisterTargets"), 2);
}

#[tokio::test(start_paused = true)]
async fn one_bad_target_keeps_nobody_else_waiting() {
    let reachable = vec!["10.0.0.0/24".parse().unwrap()];
    let world = World::new(clb_sim::Config {
        reachable,
        ..config(100)
    });
    let story = async {
        world.want(desired(80, (0..200).chain([900])));
        bound(&world, 200).await;
    };
    while_it_works(&world, story).await;
    let view = world.view();
    assert_eq!(view.problem, None);
}

#[tokio::test(start_paused = true)]
async fn a_full_listener_serves_what_fits_and_names_the_quota() {
    let world = World::new(clb_sim::Config {
        quotas: targets_per_listener(50),
        ..config(100)
    });
    let story = async {
        world.want(desired(80, 0..80));
        bound(&world, 50).await;
        tokio::time::sleep(SECOND * 5).await;
    };
    while_it_works(&world, story).await;
    assert_eq!(world.bound().len(), 50);
    // The API did not say how many there may be: it was found by halving.
    let calls = world.calls("BatchRegisterTargets");
    assert!(calls <= 10, "{calls} calls");
    let view = world.view();
    let held = view.held.values().flatten().map(ToString::to_string);
    let held: Vec<_> = held.collect();
    assert!(held[0].contains("quota of 50"), "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn without_tags_the_record_tells_what_is_ours() {
    let world = World::new(clb_sim::Config {
        behaviour: clb_sim::Behaviour {
            ignore_tags: true,
            ..clb_sim::Behaviour::default()
        },
        ..config(100)
    });
    let first = async {
        world.want(desired(80, 0..3));
        bound(&world, 3).await;
    };
    // The writer is stopped as soon as the call is answered, before it could read back.
    while_it_works(&world, first).await;
    let second = async {
        world.want(desired(80, 1..2));
        bound(&world, 1).await;
    };
    while_it_works(&world, second).await;
}
