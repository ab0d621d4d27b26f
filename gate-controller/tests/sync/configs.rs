//! From a `TkeServiceConfig` that comes, changes and goes to the listener of the Service that names it.

use runtime::watch::Offered;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::hamlet::{Hamlet, MINUTE, PARAMETERS};
use super::settles::while_it_works;
use super::town::listeners;

/// Interval, good checks, scheduler and session of the listener.
fn tuned(hamlet: &Hamlet) -> (i64, i64, String, i64) {
    let there = hamlet.there();
    let number = |value: &Value| value.as_i64().unwrap();
    (
        number(&there["HealthCheck"]["IntervalTime"]),
        number(&there["HealthCheck"]["HealthNum"]),
        there["Scheduler"].as_str().unwrap().to_owned(),
        number(&there["SessionExpireTime"]),
    )
}

#[tokio::test(start_paused = true)]
async fn a_config_that_comes_changes_and_goes_is_followed_in_place() {
    let hamlet = Hamlet::new();
    hamlet.serve(&json!({ PARAMETERS: r#"{"HealthCheck":{"IntervalTime":9}}"# }));
    let story = async {
        assert_eq!(hamlet.settle().await.len(), 1, "it names what is not there");
        assert_eq!(tuned(&hamlet), (9, 3, "WRR".to_owned(), 0));
        let id = listeners(&hamlet.world)[0]["id"].clone();

        let session = json!({"enable": true, "sessionExpireTime": 60});
        hamlet.declare(&json!({"scheduler": "LEAST_CONN", "session": session,
            "healthCheck": {"enable": true, "healthNum": 2}}));
        assert_eq!(hamlet.settle().await, Vec::<String>::new());
        assert_eq!(tuned(&hamlet), (9, 2, "LEAST_CONN".to_owned(), 60));
        assert_eq!(hamlet.world.calls("ModifyListener"), 1);

        // It wins over the annotation; what it does not say any more stays.
        hamlet.declare(&json!({"healthCheck": {"enable": true, "intervalTime": 20}}));
        hamlet.settle().await;
        assert_eq!(tuned(&hamlet), (20, 2, "LEAST_CONN".to_owned(), 60));
        assert_eq!(hamlet.world.calls("ModifyListener"), 2);

        // Gone: the annotation holds again, and the rest stays.
        hamlet.withdraw();
        assert_eq!(hamlet.settle().await.len(), 1);
        assert_eq!(tuned(&hamlet), (9, 2, "LEAST_CONN".to_owned(), 60));
        hamlet.serve(&json!({}));
        hamlet.cluster.on_configs(Offered::Absent);
        sleep(MINUTE * 10).await;
        assert_eq!(hamlet.settle().await.len(), 1);
        assert_eq!(tuned(&hamlet), (9, 2, "LEAST_CONN".to_owned(), 60));
        assert_eq!(hamlet.world.calls("ModifyListener"), 3);
        assert_eq!(listeners(&hamlet.world)[0]["id"], id);
        assert!(hamlet.unchanged().is_empty());
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("CreateListener"), 1);
    assert_eq!(hamlet.world.calls("BatchDeregisterTargets"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_made_as_it_is_declared() {
    let hamlet = Hamlet::new();
    hamlet.declare(
        &json!({"scheduler": "LEAST_CONN", "healthCheck": {"enable": true, "checkType": "CUSTOM",
        "contextType": "TEXT", "sendContext": "ping", "recvContext": "pong"}}),
    );
    let story = async {
        assert_eq!(hamlet.settle().await, Vec::<String>::new());
        let there = hamlet.there();
        let check = &there["HealthCheck"];
        assert_eq!(
            (&check["CheckType"], &check["RecvContext"]),
            (&json!("CUSTOM"), &json!("pong"))
        );
        assert_eq!(tuned(&hamlet), (5, 3, "LEAST_CONN".to_owned(), 0));
        // And back to a plain one.
        hamlet.declare(&json!({"healthCheck": {"enable": true, "checkType": "TCP"}}));
        hamlet.settle().await;
        assert_eq!(hamlet.there()["HealthCheck"]["CheckType"], "TCP");
        assert!(hamlet.unchanged().is_empty(), "{:?}", hamlet.unchanged());
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("ModifyListener"), 1);
}

/// The documentation's own sample: the API refuses a check that may take as long as the pause between
/// two. The listener is made and everything else is applied; only this is told.
#[tokio::test(start_paused = true)]
async fn what_the_api_refuses_keeps_nothing_else_back() {
    let hamlet = Hamlet::new();
    hamlet.serve(&json!({}));
    let check = json!({"enable": true, "timeout": 10, "intervalTime": 10, "healthNum": 2});
    hamlet.declare(&json!({"scheduler": "LEAST_CONN", "healthCheck": check}));
    let story = async {
        let told = hamlet.settle().await;
        assert!(
            told.len() == 1 && told[0].contains("smaller than intervalTime 10"),
            "{told:?}"
        );
        assert_eq!(tuned(&hamlet), (5, 2, "LEAST_CONN".to_owned(), 0));
        let told = hamlet.unchanged();
        assert!(
            told[0].contains("HealthCheck.TimeOut is 2, declared is 10"),
            "{told:?}"
        );
        // What else changes while it stands is applied all the same.
        hamlet.declare(&json!({"scheduler": "WRR", "healthCheck": check}));
        hamlet.settle().await;
        assert_eq!(tuned(&hamlet), (5, 2, "WRR".to_owned(), 0));
        sleep(MINUTE * 30).await;
        let calls = hamlet.world.calls("ModifyListener");
        // Now and then, as any refused change.
        assert!((3..150).contains(&calls), "{calls} calls");
        hamlet.declare(&json!({"healthCheck": {"enable": true, "timeout": 9, "intervalTime": 10}}));
        assert_eq!(hamlet.settle().await, Vec::<String>::new());
        assert_eq!(tuned(&hamlet), (10, 2, "WRR".to_owned(), 0));
        assert!(hamlet.unchanged().is_empty(), "{:?}", hamlet.unchanged());
    };
    while_it_works(&hamlet.world, Box::pin(story)).await;
    assert_eq!(hamlet.world.calls("CreateListener"), 1);
}
