//! What a pod is given so that it serves on while it leaves.

use direct_access::drain::Kubelet;
use direct_access::network::{ClusterFacts, NodeCounts};
use direct_access::{ServiceFacts, Settings};

use super::*;

/// `shop/web`, whose pods sleep so long before they are stopped.
fn graceful(seconds: u16) -> ServiceFacts {
    let mut web = service("shop", "web");
    let says = [
        (names::GRACE_DELETION, "true".to_owned()),
        (names::DRAIN_SECONDS, seconds.to_string()),
    ];
    let says = says.map(|(key, value)| (key.to_owned(), value));
    web.annotations.extend(says);
    web
}

fn index(seconds: u16) -> ExposureIndex {
    ExposureIndex::build([&graceful(seconds)], &Settings::default())
}

/// A pod of `shop/web` with this spec.
fn pod_of(spec: &Value) -> Value {
    json!({ "metadata": { "labels": { "app": "web", "app.kubernetes.io/part-of": "shop" } }, "spec": spec })
}

fn asked(pod: &Value, index: &ExposureIndex) -> (Value, Outcome) {
    let answer = answer(review_of(pod).to_string().as_bytes(), index).unwrap();
    (well_formed(&answer.body), answer.outcome)
}

/// The pod after the webhook, and what it was warned of.
fn admitted(pod: &Value, index: &ExposureIndex) -> (Value, Vec<String>) {
    let (body, _) = asked(pod, index);
    let mut after = pod.clone();
    if body["response"].get("patch").is_some() {
        apply(&mut after, &body);
    }
    let warnings = body["response"].get("warnings").cloned();
    let warnings = serde_json::from_value(warnings.unwrap_or_else(|| json!([])));
    (after, warnings.unwrap())
}

fn sleeps(seconds: u16) -> Value {
    json!({ "preStop": { "sleep": { "seconds": seconds } } })
}

#[test]
fn a_graceful_pod_sleeps_before_it_is_stopped_and_has_the_time_for_it() {
    let hook = json!({ "exec": { "command": ["true"] } });
    let before = pod_of(&json!({
        "terminationGracePeriodSeconds": 20,
        "initContainers": [{ "name": "setup" }, { "name": "mesh", "restartPolicy": "Always" }],
        "containers": [
            { "name": "web" },
            { "name": "hooked", "lifecycle": { "postStart": hook } },
            { "name": "own", "lifecycle": { "preStop": hook } }],
    }));
    let (after, warnings) = admitted(&before, &index(40));
    assert_eq!(warnings, [] as [&str; 0]);
    let mut expected = before.clone();
    let spec = &mut expected["spec"];
    spec["terminationGracePeriodSeconds"] = json!(60);
    spec["readinessGates"] = json!([{ "conditionType": names::GATE }]);
    spec["containers"][0]["lifecycle"] = sleeps(40);
    spec["containers"][1]["lifecycle"]["preStop"] = sleeps(40)["preStop"].clone();
    assert_eq!(after, expected);
}

#[test]
fn without_the_annotation_no_pod_sleeps() {
    let before = pod_of(&json!({ "containers": [{ "name": "web" }] }));
    let (mut after, _) = admitted(&before, &INDEX);
    after["spec"]
        .as_object_mut()
        .unwrap()
        .remove("readinessGates")
        .unwrap();
    assert_eq!(after, before);
}

#[test]
fn a_pod_that_has_its_gate_sleeps_all_the_same() {
    let gated = json!({ "readinessGates": [{ "conditionType": names::GATE }], "containers": [{}] });
    let (body, outcome) = asked(&pod_of(&gated), &index(30));
    assert_eq!(outcome, Outcome::Injected);
    let mut after = pod_of(&gated);
    apply(&mut after, &body);
    assert_eq!(after["spec"]["containers"][0]["lifecycle"], sleeps(30));
    assert_eq!(after["spec"]["terminationGracePeriodSeconds"], 60);
    assert_eq!(after["spec"]["readinessGates"], gated["readinessGates"]);
}

