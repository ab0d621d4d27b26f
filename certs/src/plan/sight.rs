//! What a look at the replicas says about the older CAs.

use super::{AwaitReason, Awaited, Observed, Presents};
use crate::{bundle::Bundle, issue::Signer, parse::Certificate};
use jiff::Timestamp;

/// Whether older CAs may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Nobody has looked.
    NotLooked,
    /// Everybody who serves presents the leaf of the Secret.
    Clear,
    /// Somebody does not, or may not.
    Blocked {
        /// Who.
        awaited: Vec<Awaited>,
        /// The older CAs that were seen in use.
        issuers: Bundle,
    },
}

impl Sight {
    pub(super) fn of(
        observed: &Observed,
        known: &Bundle,
        signer: Option<&Signer>,
        now: Timestamp,
    ) -> Self {
        let Some(serving) = &observed.serving else {
            return Self::NotLooked;
        };
        let current = observed.leaf.as_ref();
        let current = current.and_then(|leaf| Certificate::from_pem(&leaf.cert_pem).ok());
        let (mut awaited, mut issuers) = (vec![], Bundle::default());
        for replica in serving {
            let why = match &replica.presents {
                Presents::Nothing(why) if replica.ready => AwaitReason::Unseen(why.clone()),
                Presents::Leaf(leaf) if current.as_ref() != Some(leaf) => {
                    let Some(issuer) = issuer_in_use(leaf, known, now) else {
                        continue;
                    };
                    if !is_signer(issuer, signer) {
                        issuers.push(issuer.clone());
                    }
                    earlier(issuer)
                }
                Presents::Nothing(_) | Presents::Leaf(_) => continue,
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

/// Nobody trusts an expired leaf, nor one of a CA that no place knows: waiting for those would save no
/// call. Any other is waited for, whoever signed it: a replica loads one leaf after the other, and what
/// comes between the one it presents and the one of the Secret may be of an older CA.
fn issuer_in_use<'a>(
    leaf: &Certificate,
    known: &'a Bundle,
    now: Timestamp,
) -> Option<&'a Certificate> {
    let issuer = known.issuer_of(leaf);
    issuer.filter(|_| now <= leaf.facts().not_after)
}

fn is_signer(issuer: &Certificate, signer: Option<&Signer>) -> bool {
    signer.is_some_and(|signer| signer.certificate().public_key() == issuer.public_key())
}

fn earlier(issuer: &Certificate) -> AwaitReason {
    AwaitReason::EarlierLeaf {
        issuer: issuer.facts().subject.clone(),
    }
}
