//! What to do next about CA, bundle and leaf. One pure function, recomputed from what exists, so that
//! a crash after any step simply goes on: [`plan`] returns one [`Step`], the caller performs it, reads
//! everything again and asks again until the answer is [`Step::Keep`].
//!
//! The order keeps every answer trusted: a CA is published before a leaf is signed by it, and a CA is
//! kept in the bundle as long as it may have signed what a replica still serves.

use crate::{
    bundle::Bundle,
    issue::{LEAF_LIFE, Signer},
    layout::{CaMaterial, LeafMaterial, ServiceNames},
    parse::{CertFacts, Certificate},
    verify::{self, Problem, VerifiedLeaf, date_problem},
};
use jiff::{SignedDuration, Timestamp};

/// At most so many CA generations are trusted: with a life of two years only a fault makes more, and
/// the registration must not grow without bound.
pub const MAX_GENERATIONS: usize = 8;

/// Everything the plan looks at, unchecked.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The CA Secret, `None` if it does not exist.
    pub ca: Option<CaMaterial>,
    /// The leaf Secret, `None` if it does not exist.
    pub leaf: Option<LeafMaterial>,
    /// The `caBundle` of the registration, `None` if there is no registration (then nobody calls).
    pub published: Option<Vec<u8>>,
}

/// Why a new CA is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaReason {
    /// It is time.
    #[error("the CA is due for renewal since {since}")]
    Due {
        /// When it became due.
        since: Timestamp,
    },
    /// There is no CA Secret.
    #[error("there is no CA Secret")]
    Missing,
    /// The one there cannot be used.
    #[error("the CA cannot be used: {0}")]
    Unusable(Problem),
}

/// Why a new leaf is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafReason {
    /// It is time.
    #[error("the leaf is due for renewal since {since}")]
    Due {
        /// When it became due.
        since: Timestamp,
    },
    /// There is no leaf Secret.
    #[error("there is no leaf Secret")]
    Missing,
    /// It is good, but signed by another CA than the newest.
    #[error("the leaf is signed by an older CA ({issuer})")]
    OlderCa {
        /// Subject of that CA.
        issuer: String,
    },
    /// The one there cannot be used.
    #[error("the leaf cannot be used: {}", list(.0))]
    Unusable(Vec<Problem>),
}

/// The next thing to do.
#[derive(Clone, Debug)]
pub enum Step {
    /// Write a CA Secret with a new CA in front of `keep`, and the new CA's key.
    CreateCa {
        /// Why.
        reason: CaReason,
        /// Number of the new generation.
        generation: u64,
        /// The CAs that stay trusted.
        keep: Bundle,
    },
    /// Write a leaf Secret with a new leaf signed by `signer`, with `bundle` beside it.
    IssueLeaf {
        /// Why.
        reason: LeafReason,
        /// The CA that signs.
        signer: Box<Signer>,
        /// What the leaf is stored with.
        bundle: Bundle,
    },
    /// Put `bundle` into the registration, making the registration if there is none.
    PublishBundle {
        /// What the API server must trust.
        bundle: Bundle,
    },
    /// The leaf stays, only the bundle stored beside it is brought up to date.
    RefreshLeafBundle {
        /// What belongs beside the leaf.
        bundle: Bundle,
    },
    /// All is well.
    Keep {
        /// When the next step falls due, if nothing happens before.
        until: Timestamp,
        /// What is published.
        bundle: Bundle,
    },
}

/// Decides the next step. Total: whatever is missing, expired, corrupt, foreign or mismatched has an
/// answer, and performing the steps in turn ends in [`Step::Keep`].
pub fn plan(observed: &Observed, names: &ServiceNames, now: Timestamp) -> Step {
    let asked = Asked { names, now };
    let trusted = trusted(observed, asked);
    match signer(observed.ca.as_ref(), now) {
        Ok(signer) => {
            let bundle = trusted.union(Bundle::from_iter([signer.certificate().clone()]));
            with_ca(observed, signer, bundle, asked)
        }
        Err(reason) => Step::CreateCa {
            reason,
            generation: next_generation(observed),
            keep: trusted,
        },
    }
}

/// When a leaf falls due: at two thirds of its life, whatever that life is.
pub fn leaf_due(facts: &CertFacts) -> Timestamp {
    let life = facts.not_before.duration_until(facts.not_after);
    later(facts.not_before, life / 3 * 2)
}

/// When a CA falls due: at two thirds of its life, and early enough that no leaf outlives it.
pub fn ca_due(facts: &CertFacts) -> Timestamp {
    leaf_due(facts).min(later(facts.not_after, -LEAF_LIFE))
}

#[derive(Clone, Copy)]
struct Asked<'a> {
    names: &'a ServiceNames,
    now: Timestamp,
}

