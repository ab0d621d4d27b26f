//! What the plan answers: one step, with its reason, in words that a person can follow.

use crate::{bundle::Bundle, issue::Signer, verify::Problem};
use jiff::Timestamp;
use std::fmt;

/// Why a new CA is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaReason {
    /// Somebody asked for it.
    #[error("a new CA was asked for ({id})")]
    Asked {
        /// Id of the request.
        id: String,
    },
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
    /// Somebody asked for it.
    #[error("a new leaf was asked for ({id})")]
    Asked {
        /// Id of the request.
        id: String,
    },
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

/// A replica that keeps an older CA in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The pod's name.
    pub replica: String,
    /// Why it is waited for.
    pub why: AwaitReason,
}

/// Why a replica is waited for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwaitReason {
    /// It has not loaded the new leaf yet.
    #[error("still presents an earlier leaf, signed by {issuer}")]
    EarlierLeaf {
        /// Subject of the CA that signed it.
        issuer: String,
    },
    /// It is Ready, so calls may reach it, but it shows us nothing.
    #[error("is Ready but cannot be seen: {0}")]
    Unseen(String),
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.replica, self.why)
    }
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
        /// What the registration holds meanwhile.
        bundle: Bundle,
    },
    /// Write a leaf Secret with a new leaf signed by `signer`, and the signer's certificate beside it.
    IssueLeaf {
        /// Why.
        reason: LeafReason,
        /// The CA that signs.
        signer: Box<Signer>,
        /// What the registration holds meanwhile.
        bundle: Bundle,
        /// Whether the API servers must first have had time to learn of the signer: replicas may serve
        /// a leaf of another CA, which is trusted now.
        settle: bool,
    },
    /// Put `bundle` into the registration, making the registration if there is none.
    PublishBundle {
        /// What the API server must trust.
        bundle: Bundle,
    },
    /// The leaf stays, only the CA stored beside it is corrected.
    RefreshLeafBundle {
        /// What belongs beside the leaf.
        beside: Bundle,
        /// What the registration holds meanwhile.
        bundle: Bundle,
    },
    /// Ask every replica which leaf it presents, then ask for the next step again.
    Look {
        /// What the registration holds meanwhile.
        bundle: Bundle,
    },
    /// Replicas keep an older CA in use: look again within a second or so.
    Await {
        /// Who, and why.
        awaited: Vec<Awaited>,
        /// What the registration holds meanwhile.
        bundle: Bundle,
    },
    /// The CA Secret keeps only `keep`: nobody needs the older CAs any more. The key stays.
    ForgetCas {
        /// What stays in the CA Secret.
        keep: Bundle,
        /// What the registration holds.
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

impl Step {
    /// What the registration should hold now, whatever the step is.
    pub fn bundle(&self) -> &Bundle {
        match self {
            Self::CreateCa { bundle, .. }
            | Self::IssueLeaf { bundle, .. }
            | Self::PublishBundle { bundle }
            | Self::RefreshLeafBundle { bundle, .. }
            | Self::Look { bundle }
            | Self::Await { bundle, .. }
            | Self::ForgetCas { bundle, .. }
            | Self::Keep { bundle, .. } => bundle,
        }
    }

    /// A label for metrics and JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CreateCa { .. } => "create-ca",
            Self::IssueLeaf { .. } => "issue-leaf",
            Self::PublishBundle { .. } => "publish-bundle",
            Self::RefreshLeafBundle { .. } => "refresh-leaf-bundle",
            Self::Look { .. } => "look",
            Self::Await { .. } => "await",
            Self::ForgetCas { .. } => "forget-cas",
            Self::Keep { .. } => "keep",
        }
    }

    /// Every [`Self::name`], for metrics that show zeros too.
    pub const NAMES: [&str; 8] = [
        "await",
        "create-ca",
        "forget-cas",
        "issue-leaf",
        "keep",
        "look",
        "publish-bundle",
        "refresh-leaf-bundle",
    ];
}

/// For people: what is to be done and why.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateCa {
                reason, generation, ..
            } => write!(f, "make CA generation {generation}: {reason}"),
            Self::IssueLeaf { reason, signer, .. } => {
                let subject = &signer.certificate().facts().subject;
                write!(f, "issue a leaf signed by {subject}: {reason}")
            }
            Self::PublishBundle { bundle } => {
                write!(f, "publish the bundle [{}]", bundle.subjects())
            }
            Self::RefreshLeafBundle { .. } => f.write_str("correct the CA stored beside the leaf"),
            Self::Look { .. } => f.write_str("ask every replica which leaf it presents"),
            Self::Await { awaited, .. } => write!(f, "wait: {}", list(awaited)),
            Self::ForgetCas { .. } => f.write_str("forget the older CAs, nobody needs them"),
            Self::Keep { until, .. } => write!(f, "nothing until {until}"),
        }
    }
}

fn list(items: &[impl ToString]) -> String {
    let texts: Vec<_> = items.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
