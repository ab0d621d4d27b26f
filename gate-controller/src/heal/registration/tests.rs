use direct_access::settings::FailurePolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use super::*;

type Registration = MutatingWebhookConfiguration;

fn inputs() -> Inputs<'static> {
    Inputs {
        namespace: "clb-gate",
        namespace_uid: "uid-of-the-namespace",
        service_name: "clb-gate-webhook",
        bundle_pem: "the bundle".to_owned(),
        failure_policy: FailurePolicy::Ignore,
    }
}

/// As the API server gives it back: ours, with its own additions.
fn stored() -> Registration {
    let mut stored = desired(&inputs());
    stored.metadata.resource_version = Some("42".to_owned());
    stored.metadata.uid = Some("uid-of-the-registration".to_owned());
    stored.metadata.generation = Some(3);
    stored
}

fn entry(registration: &mut Registration) -> &mut MutatingWebhook {
    &mut registration.webhooks.as_mut().unwrap()[0]
}

fn canary(registration: &mut Registration) -> &mut MutatingWebhook {
    &mut registration.webhooks.as_mut().unwrap()[1]
}

fn foreign() -> MutatingWebhook {
    MutatingWebhook {
        name: "foreign.example.com".to_owned(),
        ..MutatingWebhook::default()
    }
}

fn differences(observed: &Registration) -> Vec<String> {
    match judge(Some(observed), desired(&inputs())) {
        Heal::Keep => vec![],
        Heal::Replace { differences, .. } => differences,
        other @ (Heal::Create(_) | Heal::Delete { .. } | Heal::Hold(_)) => panic!("{other:?}"),
    }
}

