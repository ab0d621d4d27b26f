//! What to do next about CA, bundle and leaf. One pure function, recomputed from what exists, so that
//! a crash after any step simply goes on: [`plan`] returns one [`Step`], the caller performs it, reads
//! everything again and asks again until the answer is [`Step::Keep`].
//!
//! The order keeps every answer trusted: a CA is published before a leaf is signed by it, and stays
//! published until every serving replica was seen to present a leaf of the newest CA. The CA Secret
//! remembers an older CA until the bundle without it has been looked at once more.

mod observed;
mod sight;
mod step;
mod trust;

use crate::{
    bundle::Bundle,
    issue::{LEAF_LIFE, Signer},
    layout::{CaMaterial, LeafMaterial, ServiceNames},
    parse::CertFacts,
    verify::{self, Problem, VerifiedLeaf, date_problem},
};
use jiff::{SignedDuration, Timestamp};
use sight::Sight;
use trust::Trust;

pub use observed::{Observed, Presents, Renewal, Replica, Standing};
pub use step::{AwaitReason, Awaited, CaReason, LeafReason, Step};

/// At most so many CA generations are trusted: with a life of two years only a fault makes more, and
/// the registration must not grow without bound.
pub const MAX_GENERATIONS: usize = 8;

/// Decides the next step. Total: whatever is missing, expired, corrupt, foreign or mismatched has an
/// answer, and performing the steps in turn ends in [`Step::Keep`].
pub fn plan(observed: &Observed, names: &ServiceNames, now: Timestamp) -> Step {
    let asked = Asked { names, now };
    match signer(observed.ca.as_ref(), now) {
        Ok(signer) => with_ca(observed, signer, asked),
        Err(reason) => {
            let trust = Trust::without_signer(observed, now);
            let sight = Sight::of(observed, &trust.known, None, now);
            create_ca(reason, observed, &trust, trust.bundle(&sight))
        }
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

/// There is a CA that can sign. First the trust, then the leaf, then what is left of older CAs.
fn with_ca(observed: &Observed, signer: Signer, asked: Asked<'_>) -> Step {
    let trust = Trust::with_signer(observed, &signer, asked.now);
    let sight = Sight::of(observed, &trust.known, Some(&signer), asked.now);
    let leaf = leaf(observed, &signer, &trust.known, asked);
    let bundle = if leaf.is_ok() && sight == Sight::Clear {
        trust.newest()
    } else {
        trust.bundle(&sight)
    };
    if let Some(step) = publish(observed, &bundle, asked) {
        return step;
    }
    match leaf {
        Err(reason) => issue(reason, observed, signer, bundle),
        Ok(leaf) => leaf_is_good(observed, &trust, sight, bundle)
            .unwrap_or_else(|bundle| at_rest(observed, &trust, &leaf, bundle)),
    }
}

/// Without a registration nobody calls, so it is made only once there is a leaf to answer with. A leaf
/// that is good but not ours for long comes after it: calls can be answered meanwhile.
fn publish(observed: &Observed, bundle: &Bundle, asked: Asked<'_>) -> Option<Step> {
    let due = match observed.published.as_deref() {
        Some(published) => published != bundle.to_pem().as_bytes(),
        None => observed
            .leaf
            .as_ref()
            .is_some_and(|leaf| verify::leaf_against(bundle, leaf, asked.names, asked.now).is_ok()),
    };
    due.then(|| Step::PublishBundle {
        bundle: bundle.clone(),
    })
}

/// Only where replicas may serve a leaf of another CA, which is trusted now, is there something to
/// lose by haste.
fn issue(reason: LeafReason, observed: &Observed, signer: Signer, bundle: Bundle) -> Step {
    Step::IssueLeaf {
        reason,
        settle: observed.published.is_some() && bundle.len() > 1,
        signer: Box::new(signer),
        bundle,
    }
}

/// Newest CA published, leaf signed by it: what is left of a rotation, or the bundle if nothing is.
fn leaf_is_good(
    observed: &Observed,
    trust: &Trust,
    sight: Sight,
    bundle: Bundle,
) -> Result<Step, Bundle> {
    let beside = trust.newest();
    let stored = observed.leaf.as_ref().map(|leaf| &leaf.bundle_pem);
    if stored.is_some_and(|stored| *stored != beside.to_pem().into_bytes()) {
        return Ok(Step::RefreshLeafBundle { beside, bundle });
    }
    if trust.has_older() {
        match sight {
            Sight::NotLooked => return Ok(Step::Look { bundle }),
            Sight::Blocked { awaited, .. } => return Ok(Step::Await { awaited, bundle }),
            Sight::Clear => {}
        }
    }
    if trust.secret_has_more_than(&beside) {
        return Ok(Step::ForgetCas {
            keep: beside,
            bundle,
        });
    }
    Err(bundle)
}

/// A rotation on request begins only here: the one before has ended.
fn at_rest(observed: &Observed, trust: &Trust, leaf: &VerifiedLeaf, bundle: Bundle) -> Step {
    if let Some(id) = observed.ca_renewal.pending() {
        let reason = CaReason::Asked { id: id.to_owned() };
        return create_ca(reason, observed, trust, bundle);
    }
    Step::Keep {
        until: until(leaf, &bundle),
        bundle,
    }
}

fn create_ca(reason: CaReason, observed: &Observed, trust: &Trust, bundle: Bundle) -> Step {
    Step::CreateCa {
        reason,
        generation: trust::next_generation(observed),
        keep: trust.kept_beside_a_new_one(),
        bundle,
    }
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

/// The leaf of the Secret, if it can stay. A new one that was asked for comes with a new CA that was
/// asked for.
fn leaf(
    observed: &Observed,
    signer: &Signer,
    known: &Bundle,
    asked: Asked<'_>,
) -> Result<VerifiedLeaf, LeafReason> {
    let material = observed.leaf.as_ref().ok_or(LeafReason::Missing)?;
    let leaf = verified(material, signer, known, asked)?;
    let since = leaf_due(&leaf.facts);
    if asked.now >= since {
        return Err(LeafReason::Due { since });
    }
    match observed.leaf_renewal.pending() {
        Some(id) if observed.ca_renewal.pending().is_none() => {
            Err(LeafReason::Asked { id: id.to_owned() })
        }
        _ => Ok(leaf),
    }
}

fn verified(
    material: &LeafMaterial,
    signer: &Signer,
    known: &Bundle,
    asked: Asked<'_>,
) -> Result<VerifiedLeaf, LeafReason> {
    let leaf = verify::leaf_against(known, material, asked.names, asked.now)
        .map_err(LeafReason::Unusable)?;
    if leaf.issuer.public_key() == signer.certificate().public_key() {
        Ok(leaf)
    } else {
        let issuer = leaf.issuer.facts().subject.clone();
        Err(LeafReason::OlderCa { issuer })
    }
}

fn until(leaf: &VerifiedLeaf, bundle: &Bundle) -> Timestamp {
    let renewals = bundle.iter().map(|ca| ca_due(ca.facts()));
    renewals.fold(leaf_due(&leaf.facts), Timestamp::min)
}

fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    let limit = if by.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    at.checked_add(by).unwrap_or(limit)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod tests;
