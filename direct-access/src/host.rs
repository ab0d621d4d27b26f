//! What may be the host of a rule, whoever asks for the rule.

use crate::problem::{Code, Problem};

/// Characters of a domain (API reference of `CreateRule`).
const LONGEST: usize = 80;

/// Why a host cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `*.example.com`.
    Wildcard,
    /// No domain at all.
    NoDomain,
}

/// Whether a rule can have this host.
pub(crate) fn check(host: &str) -> Result<(), Fault> {
    let wildcard = host.strip_prefix("*.");
    let domain = wildcard.unwrap_or(host);
    let fits = host.len() <= LONGEST && domain.contains('.') && is_domain(domain);
    match (fits, wildcard) {
        (false, _) => Err(Fault::NoDomain),
        (true, Some(_)) => Err(Fault::Wildcard),
        (true, None) => Ok(()),
    }
}

/// Labels of lower-case letters, digits and hyphens, with dots between them: also what Kubernetes accepts
/// as the name of most objects.
pub(crate) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edge = |b: Option<&u8>| b.is_some_and(|b| *b != b'-');
        let bytes = label.as_bytes();
        bytes.iter().all(|b| inner(*b)) && edge(bytes.first()) && edge(bytes.last())
    };
    text.split('.').all(label)
}

impl Fault {
    /// What would be accepted, or what to do.
    pub(crate) const fn accepted(self) -> &'static str {
        match self {
            Self::Wildcard => {
                "a health check asks for one domain and cannot ask for a wildcard; name the hosts one by one"
            }
            Self::NoDomain => {
                "accepted is a domain of lower-case letters, digits, - and at least one dot, at most 80 characters"
            }
        }
    }

    /// The problem with TKE's code, where TKE has one for it.
    pub(crate) fn coded(self, problem: Problem) -> Problem {
        match self {
            Self::Wildcard => problem,
            Self::NoDomain => problem.coded(Code::Host),
        }
    }
}
