//! Which CAs must, may and need not be in the bundle.

use super::{MAX_GENERATIONS, Observed, sight::Sight};
use crate::{bundle::Bundle, issue::Signer, parse::Certificate};
use jiff::Timestamp;

/// What the three places know of CAs.
#[derive(Debug)]
pub(super) struct Trust {
    /// The CA that signs, if there is one.
    signer: Option<Certificate>,
    /// Every CA that may have signed what a replica serves, the one that signs first. None has expired:
    /// nobody trusts an expired CA, so dropping it is free.
    pub(super) known: Bundle,
    /// All that the CA Secret holds, expired or not.
    secret: Bundle,
    /// Who signed the leaf of the Secret, which any replica may load at any time.
    leaf_issuer: Option<Certificate>,
    /// The published bundle, if it is exactly a list of CAs.
    published: Option<Bundle>,
}

impl Trust {
    pub(super) fn with_signer(observed: &Observed, signer: &Signer, now: Timestamp) -> Self {
        Self::new(observed, Some(signer.certificate().clone()), now)
    }

    pub(super) fn without_signer(observed: &Observed, now: Timestamp) -> Self {
        Self::new(observed, None, now)
    }

    fn new(observed: &Observed, signer: Option<Certificate>, now: Timestamp) -> Self {
        let secret = parse(observed.ca.as_ref().map(|ca| ca.cert_pem.as_slice()));
        let first: Bundle = signer.iter().cloned().collect();
        let known = first.union(known(observed, &secret, now));
        Self {
            leaf_issuer: leaf_issuer(observed, &known, now),
            published: observed.published.as_deref().and_then(exactly),
            signer,
            known,
            secret,
        }
    }

    /// Only the CA that signs.
    pub(super) fn newest(&self) -> Bundle {
        self.signer.iter().cloned().collect()
    }

    /// Whether any CA but the newest is still about.
    pub(super) fn has_older(&self) -> bool {
        self.known.len() > self.newest().len()
    }

    /// Whether the CA Secret remembers more than `keep`.
    pub(super) fn secret_has_more_than(&self, keep: &Bundle) -> bool {
        self.secret != *keep
    }

    /// What the registration should hold while older CAs may be in use: what it holds, if that trusts
    /// everything it must and nothing it must not; else everything.
    pub(super) fn bundle(&self, sight: &Sight) -> Bundle {
        let must = self.must(sight);
        let stays = self.published.clone().filter(|published| {
            published.len() <= MAX_GENERATIONS
                && must.iter().all(|ca| published.contains(ca))
                && published.iter().all(|ca| self.known.contains(ca))
        });
        stays.unwrap_or_else(|| first(MAX_GENERATIONS, &must.union(self.known.clone())))
    }

    /// What a new CA Secret remembers beside the new CA.
    pub(super) fn kept_beside_a_new_one(&self) -> Bundle {
        let must = self.must(&Sight::NotLooked);
        first(MAX_GENERATIONS - 1, &must.union(self.known.clone()))
    }

    fn must(&self, sight: &Sight) -> Bundle {
        let certain = self.signer.iter().chain(&self.leaf_issuer).cloned();
        certain.chain(sight.issuers().iter().cloned()).collect()
    }
}

/// One more than any generation that any place knows of.
pub(super) fn next_generation(observed: &Observed) -> u64 {
    let secret = parse(observed.ca.as_ref().map(|ca| ca.cert_pem.as_slice()));
    let all = secret.union(beside(observed)).union(published(observed));
    let newest = all.iter().filter_map(|ca| ca.facts().generation).max();
    newest.unwrap_or(0).saturating_add(1)
}

/// The CA Secret says which CAs there are. If it was lost or replaced, the registration and the place
/// beside the leaf remember others, of which only ours are taken in.
fn known(observed: &Observed, secret: &Bundle, now: Timestamp) -> Bundle {
    let elsewhere = beside(observed).union(published(observed));
    let elsewhere = elsewhere
        .iter()
        .filter(|ca| ca.facts().generation.is_some());
    let all = secret.iter().chain(elsewhere);
    all.filter(|ca| now <= ca.facts().not_after)
        .cloned()
        .collect()
}

fn leaf_issuer(observed: &Observed, known: &Bundle, now: Timestamp) -> Option<Certificate> {
    let leaf = Certificate::from_pem(&observed.leaf.as_ref()?.cert_pem).ok()?;
    let issuer = known.issuer_of(&leaf).cloned();
    issuer.filter(|_| now <= leaf.facts().not_after)
}

/// Junk, repetition or another spelling is not what we publish.
fn exactly(pem: &[u8]) -> Option<Bundle> {
    let bundle = parse(Some(pem));
    (bundle.to_pem().as_bytes() == pem).then_some(bundle)
}

fn beside(observed: &Observed) -> Bundle {
    parse(
        observed
            .leaf
            .as_ref()
            .map(|leaf| leaf.bundle_pem.as_slice()),
    )
}

fn published(observed: &Observed) -> Bundle {
    parse(observed.published.as_deref())
}

fn parse(pem: Option<&[u8]>) -> Bundle {
    pem.map(|pem| Bundle::parse_lossy(pem).0)
        .unwrap_or_default()
}

fn first(many: usize, bundle: &Bundle) -> Bundle {
    bundle.iter().take(many).cloned().collect()
}
