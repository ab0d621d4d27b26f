//! What the plan looks at: the Secrets, the registration, what the replicas serve, and what somebody
//! asked for. Nothing here is checked.

use crate::{
    bundle::Bundle,
    layout::{CaMaterial, LeafMaterial, ServiceNames},
    parse::Certificate,
    verify,
};
use jiff::Timestamp;

/// Everything the plan looks at, unchecked.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The CA Secret, `None` if it does not exist.
    pub ca: Option<CaMaterial>,
    /// The leaf Secret, `None` if it does not exist.
    pub leaf: Option<LeafMaterial>,
    /// The `caBundle` of the registration, `None` if there is no registration (then nobody calls).
    pub published: Option<Vec<u8>>,
    /// Every replica that serves or claims to, `None` if nobody has looked. A pod that is neither Ready
    /// nor answers a TLS handshake does not serve and must not be in it.
    pub serving: Option<Vec<Replica>>,
    /// Whether somebody asks for a new CA.
    pub ca_renewal: Renewal,
    /// Whether somebody asks for a new leaf.
    pub leaf_renewal: Renewal,
}

/// A renewal that somebody may have asked for, as the annotations say
/// ([`RENEW_REQUESTED`](crate::layout::RENEW_REQUESTED), [`RENEW_DONE`](crate::layout::RENEW_DONE)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Id of the last request.
    pub requested: Option<String>,
    /// Id of the last request that was honoured.
    pub done: Option<String>,
}

impl Renewal {
    /// The request that waits, if any.
    pub fn pending(&self) -> Option<&str> {
        let requested = self.requested.as_deref().filter(|id| !id.is_empty());
        requested.filter(|_| self.requested != self.done)
    }
}

/// A webhook pod as a look found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The pod's name.
    pub name: String,
    /// Whether the pod is Ready, so that the Service sends calls to it.
    pub ready: bool,
    /// What it answered.
    pub presents: Presents,
}

/// What a replica shows in a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presents {
    /// This leaf.
    Leaf(Box<Certificate>),
    /// Nothing, and why: no connection, no handshake, no readable certificate.
    Nothing(String),
}

/// How a replica stands to the leaf of the Secret and to the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It presents the leaf of the Secret, and the bundle trusts it.
    Current,
    /// It presents another leaf that the bundle trusts.
    Older,
    /// It presents a leaf that the bundle does not trust: calls to it fail.
    Untrusted,
    /// It does not show what it presents.
    Unseen,
}

impl Standing {
    /// All of them, for reports that show zeros too.
    pub const ALL: [Self; 4] = [Self::Current, Self::Older, Self::Untrusted, Self::Unseen];

    /// A label for metrics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Older => "older",
            Self::Untrusted => "untrusted",
            Self::Unseen => "unseen",
        }
    }
}

impl Replica {
    /// How it stands to `leaf`, the one of the Secret, and to `bundle`, the published one.
    pub fn standing(
        &self,
        leaf: Option<&Certificate>,
        bundle: &Bundle,
        names: &ServiceNames,
        now: Timestamp,
    ) -> Standing {
        let Presents::Leaf(presented) = &self.presents else {
            return Standing::Unseen;
        };
        if verify::trust(bundle, presented, names, now).is_err() {
            Standing::Untrusted
        } else if leaf == Some(presented) {
            Standing::Current
        } else {
            Standing::Older
        }
    }
}
