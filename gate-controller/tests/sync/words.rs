//! A Service's and its pods' annotations, good, bad, changed and removed, as far as the CLB.

use serde_json::{Value, json};

use super::hamlet::{Hamlet, PARAMETERS};
use super::settles::while_it_works;

const PROTOCOLS: &str = "service.cloud.tencent.com/specify-protocol";

fn at(all: &[(&str, u64)]) -> Vec<(String, u64)> {
    let one = |(address, weight): &(&str, u64)| ((*address).to_owned(), *weight);
    all.iter().map(one).collect()
}

/// The Service names its target port, and each pod has its own number for it.
#[tokio::test(start_paused = true)]
async fn a_named_port_is_each_pods_own() {
    let hamlet = Hamlet::new();
    hamlet.pod(2, 9090, None);
    let story = async {
        hamlet.settle().await;
        assert_eq!(
            hamlet.targets(),
            at(&[("10.0.0.1:8080", 10), ("10.0.0.2:9090", 10)])
        );
        // A rollout to another number, one pod after another.
        hamlet.pod(3, 7070, None);
        hamlet.settle().await;
        let all = [
            ("10.0.0.1:8080", 10),
            ("10.0.0.2:9090", 10),
            ("10.0.0.3:7070", 10),
        ];
        assert_eq!(hamlet.targets(), at(&all));
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_changes_while_its_pod_runs_is_set_and_nothing_else() {
    let hamlet = Hamlet::new();
    let story = async {
        hamlet.settle().await;
        for (weight, expected) in [
            (Some("30"), 30),
            (Some("0"), 0),
            (Some("100"), 100),
            (Some("101"), 10),
            (Some("5"), 5),
            (None, 10),
        ] {
            hamlet.pod(1, 8080, weight);
            hamlet.settle().await;
            assert_eq!(
                hamlet.targets(),
                at(&[("10.0.0.1:8080", expected), ("10.0.0.2:8080", 10)])
            );
        }
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    let calls = |action| hamlet.world.calls(action);
    assert_eq!(calls("BatchModifyTargetWeight"), 6);
    assert_eq!(
        (
            calls("BatchRegisterTargets"),
            calls("BatchDeregisterTargets")
        ),
        (1, 0)
    );
}

/// Session persistence of a Service, on, changed, bad, and taken out.
#[tokio::test(start_paused = true)]
async fn a_session_is_kept_as_its_service_says() {
    let hamlet = Hamlet::new();
    let story = async {
        for (parameters, expected, told) in [
            (Some(r#"{"SessionExpireTime":30}"#), 30, None),
            (Some(r#"{"SessionExpireTime":3600}"#), 3600, None),
            // What cannot be read changes nothing.
            (
                Some(r#"{"SessionExpireTime":10}"#),
                3600,
                Some("SessionExpireTime 10 is outside 30 to 3600"),
            ),
            // Nor does what is not said any more.
            (None, 3600, None),
            (Some(r#"{"SessionExpireTime":0}"#), 0, None),
        ] {
            hamlet.serve(&parameters.map_or_else(|| json!({}), |text| json!({ PARAMETERS: text })));
            let problems = hamlet.settle().await;
            assert_eq!(hamlet.there()["SessionExpireTime"], expected);
            assert_eq!(hamlet.targets().len(), 2);
            if let Some(told) = told {
                assert!(
                    problems.iter().any(|one| one.contains(told)),
                    "{problems:?}"
                );
            }
        }
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
}

/// A second protocol on the port is a second listener with the same pods; taken back, it goes.
#[tokio::test(start_paused = true)]
async fn two_protocols_on_a_port_come_and_go() {
    let hamlet = Hamlet::new();
    let speak = |text: Option<&str>| {
        let said: Value = text.map_or_else(|| json!({}), |text| json!({ PROTOCOLS: text }));
        hamlet.serve(&said);
    };
    let story = async {
        hamlet.settle().await;
        speak(Some(r#"{"80":{"protocol":["TCP","UDP"]}}"#));
        hamlet.settle().await;
        assert_eq!(hamlet.targets().len(), 4);
        // A typing error leaves both as they are.
        speak(Some(r#"{"80":{"protocol":["TCP","UPD"]}}"#));
        let told = hamlet.settle().await;
        assert!(told.iter().any(|one| one.contains("UPD")), "{told:?}");
        assert_eq!(hamlet.targets().len(), 4);
        speak(None);
        hamlet.settle().await;
        hamlet.settle().await;
        assert_eq!(
            hamlet.targets(),
            at(&[("10.0.0.1:8080", 10), ("10.0.0.2:8080", 10)])
        );
        assert_eq!(hamlet.there()["Protocol"], "TCP");
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("CreateListener"), 2);
}
