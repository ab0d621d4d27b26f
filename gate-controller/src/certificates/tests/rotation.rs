//! Whole rotations, followed from outside, in virtual time: led by somebody, and by nobody.

use std::sync::Arc;
use std::time::Duration;

use certs::Bundle;
use certs::layout::{CA_SECRET, RENEW_DONE};
use direct_access::settings::FailurePolicy;
use parking_lot::Mutex;
use runtime::{Leadership, Supervisor};
use tokio_util::sync::CancellationToken;

use super::server::Server;
use crate::certificates::{Ending, FollowError, Gatherer, Goal, Rotation, What, Wish};
use crate::heal::secrets::ca_material;
use crate::heal::{self, HealContext};

fn rotation(server: &Server) -> Rotation {
    certs::provider::install();
    Rotation::new(server.client(), "clb-gate", false)
}

async fn follow(rotation: &Rotation, goal: &Goal) -> (Result<Ending, FollowError>, Vec<String>) {
    let mut told = vec![];
    let stop = CancellationToken::new();
    let ending = rotation.follow(goal, stop, |line| told.push(line)).await;
    (ending, told)
}

/// The controller, which leads whatever the lease says.
fn controller(server: &Server) -> Supervisor {
    let supervisor = Supervisor::new();
    let sight = Gatherer::new(server.client(), "clb-gate", false).sight();
    let context = HealContext::outside(server.client(), "clb-gate", FailurePolicy::Ignore, sight);
    let healing = heal::run(context, Leadership::undisputed(), supervisor.draining());
    supervisor.spawn("self-heal", healing);
    supervisor
}

fn newest(server: &Server) -> u64 {
    let cas = cas(server);
    let newest = cas.iter().next().unwrap();
    newest.facts().generation.unwrap()
}

fn cas(server: &Server) -> Bundle {
    let material = ca_material(&server.secret(CA_SECRET).unwrap());
    Bundle::parse_lossy(&material.cert_pem).0
}

