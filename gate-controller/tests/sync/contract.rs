//! The gate's contract while a Service changes, told by the whole controller.

use serde_json::json;
use tokio::time::sleep;

use super::whole::{MINUTE, SECOND, Whole, of_version, pod};

fn weights(whole: &Whole, numbers: impl IntoIterator<Item = u8>) -> Vec<Option<u64>> {
    let targets = whole.targets();
    let one = |number| targets.get(&format!("10.0.0.{number}:8080")).copied();
    numbers.into_iter().map(one).collect()
}

/// Somebody takes new connections and answers them.
fn somebody_serves(whole: &Whole, numbers: std::ops::RangeInclusive<u8>) -> bool {
    weights(whole, numbers)
        .into_iter()
        .any(|weight| weight > Some(0))
}

/// The Service selects `green` at once; `blue` goes on serving until a green one is healthy.
#[tokio::test(start_paused = true)]
async fn a_blue_green_swap_leaves_nobody_unserved() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.pods("blue", 1..=3);
        whole
            .until(|| (1..=3).all(|n| whole.is_open(&format!("web-{n}"))))
            .await;
        for number in 11..=13 {
            whole.health(number, 8080, false);
        }
        whole.pods("green", 11..=13);
        whole.service("web", &of_version("green"));
        let blue_serves = || weights(&whole, 1..=3) == [Some(10); 3];
        whole.always(MINUTE * 3, blue_serves).await;
        assert_eq!(weights(&whole, 11..=13), [Some(10); 3]);
        assert!((11..=13).all(|n| !whole.is_open(&format!("web-{n}"))));
        let told = whole.told_of("NotServed", "web").await;
        assert!(told.contains("10.0.0.1:8080"), "{told}");
        whole.health(12, 8080, true);
        whole.until(|| weights(&whole, 1..=3) == [Some(0); 3]).await;
        assert_eq!(weights(&whole, [12]), [Some(10)]);
        whole.until(|| weights(&whole, 1..=3) == [None; 3]).await;
        assert!(whole.is_open("web-12") && !whole.is_open("web-11"));
    };
    whole.follow(story).await;
}

/// The green pods had open gates already, of another Service: that says nothing of this one.
#[tokio::test(start_paused = true)]
async fn a_gate_that_opened_for_another_service_proves_no_successor() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        let preview =
            json!({"selector": {"version": "green"}, "ports": [{"port": 81, "targetPort": 9090}]});
        whole.service("preview", &preview);
        whole.pods("blue", 1..=2);
        whole.pods("green", 11..=12);
        whole
            .until(|| {
                [1, 2, 11, 12]
                    .iter()
                    .all(|n| whole.is_open(&format!("web-{n}")))
            })
            .await;
        for number in 11..=12 {
            whole.health(number, 8080, false);
        }
        whole.service("web", &of_version("green"));
        whole
            .always(MINUTE * 2, || weights(&whole, 1..=2) == [Some(10); 2])
            .await;
        whole.health(11, 8080, true);
        whole.until(|| weights(&whole, 1..=2) == [None; 2]).await;
    };
    whole.follow(story).await;
}

/// The same pods, at another port.
#[tokio::test(start_paused = true)]
async fn a_changed_target_port_takes_over_once_it_is_healthy() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.pods("blue", 1..=2);
        whole
            .until(|| (1..=2).all(|n| whole.is_open(&format!("web-{n}"))))
            .await;
        for number in 1..=2 {
            whole.health(number, 9090, false);
        }
        let moved =
            json!({"selector": {"version": "blue"}, "ports": [{"port": 80, "targetPort": 9090}]});
        whole.service("web", &moved);
        whole
            .always(MINUTE * 2, || weights(&whole, 1..=2) == [Some(10); 2])
            .await;
        assert_eq!(whole.targets().len(), 4);
        whole.health(2, 9090, true);
        whole.until(|| whole.targets().len() == 2).await;
        assert!(
            whole
                .targets()
                .keys()
                .all(|address| address.ends_with(":9090"))
        );
    };
    whole.follow(story).await;
}

/// A selector that matches nobody: those that serve go on. Who wants nobody to serve deletes the Service.
#[tokio::test(start_paused = true)]
async fn a_selector_that_matches_nobody_takes_nobody_away() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.pods("blue", 1..=2);
        whole
            .until(|| (1..=2).all(|n| whole.is_open(&format!("web-{n}"))))
            .await;
        whole.service("web", &of_version("typo"));
        whole
            .always(MINUTE * 5, || weights(&whole, 1..=2) == [Some(10); 2])
            .await;
        whole.api.delete_service("web");
        whole.list_services();
        whole.until(|| whole.targets().is_empty()).await;
    };
    whole.follow(story).await;
}

