//! What an API server's answer to the canary says about the chain. Pure.
//!
//! Admission runs in a fixed order: authorisation, then everything that changes the pod, our webhook
//! among it, then everything that only looks at it: Pod Security, policies, quotas. A refusal of the
//! canary by one of those is no proof that the chain is broken, and must never be taken for one. An API
//! server says who refused in words only, so these are the words of Kubernetes 1.30 to 1.36 (apiserver's
//! `pkg/admission`, `pkg/util/webhook`).

use std::fmt;

use direct_access::names;
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Pod};
use runtime::CallError;

use super::pod;

/// Longer texts are cut: an Event has room for 1,024 characters.
const LONGEST_TEXT: usize = 400;

/// What a look found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The pod came back with the gate.
    Works,
    /// Real pods go without the gate, or are not created at all.
    Broken {
        /// Where it broke.
        cause: Cause,
        /// What the API server said.
        text: String,
    },
    /// Somebody else refused the canary, so nothing was proved.
    Denied {
        /// Who.
        by: Denial,
        /// What the API server said.
        text: String,
    },
    /// There was no answer to judge.
    Unknown {
        /// What happened instead.
        text: String,
    },
}

/// Where the chain is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection to the webhook.
    CannotReach,
    /// The API server does not trust what it is shown, or is shown nothing.
    NotTrusted,
    /// No answer in time.
    TimedOut,
    /// An answer that is none.
    Answered,
    /// The pod was created and has no gate, although the registration asks for it.
    NotInjected,
    /// The registration, or its entry for the canary, is not there.
    NotRegistered,
}

/// Who refused the canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A `ResourceQuota`.
    Quota,
    /// A `LimitRange`.
    LimitRange,
    /// The Pod Security Standard of the namespace.
    PodSecurity,
    /// A `ValidatingAdmissionPolicy` or `MutatingAdmissionPolicy`.
    Policy,
    /// Somebody else's webhook, by an answer or by failing.
    Webhook,
    /// We may not create pods there.
    Rbac,
    /// The namespace is missing or goes.
    Namespace,
    /// The namespace has no `ServiceAccount` `default` (yet).
    ServiceAccount,
    /// Somebody whom we do not know.
    Other,
}

/// Judges what came of the dry run.
pub fn judge(answer: &Result<Pod, CallError>) -> Verdict {
    match answer {
        Ok(pod) if pod::has_gate(pod) => Verdict::Works,
        Ok(_) => Cause::NotInjected.with("the pod came back without the gate"),
        Err(error) => match (error.code(), said(error)) {
            (Some(code), Some(text)) => refused(code, text),
            _ => Verdict::unknown(&error.to_string()),
        },
    }
}

/// A pod without the gate, seen together with the registration.
pub(super) fn without_gate(
    registration: Result<&Option<MutatingWebhookConfiguration>, &CallError>,
) -> Verdict {
    let Ok(registration) = registration else {
        return Cause::NotInjected.with("the pod came back without the gate");
    };
    let Some(registration) = registration else {
        return Cause::NotRegistered.with("there is no MutatingWebhookConfiguration clb-gate");
    };
    let mut entries = registration.webhooks.iter().flatten();
    if entries.any(|entry| entry.name == names::CANARY_ENTRY) {
        Cause::NotInjected.with("the pod came back without the gate")
    } else {
        Cause::NotRegistered
            .with("MutatingWebhookConfiguration clb-gate has no entry canary.clb-gate.io")
    }
}

fn said(error: &CallError) -> Option<&str> {
    let CallError::Api { source, .. } = error else {
        return None;
    };
    if let kube::Error::Api(status) = source.as_ref() {
        Some(&status.message)
    } else {
        None
    }
}

fn refused(code: u16, text: &str) -> Verdict {
    if let Some((name, reason)) = quoted(text, "failed calling webhook ") {
        return called(name, reason, text);
    }
    if let Some((name, _)) = quoted(text, "admission webhook ") {
        // Ours denies nothing; whoever answers in its name is not ours.
        return if name == names::CANARY_ENTRY {
            Cause::Answered.with(text)
        } else {
            Denial::Webhook.with(text)
        };
    }
    let denial = match code {
        403 | 422 | 400 | 404 | 409 => Denial::of(code, text),
        // The API server is in trouble or has no time; 401 is about our token.
        _ => return Verdict::unknown(text),
    };
    denial.with(text)
}

/// A webhook with `failurePolicy: Fail` could not be called. Only our own says something about us.
fn called(name: &str, reason: &str, text: &str) -> Verdict {
    if name != names::CANARY_ENTRY {
        return Denial::Webhook.with(text);
    }
    // The address says `timeout=3s`, which is no timeout.
    let (posted, said) = match quoted(reason, "Post ") {
        Some((_, said)) => (true, said),
        None => (false, reason),
    };
    let has = |any: &[&str]| any.iter().any(|words| said.contains(words));
    let cause = if has(&["context deadline exceeded", "timeout", "Timeout"]) {
        Cause::TimedOut
    } else if has(&["x509:", "tls:", "root certificates"]) {
        Cause::NotTrusted
    } else if posted {
        Cause::CannotReach
    } else {
        Cause::Answered
    };
    cause.with(text)
}

