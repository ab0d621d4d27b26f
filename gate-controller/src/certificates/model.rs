//! A report: what `certs status` says. Its JSON has stable fields: they are only added, never renamed.

use certs::plan::Standing;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// How it stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Healthy,
    /// It could not be found out.
    Unknown,
    /// A step is due, and whoever leads takes it.
    Due,
    /// A rotation is under way.
    Rotating,
    /// A pod's creation may fail, or the pod go without the gate.
    Broken,
}

impl Verdict {
    /// For scripts.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Unknown => 1,
            Self::Due | Self::Rotating => 2,
            Self::Broken => 3,
        }
    }

    /// As it is printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
            Self::Due => "due",
            Self::Rotating => "rotating",
            Self::Broken => "broken",
        }
    }
}

/// What there is, what it means, and what to do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// In one word.
    pub verdict: Verdict,
    /// In one line.
    pub headline: String,
    /// Everything that is not as it should be, the worst first.
    pub reasons: Vec<String>,
    /// What a person can do about it.
    pub advice: Vec<String>,
    /// What to know besides.
    pub notes: Vec<String>,
    /// Where clb-gate is installed.
    pub namespace: String,
    /// When this was read.
    pub at: Timestamp,
    /// Every CA in Secret or bundle, newest first.
    pub cas: Vec<CaLine>,
    /// The leaf of the Secret.
    pub leaf: Option<LeafLine>,
    /// The webhook's pods.
    pub replicas: Vec<ReplicaLine>,
    /// The registration; `None` if there is none.
    pub registration: Option<RegistrationLine>,
    /// What comes next.
    pub next: NextLine,
    /// Renewals asked for and not yet made.
    pub pending: Vec<PendingLine>,
    /// Who would do it.
    pub leader: LeaderLine,
}

/// A CA.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaLine {
    /// Its number, if it is one of ours.
    pub generation: Option<u64>,
    /// Its subject.
    pub subject: String,
    /// SHA-256 in hex.
    pub fingerprint: String,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Whole days until then, negative once it is over.
    pub days_left: i64,
    /// When it is renewed; only of the one that signs.
    pub due: Option<Timestamp>,
    /// The CA Secret has it.
    pub in_secret: bool,
    /// The API server trusts it when it asks about pods.
    pub in_bundle: bool,
    /// It signs from now on.
    pub signs: bool,
}

/// The leaf in the Secret.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeafLine {
    /// Subject of who signed it.
    pub issuer: String,
    /// Number of who signed it, where it is known.
    pub issuer_generation: Option<u64>,
    /// SHA-256 in hex.
    pub fingerprint: String,
    /// The names it is good for.
    pub names: Vec<String>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Whole days until then, negative once it is over.
    pub days_left: i64,
    /// When it is renewed.
    pub due: Timestamp,
}

/// A webhook pod.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaLine {
    /// The pod's name.
    pub pod: String,
    /// Where it runs.
    pub node: Option<String>,
    /// Whether calls reach it.
    pub ready: bool,
    /// Whether it is being deleted.
    pub going: bool,
    /// How what it presents stands: current, older, untrusted or unseen.
    #[serde(serialize_with = "standing")]
    pub serves: Standing,
    /// SHA-256 of what it presents, in hex.
    pub fingerprint: Option<String>,
    /// Subject of who signed what it presents.
    pub issuer: Option<String>,
    /// Why it is untrusted or unseen.
    pub why: Option<String>,
    /// Why it does not serve what the Secret holds.
    pub refused: Vec<String>,
}

/// The registration.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationLine {
    /// Its entries.
    pub entries: Vec<EntryLine>,
    /// Fields that are not as they should be now.
    pub differences: Vec<String>,
}

/// An entry.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryLine {
    /// Its name.
    pub name: String,
    /// Ignore or Fail.
    pub failure_policy: String,
    /// Subjects of whom it trusts.
    pub bundle: Vec<String>,
    /// The bundle is what the plan wants it to be now.
    pub agrees: bool,
}

/// What comes next.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NextLine {
    /// The plan's step: keep, create-ca, publish-bundle and so on.
    pub step: &'static str,
    /// In words.
    pub what: String,
    /// When, if not now.
    pub at: Option<Timestamp>,
}

/// A renewal that was asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingLine {
    /// ca or leaf.
    pub what: &'static str,
    /// The request.
    pub id: String,
}

/// Who leads.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderLine {
    /// Who holds the lease.
    pub holder: Option<String>,
    /// When it was renewed, by the holder's clock.
    pub renewed: Option<Timestamp>,
    /// Whether that was lately.
    pub leads: bool,
}

impl Report {
    /// For programs.
    pub fn json(&self) -> String {
        // Nothing in it can fail to serialise: no maps with odd keys, no floats.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn standing<S: Serializer>(standing: &Standing, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(standing.name())
}
