//! Between Secrets and what [`certs`] understands. Pure.

use std::collections::BTreeMap;

use certs::{
    Bundle, KeyPem, LeafMaterial, ServiceNames,
    issue::{self, Issued, Signer},
    layout::{
        CA_CERT_KEY, CA_PRIVATE_KEY, CA_SECRET, CaMaterial, LEAF_BUNDLE_KEY, LEAF_CERT_KEY,
        LEAF_PRIVATE_KEY, LEAF_SECRET, RENEW_DONE, RENEW_REQUESTED,
    },
    plan::{Renewal, Step},
};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::facts::{Seen, Wanted};

type Data = BTreeMap<String, ByteString>;

/// Reads the CA Secret.
pub fn ca_material(secret: &Secret) -> CaMaterial {
    CaMaterial {
        cert_pem: value(secret, CA_CERT_KEY),
        key_pem: KeyPem::new(value(secret, CA_PRIVATE_KEY)),
    }
}

/// Reads the leaf Secret.
pub fn leaf_material(secret: &Secret) -> LeafMaterial {
    LeafMaterial {
        cert_pem: value(secret, LEAF_CERT_KEY),
        key_pem: KeyPem::new(value(secret, LEAF_PRIVATE_KEY)),
        bundle_pem: value(secret, LEAF_BUNDLE_KEY),
    }
}

/// Reads what somebody asked for, from either Secret.
pub fn renewal(secret: Option<&Secret>) -> Renewal {
    let annotations = secret.and_then(|secret| secret.metadata.annotations.as_ref());
    let value = |key: &str| annotations.and_then(|all| all.get(key)).cloned();
    Renewal {
        requested: value(RENEW_REQUESTED),
        done: value(RENEW_DONE),
    }
}

/// A Secret to write.
#[derive(Clone, Debug)]
pub struct Change {
    /// The whole object; it carries the resourceVersion that was read, if it exists.
    pub secret: Secret,
    /// Which one: [`CA_SECRET`] or [`LEAF_SECRET`].
    pub name: &'static str,
    /// Why, for the log.
    pub why: String,
}

/// Makes what `step` calls for; `None` if it calls for no Secret.
pub fn change_for(
    step: &Step,
    seen: &Seen,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<Option<Change>, issue::Error> {
    let names = ServiceNames::new(&wanted.service_name, &wanted.namespace);
    let change = match step {
        Step::CreateCa {
            reason,
            generation,
            keep,
            ..
        } => Change {
            secret: ca_secret(seen, &issue::ca(*generation, now)?, keep, wanted),
            name: CA_SECRET,
            why: format!("{reason}; made CA generation {generation}"),
        },
        Step::IssueLeaf { reason, signer, .. } => Change {
            secret: leaf_secret(seen, &issue::leaf(signer, &names, now)?, signer, wanted),
            name: LEAF_SECRET,
            why: format!("{reason}; issued a leaf"),
        },
        Step::RefreshLeafBundle { beside, .. } => Change {
            secret: with_beside(seen, beside, wanted),
            name: LEAF_SECRET,
            why: "what is beside the leaf is not the CA that signed it".to_owned(),
        },
        Step::ForgetCas { keep, .. } => Change {
            secret: with_cas(seen, keep, wanted),
            name: CA_SECRET,
            why: "no replica serves under the older CAs any more".to_owned(),
        },
        Step::PublishBundle { .. } | Step::Look { .. } | Step::Await { .. } | Step::Keep { .. } => {
            return Ok(None);
        }
    };
    Ok(Some(change))
}

fn ca_secret(seen: &Seen, made: &Issued, keep: &Bundle, wanted: &Wanted) -> Secret {
    let all = Bundle::from_iter([made.certificate.clone()]).union(keep.clone());
    let data = Data::from([
        entry(CA_CERT_KEY, all.to_pem()),
        entry(CA_PRIVATE_KEY, made.key.expose()),
    ]);
    honoured(with_data(existing_ca(seen, wanted), data))
}

fn with_cas(seen: &Seen, keep: &Bundle, wanted: &Wanted) -> Secret {
    let changed = entry(CA_CERT_KEY, keep.to_pem());
    with_entry(existing_ca(seen, wanted), changed)
}

fn leaf_secret(seen: &Seen, made: &Issued, signer: &Signer, wanted: &Wanted) -> Secret {
    let data = Data::from([
        entry(LEAF_CERT_KEY, made.certificate.to_pem()),
        entry(LEAF_PRIVATE_KEY, made.key.expose()),
        entry(LEAF_BUNDLE_KEY, signer.certificate().to_pem()),
    ]);
    honoured(with_data(existing_leaf(seen, wanted), data))
}

fn with_beside(seen: &Seen, beside: &Bundle, wanted: &Wanted) -> Secret {
    let changed = entry(LEAF_BUNDLE_KEY, beside.to_pem());
    with_entry(existing_leaf(seen, wanted), changed)
}

fn existing_ca(seen: &Seen, wanted: &Wanted) -> Secret {
    let fresh = || new_secret(CA_SECRET, "Opaque", wanted);
    seen.ca.clone().unwrap_or_else(fresh)
}

fn existing_leaf(seen: &Seen, wanted: &Wanted) -> Secret {
    let fresh = || new_secret(LEAF_SECRET, "kubernetes.io/tls", wanted);
    seen.leaf.clone().unwrap_or_else(fresh)
}

fn with_entry(secret: Secret, changed: (String, ByteString)) -> Secret {
    let mut data = secret.data.clone().unwrap_or_default();
    data.extend([changed]);
    with_data(secret, data)
}

/// What exists keeps its metadata (resourceVersion, foreign labels) and its type, which cannot change.
fn with_data(mut secret: Secret, data: Data) -> Secret {
    secret.metadata.managed_fields = None;
    secret.data = Some(data);
    secret
}

/// Whoever asked for a renewal gets it with the same write, whatever caused it: a crash can neither
/// forget the request nor honour it twice.
fn honoured(mut secret: Secret) -> Secret {
    let asked = renewal(Some(&secret)).pending().map(str::to_owned);
    if let Some(id) = asked {
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(RENEW_DONE.to_owned(), id);
    }
    secret
}

fn new_secret(name: &str, kind: &str, wanted: &Wanted) -> Secret {
    let labels = [
        ("app.kubernetes.io/managed-by", "clb-gate-controller"),
        ("app.kubernetes.io/name", "clb-gate"),
        ("app.kubernetes.io/part-of", "clb-gate"),
    ];
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(wanted.namespace.clone()),
            labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            ..ObjectMeta::default()
        },
        type_: Some(kind.to_owned()),
        ..Secret::default()
    }
}

fn entry(key: &str, value: impl Into<Vec<u8>>) -> (String, ByteString) {
    (key.to_owned(), ByteString(value.into()))
}

fn value(secret: &Secret, key: &str) -> Vec<u8> {
    let data = secret.data.as_ref();
    let value = data.and_then(|data| data.get(key));
    value.map(|bytes| bytes.0.clone()).unwrap_or_default()
}
