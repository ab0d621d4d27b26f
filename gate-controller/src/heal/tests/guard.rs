//! `failurePolicy: Fail` begins only when a replica is known to answer, and then it stays.

use super::*;

fn strict() -> World {
    let world = World::new();
    world.0.lock().policy = FailurePolicy::Fail;
    world
}

fn policy(world: &World) -> Value {
    world.0.lock().objects[&registration()]["webhooks"][0]["failurePolicy"].clone()
}

fn silent() -> Replica {
    Replica {
        name: "webhook-b".to_owned(),
        ready: true,
        presents: Presents::Nothing("no answer".to_owned()),
    }
}

/// Turns for a minute.
async fn a_minute(world: &World, healer: &mut Healer) {
    let end = Instant::now() + Duration::from_mins(1);
    while Instant::now() < end {
        match healer.turn().await {
            Next::Again => {}
            Next::Look => healer.saw(world.look().await),
            Next::By(at) => sleep_until(at.min(end)).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fail_waits_for_a_replica_that_answers() {
    let world = strict();
    world.looks(Look::Finds(vec![silent()]));
    let mut healer = world.healer();
    a_minute(&world, &mut healer).await;
    assert_eq!(policy(&world), "Ignore");
    world.looks(Look::Follows);
    world.settle(&mut healer).await;
    assert_eq!(policy(&world), "Fail");
    assert_eq!(world.settle(&mut healer).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn fail_waits_while_a_replica_presents_what_nobody_trusts() {
    let other = World::settled().await.0;
    let world = strict();
    let mut healer = world.healer();
    healer.turn().await;
    healer.turn().await;
    let mixed = [other.replica(), world.replica()];
    world.looks(Look::Finds(mixed.into_iter().flatten().collect()));
    a_minute(&world, &mut healer).await;
    assert_eq!(policy(&world), "Ignore");
}

#[tokio::test(start_paused = true)]
async fn fail_stays_when_the_whole_cluster_starts_anew() {
    let world = strict();
    world.settle(&mut world.healer()).await;
    assert_eq!(policy(&world), "Fail");
    world.looks(Look::Finds(vec![]));
    world.0.lock().writes.clear();
    let mut healer = world.healer();
    a_minute(&world, &mut healer).await;
    assert_eq!(world.0.lock().writes, [""; 0]);
    assert_eq!(policy(&world), "Fail");
}

#[tokio::test(start_paused = true)]
async fn a_registration_made_anew_ignores_first_and_fails_when_somebody_answers() {
    let world = strict();
    let mut healer = world.healer();
    world.settle(&mut healer).await;
    world.delete(&registration());
    let writes = world.settle(&mut healer).await;
    assert_eq!(writes, [POST_REGISTRATION, PUT_REGISTRATION]);
    assert_eq!(policy(&world), "Fail");
}

#[tokio::test(start_paused = true)]
async fn ignore_needs_no_look() {
    let world = strict();
    world.settle(&mut world.healer()).await;
    world.0.lock().policy = FailurePolicy::Ignore;
    world.looks(Look::Hangs);
    assert_eq!(world.settle(&mut world.healer()).await, [PUT_REGISTRATION]);
    assert_eq!(policy(&world), "Ignore");
}
