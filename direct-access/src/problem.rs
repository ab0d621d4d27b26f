//! What a user should mend, in the words every message has: object, field, value, what is accepted.

use std::fmt;

use crate::service::ObjectRef;

/// Something a user should mend: what, where, what was read, what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The Service.
    pub object: ObjectRef,
    /// The field, e.g. `metadata.annotations[…]`.
    pub field: String,
    /// What was read.
    pub value: String,
    /// What would be accepted, or what to do.
    pub accepted: String,
    /// Which of TKE's codes it is, where TKE has one for it.
    pub code: Option<Code>,
}

/// TKE's error codes, which users know from its Events and can look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The account's quota of CLBs is used up.
    LoadBalancerQuota,
    /// The CLB's quota of listeners is used up.
    ListenerQuota,
    /// The listener's quota of rules is used up.
    RuleQuota,
    /// A batch of targets was refused.
    BatchTarget,
    /// `direct-access` is neither `"true"` nor `"false"`.
    DirectAccessValue,
}

impl Code {
    /// As TKE writes it (tke-guide, appendix on error codes).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoadBalancerQuota => "E4003",
            Self::ListenerQuota => "E4004",
            Self::RuleQuota => "E4005",
            Self::BatchTarget => "E5009",
            Self::DirectAccessValue => "E4037",
        }
    }
}

impl Problem {
    /// The same with TKE's code.
    #[must_use]
    pub fn coded(self, code: Code) -> Self {
        Self {
            code: Some(code),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object,
            field,
            value,
            accepted,
            code,
        } = self;
        write!(f, "Service {object}: {field} is {value:?}; {accepted}")?;
        match code {
            None => Ok(()),
            Some(code) => write!(f, " ({})", code.as_str()),
        }
    }
}