/// The name in quotes after `words`, and what follows it.
fn quoted<'t>(text: &'t str, words: &str) -> Option<(&'t str, &'t str)> {
    let (_, rest) = text.split_once(words)?;
    rest.strip_prefix('"')?.split_once('"')
}

impl Denial {
    fn of(code: u16, text: &str) -> Self {
        let known = [
            ("exceeded quota", Self::Quota),
            ("failed quota", Self::Quota),
            (" usage per ", Self::LimitRange),
            ("enforcing limit ranges", Self::LimitRange),
            ("limit to request ratio", Self::LimitRange),
            ("violates PodSecurity", Self::PodSecurity),
            ("denied request", Self::Policy),
            ("cannot create resource", Self::Rbac),
            ("error looking up service account", Self::ServiceAccount),
            ("because it is being terminated", Self::Namespace),
        ];
        let found = known.iter().find(|(words, _)| text.contains(words));
        match found {
            Some((_, denial)) => *denial,
            None if code == 404 => Self::Namespace,
            None => Self::Other,
        }
    }

    fn with(self, text: &str) -> Verdict {
        let (by, text) = (self, cut(text));
        Verdict::Denied { by, text }
    }
}

impl Cause {
    fn with(self, text: &str) -> Verdict {
        let (cause, text) = (self, cut(text));
        Verdict::Broken { cause, text }
    }

    /// Where somebody should look.
    fn advice(self) -> &'static str {
        match self {
            Self::CannotReach | Self::TimedOut => {
                "Look at the endpoints (kubectl get endpointslices,pods -n clb-gate), and at what may \
                 stand between the API server and port 8443 of the webhook's pods: NetworkPolicies, \
                 security groups, routes"
            }
            Self::NotTrusted => "Look at what is served and what is trusted: clb-gate certs status",
            Self::Answered => {
                "Look at the log of the webhook's pods, and whether Service clb-gate-webhook selects \
                 anything else"
            }
            Self::NotInjected => {
                "Look for whoever changes MutatingWebhookConfiguration clb-gate, or takes the gate \
                 away after it: clb-gate certs status, and the other mutating webhooks and policies"
            }
            Self::NotRegistered => {
                "Self-heal makes it once a webhook serves; if it stays away, look at the controller's \
                 log and at clb-gate certs status"
            }
        }
    }
}

impl Verdict {
    /// The metric's label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Broken { .. } => "broken",
            Self::Denied { .. } => "denied",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// The verdict without the words, finer than [`Self::label`].
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Works => "the canary gets its gate",
            Self::Broken { cause, .. } => cause.kind(),
            Self::Denied { by, .. } => by.kind(),
            Self::Unknown { .. } => "the API server gave no answer to judge",
        }
    }

    /// For an Event: what it is, what follows from it, where to look.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Broken { cause, .. } => format!(
                "{self}. Until it is mended new pods get no gate (failurePolicy Ignore) or are not \
                 created (Fail). {}",
                cause.advice()
            ),
            Self::Works | Self::Denied { .. } | Self::Unknown { .. } => self.to_string(),
        }
    }

    pub(super) fn is_without_gate(&self) -> bool {
        matches!(
            self,
            Self::Broken {
                cause: Cause::NotInjected,
                ..
            }
        )
    }

    fn unknown(text: &str) -> Self {
        Self::Unknown { text: cut(text) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::Works => Ok(()),
            Self::Broken { text, .. } | Self::Denied { text, .. } | Self::Unknown { text } => {
                write!(f, ": {text}")
            }
        }
    }
}

impl Cause {
    fn kind(self) -> &'static str {
        match self {
            Self::CannotReach => "the API server cannot reach the webhook",
            Self::NotTrusted => "the API server does not trust the webhook",
            Self::TimedOut => "the API server got no answer from the webhook in time",
            Self::Answered => "the API server got no proper answer from the webhook",
            Self::NotInjected => "the API server asks for no gate",
            Self::NotRegistered => "the API server does not know the webhook",
        }
    }
}

impl Denial {
    fn kind(self) -> &'static str {
        match self {
            Self::Quota => "nothing proved, a quota refused the canary",
            Self::LimitRange => "nothing proved, a limit range refused the canary",
            Self::PodSecurity => "nothing proved, Pod Security refused the canary",
            Self::Policy => "nothing proved, an admission policy refused the canary",
            Self::Webhook => "nothing proved, another webhook refused the canary",
            Self::Rbac => "nothing proved, the controller may not create the canary",
            Self::Namespace => "nothing proved, the canary's namespace is missing or going",
            Self::ServiceAccount => "nothing proved, the canary's namespace has no ServiceAccount",
            Self::Other => "nothing proved, somebody refused the canary",
        }
    }
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(LONGEST_TEXT);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