/// As when another webhook has added a container, and ours is asked again.
#[test]
fn a_container_that_comes_later_sleeps_and_the_grace_is_not_raised_twice() {
    let before = pod_of(&json!({ "containers": [{ "name": "web" }] }));
    let (mut once, _) = admitted(&before, &index(30));
    let containers = once["spec"]["containers"].as_array_mut().unwrap();
    containers.push(json!({ "name": "mesh" }));
    let (twice, _) = admitted(&once, &index(30));
    assert_eq!(twice["spec"]["containers"][1]["lifecycle"], sleeps(30));
    assert_eq!(twice["spec"]["terminationGracePeriodSeconds"], 60);
}

#[rstest]
#[case::opted_out(json!({ "containers": [{}] }), true)]
#[case::host_network(json!({ "hostNetwork": true, "containers": [{}] }), false)]
fn a_pod_that_is_not_bound_is_not_kept(#[case] spec: Value, #[case] opted_out: bool) {
    let mut pod = pod_of(&spec);
    if opted_out {
        pod["metadata"]["labels"][names::INJECT_LABEL] = json!("false");
    }
    assert_eq!(admitted(&pod, &index(30)).0, pod);
}

#[test]
fn a_pod_that_cannot_sleep_gets_its_gate_and_is_told_why() {
    let mut old = Settings::default();
    old.conclude(&ClusterFacts {
        nodes: NodeCounts {
            oldest_kubelet: Kubelet::parse("v1.29.1"),
            ..NodeCounts::default()
        },
        ..ClusterFacts::default()
    });
    let killed = json!({ "terminationGracePeriodSeconds": 0, "containers": [{}] });
    let table = [
        (
            killed,
            Settings::default(),
            "terminationGracePeriodSeconds is 0",
        ),
        (json!({ "containers": [{}] }), old, "oldest kubelet is 1.29"),
    ];
    for (spec, settings, part) in table {
        let index = ExposureIndex::build([&graceful(30)], &settings);
        let (after, warnings) = admitted(&pod_of(&spec), &index);
        assert!(after["spec"]["readinessGates"][0].is_object());
        assert_eq!(after["spec"]["containers"], spec["containers"]);
        let grace = "terminationGracePeriodSeconds";
        assert_eq!(after["spec"].get(grace), spec.get(grace));
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].contains(part) && warnings[0].contains("shop/web"),
            "{warnings:?}"
        );
        // Asked again it says the same and changes nothing.
        let (again, warnings) = admitted(&after, &index);
        assert_eq!((again, warnings.len()), (after, 1));
    }
}

#[test]
fn all_warnings_are_told() {
    let (mut settings, _) = Settings::parse(&[("network".to_owned(), "mixed".to_owned())].into());
    settings.drains.too_old = Kubelet::parse("v1.28.0");
    let index = ExposureIndex::build([&graceful(30)], &settings);
    let mut pod = pod_of(&json!({ "containers": [{}] }));
    pod["metadata"]["annotations"] = json!({ (names::NETWORKS): "tke-route-eni" });
    let (_, warnings) = admitted(&pod, &index);
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings.iter().all(|one| one.len() < LONGEST_WARNING));
}

fn lifecycle() -> impl Strategy<Value = Option<Value>> {
    let hook = || json!({ "exec": { "command": ["true"] } });
    prop_oneof![
        3 => Just(None),
        1 => Just(Some(Value::Null)),
        1 => Just(Some(json!({}))),
        1 => Just(Some(json!({ "preStop": null, "stopSignal": "SIGUSR1" }))),
        1 => Just(Some(json!({ "postStart": hook() }))),
        1 => Just(Some(json!({ "preStop": hook(), "postStart": hook() }))),
        2 => (1..100_u16).prop_map(|seconds| Some(sleeps(seconds))),
    ]
}

