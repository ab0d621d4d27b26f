//! Everything that an explanation can find, with what it is and what to do about it.

mod binding;
mod object;
mod pod;

pub use binding::OfBinding;
pub use object::OfObject;
pub use pod::OfPod;

use direct_access::Owner;
use serde::Serialize;

/// How much a finding matters, from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Nothing to do.
    #[default]
    Fine,
    /// It passes by itself.
    Waits,
    /// Somebody must mend it.
    Mend,
}

/// Where a binding is, in the words of the gate's condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Load balancer, listener, rule and target: `lb-demo0001 TCP:80 -> 198.18.1.5:8080`.
    pub place: String,
    /// Who asks for it.
    pub owner: Owner,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Of a pod as a whole.
    Pod(OfPod),
    /// Of one of its bindings.
    Binding(At, OfBinding),
    /// Of a Service or an Ingress.
    Object(OfObject),
    /// No controller leads in this installation.
    NobodyLeads(String),
    /// So many pods of an object have something in common, here of the first.
    Pods(usize, String, Box<Self>),
}

impl Finding {
    /// Its name, which does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Pod(found) => found.code(),
            Self::Binding(_, found) => found.code(),
            Self::Object(found) => found.code(),
            Self::NobodyLeads(_) => "nobodyLeads",
            Self::Pods(_, _, inner) => inner.code(),
        }
    }

    /// How much it matters.
    pub fn weight(&self) -> Weight {
        match self {
            Self::Pod(found) => found.weight(),
            Self::Binding(_, found) => found.weight(),
            Self::Object(found) => found.weight(),
            Self::NobodyLeads(_) => Weight::Mend,
            Self::Pods(_, _, inner) => inner.weight(),
        }
    }

    /// Where it is, for findings about one binding.
    pub fn at(&self) -> Option<&At> {
        match self {
            Self::Binding(at, _) => Some(at),
            Self::Pods(_, _, inner) => inner.at(),
            Self::Pod(_) | Self::Object(_) | Self::NobodyLeads(_) => None,
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::Pod(found) => found.says(),
            Self::Binding(_, found) => found.says(),
            Self::Object(found) => found.says(),
            Self::NobodyLeads(namespace) => format!(
                "no controller leads: the lease {namespace}/clb-gate-controller is not renewed, so nothing is bound and no \
                 gate opens"
            ),
            Self::Pods(1, first, inner) => format!("pod {first}: {}", inner.says()),
            Self::Pods(count, first, inner) => {
                format!("{count} pods, of which {first}: {}", inner.says())
            }
        }
    }

    /// What to do about it, where there is something.
    pub fn cure(&self) -> Option<String> {
        match self {
            Self::Pod(found) => found.cure().map(str::to_owned),
            Self::Binding(at, found) => Some(found.cure(&at.owner)),
            Self::Object(found) => found.cure().map(str::to_owned),
            Self::NobodyLeads(namespace) => Some(format!(
                "see kubectl get pods -n {namespace} -l app.kubernetes.io/component=controller, and clb-gate doctor"
            )),
            Self::Pods(_, _, inner) => inner.cure(),
        }
    }
}

impl From<OfPod> for Finding {
    fn from(found: OfPod) -> Self {
        Self::Pod(found)
    }
}

impl From<OfObject> for Finding {
    fn from(found: OfObject) -> Self {
        Self::Object(found)
    }
}
