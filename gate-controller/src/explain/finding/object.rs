//! What can be found of a Service or an Ingress.

use direct_access::Owner;

use super::Weight;

/// What was found of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfObject {
    /// It is not ours, and why.
    NotOurs(Owner, String),
    /// What the judgement or the planner says must be mended, or will have to be soon.
    ToMend(String),
    /// The Service selects no pod: its selector.
    SelectsNothing(String, String),
    /// All is well: pods behind it.
    Serves(usize),
}

impl OfObject {
    /// Its name, which does not change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotOurs(..) => "notOurs",
            Self::ToMend(_) => "toMend",
            Self::SelectsNothing(..) => "selectsNothing",
            Self::Serves(_) => "serves",
        }
    }

    /// How much it matters.
    pub const fn weight(&self) -> Weight {
        match self {
            Self::Serves(_) => Weight::Fine,
            Self::NotOurs(..) | Self::ToMend(_) | Self::SelectsNothing(..) => Weight::Mend,
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::NotOurs(owner, why) => format!("{owner} is left alone: {why}"),
            Self::ToMend(what) => what.clone(),
            Self::SelectsNothing(service, selector) => {
                format!("Service {service} selects no pod: spec.selector is {selector:?}")
            }
            Self::Serves(1) => "1 pod is behind it".to_owned(),
            Self::Serves(count) => format!("{count} pods are behind it"),
        }
    }

    /// What to do about it, where there is something that was not said.
    pub const fn cure(&self) -> Option<&'static str> {
        match self {
            Self::NotOurs(..) => Some("docs/annotations.md says what makes an object clb-gate's"),
            Self::SelectsNothing(..) => Some(
                "let it select labels that the pod template has; kubectl get pods --show-labels shows them",
            ),
            Self::ToMend(_) | Self::Serves(_) => None,
        }
    }
}
