//! Rotations, as asked for by annotation, and what keeps them waiting.

use certs::layout::{RENEW_DONE, RENEW_REQUESTED};

use super::*;

const ROTATION: [&str; 5] = [PUT_CA, PUT_REGISTRATION, PUT_LEAF, PUT_REGISTRATION, PUT_CA];
const PUT_LEAF: &str = "PUT clb-gate-leaf";

fn ask(world: &World, name: &str, id: &str) {
    world.edit(&secret(name), |o| {
        o["metadata"]["annotations"][RENEW_REQUESTED] = json!(id);
    });
}

fn done(world: &World, name: &str) -> Value {
    world.0.lock().objects[&secret(name)]["metadata"]["annotations"][RENEW_DONE].clone()
}

/// Takes turns, and looks when one says so, for a while.
async fn turns(world: &World, healer: &mut Healer, seconds: u64) -> Vec<String> {
    world.0.lock().writes.clear();
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        match healer.turn().await {
            Next::Again => {}
            Next::Look => healer.saw(world.look().await),
            Next::By(at) => sleep_until(at.min(end)).await,
        }
    }
    world.0.lock().writes.clone()
}

#[tokio::test(start_paused = true)]
async fn a_new_ca_is_made_when_asked_for_and_takes_three_seconds() {
    let (world, mut healer) = World::settled().await;
    ask(&world, CA_SECRET, "2026-11-21T06:00:00Z-1");
    let start = Instant::now();
    assert_eq!(world.settle(&mut healer).await, ROTATION);
    let took = start.elapsed().as_secs_f64();
    assert!((3.0..4.0).contains(&took), "{took} s");
    assert_eq!(done(&world, CA_SECRET), "2026-11-21T06:00:00Z-1");
    assert_eq!(world.bundle().len(), 1);
    assert_eq!(world.settle(&mut healer).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_new_leaf_is_made_when_asked_for_at_once() {
    let (world, mut healer) = World::settled().await;
    ask(&world, LEAF_SECRET, "1");
    let start = Instant::now();
    assert_eq!(world.settle(&mut healer).await, [PUT_LEAF]);
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(done(&world, LEAF_SECRET), "1");
}

#[tokio::test(start_paused = true)]
async fn any_controller_goes_on_where_another_died() {
    let (world, _) = World::settled().await;
    ask(&world, CA_SECRET, "1");
    world.0.lock().writes.clear();
    let mut written = vec![];
    while written.len() < ROTATION.len() {
        let mut healer = world.healer();
        let before = written.len();
        while written.len() == before {
            let next = healer.turn().await;
            written.append(&mut world.0.lock().writes);
            match next {
                Next::Look => healer.saw(world.look().await),
                Next::By(at) => sleep_until(at).await,
                Next::Again => {}
            }
        }
    }
    assert_eq!(written, ROTATION);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_keeps_the_old_leaf_keeps_the_old_ca() {
    let (world, mut healer) = World::settled().await;
    world.looks(Look::Finds(world.replica().into_iter().collect()));
    ask(&world, CA_SECRET, "1");
    let writes = turns(&world, &mut healer, 120).await;
    assert_eq!(writes, ROTATION[..3]);
    assert_eq!(world.bundle().len(), 2);
    world.looks(Look::Follows);
    assert_eq!(world.settle(&mut healer).await, ROTATION[3..]);
}

#[tokio::test(start_paused = true)]
async fn while_nobody_can_look_nothing_is_dropped_and_repairs_go_on() {
    let (world, mut healer) = World::settled().await;
    world.looks(Look::Fails);
    ask(&world, CA_SECRET, "1");
    assert_eq!(turns(&world, &mut healer, 60).await, ROTATION[..3]);
    world.tamper();
    assert_eq!(turns(&world, &mut healer, 5).await, [PUT_REGISTRATION]);
    world.looks(Look::Follows);
    assert_eq!(world.settle(&mut healer).await, ROTATION[3..]);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_never_ends_delays_no_repair() {
    let (world, _) = World::settled().await;
    world.looks(Look::Hangs);
    ask(&world, CA_SECRET, "1");
    let draining = CancellationToken::new();
    let healing = run(world.context(), Leadership::undisputed(), draining.clone());
    tokio::join!(async { healing.await.unwrap() }, async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.0.lock().writes.clear();
        world.tamper();
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(world.0.lock().writes, [PUT_REGISTRATION]);
        draining.cancel();
    });
}

#[tokio::test(start_paused = true)]
async fn all_lost_at_once_is_rebuilt_at_once() {
    let (world, mut healer) = World::settled().await;
    world.delete(&secret(CA_SECRET));
    world.delete(&secret(LEAF_SECRET));
    world.delete(&registration());
    let start = Instant::now();
    let writes = world.settle(&mut healer).await;
    assert_eq!(writes, [POST_SECRET, POST_SECRET, POST_REGISTRATION]);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn whoever_leads_for_a_moment_is_told_everything_and_ends() {
    let (world, _) = World::settled().await;
    ask(&world, CA_SECRET, "1");
    let told = Arc::new(Mutex::new(vec![]));
    let follower = Arc::clone(&told);
    let follow = move |phase: &Phase| follower.lock().push(phase.to_string());
    until_settled(world.context(), follow).await.unwrap();
    let told = told.lock();
    let starts = [
        "wrote clb-gate-ca: a new CA was asked for (1)",
        "wrote registration: webhooks[pods.clb-gate.io].clientConfig.caBundle",
        "waiting 3.0 s for the API servers",
        "wrote clb-gate-leaf: the leaf is signed by an older CA",
        "asking every replica",
        "wrote registration: webhooks[pods.clb-gate.io].clientConfig.caBundle",
        "asking every replica",
        "wrote clb-gate-ca: no replica",
        "certificates and registration are as they should be",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (told, start) in told.iter().zip(starts) {
        assert!(told.starts_with(start), "{told} instead of {start}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_leads_for_a_moment_gives_up_on_what_does_not_get_better() {
    let (world, _) = World::settled().await;
    world.tamper();
    world.0.lock().refusals.push_back(StatusCode::FORBIDDEN);
    let refused = until_settled(world.context(), |_| ()).await;
    assert!(matches!(refused, Err(Unhealable::Call(error)) if error.is_forbidden()));
    world.edit(NAMESPACE, |o| o["status"]["phase"] = json!("Terminating"));
    let terminating = until_settled(world.context(), |_| ()).await;
    assert!(matches!(terminating, Err(Unhealable::Terminating)));
}
