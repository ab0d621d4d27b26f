//! What a user should mend, in the words every message has: object, field, value, what is accepted.

use std::fmt;

use crate::owner::Owner;

/// Something a user should mend: what, where, what was read, what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The object.
    pub object: Owner,
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
    /// An entry of `spec.tls` names no Secret.
    SecretNameEmpty,
    /// A rule has no paths.
    NoPaths,
    /// `http-rules` cannot be read.
    HttpRules,
    /// `https-rules` cannot be read.
    HttpsRules,
    /// A path is not one.
    Path,
    /// The id of a certificate is not one.
    CertificateId,
    /// A host has no certificate.
    NoCertificate,
    /// There is no such Service.
    ServiceNotFound,
    /// The Service has no such port.
    ServicePortNotFound,
    /// `rule-mix` cannot be read.
    RuleMix,
    /// Several certificates for all hosts that have none of their own.
    SeveralDefaultCertificates,
    /// Several certificates for one host.
    SeveralCertificates,
    /// A host is not one.
    Host,
    /// There is no such `TkeServiceConfig`.
    ConfigNotFound,
    /// The name of a `TkeServiceConfig` is one that TKE keeps for itself.
    ConfigName,
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
            Self::SecretNameEmpty => "E4009",
            Self::NoPaths => "E4013",
            Self::HttpRules => "E4022",
            Self::HttpsRules => "E4023",
            Self::Path => "E4031",
            Self::CertificateId => "E4035",
            Self::NoCertificate => "E4040",
            Self::ServiceNotFound => "E4041",
            Self::ServicePortNotFound => "E4042",
            Self::RuleMix => "E4044",
            Self::SeveralDefaultCertificates => "E4048",
            Self::SeveralCertificates => "E4049",
            Self::Host => "E4052",
            Self::ConfigNotFound => "E4043",
            Self::ConfigName => "E4051",
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
        write!(f, "{object}: {field} is {value:?}; {accepted}")?;
        match code {
            None => Ok(()),
            Some(code) => write!(f, " ({})", code.as_str()),
        }
    }
}
