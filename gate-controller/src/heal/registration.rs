//! The registration as it should be, and what to do about the one that is there. Pure.
//!
//! It is repaired by PUT with the resourceVersion read, because server-side apply cannot remove a
//! foreign entry or matchCondition. What others may add without touching its work (labels,
//! annotations, finalizers) stays.

use std::collections::BTreeMap;

use direct_access::{names, settings::FailurePolicy};
use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{
        MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations,
        ServiceReference, WebhookClientConfig,
    },
    apimachinery::pkg::apis::meta::v1::{
        LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference,
    },
};
use serde::Serialize;
use serde_json::Value;

/// The registration's name, the only one the controller may write.
pub const NAME: &str = names::REGISTRATION;
/// The entry for pods.
pub const POD_ENTRY: &str = names::REGISTRATION_ENTRY;
/// The entry for the canary's pods.
pub const CANARY_ENTRY: &str = names::CANARY_ENTRY;
/// The pod label that opts out; a label, so that the API server spares the call.
pub const OPT_OUT_LABEL: &str = names::INJECT_LABEL;

const POD_PATH: &str = "/mutate";
const CANARY_PATH: &str = "/canary";
/// Set by the API server on every Namespace, and only by it.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
const PORT: i32 = 443;
/// Well under the 5 s with which a slow webhook can stop leader elections, and far above the
/// milliseconds an answer takes.
const TIMEOUT_SECONDS: i32 = 3;
/// Their pods start the cluster, and never stand behind a load balancer of ours.
const SPARED_NAMESPACES: [&str; 2] = ["kube-system", "kube-node-lease"];
/// Mirror pods are the kubelet's: nobody may change them.
const NOT_A_MIRROR_POD: &str = "!has(object.metadata.annotations) || \
     !('kubernetes.io/config.mirror' in object.metadata.annotations)";
/// They never get the gate. With Fail they must not even wait for it: network add-ons live in namespaces
/// of their own and on the host's network, and without them no webhook comes up.
const NOT_ON_THE_HOST_NETWORK: &str = "!has(object.spec.hostNetwork) || !object.spec.hostNetwork";

/// What the registration is made from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// Our namespace: it holds the Service, is excluded itself, and owns the registration.
    pub namespace: &'a str,
    /// Its UID.
    pub namespace_uid: &'a str,
    /// The webhook's Service.
    pub service_name: &'a str,
    /// The bundle in PEM.
    pub bundle_pem: String,
    /// What the API server does when nobody answers.
    pub failure_policy: FailurePolicy,
}

/// What to do about the registration.
#[derive(Clone, Debug, PartialEq)]
pub enum Heal {
    /// It is as it should be.
    Keep,
    /// There is none.
    Create(Box<MutatingWebhookConfiguration>),
    /// It differs: write this, which carries the resourceVersion that was read.
    Replace {
        /// The whole object to write.
        object: Box<MutatingWebhookConfiguration>,
        /// The fields that differed.
        differences: Vec<String>,
    },
    /// It outlives what it stands for, and with Fail it would keep pods from being created until the
    /// garbage collector comes. Only exactly the one that was read is deleted.
    Delete {
        /// What was read.
        resource_version: Option<String>,
        /// What was read.
        uid: Option<String>,
    },
    /// Nothing may be written now.
    Hold(Hold),
}

/// Why nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Hold {
    /// An uninstall is under way.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// The registration is on its way out; once it is gone it is made anew.
    #[error("the registration is being deleted")]
    RegistrationTerminating,
}

/// The registration as it should be, every field that the API server would default spelt out.
pub fn desired(inputs: &Inputs<'_>) -> MutatingWebhookConfiguration {
    MutatingWebhookConfiguration {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some(labels()),
            owner_references: Some(vec![owner(inputs)]),
            ..ObjectMeta::default()
        },
        webhooks: Some(vec![pod_entry(inputs), canary_entry(inputs)]),
    }
}

/// Compares what is there with what should be.
pub fn judge(
    observed: Option<&MutatingWebhookConfiguration>,
    desired: MutatingWebhookConfiguration,
) -> Heal {
    let Some(observed) = observed else {
        return Heal::Create(Box::new(desired));
    };
    if observed.metadata.deletion_timestamp.is_some() {
        return Heal::Hold(Hold::RegistrationTerminating);
    }
    let mut differences = metadata_differences(&observed.metadata, &desired.metadata);
    differences.extend(entry_differences(entries(observed), entries(&desired)));
    if differences.is_empty() {
        return Heal::Keep;
    }
    Heal::Replace {
        object: Box::new(merged(observed, desired)),
        differences,
    }
}