/// Without a registration nobody calls, so nothing can fail while the leaf comes first, and once the
/// registration appears there is something to answer its calls. With one, trust comes first.
fn with_ca(observed: &Observed, signer: Signer, bundle: Bundle, asked: Asked<'_>) -> Step {
    let pem = bundle.to_pem();
    let published = observed.published.as_deref();
    if published.is_some_and(|published| published != pem.as_bytes()) {
        return Step::PublishBundle { bundle };
    }
    let material = observed.leaf.as_ref();
    match leaf(material, &signer, &bundle, asked) {
        Err(reason) => Step::IssueLeaf {
            reason,
            signer: Box::new(signer),
            bundle,
        },
        Ok(_) if material.is_some_and(|m| m.bundle_pem != pem.as_bytes()) => {
            Step::RefreshLeafBundle { bundle }
        }
        Ok(_) if published.is_none() => Step::PublishBundle { bundle },
        Ok(leaf) => Step::Keep {
            until: until(&signer, &leaf, &bundle),
            bundle,
        },
    }
}

/// The CAs to trust: what the CA Secret says, and whoever signed the leaf in use. If the CA Secret
/// says nothing, replicas may still serve what a CA of ours signed, which the registration remembers.
fn trusted(observed: &Observed, asked: Asked<'_>) -> Bundle {
    let own = parse(observed.ca.as_ref().map(|ca| ca.cert_pem.as_slice()));
    let own = current(own.iter(), asked.now);
    let remembered = parse(observed.published.as_deref());
    let remembered = current(remembered.iter().filter(|ca| is_ours(ca)), asked.now);
    let known = own.clone().union(remembered.clone());
    let in_use = leaf_issuer(observed, known, asked);
    let base = if own.is_empty() { remembered } else { own };
    base.union(in_use.into_iter().collect())
}

fn is_ours(ca: &Certificate) -> bool {
    ca.facts().generation.is_some()
}

/// Who signed the leaf of the Secret, if that leaf may be served at all.
fn leaf_issuer(observed: &Observed, known: Bundle, asked: Asked<'_>) -> Option<Certificate> {
    let leaf = observed.leaf.as_ref()?;
    let known = known.union(parse(Some(&leaf.bundle_pem)));
    let verified = verify::leaf_against(&known, leaf, asked.names, asked.now).ok()?;
    Some(verified.issuer)
}

fn parse(pem: Option<&[u8]>) -> Bundle {
    pem.map(|pem| Bundle::parse_lossy(pem).0)
        .unwrap_or_default()
}

fn current<'a>(cas: impl Iterator<Item = &'a Certificate>, now: Timestamp) -> Bundle {
    let alive = cas.filter(|ca| now <= ca.facts().not_after);
    alive.take(MAX_GENERATIONS).cloned().collect()
}

fn next_generation(observed: &Observed) -> u64 {
    let texts = [
        observed.ca.as_ref().map(|ca| ca.cert_pem.as_slice()),
        observed
            .leaf
            .as_ref()
            .map(|leaf| leaf.bundle_pem.as_slice()),
        observed.published.as_deref(),
    ];
    let known = texts.into_iter().map(parse);
    let newest = known
        .filter_map(|bundle| bundle.iter().filter_map(|ca| ca.facts().generation).max())
        .max();
    newest.unwrap_or(0).saturating_add(1)
}

/// The CA that signs from now on: the one the stored key belongs to.
fn signer(ca: Option<&CaMaterial>, now: Timestamp) -> Result<Signer, CaReason> {
    let ca = ca.ok_or(CaReason::Missing)?;
    let (bundle, errors) = Bundle::parse_lossy(&ca.cert_pem);
    let mut problem = errors.into_iter().next().map(Problem::from);
    for certificate in bundle.iter() {
        match Signer::new(certificate.clone(), ca.key_pem.clone()) {
            Ok(signer) => return in_time(signer, now),
            Err(other) => problem = problem.or(Some(other)),
        }
    }
    Err(CaReason::Unusable(problem.unwrap_or(Problem::BundleEmpty)))
}

fn in_time(signer: Signer, now: Timestamp) -> Result<Signer, CaReason> {
    let facts = signer.certificate().facts();
    if let Some(problem) = date_problem(facts, now) {
        return Err(CaReason::Unusable(problem));
    }
    let since = ca_due(facts);
    if now < since {
        Ok(signer)
    } else {
        Err(CaReason::Due { since })
    }
}

fn leaf(
    material: Option<&LeafMaterial>,
    signer: &Signer,
    bundle: &Bundle,
    asked: Asked<'_>,
) -> Result<VerifiedLeaf, LeafReason> {
    let material = material.ok_or(LeafReason::Missing)?;
    let leaf = verify::leaf_against(bundle, material, asked.names, asked.now)
        .map_err(LeafReason::Unusable)?;
    if leaf.issuer.public_key() != signer.certificate().public_key() {
        return Err(LeafReason::OlderCa {
            issuer: leaf.issuer.facts().subject.clone(),
        });
    }
    let since = leaf_due(&leaf.facts);
    if asked.now < since {
        Ok(leaf)
    } else {
        Err(LeafReason::Due { since })
    }
}

fn until(signer: &Signer, leaf: &VerifiedLeaf, bundle: &Bundle) -> Timestamp {
    let renewals = leaf_due(&leaf.facts).min(ca_due(signer.certificate().facts()));
    let ends = bundle.iter().map(|ca| ca.facts().not_after);
    ends.fold(renewals, Timestamp::min)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    let limit = if by.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    at.checked_add(by).unwrap_or(limit)
}

fn list(problems: &[Problem]) -> String {
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

#[cfg(test)]
mod tests;
