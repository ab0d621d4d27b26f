//! Who asks for something: a Service or an Ingress.

use std::fmt;

use crate::problem::Problem;
use crate::service::ObjectRef;

/// Which kind of object asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A Service.
    #[default]
    Service,
    /// An Ingress.
    Ingress,
}

/// The object that asks for something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub object: ObjectRef,
}

impl Kind {
    /// As Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Ingress => "Ingress",
        }
    }

    /// The API it belongs to.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Service => "v1",
            Self::Ingress => "networking.k8s.io/v1",
        }
    }
}

impl Owner {
    /// A Service.
    pub const fn service(object: ObjectRef) -> Self {
        Self {
            kind: Kind::Service,
            object,
        }
    }

    /// An Ingress.
    pub const fn ingress(object: ObjectRef) -> Self {
        Self {
            kind: Kind::Ingress,
            object,
        }
    }

    /// What its user should mend: the field, what was read there, and what is accepted.
    pub fn problem(&self, field: &str, value: &str, accepted: &str) -> Problem {
        Problem {
            object: self.clone(),
            field: field.to_owned(),
            value: value.to_owned(),
            accepted: accepted.to_owned(),
            code: None,
        }
    }

    /// The same of one of its annotations.
    pub fn annotation_problem(&self, key: &str, value: &str, accepted: &str) -> Problem {
        self.problem(&format!("metadata.annotations[{key}]"), value, accepted)
    }

    /// Short, where a Service is what is expected: `shop/web`, and `Ingress shop/web` for the other kind.
    pub fn short(&self) -> String {
        match self.kind {
            Kind::Service => self.object.to_string(),
            Kind::Ingress => self.to_string(),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.object)
    }
}
