//! What is stored where: the two Secrets, their keys, and the names the leaf must carry. Controller,
//! webhook and CLI meet here and in the API server, nowhere else.

use std::fmt;

/// The Secret with every CA generation and the newest CA's key.
pub const CA_SECRET: &str = "clb-gate-ca";
/// The Secret with the serving leaf; its type is `kubernetes.io/tls`.
pub const LEAF_SECRET: &str = "clb-gate-leaf";
/// In [`CA_SECRET`]: all CA certificates, newest first.
pub const CA_CERT_KEY: &str = "ca.crt";
/// In [`CA_SECRET`]: the private key of the newest CA.
pub const CA_PRIVATE_KEY: &str = "ca.key";
/// In [`LEAF_SECRET`]: the leaf certificate.
pub const LEAF_CERT_KEY: &str = "tls.crt";
/// In [`LEAF_SECRET`]: the leaf's private key.
pub const LEAF_PRIVATE_KEY: &str = "tls.key";
/// In [`LEAF_SECRET`]: the bundle, so that a webhook can verify what it is about to serve.
pub const LEAF_BUNDLE_KEY: &str = "ca.crt";

/// Annotation on either Secret: somebody asks for a new CA or leaf, under this id.
pub const RENEW_REQUESTED: &str = "clb-gate.io/renew-requested";
/// Annotation on either Secret: the last such id that was honoured, written together with what it
/// asked for, so that a crash neither forgets nor repeats it.
pub const RENEW_DONE: &str = "clb-gate.io/renew-done";

/// A private key in PEM. It never shows itself in logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyPem(Vec<u8>);

impl KeyPem {
    /// Wraps PEM text as read from a Secret; nothing is checked here.
    pub fn new(pem: impl Into<Vec<u8>>) -> Self {
        Self(pem.into())
    }

    /// The PEM text, for writing it into a Secret or loading it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPem({} bytes, hidden)", self.0.len())
    }
}

/// The content of [`LEAF_SECRET`], unchecked. A missing key of the Secret is an empty value here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafMaterial {
    /// [`LEAF_CERT_KEY`]
    pub cert_pem: Vec<u8>,
    /// [`LEAF_PRIVATE_KEY`]
    pub key_pem: KeyPem,
    /// [`LEAF_BUNDLE_KEY`]
    pub bundle_pem: Vec<u8>,
}

/// The content of [`CA_SECRET`], unchecked. A missing key of the Secret is an empty value here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaMaterial {
    /// [`CA_CERT_KEY`]
    pub cert_pem: Vec<u8>,
    /// [`CA_PRIVATE_KEY`]
    pub key_pem: KeyPem,
}

/// The DNS names under which the API server calls the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceNames {
    short: String,
    full: String,
}

impl ServiceNames {
    /// The names of Service `service` in `namespace`.
    pub fn new(service: &str, namespace: &str) -> Self {
        let short = format!("{service}.{namespace}.svc");
        let full = format!("{short}.cluster.local");
        Self { short, full }
    }

    /// The name the API server puts into SNI and verifies: `SERVICE.NAMESPACE.svc`.
    pub fn short(&self) -> &str {
        &self.short
    }

    /// Every name the leaf must carry.
    pub fn all(&self) -> [&str; 2] {
        [&self.short, &self.full]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_hides_itself_from_debug() {
        let material = LeafMaterial {
            key_pem: KeyPem::new("-----BEGIN PRIVATE KEY-----"),
            ..LeafMaterial::default()
        };
        assert!(!format!("{material:?}").contains("PRIVATE"));
    }

    #[test]
    fn names_follow_the_service() {
        let names = ServiceNames::new("clb-gate-webhook", "clb-gate");
        assert_eq!(
            names.all(),
            [
                "clb-gate-webhook.clb-gate.svc",
                "clb-gate-webhook.clb-gate.svc.cluster.local"
            ]
        );
    }
}
