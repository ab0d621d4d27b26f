//! Whether a leaf may be served: one function that names everything that is wrong with it, used by
//! the webhook before it swaps, by the controller's plan, and by the CLI's report.

use crate::{
    bundle::Bundle,
    layout::{KeyPem, LeafMaterial, ServiceNames},
    parse::{CertFacts, Certificate, MAX_PEM_BYTES, ParseError, certificates},
    provider::provider,
};
use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use std::sync::Arc;

/// One thing wrong with a certificate, its key or its CA.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bundle has no readable CA.
    #[error("the bundle holds no readable CA certificate")]
    BundleEmpty,
    /// The certificate's text cannot be read.
    #[error("the certificate cannot be read: {0}")]
    CertificateUnreadable(#[from] ParseError),
    /// Its time is over.
    #[error("{subject} expired at {not_after}, now is {now}")]
    Expired {
        /// Whose.
        subject: String,
        /// End of validity.
        not_after: Timestamp,
        /// When we looked.
        now: Timestamp,
    },
    /// The private key belongs to another certificate.
    #[error("the private key does not belong to the certificate {subject}")]
    KeyMismatch {
        /// Whose.
        subject: String,
    },
    /// The private key cannot be loaded. It is not quoted, on purpose.
    #[error("the private key is not a PEM private key that can be loaded")]
    KeyUnreadable,
    /// A name the API server calls is not in it.
    #[error("the name {missing} is missing, it has [{present}]")]
    NameMissing {
        /// The name that is needed.
        missing: String,
        /// The names it has.
        present: String,
    },
    /// Used as a CA but not made as one.
    #[error("{subject} is not a CA certificate")]
    NotACa {
        /// Whose.
        subject: String,
    },
    /// Its extended key usage forbids serving TLS.
    #[error("{subject} may not serve TLS: its extended key usage lacks serverAuth")]
    NotForServing {
        /// Whose.
        subject: String,
    },
    /// No CA of the bundle signed it.
    #[error(
        "no CA of the bundle signed it: issuer {issuer}, key id {key_id}; trusted are [{trusted}]"
    )]
    NotTrusted {
        /// Issuer as the leaf names it.
        issuer: String,
        /// Authority key identifier of the leaf.
        key_id: String,
        /// Subjects in the bundle.
        trusted: String,
    },
    /// Its time has not come, or our clock is behind.
    #[error("{subject} is not valid before {not_before}, now is {now}")]
    NotYetValid {
        /// Whose.
        subject: String,
        /// Start of validity.
        not_before: Timestamp,
        /// When we looked.
        now: Timestamp,
    },
}

/// A leaf that may be served: it chains, its key fits, names and dates are right.
#[derive(Clone, Debug)]
pub struct VerifiedLeaf {
    /// What the leaf says.
    pub facts: CertFacts,
    /// The CA of the bundle that signed it.
    pub issuer: Certificate,
    pub(crate) certified: Arc<CertifiedKey>,
}

/// Verifies the leaf against the bundle stored beside it.
pub fn leaf(
    material: &LeafMaterial,
    names: &ServiceNames,
    now: Timestamp,
) -> Result<VerifiedLeaf, Vec<Problem>> {
    let (bundle, _) = Bundle::parse_lossy(&material.bundle_pem);
    leaf_against(&bundle, material, names, now)
}

/// Verifies the leaf against `bundle`. All problems are named, not only the first.
pub fn leaf_against(
    bundle: &Bundle,
    material: &LeafMaterial,
    names: &ServiceNames,
    now: Timestamp,
) -> Result<VerifiedLeaf, Vec<Problem>> {
    let chain = certificates(&material.cert_pem).map_err(|e| vec![e.into()])?;
    let Some(leaf) = chain.first() else {
        return Err(vec![ParseError::Empty { bytes: 0 }.into()]);
    };
    let mut problems = own_problems(leaf, names, now);
    let issuer = note(trusted_issuer(bundle, leaf, now), &mut problems);
    let certified = note(certified_key(&chain, &material.key_pem), &mut problems);
    match (issuer, certified) {
        (Some(issuer), Some(certified)) if problems.is_empty() => Ok(VerifiedLeaf {
            facts: leaf.facts().clone(),
            issuer,
            certified,
        }),
        _ => Err(problems),
    }
}