#[rstest]
#[case::bundle_cleared(|r: &mut Registration| entry(r).client_config.ca_bundle = None, "webhooks[pods.clb-gate.io].clientConfig.caBundle")]
#[case::bundle_edited(|r: &mut Registration| entry(r).client_config.ca_bundle = Some(ByteString(b"x".to_vec())), "webhooks[pods.clb-gate.io].clientConfig.caBundle")]
#[case::url(|r: &mut Registration| entry(r).client_config.url = Some("https://elsewhere".to_owned()), "webhooks[pods.clb-gate.io].clientConfig.url")]
#[case::service_gone(|r: &mut Registration| entry(r).client_config.service = None, "webhooks[pods.clb-gate.io].clientConfig.service")]
#[case::path(|r: &mut Registration| entry(r).client_config.service.as_mut().unwrap().path = None, "webhooks[pods.clb-gate.io].clientConfig.service.path")]
#[case::port(|r: &mut Registration| entry(r).client_config.service.as_mut().unwrap().port = Some(8443), "webhooks[pods.clb-gate.io].clientConfig.service.port")]
#[case::policy(|r: &mut Registration| entry(r).failure_policy = Some("Fail".to_owned()), "webhooks[pods.clb-gate.io].failurePolicy")]
#[case::policy_gone(|r: &mut Registration| entry(r).failure_policy = None, "webhooks[pods.clb-gate.io].failurePolicy")]
#[case::timeout(|r: &mut Registration| entry(r).timeout_seconds = Some(30), "webhooks[pods.clb-gate.io].timeoutSeconds")]
#[case::never_matches(|r: &mut Registration| entry(r).match_conditions.as_mut().unwrap().push(MatchCondition { name: "no".to_owned(), expression: "false".to_owned() }), "webhooks[pods.clb-gate.io].matchConditions")]
#[case::condition_edited(|r: &mut Registration| entry(r).match_conditions.as_mut().unwrap()[0].expression = "false".to_owned(), "webhooks[pods.clb-gate.io].matchConditions[0].expression")]
#[case::conditions_gone(|r: &mut Registration| entry(r).match_conditions = None, "webhooks[pods.clb-gate.io].matchConditions")]
#[case::namespaces(|r: &mut Registration| entry(r).namespace_selector = None, "webhooks[pods.clb-gate.io].namespaceSelector.matchExpressions")]
#[case::opt_out(|r: &mut Registration| entry(r).object_selector = None, "webhooks[pods.clb-gate.io].objectSelector.matchExpressions")]
#[case::operations(|r: &mut Registration| entry(r).rules.as_mut().unwrap()[0].operations = Some(texts(["UPDATE"])), "webhooks[pods.clb-gate.io].rules[0].operations[0]")]
#[case::scope(|r: &mut Registration| entry(r).rules.as_mut().unwrap()[0].scope = None, "webhooks[pods.clb-gate.io].rules[0].scope")]
#[case::rules_gone(|r: &mut Registration| entry(r).rules = None, "webhooks[pods.clb-gate.io].rules")]
#[case::reinvocation(|r: &mut Registration| entry(r).reinvocation_policy = None, "webhooks[pods.clb-gate.io].reinvocationPolicy")]
#[case::side_effects(|r: &mut Registration| entry(r).side_effects = "Some".to_owned(), "webhooks[pods.clb-gate.io].sideEffects")]
#[case::versions(|r: &mut Registration| entry(r).admission_review_versions.push("v1beta1".to_owned()), "webhooks[pods.clb-gate.io].admissionReviewVersions")]
#[case::match_policy(|r: &mut Registration| entry(r).match_policy = Some("Exact".to_owned()), "webhooks[pods.clb-gate.io].matchPolicy")]
#[case::foreign_entry(|r: &mut Registration| r.webhooks.as_mut().unwrap().push(foreign()), "webhooks[foreign.example.com] is not ours")]
#[case::entry_twice(|r: &mut Registration| { let again = entry(r).clone(); r.webhooks.as_mut().unwrap().push(again) }, "webhooks: order or repetition")]
#[case::order(|r: &mut Registration| r.webhooks.as_mut().unwrap().reverse(), "webhooks: order or repetition")]
#[case::pod_entry_gone(|r: &mut Registration| { r.webhooks.as_mut().unwrap().remove(0); }, "webhooks[pods.clb-gate.io] is missing")]
#[case::canary_gone(|r: &mut Registration| { r.webhooks.as_mut().unwrap().pop(); }, "webhooks[canary.clb-gate.io] is missing")]
#[case::canary_bundle(|r: &mut Registration| canary(r).client_config.ca_bundle = None, "webhooks[canary.clb-gate.io].clientConfig.caBundle")]
#[case::canary_ignored(|r: &mut Registration| canary(r).failure_policy = Some("Ignore".to_owned()), "webhooks[canary.clb-gate.io].failurePolicy")]
#[case::canary_everywhere(|r: &mut Registration| canary(r).namespace_selector = None, "webhooks[canary.clb-gate.io].namespaceSelector.matchLabels")]
#[case::canary_for_all_pods(|r: &mut Registration| canary(r).object_selector = None, "webhooks[canary.clb-gate.io].objectSelector.matchLabels")]
#[case::canary_condition(|r: &mut Registration| canary(r).match_conditions = Some(match_conditions(FailurePolicy::Ignore)), "webhooks[canary.clb-gate.io].matchConditions")]
#[case::canary_elsewhere(|r: &mut Registration| canary(r).client_config.service.as_mut().unwrap().path = Some("/mutate".to_owned()), "webhooks[canary.clb-gate.io].clientConfig.service.path")]
#[case::owner_gone(|r: &mut Registration| r.metadata.owner_references = None, "metadata.ownerReferences")]
#[case::older_namespace(|r: &mut Registration| r.metadata.owner_references.as_mut().unwrap()[0].uid = "old".to_owned(), "metadata.ownerReferences")]
#[case::label(|r: &mut Registration| { r.metadata.labels.as_mut().unwrap().remove("app.kubernetes.io/name"); }, "metadata.labels[app.kubernetes.io/name]")]
fn tampering_is_named_and_replaced(#[case] tamper: fn(&mut Registration), #[case] field: &str) {
    let mut observed = stored();
    tamper(&mut observed);
    assert_eq!(differences(&observed), [field]);
    let Heal::Replace { object, .. } = judge(Some(&observed), desired(&inputs())) else {
        panic!("not replaced")
    };
    assert_eq!(judge(Some(&object), desired(&inputs())), Heal::Keep);
    assert_eq!(object.metadata.resource_version.as_deref(), Some("42"));
}

#[test]
fn without_any_entry_both_are_missing() {
    let mut observed = stored();
    observed.webhooks = None;
    let missing = [POD_ENTRY, CANARY_ENTRY].map(|name| format!("webhooks[{name}] is missing"));
    assert_eq!(differences(&observed), missing);
}

#[rstest]
#[case::untouched(|_: &mut Registration| ())]
#[case::foreign_label(|r: &mut Registration| { r.metadata.labels.get_or_insert_default().insert("team".to_owned(), "x".to_owned()); })]
#[case::foreign_annotation(|r: &mut Registration| { r.metadata.annotations.get_or_insert_default().insert("note".to_owned(), "x".to_owned()); })]
#[case::default_port_left_out(|r: &mut Registration| entry(r).client_config.service.as_mut().unwrap().port = None)]
#[case::canarys_default_policy_left_out(|r: &mut Registration| canary(r).failure_policy = None)]
#[case::canarys_defaults_filled_in(|r: &mut Registration| canary(r).match_conditions = Some(vec![]))]
#[case::default_match_policy_left_out(|r: &mut Registration| entry(r).match_policy = None)]
fn what_means_the_same_is_kept(#[case] touch: fn(&mut Registration)) {
    let mut observed = stored();
    touch(&mut observed);
    assert_eq!(judge(Some(&observed), desired(&inputs())), Heal::Keep);
}

