//! The bundle: the CAs that the API server trusts for our webhook, in a fixed order, each once.

use crate::parse::{Certificate, ParseError, certificates_lossy};

/// An ordered set of CA certificates; equal DER counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    cas: Vec<Certificate>,
}

impl Bundle {
    /// The CAs of a PEM text and what was wrong with the rest of it. Certificates that are no CA are
    /// left out: they must never be published as trusted.
    pub fn parse_lossy(pem: &[u8]) -> (Self, Vec<ParseError>) {
        let (found, errors) = certificates_lossy(pem);
        (
            found.into_iter().filter(|c| c.facts().is_ca).collect(),
            errors,
        )
    }

    /// Adds `ca` at the end unless it is here already.
    pub fn push(&mut self, ca: Certificate) {
        if !self.contains(&ca) {
            self.cas.push(ca);
        }
    }

    /// `self` followed by what only `other` has.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        other.cas.into_iter().for_each(|ca| self.push(ca));
        self
    }

    /// Whether exactly this certificate is in it.
    pub fn contains(&self, ca: &Certificate) -> bool {
        self.cas.contains(ca)
    }

    /// The CA that signed `leaf`, dates aside.
    pub fn issuer_of(&self, leaf: &Certificate) -> Option<&Certificate> {
        self.cas.iter().find(|ca| leaf.is_issued_by(ca))
    }

    /// Its CAs in order.
    pub fn iter(&self) -> impl Iterator<Item = &Certificate> {
        self.cas.iter()
    }

    /// How many CAs it has.
    pub fn len(&self) -> usize {
        self.cas.len()
    }

    /// Whether it trusts nobody.
    pub fn is_empty(&self) -> bool {
        self.cas.is_empty()
    }

    /// Their subjects, for people.
    pub fn subjects(&self) -> String {
        let subjects: Vec<_> = self.iter().map(|ca| ca.facts().subject.as_str()).collect();
        subjects.join("; ")
    }

    /// PEM, one block a CA.
    pub fn to_pem(&self) -> String {
        self.cas.iter().map(Certificate::to_pem).collect()
    }
}

impl FromIterator<Certificate> for Bundle {
    fn from_iter<I: IntoIterator<Item = Certificate>>(cas: I) -> Self {
        let mut bundle = Self::default();
        cas.into_iter().for_each(|ca| bundle.push(ca));
        bundle
    }
}