#[tokio::test(start_paused = true)]
async fn a_port_added_while_pods_wait_is_waited_for_too() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.health(1, 8080, false);
        whole.health(1, 9090, false);
        whole.pods("blue", [1]);
        whole
            .until(|| whole.gate("web-1").1.starts_with("0/1"))
            .await;
        let both = json!({"selector": {"version": "blue"},
            "ports": [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": 9090}]});
        whole.service("web", &both);
        whole
            .until(|| whole.gate("web-1").1.starts_with("0/2"))
            .await;
        whole.health(1, 8080, true);
        whole
            .until(|| whole.gate("web-1").1.starts_with("1/2"))
            .await;
        whole.always(MINUTE, || !whole.is_open("web-1")).await;
        whole.health(1, 9090, true);
        whole.until(|| whole.is_open("web-1")).await;
        assert!(
            whole.gate("web-1").1.starts_with("2/2"),
            "{:?}",
            whole.gate("web-1")
        );
    };
    whole.follow(story).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_port_changed_while_pods_wait_is_the_one_that_counts() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.health(1, 8080, false);
        whole.pods("blue", [1]);
        whole
            .until(|| whole.gate("web-1").1.contains(":8080: bound"))
            .await;
        let mended =
            json!({"selector": {"version": "blue"}, "ports": [{"port": 80, "targetPort": 9090}]});
        whole.service("web", &mended);
        whole.until(|| whole.is_open("web-1")).await;
        assert!(
            whole.gate("web-1").1.contains(":9090"),
            "{:?}",
            whole.gate("web-1")
        );
    };
    whole.follow(story).await;
}

#[tokio::test(start_paused = true)]
async fn a_selector_changed_while_pods_wait_lets_them_go_after_a_while() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.health(1, 8080, false);
        whole.pods("blue", [1]);
        whole
            .until(|| whole.gate("web-1").1.starts_with("0/1"))
            .await;
        whole.service("web", &of_version("green"));
        whole.always(SECOND * 29, || !whole.is_open("web-1")).await;
        whole.until(|| whole.is_open("web-1")).await;
        assert!(
            whole
                .gate("web-1")
                .1
                .contains("No direct-access Service selects")
        );
    };
    whole.follow(story).await;
}

#[tokio::test(start_paused = true)]
async fn an_annotation_taken_away_while_pods_wait_lets_them_go_after_a_while() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.health(1, 8080, false);
        whole.pods("blue", [1]);
        whole
            .until(|| whole.gate("web-1").1.starts_with("0/1"))
            .await;
        let mut plain = super::whole::service("web", &of_version("blue"));
        plain["metadata"]["annotations"] = json!({});
        whole.api.put_service(plain);
        whole.list_services();
        whole.always(SECOND * 29, || !whole.is_open("web-1")).await;
        whole.until(|| whole.is_open("web-1")).await;
        whole.until(|| whole.targets().is_empty()).await;
    };
    whole.follow(story).await;
}

/// Created before its Service, or while no webhook answered.
#[tokio::test(start_paused = true)]
async fn a_pod_without_the_gate_is_bound_and_told_with_the_cure() {
    let whole = Whole::new();
    let story = async {
        let mut early = pod("blue", 1);
        early["spec"]["readinessGates"] = json!([]);
        whole.api.put_pod(early);
        whole.list_pods();
        sleep(MINUTE).await;
        whole.service("web", &of_version("blue"));
        whole.until(|| weights(&whole, [1]) == [Some(10)]).await;
        sleep(MINUTE).await;
        assert_eq!(whole.api.writes().len(), 0);
        let told = whole.told_of("Ungated", "web-1").await;
        assert!(told.contains("kubectl rollout restart"), "{told}");
    };
    whole.follow(story).await;
}

/// Its containers restart where they are: the target stays, and so does the open gate.
#[tokio::test(start_paused = true)]
async fn a_pod_that_restarts_in_place_stays_bound_and_open() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.pods("blue", [1]);
        whole.until(|| whole.is_open("web-1")).await;
        let written = whole.api.writes().len();
        whole.health(1, 8080, false);
        let mut restarting = whole.api.pods().remove(0);
        restarting["status"]["conditions"][0]["status"] = "False".into();
        whole.api.put_pod(restarting);
        whole.list_pods();
        let unmoved = || weights(&whole, [1]) == [Some(10)] && whole.is_open("web-1");
        whole.always(MINUTE * 5, unmoved).await;
        assert_eq!(whole.api.writes().len(), written);
    };
    whole.follow(story).await;
}

