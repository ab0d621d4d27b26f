//! Caches that are stale, short or empty: nothing is taken out of service and no gate opens because of them.

use gate_controller::pod::PodRecord;
use runtime::{Change, Key};
use serde_json::json;
use tokio::time::sleep;

use super::whole::{MINUTE, SECOND, Whole, of_version};

/// Ten pods of version `blue` behind one Service, bound, with open gates; and one whose health check fails.
async fn settled(whole: &Whole) {
    whole.service("web", &of_version("blue"));
    whole.health(11, 8080, false);
    whole.pods("blue", 1..=11);
    whole
        .until(|| (1..=10).all(|n| whole.is_open(&format!("web-{n}"))))
        .await;
    whole.until(|| whole.targets().len() == 11).await;
    sleep(MINUTE).await;
    whole.list_pods();
    sleep(SECOND).await;
    whole.world.clb.reset_calls();
}

/// What must hold in every one of these stories.
async fn nothing_happens(whole: &Whole, time: std::time::Duration) {
    let all_there = || {
        let targets = whole.targets();
        targets.len() == 11 && targets.values().all(|weight| *weight == 10)
    };
    whole
        .always(time, || all_there() && !whole.is_open("web-11"))
        .await;
    assert_eq!(whole.removals(), 0);
}

#[tokio::test(start_paused = true)]
async fn services_that_are_briefly_unlisted_take_nothing_away_and_open_no_gate() {
    let whole = Whole::new();
    let story = async {
        settled(&whole).await;
        let before = whole.api.lists();
        whole.shared.cluster.on_service(Change::Restarted(vec![]));
        nothing_happens(&whole, MINUTE * 3).await;
        assert!(whole.api.lists() > before, "it was read past the caches");
        whole.list_services();
        nothing_happens(&whole, MINUTE).await;
    };
    whole.follow(story).await;
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_briefly_unlisted_keep_their_targets() {
    let whole = Whole::new();
    let story = async {
        settled(&whole).await;
        whole.shared.cluster.on_pod(Change::Restarted(vec![]));
        nothing_happens(&whole, MINUTE * 3).await;
        // One in ten is no great shrinkage, and yet it is not believed.
        whole.list_pods_but(|name| name == "web-3");
        nothing_happens(&whole, MINUTE * 3).await;
        whole.list_pods();
        nothing_happens(&whole, MINUTE).await;
    };
    whole.follow(story).await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_takes_nothing_away_and_opens_no_gate() {
    let whole = Whole::new();
    let story = async {
        settled(&whole).await;
        whole.api.away(Some(503));
        // A watch that began anew on an API server that knows nothing yet.
        whole.shared.cluster.on_service(Change::Restarted(vec![]));
        whole.shared.cluster.on_pod(Change::Restarted(vec![]));
        nothing_happens(&whole, MINUTE * 5).await;
        whole.api.away(None);
        whole.list_services();
        whole.list_pods();
        nothing_happens(&whole, MINUTE).await;
    };
    whole.follow(story).await;
}

/// The leader is new and its list of pods older than the youngest of them.
#[tokio::test(start_paused = true)]
async fn a_new_leader_whose_caches_lag_takes_no_young_pod_away() {
    let whole = Whole::new();
    whole.follow(settled(&whole)).await;
    let whole = whole.successor();
    let story = async {
        whole.list_services();
        whole.list_pods_but(|name| name == "web-7");
        nothing_happens(&whole, MINUTE * 3).await;
        whole.list_pods();
        nothing_happens(&whole, MINUTE).await;
    };
    whole.follow(story).await;
}

/// The same, and the pod that had the young one's address before is in the list still.
#[tokio::test(start_paused = true)]
async fn a_new_leader_whose_caches_lag_gives_no_address_to_a_pod_that_is_gone() {
    let whole = Whole::new();
    whole.follow(settled(&whole)).await;
    let whole = whole.successor();
    let story = async {
        whole.list_services();
        whole.list_pods_but(|name| name == "web-7");
        let mut gone = super::whole::pod("blue", 7);
        gone["metadata"]["uid"] = "uid-gone".into();
        let gone = PodRecord::prune(serde_json::from_value(gone).unwrap());
        whole
            .shared
            .cluster
            .on_pod(Change::Applied(Key::new("shop", "web-7"), gone));
        nothing_happens(&whole, MINUTE * 3).await;
    };
    whole.follow(story).await;
}

/// Nothing is heard for minutes while a rollout goes on; then everything at once.
#[tokio::test(start_paused = true)]
async fn a_watch_that_was_cut_for_minutes_takes_nothing_away_and_catches_up() {
    let whole = Whole::new();
    let story = async {
        settled(&whole).await;
        for number in 1..=5 {
            whole.api.delete_pod(&format!("web-{number}"));
        }
        for number in 21..=25 {
            whole.api.put_pod(super::whole::pod("blue", number));
        }
        nothing_happens(&whole, MINUTE * 5).await;
        whole.list_pods();
        let caught_up = || {
            let targets = whole.targets();
            let there = |number: u8| targets.contains_key(&format!("10.0.0.{number}:8080"));
            (21..=25).all(there) && !(1..=5).any(there)
        };
        whole.until(caught_up).await;
        whole
            .until(|| (21..=25).all(|n| whole.is_open(&format!("web-{n}"))))
            .await;
        assert!(!whole.is_open("web-11"));
    };
    whole.follow(story).await;
}

/// A pod whose deletion the watch has told is gone: nobody lists the whole cluster for it.
#[tokio::test(start_paused = true)]
async fn a_pod_that_was_seen_to_be_deleted_goes_without_a_second_look() {
    let whole = Whole::new();
    let story = async {
        settled(&whole).await;
        let before = whole.api.lists();
        whole.delete_pod("web-3");
        whole.until(|| whole.targets().len() == 10).await;
        assert_eq!(whole.api.lists(), before);
    };
    whole.follow(story).await;
}

/// The pods are changed while the watch is cut, so that every patch of their gates is overtaken.
#[tokio::test(start_paused = true)]
async fn a_gate_that_cannot_be_written_is_tried_again_after_growing_pauses() {
    for code in [403, 409, 422, 503] {
        let whole = Whole::new();
        let story = async {
            whole.service("web", &of_version("blue"));
            whole.api.refuse(Some(code));
            whole.pods("blue", [1]);
            whole.until(|| !whole.targets().is_empty()).await;
            sleep(MINUTE * 5).await;
            let tried = whole.api.writes();
            assert!(
                (3..90).contains(&tried.len()),
                "{code}: {} times",
                tried.len()
            );
            let pauses: Vec<_> = tried.windows(2).map(|two| two[1] - two[0]).collect();
            assert!(
                pauses.iter().any(|pause| *pause >= SECOND * 4),
                "{code}: {pauses:?}"
            );
            let told = whole.api.told("GateNotWritten", "web-1").len();
            assert_eq!(told, usize::from([403, 422].contains(&code)), "{code}");
            whole.api.refuse(None);
            whole.until(|| whole.is_open("web-1")).await;
        };
        whole.follow(story).await;
    }
}

/// Behind two Services; one of them is deleted and made again, or the list lacks it for a while.
#[tokio::test(start_paused = true)]
async fn a_gate_does_not_open_while_one_of_its_services_is_unlisted() {
    let whole = Whole::new();
    let story = async {
        let second =
            json!({"selector": {"app": "web"}, "ports": [{"port": 81, "targetPort": 9090}]});
        whole.service("web", &of_version("blue"));
        whole.service("more", &second);
        whole.health(1, 8080, false);
        whole.health(1, 9090, false);
        whole.pods("blue", [1]);
        whole.until(|| whole.targets().len() == 2).await;
        sleep(SECOND * 30).await;
        // The list lacks it, and the pod becomes healthy behind the other one.
        let gone = Change::Deleted(Key::new("shop", "more"));
        whole.shared.cluster.on_service(gone.clone());
        whole.health(1, 8080, true);
        whole.always(MINUTE * 3, || !whole.is_open("web-1")).await;
        assert!(
            whole.gate("web-1").1.contains("1/2"),
            "{:?}",
            whole.gate("web-1")
        );
        whole.list_services();
        sleep(MINUTE).await;
        // An API server that was restarted lists neither the pod nor the Service at first.
        whole.shared.cluster.on_service(gone.clone());
        whole.shared.cluster.on_pod(Change::Restarted(vec![]));
        sleep(SECOND * 5).await;
        whole.list_pods();
        whole.always(MINUTE, || !whole.is_open("web-1")).await;
        whole.list_services();
        sleep(MINUTE).await;
        // It is deleted and made again a moment later.
        whole.api.delete_service("more");
        whole.shared.cluster.on_service(gone);
        whole.always(SECOND * 10, || !whole.is_open("web-1")).await;
        whole.service("more", &second);
        whole.always(MINUTE * 3, || !whole.is_open("web-1")).await;
        // It is deleted for good.
        whole.api.delete_service("more");
        whole.list_services();
        whole.until(|| whole.is_open("web-1")).await;
    };
    whole.follow(story).await;
}

/// One pod behind two Services, healthy behind the first only.
async fn healthy_behind_one_of_two(whole: &Whole) {
    let second = json!({"selector": {"app": "web"}, "ports": [{"port": 81, "targetPort": 9090}]});
    whole
        .api
        .put_service(super::whole::service("more", &second));
    whole.service("web", &of_version("blue"));
    whole.health(1, 9090, false);
    whole.pods("blue", [1]);
    whole.until(|| whole.targets().len() == 2).await;
    sleep(SECOND * 30).await;
    assert!(!whole.is_open("web-1"));
}

/// The new leader has seen nothing before, and its list of Services is older than one of them.
#[tokio::test(start_paused = true)]
async fn a_new_leader_whose_caches_lack_a_service_opens_no_gate_without_it() {
    let whole = Whole::new();
    whole.follow(healthy_behind_one_of_two(&whole)).await;
    let whole = whole.successor();
    let story = async {
        whole.list_services_but(|name| name == "more");
        whole.list_pods();
        whole.always(MINUTE * 3, || !whole.is_open("web-1")).await;
        whole.list_services();
        whole.always(MINUTE * 3, || !whole.is_open("web-1")).await;
        whole.health(1, 9090, true);
        whole.until(|| whole.is_open("web-1")).await;
    };
    whole.follow(story).await;
}

/// Nobody has seen the pod before the list came that lacks one of its Services.
#[tokio::test(start_paused = true)]
async fn a_young_pod_does_not_open_on_a_list_that_lacks_one_of_its_services() {
    let whole = Whole::new();
    let story = async {
        healthy_behind_one_of_two(&whole).await;
        whole.list_services_but(|name| name == "more");
        sleep(SECOND).await;
        whole.pods("blue", [2]);
        whole.health(2, 9090, false);
        whole.always(MINUTE * 3, || !whole.is_open("web-2")).await;
        whole.list_services();
        whole.always(MINUTE * 3, || !whole.is_open("web-2")).await;
        whole.health(2, 9090, true);
        whole.until(|| whole.is_open("web-2")).await;
    };
    whole.follow(story).await;
}

/// One read a namespace after each list, not one a gate.
#[tokio::test(start_paused = true)]
async fn what_was_confirmed_is_not_read_again_until_it_is_listed_again() {
    let whole = Whole::new();
    let story = async {
        settled(&whole).await;
        let before = whole.api.lists();
        for number in 21..=25 {
            whole.pods("blue", [number]);
            whole
                .until(|| whole.is_open(&format!("web-{number}")))
                .await;
        }
        assert_eq!(whole.api.lists(), before);
        whole.list_services();
        whole.pods("blue", [26]);
        whole.until(|| whole.is_open("web-26")).await;
        assert_eq!(whole.api.lists(), before + 2, "Services and Ingresses");
    };
    whole.follow(story).await;
}