fn container() -> impl Strategy<Value = Value> {
    (any::<bool>(), lifecycle()).prop_map(|(sidecar, lifecycle)| {
        let mut container = json!({ "name": "c", "future": { "field": [1] } });
        if sidecar {
            container["restartPolicy"] = json!("Always");
        }
        if let Some(lifecycle) = lifecycle {
            container["lifecycle"] = lifecycle;
        }
        container
    })
}

fn any_pod() -> impl Strategy<Value = Value> {
    let containers = || prop::collection::vec(container(), 0..5);
    let gates = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        Just(Some(json!([{ "conditionType": "example.com/other" }]))),
        Just(Some(json!([{ "conditionType": names::GATE }]))),
    ];
    let grace = prop_oneof![
        Just(None),
        Just(Some(Value::Null)),
        (-1..200_i64).prop_map(|grace| Some(json!(grace))),
        Just(Some(json!(i64::MAX))),
    ];
    (containers(), containers(), gates, grace).prop_map(|(own, init, gates, grace)| {
        let mut spec = json!({ "containers": own, "initContainers": init, "newer": [{}] });
        let fields = [
            ("readinessGates", gates),
            ("terminationGracePeriodSeconds", grace),
        ];
        for (field, value) in fields {
            if let Some(value) = value {
                spec[field] = value;
            }
        }
        pod_of(&spec)
    })
}

/// Without what the webhook may touch. A `lifecycle` that holds nothing else is none.
fn untouched(mut pod: Value) -> Value {
    let spec = pod["spec"].as_object_mut().unwrap();
    spec.remove("readinessGates");
    spec.remove("terminationGracePeriodSeconds");
    for container in spec["containers"].as_array_mut().unwrap() {
        let container = container.as_object_mut().unwrap();
        let Some(lifecycle) = container.get_mut("lifecycle") else {
            continue;
        };
        let empty = lifecycle.as_object_mut().is_none_or(|lifecycle| {
            lifecycle.remove("preStop");
            lifecycle.is_empty()
        });
        if empty {
            container.remove("lifecycle");
        }
    }
    pod
}

fn has_pre_stop(container: &Value) -> bool {
    container["lifecycle"]
        .get("preStop")
        .is_some_and(Value::is_object)
}

proptest! {
    #[test]
    fn only_gates_prestop_hooks_and_the_grace_period_ever_change_and_only_once(
        before in any_pod(),
        seconds in 5..100_u16,
    ) {
        let index = index(seconds);
        let (after, _) = admitted(&before, &index);
        prop_assert_eq!(untouched(after.clone()), untouched(before.clone()));
        let (again, _) = admitted(&after, &index);
        prop_assert_eq!(&again, &after);
        let (body, outcome) = asked(&after, &index);
        prop_assert!(body["response"].get("patch").is_none());
        prop_assert_eq!(outcome, Outcome::Skipped("already_gated"));

        let grace = |pod: &Value| pod["spec"]["terminationGracePeriodSeconds"].as_i64();
        let pairs = |pod: &Value| pod["spec"]["containers"].as_array().unwrap().clone();
        let mut injected = false;
        for (old, new) in pairs(&before).iter().zip(&pairs(&after)) {
            if has_pre_stop(old) || grace(&before) == Some(0) {
                prop_assert_eq!(old, new);
            } else {
                injected = true;
                prop_assert_eq!(&new["lifecycle"]["preStop"], &sleeps(seconds)["preStop"]);
            }
        }
        prop_assert!(injected || grace(&before) == grace(&after));
        // The time that a container sleeps is there, and the pod's own is not shorter.
        if injected {
            prop_assert!(grace(&after).is_none_or(|all| all >= i64::from(seconds)) || grace(&after) == grace(&before));
            prop_assert!(grace(&after).unwrap_or(30) >= grace(&before).unwrap_or(30));
        }
    }
}
