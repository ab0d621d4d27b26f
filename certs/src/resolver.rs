//! The leaf that the webhook serves, swapped in place: a new one is verified first, a bad one is
//! refused and the good one kept, and connections in flight do not notice.

use crate::{
    layout::{LeafMaterial, ServiceNames},
    parse::{CertFacts, Certificate},
    provider::provider,
    verify::{self, Problem, VerifiedLeaf},
};
use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use rustls::{
    ServerConfig,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Holds the leaf that is being served, if any.
#[derive(Debug, Default)]
pub struct LeafResolver {
    current: ArcSwapOption<VerifiedLeaf>,
    generation: AtomicU64,
}

/// Counts the leaves that were served one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl LeafResolver {
    /// A resolver with nothing to serve: handshakes fail until [`Self::load`] succeeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Verifies `material` against the bundle it carries and serves it from the next handshake on.
    /// On an error whatever was served before goes on being served.
    pub fn load(
        &self,
        material: &LeafMaterial,
        names: &ServiceNames,
        now: Timestamp,
    ) -> Result<CertFacts, Vec<Problem>> {
        let verified = verify::leaf(material, names, now)?;
        let facts = verified.facts.clone();
        let before = self.current.swap(Some(Arc::new(verified)));
        if before.is_none_or(|leaf| leaf.facts.fingerprint != facts.fingerprint) {
            // After the swap: whoever reads the new number is served with the new leaf.
            self.generation.fetch_add(1, Ordering::Release);
        }
        Ok(facts)
    }

    /// Differs from an earlier one if another leaf is served since. Read before a handshake, it is never
    /// newer than the leaf that is presented; it may be older, if a leaf is swapped in just then.
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// The leaf that is served now.
    pub fn certificate(&self) -> Option<Certificate> {
        let current = self.current.load();
        let leaf = current.as_ref()?.certified.cert.first()?;
        Certificate::from_der(leaf.clone()).ok()
    }

    /// The facts of the leaf that is served now.
    pub fn serving(&self) -> Option<CertFacts> {
        self.current.load().as_ref().map(|leaf| leaf.facts.clone())
    }
}

impl ResolvesServerCert for LeafResolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.load();
        current.as_ref().map(|leaf| Arc::clone(&leaf.certified))
    }
}

/// TLS 1.2 and 1.3, HTTP/1.1 only: the API server speaks no HTTP/2 to a Service, and leaving it out
/// removes the attacks on it. No resumption: the API server keeps no sessions, so tickets would only
/// cost bytes, and a resumed session would hide which leaf is served.
pub fn server_config(resolver: Arc<LeafResolver>) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[cfg(test)]
pub(crate) mod tests;