#[track_caller]
fn in_order(told: &[String], expected: &[&str]) {
    let mut rest = told.iter();
    for part in expected {
        assert!(
            rest.any(|line| line.contains(part)),
            "{part:?} is missing, or out of order, in {told:#?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_leads_does_it_and_the_lease_is_left_alone() {
    let server = Server::new();
    let (rotation, controller) = (rotation(&server), controller(&server));
    let (_, goal) = rotation.ask(What::Ca).await.unwrap();
    server.lead("somebody");
    assert_eq!(follow(&rotation, &goal).await.0.unwrap(), Ending::Done);

    let before = newest(&server);
    server.lead("somebody");
    let (wish, goal) = rotation.ask(What::Ca).await.unwrap();
    assert_eq!(wish, Wish::Ask);
    let (ending, told) = follow(&rotation, &goal).await;
    assert_eq!(ending.unwrap(), Ending::Done);
    in_order(
        &told,
        &[
            &format!("new CA made: generation {}", before + 1),
            "published",
            "new leaf issued",
            "2 of 2 replicas",
            "older CAs dropped",
            "done",
        ],
    );
    assert_eq!(server.holder().as_deref(), Some("somebody"));
    assert_eq!(cas(&server).len(), 1);
    let annotations = server.secret(CA_SECRET).unwrap().metadata.annotations;
    assert_eq!(annotations.unwrap().get(RENEW_DONE), goal.id.as_ref());
    controller.drain();
}

#[tokio::test(start_paused = true)]
async fn while_nobody_leads_all_is_made_from_here_and_the_lease_given_back() {
    let server = Server::new();
    let rotation = rotation(&server);
    let (wish, goal) = rotation.ask(What::Ca).await.unwrap();
    assert!(matches!(wish, Wish::Missing(_)), "{wish:?}");
    let (ending, told) = follow(&rotation, &goal).await;
    assert_eq!(ending.unwrap(), Ending::Done);
    in_order(
        &told,
        &[
            "nobody leads",
            "took the lease",
            "done",
            "the lease is released",
        ],
    );
    assert_eq!(server.holder(), None);

    let (_, goal) = rotation.ask(What::Leaf).await.unwrap();
    let (ending, told) = follow(&rotation, &goal).await;
    assert_eq!(ending.unwrap(), Ending::Done);
    in_order(&told, &["new leaf issued", "2 of 2 replicas", "done"]);
    assert_eq!(newest(&server), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_died_is_replaced_after_its_time() {
    let server = Server::new();
    server.lead("dead");
    let rotation = rotation(&server);
    let (_, goal) = rotation.ask(What::Ca).await.unwrap();
    let (ending, told) = follow(&rotation, &goal).await;
    assert_eq!(ending.unwrap(), Ending::Done);
    in_order(
        &told,
        &[
            "dead holds the lease but has not renewed it for 15 s",
            "took the lease",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_over_goes_on_with_it() {
    let server = Server::new();
    let rotation = rotation(&server);
    let (_, goal) = rotation.ask(What::Ca).await.unwrap();
    server.forbid("secrets");
    // Leaving the lease free keeps the stand-in from doing anything before somebody comes.
    server.forbid("leases");
    let told = Arc::new(Mutex::new(vec![]));
    let telling = Arc::clone(&told);
    let coming = server.clone();
    let mut controllers = vec![];
    let follow = rotation.follow(&goal, CancellationToken::new(), move |line| {
        telling.lock().push(line);
    });
    let takes_over = async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        coming.allow();
        coming.lead("successor");
        tokio::time::sleep(Duration::from_secs(1)).await;
        controllers.push(controller(&coming));
        std::future::pending::<()>().await;
    };
    let ending = tokio::select! {
        ending = follow => ending,
        () = takes_over => panic!("it waits for ever"),
    };
    assert_eq!(ending.unwrap(), Ending::Done);
    in_order(
        &told.lock(),
        &["nobody leads", "successor leads now", "done"],
    );
    assert_eq!(server.holder().as_deref(), Some("successor"));
}

#[tokio::test(start_paused = true)]
async fn who_may_not_is_told_which_right_is_missing() {
    let server = Server::new();
    server.forbid("secrets");
    let rotation = rotation(&server);
    let (_, goal) = rotation.ask(What::Ca).await.unwrap();
    let (ending, _) = follow(&rotation, &goal).await;
    let error = ending.unwrap_err();
    assert!(matches!(error, FollowError::StandIn(_)), "{error}");
    assert!(error.to_string().contains("clb-gate-ca"), "{error}");
    assert_eq!(
        server.holder(),
        None,
        "the lease is given back all the same"
    );
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_rotation_is_joined_and_ends_well() {
    let server = Server::new();
    let rotation = rotation(&server);
    let (_, goal) = rotation.ask(What::Ca).await.unwrap();
    follow(&rotation, &goal).await.0.unwrap();
    let (_, asked) = rotation.ask(What::Ca).await.unwrap();
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let ending = rotation.follow(&asked, stop, |line| {
        if line.contains("published") {
            stopping.cancel();
        }
    });
    assert_eq!(ending.await.unwrap(), Ending::Interrupted);
    assert_eq!(server.holder(), None);

    let (wish, goal) = rotation.ask(What::Ca).await.unwrap();
    assert!(matches!(wish, Wish::JoinRotation(_)), "{wish:?}");
    let (ending, told) = follow(&rotation, &goal).await;
    assert_eq!(ending.unwrap(), Ending::Done);
    in_order(&told, &["older CAs dropped", "done"]);
    assert_eq!(newest(&server), 2, "it was not asked for twice");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_keeps_its_leaf_is_named_when_time_is_up() {
    let server = Server::new();
    let mut rotation = rotation(&server);
    let (_, goal) = rotation.ask(What::Ca).await.unwrap();
    follow(&rotation, &goal).await.0.unwrap();
    server.hold("b");
    rotation.timeout = Duration::from_secs(40);
    let (_, goal) = rotation.ask(What::Ca).await.unwrap();
    let (ending, told) = follow(&rotation, &goal).await;
    let error = ending.unwrap_err().to_string();
    assert!(error.contains("b (serves an older leaf)"), "{error}");
    in_order(&told, &["1 of 2 replicas serve it"]);
    assert_eq!(cas(&server).len(), 2, "its CA stays trusted");
}