/// The bundle of a registration: that of our entry, empty if there is none.
pub fn bundle_of(registration: &MutatingWebhookConfiguration) -> Vec<u8> {
    let ours = entries(registration).iter().find(|e| e.name == POD_ENTRY);
    let bundle = ours.and_then(|entry| entry.client_config.ca_bundle.clone());
    bundle.map(|bytes| bytes.0).unwrap_or_default()
}

/// What the API server does with pods when nobody answers, if the registration says so in our entry.
pub fn policy_of(registration: &MutatingWebhookConfiguration) -> Option<FailurePolicy> {
    let ours = entries(registration).iter().find(|e| e.name == POD_ENTRY)?;
    let all = [FailurePolicy::Ignore, FailurePolicy::Fail];
    let says = ours.failure_policy.as_deref();
    all.into_iter().find(|policy| says == Some(policy.as_str()))
}

/// What the entry for pods and every rule for it have in common with the canary's, which is there to
/// prove exactly this way.
fn common_entry(name: &str, path: &str, inputs: &Inputs<'_>) -> MutatingWebhook {
    MutatingWebhook {
        admission_review_versions: texts(["v1"]),
        client_config: client_config(path, inputs),
        failure_policy: None,
        match_conditions: None,
        match_policy: Some("Equivalent".to_owned()),
        name: name.to_owned(),
        namespace_selector: None,
        object_selector: None,
        reinvocation_policy: None,
        rules: Some(vec![RuleWithOperations {
            api_groups: Some(texts([""])),
            api_versions: Some(texts(["v1"])),
            operations: Some(texts(["CREATE"])),
            resources: Some(texts(["pods"])),
            scope: Some("Namespaced".to_owned()),
        }]),
        side_effects: "None".to_owned(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
    }
}

fn pod_entry(inputs: &Inputs<'_>) -> MutatingWebhook {
    let ours = [inputs.namespace, names::CANARY_NAMESPACE];
    let excluded = SPARED_NAMESPACES.into_iter().chain(ours);
    MutatingWebhook {
        failure_policy: Some(inputs.failure_policy.as_str().to_owned()),
        match_conditions: Some(match_conditions(inputs.failure_policy)),
        namespace_selector: Some(not_in(NAMESPACE_NAME, excluded)),
        object_selector: Some(not_in(OPT_OUT_LABEL, ["false"])),
        reinvocation_policy: Some("IfNeeded".to_owned()),
        ..common_entry(POD_ENTRY, POD_PATH, inputs)
    }
}

/// Fail whatever the settings say: only so a broken chain says why, and nobody but the canary waits.
fn canary_entry(inputs: &Inputs<'_>) -> MutatingWebhook {
    MutatingWebhook {
        failure_policy: Some(FailurePolicy::Fail.as_str().to_owned()),
        namespace_selector: Some(exactly(NAMESPACE_NAME, names::CANARY_NAMESPACE)),
        object_selector: Some(exactly(names::CANARY_LABEL, "true")),
        reinvocation_policy: Some("Never".to_owned()),
        ..common_entry(CANARY_ENTRY, CANARY_PATH, inputs)
    }
}

fn match_conditions(policy: FailurePolicy) -> Vec<MatchCondition> {
    let condition = |name: &str, expression: &str| MatchCondition {
        expression: expression.to_owned(),
        name: name.to_owned(),
    };
    let mut conditions = vec![condition("not-a-mirror-pod", NOT_A_MIRROR_POD)];
    if policy == FailurePolicy::Fail {
        let name = "not-on-the-host-network";
        conditions.push(condition(name, NOT_ON_THE_HOST_NETWORK));
    }
    conditions
}

fn client_config(path: &str, inputs: &Inputs<'_>) -> WebhookClientConfig {
    WebhookClientConfig {
        ca_bundle: Some(ByteString(inputs.bundle_pem.clone().into_bytes())),
        service: Some(ServiceReference {
            name: inputs.service_name.to_owned(),
            namespace: inputs.namespace.to_owned(),
            path: Some(path.to_owned()),
            port: Some(PORT),
        }),
        url: None,
    }
}

fn not_in<'a>(key: &str, values: impl IntoIterator<Item = &'a str>) -> LabelSelector {
    LabelSelector {
        match_expressions: Some(vec![LabelSelectorRequirement {
            key: key.to_owned(),
            operator: "NotIn".to_owned(),
            values: Some(texts(values)),
        }]),
        match_labels: None,
    }
}

fn exactly(key: &str, value: &str) -> LabelSelector {
    LabelSelector {
        match_expressions: None,
        match_labels: Some([(key.to_owned(), value.to_owned())].into()),
    }
}

