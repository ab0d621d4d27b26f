use proptest::prelude::*;
use rstest::rstest;
use serde_json::Value;

mod drain;

use super::*;
use crate::fixtures::{UID, pod, review, review_of, service, services};

static INDEX: LazyLock<ExposureIndex> =
    LazyLock::new(|| ExposureIndex::build(&services(100), &direct_access::Settings::default()));
static USUAL: LazyLock<Vec<u8>> = LazyLock::new(|| review(12_000));

fn answered(review: &Value) -> (Value, Outcome) {
    let answer = answer(review.to_string().as_bytes(), &INDEX).unwrap();
    (well_formed(&answer.body), answer.outcome)
}

/// What the API server insists on.
fn well_formed(body: &[u8]) -> Value {
    let value: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(value["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(value["kind"], "AdmissionReview");
    assert_eq!(value["response"]["allowed"], true);
    assert!(!value["response"]["uid"].as_str().unwrap().is_empty());
    let patch = value["response"].get("patch").is_some();
    assert_eq!(value["response"].get("patchType").is_some(), patch);
    value
}

fn apply(pod: &mut Value, answer: &Value) {
    let patch = STANDARD
        .decode(answer["response"]["patch"].as_str().unwrap())
        .unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    json_patch::patch(pod, &patch).unwrap();
}

#[rstest]
#[case::absent(None, 1)]
#[case::null(Some(Value::Null), 1)]
#[case::empty(Some(json!([])), 1)]
#[case::other(Some(json!([{ "conditionType": "example.com/other" }])), 2)]
fn the_patch_adds_the_gate_and_nothing_else(
    #[case] gates: Option<Value>,
    #[case] gates_after: usize,
) {
    let mut before = pod(0);
    if let Some(gates) = gates {
        before["spec"]["readinessGates"] = gates;
    }
    let (answer, outcome) = answered(&review_of(&before));
    assert_eq!(
        (outcome, &answer["response"]["uid"]),
        (Outcome::Injected, &json!(UID))
    );

    let mut after = before.clone();
    apply(&mut after, &answer);
    let gates = after["spec"]["readinessGates"].as_array().unwrap().clone();
    assert_eq!(gates.len(), gates_after);
    assert_eq!(gates.last().unwrap()["conditionType"], names::GATE);
    after["spec"]["readinessGates"] = before["spec"]["readinessGates"].clone();
    before["spec"]["readinessGates"] = after["spec"]["readinessGates"].clone();
    assert_eq!(after, before);
}

#[test]
fn asked_again_it_changes_nothing() {
    let mut pod = pod(0);
    let (first, _) = answered(&review_of(&pod));
    apply(&mut pod, &first);
    let (again, outcome) = answered(&review_of(&pod));
    assert_eq!(outcome, Outcome::Skipped("already_gated"));
    assert!(again["response"].get("patch").is_none());
}

#[rstest]
#[case::plain(json!({ "containers": [] }), Outcome::Injected)]
#[case::with_other_gates(json!({ "readinessGates": [{ "conditionType": "other" }] }), Outcome::Injected)]
#[case::gated(json!({ "readinessGates": [{ "conditionType": names::GATE }] }), Outcome::Skipped("already_gated"))]
fn the_canary_gets_the_gate_whoever_it_is(#[case] spec: Value, #[case] expected: Outcome) {
    let pod = json!({ "metadata": { "labels": { "clb-gate.io/inject": "false" } }, "spec": spec });
    let review = review_of(&pod).to_string();
    let answer = answer_canary(review.as_bytes()).unwrap();
    let body = well_formed(&answer.body);
    assert_eq!(answer.outcome, expected);
    let mut pod = pod;
    if expected == Outcome::Injected {
        apply(&mut pod, &body);
    }
    let gates = pod["spec"]["readinessGates"].as_array().unwrap();
    assert_eq!(gates.last().unwrap()["conditionType"], names::GATE);
}

#[test]
fn the_canarys_review_is_read_as_strictly_as_any() {
    let mut review = review_of(&pod(0));
    review["request"]["operation"] = json!("UPDATE");
    let skipped = answer_canary(review.to_string().as_bytes()).unwrap();
    assert_eq!(skipped.outcome, Outcome::Skipped("not_a_pod_creation"));
    review["request"] = Value::Null;
    assert!(answer_canary(review.to_string().as_bytes()).is_err());
    assert!(answer_canary(b"").is_err());
}

#[test]
fn a_host_network_pod_is_told_why() {
    let mut pod = pod(0);
    pod["spec"]["hostNetwork"] = json!(true);
    let (answer, outcome) = answered(&review_of(&pod));
    assert_eq!(outcome, Outcome::Skipped("host_network"));
    let warning = answer["response"]["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("spec.hostNetwork") && warning.len() <= LONGEST_WARNING,
        "{warning}"
    );
}

fn mixed() -> ExposureIndex {
    let (settings, _) =
        direct_access::Settings::parse(&[("network".to_owned(), "mixed".to_owned())].into());
    ExposureIndex::build(&services(0), &settings)
}

const ENI_IP: &str = "tke.cloud.tencent.com/eni-ip";

#[rstest]
#[case::no_word(None, json!({}), Outcome::Skipped("no_eni"), Some("tke-route-eni"))]
#[case::another_network(Some("tke-bridge"), json!({}), Outcome::Skipped("no_eni"), Some("tke-route-eni"))]
#[case::an_eni(Some("tke-route-eni"), json!({"requests": {ENI_IP: "1"}, "limits": {ENI_IP: "1"}}), Outcome::Injected, None)]
#[case::no_eni_ip(Some("tke-route-eni"), json!({}), Outcome::Injected, Some(ENI_IP))]
#[case::no_resources(Some("tke-route-eni"), Value::Null, Outcome::Injected, Some(ENI_IP))]
#[case::only_a_request(Some("tke-route-eni"), json!({"requests": {ENI_IP: "1"}, "limits": null}), Outcome::Injected, Some(ENI_IP))]
#[case::only_a_limit(Some("tke-direct-eni"), json!({"limits": {"cpu": "1", ENI_IP: "1"}}), Outcome::Injected, Some(ENI_IP))]
fn in_a_mixed_cluster_the_pod_says_whether_it_has_an_eni(
    #[case] networks: Option<&str>,
    #[case] resources: Value,
    #[case] expected: Outcome,
    #[case] warned: Option<&str>,
) {
    let mut pod = pod(0);
    if let Some(networks) = networks {
        pod["metadata"]["annotations"]["tke.cloud.tencent.com/networks"] = json!(networks);
    }
    // The last of the containers, after others that ask for nothing.
    *pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .last_mut()
        .unwrap() = json!({ "name": "last", "resources": resources });
    let review = review_of(&pod).to_string();
    let answer = answer(review.as_bytes(), &mixed()).unwrap();
    let body = well_formed(&answer.body);
    assert_eq!(answer.outcome, expected);
    let warning = body["response"]["warnings"][0].as_str();
    assert_eq!(warning.is_some(), warned.is_some(), "{warning:?}");
    if let (Some(warning), Some(part)) = (warning, warned) {
        assert!(
            warning.contains(part) && warning.len() < LONGEST_WARNING,
            "{warning}"
        );
    }
}

#[test]
fn the_namespace_is_the_requests_own() {
    let mut review = review_of(&pod(0));
    review["request"]["object"]["metadata"]["namespace"] = json!("shop");
    review["request"]["namespace"] = json!("elsewhere");
    assert_eq!(answered(&review).1, Outcome::Skipped("not_exposed"));
}

#[rstest]
#[case::update("operation", json!("UPDATE"))]
#[case::eviction("kind", json!({ "kind": "Eviction" }))]
#[case::no_operation("operation", json!(""))]
fn only_pod_creations_are_touched(#[case] field: &str, #[case] value: Value) {
    let mut review = review_of(&pod(0));
    review["request"][field] = value;
    assert_eq!(answered(&review).1, Outcome::Skipped("not_a_pod_creation"));
}

#[rstest]
#[case::null_version("/apiVersion", Value::Null)]
#[case::null_object("/request/object", Value::Null)]
#[case::object_is_text("/request/object", json!("pod"))]
#[case::object_is_an_array("/request/object", json!([pod(0)]))]
#[case::null_spec("/request/object/spec", Value::Null)]
#[case::label_is_a_number("/request/object/metadata/labels/app", json!(5))]
#[case::labels_are_an_array("/request/object/metadata/labels", json!(["app"]))]
#[case::gates_are_text("/request/object/spec/readinessGates", json!("gate"))]
#[case::host_network_is_text("/request/object/spec/hostNetwork", json!("yes"))]
#[case::namespace_is_a_number("/request/namespace", json!(1))]
fn what_is_no_pod_is_let_through_with_a_warning(#[case] at: &str, #[case] value: Value) {
    let mut review = review_of(&pod(0));
    let (parent, field) = at.rsplit_once('/').unwrap();
    review.pointer_mut(parent).unwrap()[field] = value;
    let (answer, outcome) = answered(&review);
    assert_eq!(outcome, Outcome::Malformed);
    assert!(
        answer["response"]["warnings"][0]
            .as_str()
            .unwrap()
            .starts_with("clb-gate: ")
    );
}

#[rstest]
#[case("/apiVersion", json!("admission.k8s.io/v1beta1"), "apiVersion is \"admission.k8s.io/v1beta1\"")]
#[case("/kind", json!("Pod"), "kind is \"Pod\"; accepted is \"AdmissionReview\"")]
#[case("/request", Value::Null, "request is missing")]
#[case("/request", json!([]), "not an AdmissionReview")]
#[case("/request/uid", json!(""), "request.uid is missing")]
#[case("/request/uid", json!(7), "not an AdmissionReview")]
fn what_is_no_review_is_refused_and_the_field_named(
    #[case] at: &str,
    #[case] value: Value,
    #[case] said: &str,
) {
    let mut review = review_of(&pod(0));
    let (parent, field) = at.rsplit_once('/').unwrap();
    review.pointer_mut(parent).unwrap()[field] = value;
    let refusal = answer(review.to_string().as_bytes(), &INDEX)
        .unwrap_err()
        .to_string();
    assert!(refusal.contains(said), "{refusal}");
}

#[test]
fn duplicate_keys_are_not_guessed_at() {
    let text = review_of(&pod(0))
        .to_string()
        .replacen("\"spec\":", "\"spec\":{},\"spec\":", 1);
    assert_eq!(
        answer(text.as_bytes(), &INDEX).unwrap().outcome,
        Outcome::Malformed
    );
    let text = text.replacen("\"uid\":", "\"uid\":\"x\",\"uid\":", 1);
    // Whichever uid came first, two of them are a refusal or an answer, never a crash.
    let _ = answer(text.as_bytes(), &INDEX);
}

#[test]
fn text_that_is_no_utf8_is_let_through_or_refused() {
    let text = review_of(&pod(0))
        .to_string()
        .replacen("\"web\"", "\"\u{1}\u{1}\u{1}\"", 1);
    let mut bytes = text.into_bytes();
    for byte in bytes.iter_mut().filter(|byte| **byte == 1) {
        *byte = 0xff;
    }
    if let Ok(answer) = answer(&bytes, &INDEX) {
        well_formed(&answer.body);
    }
}

#[rstest]
#[case::arrays("[", "]")]
#[case::objects("{\"a\":", "}")]
fn deep_nesting_neither_crashes_nor_hides_the_pod(#[case] open: &str, #[case] close: &str) {
    let depth = 500_000;
    let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
    let mut value = pod(0);
    value["metadata"]["annotations"] = json!({ "deep": "DEEP" });
    let text = review_of(&value).to_string().replacen("\"DEEP\"", &deep, 1);
    assert_eq!(
        answer(text.as_bytes(), &INDEX).unwrap().outcome,
        Outcome::Injected
    );
    assert!(answer(deep.as_bytes(), &INDEX).is_err());
    let labels = review_of(&pod(0)).to_string().replacen(
        "\"labels\":{",
        &format!("\"labels\":{deep},\"x\":{{"),
        1,
    );
    if let Ok(answer) = answer(labels.as_bytes(), &INDEX) {
        well_formed(&answer.body);
    }
}

#[test]
fn large_pods_are_answered() {
    for bytes in [12_000, 100_000, 3 * 1024 * 1024] {
        assert_eq!(
            answer(&review(bytes), &INDEX).unwrap().outcome,
            Outcome::Injected
        );
    }
    let mut pod = pod(0);
    let container = pod["spec"]["containers"][1].clone();
    pod["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .extend(vec![container; 10_000]);
    assert_eq!(answered(&review_of(&pod)).1, Outcome::Injected);
}

#[test]
fn a_flood_of_labels_does_not_take_forever() {
    let mut pod = pod(0);
    for number in 0..50_000 {
        pod["metadata"]["labels"][format!("label-{number}")] = json!("x");
    }
    let mut many = services(0);
    for number in 0..2_000 {
        let mut one = service("shop", "never");
        one.name = format!("s{number}");
        one.selector.insert(format!("label-{number}"), "y".into());
        many.push(one);
    }
    many.push(service("shop", "web"));
    let index = ExposureIndex::build(&many, &direct_access::Settings::default());
    let review = review_of(&pod).to_string();
    assert_eq!(
        answer(review.as_bytes(), &index).unwrap().outcome,
        Outcome::Injected
    );
}

/// One way of damaging bytes.
#[derive(Clone, Debug)]
enum Damage {
    Cut(prop::sample::Index),
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        1 => at().prop_map(Damage::Cut),
        6 => (at(), prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\":,\\0nt-e".to_vec())])
            .prop_map(|(at, byte)| Damage::Set(at, byte)),
        3 => (at(), 1..40_usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        3 => (at(), 1..200_usize).prop_map(|(at, count)| Damage::Repeat(at, count)),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            break;
        }
        let len = bytes.len();
        match damage {
            Damage::Cut(at) => bytes.truncate(at.index(len)),
            Damage::Set(at, byte) => bytes[at.index(len)] = *byte,
            Damage::Remove(at, count) => {
                let start = at.index(len);
                bytes.drain(start..len.min(start + count));
            }
            Damage::Repeat(at, count) => {
                let start = at.index(len);
                let piece = bytes[start..len.min(start + count)].to_vec();
                bytes.splice(start..start, piece);
            }
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_get_an_answer_or_a_refusal(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(answer) = answer(&bytes, &ExposureIndex::default()) {
            well_formed(&answer.body);
        }
    }

    #[test]
    fn a_damaged_review_gets_an_answer_or_a_refusal(
        damages in prop::collection::vec(damage(), 1..6),
        small in any::<bool>(),
    ) {
        let whole = if small {
            let pod = json!({ "metadata": { "labels": { "app": "web", "app.kubernetes.io/part-of": "shop" } },
                "spec": { "readinessGates": [{ "conditionType": "a" }], "hostNetwork": false } });
            review_of(&pod).to_string().into_bytes()
        } else {
            USUAL.clone()
        };
        match answer(&damaged(whole, &damages), &INDEX) {
            Ok(answer) => { well_formed(&answer.body); }
            Err(refusal) => prop_assert!(!refusal.to_string().is_empty()),
        }
    }
}