/// A new sandbox has a new address: bound anew, and the gate starts afresh.
#[tokio::test(start_paused = true)]
async fn a_pod_with_a_new_sandbox_is_bound_anew_and_waits_again() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.pods("blue", 1..=2);
        whole.until(|| whole.is_open("web-1")).await;
        whole.health(9, 8080, false);
        let mut moved = whole.api.pods().remove(0);
        moved["status"]["podIP"] = "10.0.0.9".into();
        whole.api.put_pod(moved);
        whole.list_pods();
        whole.until(|| weights(&whole, [9]) == [Some(10)]).await;
        whole.until(|| !whole.is_open("web-1")).await;
        whole.health(9, 8080, true);
        whole.until(|| whole.is_open("web-1")).await;
        whole.until(|| weights(&whole, [1]) == [None]).await;
    };
    whole.follow(story).await;
}

/// A kubelet that evicts sets only the phase, after the containers died; so does a Job's end.
#[tokio::test(start_paused = true)]
async fn an_evicted_pod_and_a_finished_job_leave_at_once() {
    for phase in ["Failed", "Succeeded"] {
        let whole = Whole::new();
        let story = async {
            whole.service("web", &of_version("blue"));
            whole.pods("blue", 1..=2);
            whole
                .until(|| (1..=2).all(|n| whole.is_open(&format!("web-{n}"))))
                .await;
            let mut ended = whole.api.pods().remove(0);
            ended["status"]["phase"] = phase.into();
            whole.api.put_pod(ended);
            whole.list_pods();
            whole
                .until(|| weights(&whole, 1..=2) == [None, Some(10)])
                .await;
            assert!(somebody_serves(&whole, 1..=2));
        };
        whole.follow(story).await;
    }
}

/// A `StatefulSet`'s pod comes back under its name, here with its address: the gate is the new pod's own.
#[tokio::test(start_paused = true)]
async fn a_statefulset_pod_of_the_same_name_inherits_neither_gate_nor_health() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        whole.pods("blue", 1..=2);
        whole.until(|| whole.is_open("web-1")).await;
        whole.health(1, 8080, false);
        let mut next = pod("blue", 1);
        next["metadata"]["uid"] = "uid-next".into();
        whole.api.put_pod(next);
        whole.list_pods();
        let tagged = || {
            let bound = whole.world.bound();
            let mut tags = bound.values().filter_map(|(_, tag)| tag.clone());
            tags.any(|tag| tag.ends_with("uid-next"))
        };
        whole.until(tagged).await;
        whole.always(MINUTE, || !whole.is_open("web-1")).await;
        whole.health(1, 8080, true);
        whole.until(|| whole.is_open("web-1")).await;
    };
    whole.follow(story).await;
}

/// A Job's pod is bound while it runs, like any other.
#[tokio::test(start_paused = true)]
async fn a_jobs_pod_is_bound_while_it_runs() {
    let whole = Whole::new();
    let story = async {
        whole.service("web", &of_version("blue"));
        let mut job = pod("blue", 1);
        job["metadata"]["ownerReferences"] = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "work", "uid": "uid-work", "controller": true}]);
        whole.api.put_pod(job);
        whole.list_pods();
        whole.until(|| whole.is_open("web-1")).await;
        let mut done = whole.api.pods().remove(0);
        done["status"]["phase"] = "Succeeded".into();
        whole.api.put_pod(done);
        whole.list_pods();
        whole.until(|| whole.targets().is_empty()).await;
    };
    whole.follow(story).await;
}

/// A CLB of IPv6 binds a dual-stack pod by its other address; a pod that has none is told why it waits.
#[tokio::test(start_paused = true)]
async fn a_load_balancer_of_ipv6_binds_addresses_of_ipv6() {
    let whole = Whole::new();
    let order = json!({"LoadBalancerType": "OPEN", "AddressIPVersion": "IPv6FullChain"});
    let made = whole.world.clb.operate("CreateLoadBalancer", &order);
    let story = async {
        let mut six = super::whole::service("web", &of_version("blue"));
        six["metadata"]["annotations"]["service.kubernetes.io/tke-existed-lbid"] =
            made.unwrap()["LoadBalancerIds"][0].clone();
        whole.api.put_service(six);
        whole.list_services();
        let mut dual = pod("blue", 1);
        dual["status"]["podIPs"] = json!([{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]);
        whole.api.put_pod(dual);
        whole.pods("blue", [2]);
        whole.until(|| whole.is_open("web-1")).await;
        let bound: Vec<_> = whole.targets().into_keys().collect();
        assert_eq!(bound, ["fd00::1:8080"]);
        let (status, message) = whole.gate("web-2");
        assert_eq!(status, "False");
        assert!(message.contains("binds IPv6 addresses"), "{message}");
        let told = whole.told_of("AddressFamily", "web-2").await;
        assert!(told.contains("the pod has only 10.0.0.2"), "{told}");
    };
    whole.follow(story).await;
}