/// The Namespace owns it, so that deleting the Namespace takes it along. It does not block the
/// Namespace's deletion.
fn owner(inputs: &Inputs<'_>) -> OwnerReference {
    OwnerReference {
        api_version: "v1".to_owned(),
        block_owner_deletion: None,
        controller: None,
        kind: "Namespace".to_owned(),
        name: inputs.namespace.to_owned(),
        uid: inputs.namespace_uid.to_owned(),
    }
}

fn labels() -> BTreeMap<String, String> {
    let ours = [
        ("app.kubernetes.io/component", "webhook"),
        ("app.kubernetes.io/managed-by", "clb-gate-controller"),
        ("app.kubernetes.io/name", "clb-gate"),
        ("app.kubernetes.io/part-of", "clb-gate"),
    ];
    ours.map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

fn merged(
    observed: &MutatingWebhookConfiguration,
    desired: MutatingWebhookConfiguration,
) -> MutatingWebhookConfiguration {
    let mut metadata = observed.metadata.clone();
    metadata.managed_fields = None;
    metadata.owner_references = desired.metadata.owner_references;
    let ours = desired.metadata.labels.unwrap_or_default();
    metadata.labels.get_or_insert_default().extend(ours);
    MutatingWebhookConfiguration {
        metadata,
        webhooks: desired.webhooks,
    }
}

fn entries(registration: &MutatingWebhookConfiguration) -> &[MutatingWebhook] {
    registration.webhooks.as_deref().unwrap_or_default()
}

fn metadata_differences(observed: &ObjectMeta, desired: &ObjectMeta) -> Vec<String> {
    let has = observed.labels.clone().unwrap_or_default();
    let wanted = desired.labels.iter().flatten();
    let labels = wanted.filter(|(key, value)| has.get(*key) != Some(value));
    let mut differences: Vec<_> = labels
        .map(|(key, _)| format!("metadata.labels[{key}]"))
        .collect();
    if observed.owner_references != desired.owner_references {
        differences.push("metadata.ownerReferences".to_owned());
    }
    differences
}

fn entry_differences(observed: &[MutatingWebhook], desired: &[MutatingWebhook]) -> Vec<String> {
    let mut differences = vec![];
    for entry in observed {
        if !desired.iter().any(|ours| ours.name == entry.name) {
            differences.push(format!("webhooks[{}] is not ours", entry.name));
        }
    }
    for ours in desired {
        let path = format!("webhooks[{}]", ours.name);
        match observed.iter().find(|entry| entry.name == ours.name) {
            None => differences.push(format!("{path} is missing")),
            Some(entry) => compare(&path, &defaulted(entry), &defaulted(ours), &mut differences),
        }
    }
    let names = |list: &[MutatingWebhook]| list.iter().map(|e| e.name.clone()).collect::<Vec<_>>();
    if differences.is_empty() && names(observed) != names(desired) {
        differences.push("webhooks: order or repetition".to_owned());
    }
    differences
}

/// An entry as JSON, with what the API server fills in filled in
/// (pkg/apis/admissionregistration/v1/defaults.go), so that "absent" and "default" compare equal.
fn defaulted(entry: &MutatingWebhook) -> Value {
    let mut entry = entry.clone();
    entry
        .failure_policy
        .get_or_insert_with(|| "Fail".to_owned());
    entry
        .match_policy
        .get_or_insert_with(|| "Equivalent".to_owned());
    entry.namespace_selector.get_or_insert_default();
    entry.object_selector.get_or_insert_default();
    entry
        .reinvocation_policy
        .get_or_insert_with(|| "Never".to_owned());
    entry.timeout_seconds.get_or_insert(10);
    entry.match_conditions.get_or_insert_default();
    for rule in entry.rules.get_or_insert_default() {
        rule.scope.get_or_insert_with(|| "*".to_owned());
    }
    if let Some(service) = &mut entry.client_config.service {
        service.port.get_or_insert(PORT);
    }
    json(&entry)
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// Names every field that differs, as deep as both sides have the same shape. Values are not quoted:
/// the field says where to look, and a bundle fills a screen.
fn compare(path: &str, observed: &Value, desired: &Value, differences: &mut Vec<String>) {
    match (observed, desired) {
        (Value::Object(has), Value::Object(wants)) => {
            let fields = has
                .keys()
                .chain(wants.keys().filter(|k| !has.contains_key(*k)));
            for field in fields {
                let [has, wants] = [has, wants].map(|o| o.get(field).unwrap_or(&Value::Null));
                compare(&format!("{path}.{field}"), has, wants, differences);
            }
        }
        (Value::Array(has), Value::Array(wants)) if has.len() == wants.len() => {
            for (i, (has, wants)) in has.iter().zip(wants).enumerate() {
                compare(&format!("{path}[{i}]"), has, wants, differences);
            }
        }
        _ if observed != desired => differences.push(path.to_owned()),
        _ => {}
    }
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    values.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