#[test]
fn a_repair_keeps_what_others_added() {
    let mut observed = stored();
    let note = |map: &mut Option<BTreeMap<_, _>>| {
        map.get_or_insert_default()
            .insert("theirs".to_owned(), "kept".to_owned())
    };
    note(&mut observed.metadata.labels);
    note(&mut observed.metadata.annotations);
    entry(&mut observed).timeout_seconds = Some(30);
    let Heal::Replace { object, .. } = judge(Some(&observed), desired(&inputs())) else {
        panic!("not replaced")
    };
    assert_eq!(object.metadata.labels.unwrap()["theirs"], "kept");
    assert_eq!(object.metadata.annotations.unwrap()["theirs"], "kept");
    assert_eq!(object.webhooks, desired(&inputs()).webhooks);
}

#[test]
fn a_missing_registration_is_created() {
    let wanted = desired(&inputs());
    let made = judge(None, wanted.clone());
    assert_eq!(made, Heal::Create(Box::new(wanted)));
}

#[test]
fn one_that_is_being_deleted_is_left_alone() {
    let mut observed = stored();
    observed.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    observed.webhooks = None;
    let hold = judge(Some(&observed), desired(&inputs()));
    assert_eq!(hold, Heal::Hold(Hold::RegistrationTerminating));
}

#[test]
fn no_value_is_quoted() {
    let mut observed = stored();
    entry(&mut observed).client_config.url = Some("https://user:secret@elsewhere".to_owned());
    assert!(!differences(&observed).concat().contains("secret"));
}

fn wanted(failure_policy: FailurePolicy) -> Vec<MutatingWebhook> {
    let inputs = Inputs {
        failure_policy,
        ..inputs()
    };
    desired(&inputs).webhooks.unwrap()
}

fn conditions(policy: FailurePolicy) -> Vec<String> {
    let conditions = wanted(policy)[0].match_conditions.clone().unwrap();
    conditions.into_iter().map(|c| c.name).collect()
}

#[test]
fn host_network_pods_are_called_for_unless_they_would_wait_for_us() {
    assert_eq!(conditions(FailurePolicy::Ignore), ["not-a-mirror-pod"]);
    assert_eq!(
        conditions(FailurePolicy::Fail),
        ["not-a-mirror-pod", "not-on-the-host-network"]
    );
}

#[test]
fn the_settings_decide_for_pods_and_never_for_the_canary() {
    for policy in [FailurePolicy::Ignore, FailurePolicy::Fail] {
        let policies = wanted(policy)
            .into_iter()
            .map(|e| e.failure_policy.unwrap());
        assert_eq!(policies.collect::<Vec<_>>(), [policy.as_str(), "Fail"]);
    }
}

#[test]
fn pods_that_start_the_cluster_or_ourselves_never_wait_for_us() {
    for policy in [FailurePolicy::Ignore, FailurePolicy::Fail] {
        let selector = wanted(policy)[0].namespace_selector.clone().unwrap();
        let excluded = selector.match_expressions.unwrap().remove(0);
        assert_eq!(excluded.operator, "NotIn");
        let spared = [
            "kube-system",
            "kube-node-lease",
            "clb-gate",
            "clb-gate-canary",
        ];
        assert_eq!(excluded.values.unwrap(), spared);
    }
}

#[test]
fn a_changed_policy_is_one_repair_of_the_entry_for_pods() {
    let observed = stored();
    let strict = Inputs {
        failure_policy: FailurePolicy::Fail,
        ..inputs()
    };
    let Heal::Replace { differences, .. } = judge(Some(&observed), desired(&strict)) else {
        panic!("not replaced")
    };
    let fields = ["failurePolicy", "matchConditions"];
    let fields = fields.map(|field| format!("webhooks[{POD_ENTRY}].{field}"));
    assert_eq!(differences, fields);
}

#[test]
fn both_entries_trust_the_same_bundle() {
    let bundles = wanted(FailurePolicy::Ignore).into_iter();
    let bundles: Vec<_> = bundles
        .map(|e| e.client_config.ca_bundle.unwrap().0)
        .collect();
    assert_eq!(bundles, [b"the bundle", b"the bundle"]);
}
