//! `certs init`: both Secrets as manifests, for installations where everything comes from a repository. They
//! are made by the steps that the controller itself would take in an empty cluster, so that it takes them
//! over as they are.

use std::fmt::Write as _;

use certs::issue;
use direct_access::names;
use direct_access::settings::FailurePolicy;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use serde_json::{Value, json};

use crate::heal::decide::decide;
use crate::heal::facts::{Seen, Wanted};
use crate::heal::secrets::change_for;

/// CA and leaf.
#[derive(Clone, Debug)]
pub struct Manifests {
    secrets: Vec<Secret>,
}

/// Makes a new CA and a leaf for an installation in `namespace`.
pub fn manifests(namespace: &str, now: Timestamp) -> Result<Manifests, issue::Error> {
    let wanted = Wanted {
        namespace: namespace.to_owned(),
        service_name: names::WEBHOOK_SERVICE.to_owned(),
        failure_policy: FailurePolicy::default(),
    };
    let mut seen = Seen {
        namespace: Namespace::default(),
        registration: None,
        ca: None,
        leaf: None,
        serving: Some(vec![]),
    };
    // A CA, then a leaf; whatever the plan wants next is not a Secret.
    while let Some(step) = decide(&seen, &wanted, now).certificates
        && let Some(change) = change_for(&step, &seen, &wanted, now)?
    {
        let place = if seen.ca.is_none() {
            &mut seen.ca
        } else {
            &mut seen.leaf
        };
        if place.replace(change.secret).is_some() {
            break;
        }
    }
    Ok(Manifests {
        secrets: [seen.ca, seen.leaf].into_iter().flatten().collect(),
    })
}

impl Manifests {
    /// The Secrets.
    pub fn secrets(&self) -> &[Secret] {
        &self.secrets
    }

    /// One YAML document each.
    pub fn yaml(&self) -> String {
        let documents = self.objects().into_iter().map(|object| {
            let mut text = String::new();
            write_yaml(&mut text, &object, 0);
            text
        });
        documents.collect::<Vec<_>>().join("---\n")
    }

    /// A List.
    pub fn json(&self) -> String {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.objects()});
        serde_json::to_string_pretty(&list).unwrap_or_default()
    }

    fn objects(&self) -> Vec<Value> {
        let secrets = self.secrets.iter().map(serde_json::to_value);
        secrets.filter_map(Result::ok).collect()
    }
}

/// Maps of maps and texts, which is all that a Secret is. Texts are quoted as JSON does, which YAML reads;
/// its keys need no quotes.
fn write_yaml(to: &mut String, value: &Value, depth: usize) {
    let Value::Object(map) = value else { return };
    for (key, value) in map {
        let _ = if value.is_object() {
            writeln!(to, "{:depth$}{key}:", "")
        } else {
            writeln!(to, "{:depth$}{key}: {value}", "")
        };
        write_yaml(to, value, depth + 2);
    }
}