/// Whether who trusts `bundle` accepts `leaf` from whoever presents it: names, dates, chain. The key is
/// proven by the handshake in which it is presented.
pub fn trust(
    bundle: &Bundle,
    leaf: &Certificate,
    names: &ServiceNames,
    now: Timestamp,
) -> Result<Certificate, Vec<Problem>> {
    let mut problems = own_problems(leaf, names, now);
    let issuer = note(trusted_issuer(bundle, leaf, now), &mut problems);
    match issuer {
        Some(issuer) if problems.is_empty() => Ok(issuer),
        _ => Err(problems),
    }
}

/// What the dates of `facts` say about `now`.
pub fn date_problem(facts: &CertFacts, now: Timestamp) -> Option<Problem> {
    let subject = facts.subject.clone();
    let (not_before, not_after) = (facts.not_before, facts.not_after);
    if now < not_before {
        Some(Problem::NotYetValid {
            subject,
            not_before,
            now,
        })
    } else if now > not_after {
        Some(Problem::Expired {
            subject,
            not_after,
            now,
        })
    } else {
        None
    }
}

fn own_problems(leaf: &Certificate, names: &ServiceNames, now: Timestamp) -> Vec<Problem> {
    let facts = leaf.facts();
    let mut problems: Vec<_> = date_problem(facts, now).into_iter().collect();
    for name in names.all() {
        if !facts
            .dns_names
            .iter()
            .any(|has| has.eq_ignore_ascii_case(name))
        {
            problems.push(Problem::NameMissing {
                missing: name.to_owned(),
                present: facts.dns_names.join(", "),
            });
        }
    }
    if !facts.serves_tls {
        problems.push(Problem::NotForServing {
            subject: facts.subject.clone(),
        });
    }
    problems
}

fn trusted_issuer(
    bundle: &Bundle,
    leaf: &Certificate,
    now: Timestamp,
) -> Result<Certificate, Problem> {
    if bundle.is_empty() {
        return Err(Problem::BundleEmpty);
    }
    let issuer = bundle
        .issuer_of(leaf)
        .ok_or_else(|| not_trusted(bundle, leaf))?;
    // Go's verifier looks at a root's dates too, so an expired CA is as bad as none.
    date_problem(issuer.facts(), now).map_or_else(|| Ok(issuer.clone()), Err)
}

fn not_trusted(bundle: &Bundle, leaf: &Certificate) -> Problem {
    let facts = leaf.facts();
    Problem::NotTrusted {
        issuer: facts.issuer.clone(),
        key_id: facts
            .authority_key_id
            .clone()
            .unwrap_or_else(|| "none".to_owned()),
        trusted: bundle.subjects(),
    }
}

fn certified_key(chain: &[Certificate], key: &KeyPem) -> Result<Arc<CertifiedKey>, Problem> {
    if key.expose().len() > MAX_PEM_BYTES {
        return Err(Problem::KeyUnreadable);
    }
    let der = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| Problem::KeyUnreadable)?;
    let signing = provider().key_provider.load_private_key(der);
    let signing = signing.map_err(|_| Problem::KeyUnreadable)?;
    let certs = chain.iter().map(|c| c.der().clone()).collect();
    let certified = CertifiedKey::new(certs, signing);
    if certified.keys_match().is_err() {
        let subject = chain.first().map(|leaf| leaf.facts().subject.clone());
        return Err(Problem::KeyMismatch {
            subject: subject.unwrap_or_default(),
        });
    }
    Ok(Arc::new(certified))
}

fn note<T>(result: Result<T, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

#[cfg(test)]
mod tests;
