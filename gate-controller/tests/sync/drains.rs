//! Pods that are asked to go, from weight 0 to their end.

use gate_controller::pod::PodRecord;
use runtime::{Change, Key};
use serde_json::{Value, json};

use super::hamlet::Hamlet;
use super::settles::while_it_works;

const GRACE_DELETION: &str = "service.cloud.tencent.com/enable-grace-deletion";
const DRAIN_SECONDS: &str = "clb-gate.io/drain-seconds";

/// The first pod is asked to go, and has an hour.
fn asked_to_go(hamlet: &Hamlet) {
    let pod = json!({
        "metadata": {"namespace": "shop", "name": "web-1", "uid": "uid-1", "labels": {"app": "web"},
            "deletionTimestamp": "2026-01-01T01:00:00Z", "deletionGracePeriodSeconds": 3600},
        "spec": {"containers": [{"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1",
            "conditions": [{"type": "ContainersReady", "status": "True"}]}});
    let pod = PodRecord::prune(serde_json::from_value(pod).unwrap());
    let key = Key::new("shop", "web-1");
    hamlet.cluster.on_pod(Change::Applied(key, pod));
}

fn gone(hamlet: &Hamlet) {
    let change = Change::Deleted(Key::new("shop", "web-1"));
    hamlet.cluster.on_pod(change);
}

fn target(number: u8, weight: u64) -> (String, u64) {
    (format!("10.0.0.{number}:8080"), weight)
}

/// The targets a minute after the first pod was asked to go, and a minute after it was gone.
async fn story(annotations: Value) -> [Vec<(String, u64)>; 2] {
    let hamlet = Hamlet::new();
    hamlet.serve(&annotations);
    let both = async {
        hamlet.settle().await;
        asked_to_go(&hamlet);
        hamlet.settle().await;
        let drained = hamlet.targets();
        gone(&hamlet);
        hamlet.settle().await;
        [drained, hamlet.targets()]
    };
    while_it_works(&hamlet.world, both).await
}

#[tokio::test(start_paused = true)]
async fn the_target_of_a_pod_that_serves_on_goes_with_its_pod() {
    let [drained, end] = story(json!({GRACE_DELETION: "true"})).await;
    assert_eq!(drained, [target(1, 0), target(2, 10)]);
    assert_eq!(end, [target(2, 10)]);
}

#[tokio::test(start_paused = true)]
async fn the_target_of_a_pod_that_is_stopped_at_once_goes_after_its_drain() {
    let [drained, _] = story(json!({})).await;
    assert_eq!(drained, [target(2, 10)]);
    let [longer, end] = story(json!({DRAIN_SECONDS: "90"})).await;
    assert_eq!(longer, [target(1, 0), target(2, 10)]);
    assert_eq!(end, [target(2, 10)]);
}
