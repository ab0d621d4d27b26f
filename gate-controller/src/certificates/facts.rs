//! What the Secrets and the registration hold, parsed: the common ground of report, request and follow.

use certs::{Bundle, Certificate};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;

use crate::heal::facts::Seen;
use crate::heal::registration::POD_ENTRY;
use crate::heal::secrets::{ca_material, leaf_material};

/// CAs, leaf and bundles, as far as they can be read.
#[derive(Clone, Debug, Default)]
pub(super) struct Chain {
    /// The CAs of the CA Secret, newest first.
    pub(super) cas: Bundle,
    /// The leaf of the leaf Secret.
    pub(super) leaf: Option<Certificate>,
    /// The registration's entries.
    pub(super) entries: Vec<Entry>,
}

/// An entry of the registration.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its name.
    pub(super) name: String,
    /// What happens when nobody answers.
    pub(super) failure_policy: String,
    /// Whom it trusts.
    pub(super) bundle: Bundle,
}

/// Parses what was seen.
pub(super) fn chain(seen: &Seen) -> Chain {
    let cas = seen.ca.as_ref().map(ca_material);
    let leaf = seen.leaf.as_ref().map(leaf_material);
    Chain {
        cas: cas
            .map(|ca| Bundle::parse_lossy(&ca.cert_pem).0)
            .unwrap_or_default(),
        leaf: leaf.and_then(|leaf| Certificate::from_pem(&leaf.cert_pem).ok()),
        entries: seen.registration.as_ref().map(entries).unwrap_or_default(),
    }
}

impl Chain {
    /// The CA that signs.
    pub(super) fn newest(&self) -> Option<&Certificate> {
        self.cas.iter().next()
    }

    /// Whom the API server trusts when it asks about pods.
    pub(super) fn published(&self) -> Option<&Bundle> {
        let entry = self.entries.iter().find(|entry| entry.name == POD_ENTRY);
        entry.map(|entry| &entry.bundle)
    }

    /// Whether the leaf is the newest CA's.
    pub(super) fn leaf_is_newest_cas(&self) -> bool {
        match (self.newest(), &self.leaf) {
            (Some(ca), Some(leaf)) => leaf.is_issued_by(ca),
            _ => false,
        }
    }

    /// Whether a new CA was made that has not replaced the older ones yet.
    pub(super) fn is_half_way(&self) -> bool {
        let leaf_waits = self.newest().is_some() && self.leaf.is_some();
        self.cas.len() > 1 || (leaf_waits && !self.leaf_is_newest_cas())
    }
}

fn entries(registration: &MutatingWebhookConfiguration) -> Vec<Entry> {
    let entries = registration.webhooks.iter().flatten();
    let read = entries.map(|entry| {
        let pem = entry.client_config.ca_bundle.as_ref();
        Entry {
            name: entry.name.clone(),
            failure_policy: entry.failure_policy.clone().unwrap_or_default(),
            bundle: pem
                .map(|pem| Bundle::parse_lossy(&pem.0).0)
                .unwrap_or_default(),
        }
    });
    read.collect()
}
