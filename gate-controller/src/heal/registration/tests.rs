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
        other @ (Heal::Create(_) | Heal::Hold(_)) => panic!("{other:?}"),
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
#[case::all_entries_gone(|r: &mut Registration| r.webhooks = None, "webhooks[pods.clb-gate.io] is missing")]
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

#[rstest]
#[case::untouched(|_: &mut Registration| ())]
#[case::foreign_label(|r: &mut Registration| { r.metadata.labels.get_or_insert_default().insert("team".to_owned(), "x".to_owned()); })]
#[case::foreign_annotation(|r: &mut Registration| { r.metadata.annotations.get_or_insert_default().insert("note".to_owned(), "x".to_owned()); })]
#[case::default_port_left_out(|r: &mut Registration| entry(r).client_config.service.as_mut().unwrap().port = None)]
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

#[test]
fn host_network_pods_are_called_for() {
    let wanted = desired(&inputs());
    let conditions = wanted.webhooks.unwrap()[0]
        .match_conditions
        .clone()
        .unwrap();
    assert!(
        conditions
            .iter()
            .all(|c| !c.expression.contains("hostNetwork"))
    );
}
