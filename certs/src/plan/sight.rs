//! What a look at the replicas says about the older CAs.

use super::{AwaitReason, Awaited, Presents, Replica};
use crate::{bundle::Bundle, issue::Signer, parse::Certificate};
use jiff::Timestamp;

/// Whether older CAs may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nobody has looked.
    NotLooked,
    /// Nobody serves under an older CA.
    Clear,
    /// Somebody does, or may.
    Blocked {
        /// Who.
        awaited: Vec<Awaited>,
        /// The older CAs that were seen in use.
        issuers: Bundle,
    },
}

impl Sight {
    pub(super) fn of(
        serving: Option<&[Replica]>,
        known: &Bundle,
        signer: Option<&Signer>,
        now: Timestamp,
    ) -> Self {
        let Some(serving) = serving else {
            return Self::NotLooked;
        };
        let (mut awaited, mut issuers) = (vec![], Bundle::default());
        for replica in serving {
            let issuer = older_issuer(&replica.presents, known, signer, now);
            let why = match (&replica.presents, issuer) {
                (Presents::Leaf(_), Some(issuer)) => older_leaf(issuer, &mut issuers),
                (Presents::Nothing(why), _) if replica.ready => AwaitReason::Unseen(why.clone()),
                _ => continue,
            };
            let replica = replica.name.clone();
            awaited.push(Awaited { replica, why });
        }
        if awaited.is_empty() {
            Self::Clear
        } else {
            Self::Blocked { awaited, issuers }
        }
    }

    /// The older CAs that were seen in use.
    pub(super) fn issuers(&self) -> Bundle {
        match self {
            Self::Blocked { issuers, .. } => issuers.clone(),
            Self::NotLooked | Self::Clear => Bundle::default(),
        }
    }
}

/// The known older CA under which a replica serves. Nobody trusts an expired leaf, nor one of a CA that
/// no place knows: waiting for those would save no call.
fn older_issuer(
    presents: &Presents,
    known: &Bundle,
    signer: Option<&Signer>,
    now: Timestamp,
) -> Option<Certificate> {
    let Presents::Leaf(leaf) = presents else {
        return None;
    };
    let issuer = known.issuer_of(leaf)?;
    let newest = signer.is_some_and(|s| s.certificate().public_key() == issuer.public_key());
    let in_use = !newest && now <= leaf.facts().not_after;
    in_use.then(|| issuer.clone())
}

fn older_leaf(issuer: Certificate, issuers: &mut Bundle) -> AwaitReason {
    let subject = issuer.facts().subject.clone();
    issuers.push(issuer);
    AwaitReason::OlderLeaf { issuer: subject }
}
