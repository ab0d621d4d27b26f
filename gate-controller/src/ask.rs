//! A call to the API server on behalf of a person at a terminal: with a deadline, and with an error that
//! names the right that is missing instead of quoting RBAC's own words.

use std::time::Duration;

use runtime::CallError;

use crate::cloud::chain;

/// Enough for a laptop far away from the cluster.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What is done to what: the words of an RBAC rule.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a> {
    /// get, list, update…
    pub verb: &'a str,
    /// API group; empty is the core's.
    pub group: &'a str,
    /// Plural, with its subresource.
    pub resource: &'a str,
    /// Empty for what belongs to the whole cluster.
    pub namespace: &'a str,
    /// Empty where all are meant.
    pub name: &'a str,
}

impl<'a> Right<'a> {
    /// A right over something of the core API in a namespace.
    pub fn core(verb: &'a str, resource: &'a str, (namespace, name): (&'a str, &'a str)) -> Self {
        Self {
            verb,
            group: "",
            resource,
            namespace,
            name,
        }
    }

    fn attempt(&self) -> String {
        let Self {
            verb,
            resource,
            namespace,
            name,
            ..
        } = self;
        match (namespace.is_empty(), name.is_empty()) {
            (true, true) => format!("{verb} {resource}"),
            (true, false) => format!("{verb} {resource} {name}"),
            (false, true) => format!("{verb} {resource} in {namespace}"),
            (false, false) => format!("{verb} {resource} {namespace}/{name}"),
        }
    }

    fn rule(&self) -> String {
        let Self {
            verb,
            group,
            resource,
            namespace,
            name,
        } = self;
        let only = if name.is_empty() {
            String::new()
        } else {
            format!(r#", resourceNames: ["{name}"]"#)
        };
        let place = if namespace.is_empty() {
            "a ClusterRole".to_owned()
        } else {
            format!("a Role in namespace {namespace}")
        };
        format!(
            r#"{{apiGroups: ["{group}"], resources: ["{resource}"]{only}, verbs: ["{verb}"]}} of {place}"#
        )
    }
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// RBAC says no.
    #[error("{attempt}: forbidden; whoever runs this needs the rule {rule}")]
    Forbidden {
        /// What was attempted.
        attempt: String,
        /// The rule that is missing.
        rule: String,
        /// What the API server said.
        cause: CallError,
    },
    /// The API server does not know us.
    #[error(
        "{attempt}: the API server does not accept these credentials; log in to the cluster again, or choose another context"
    )]
    Unauthorized {
        /// What was attempted.
        attempt: String,
        /// What the API server said.
        cause: CallError,
    },
    /// No answer.
    #[error(
        "{}; check that KUBECONFIG and its current context name the right cluster, and that it can be reached from here",
        chain(.0)
    )]
    Unreachable(CallError),
    /// The API server said something else.
    #[error("{}", plain(.0))]
    Call(CallError),
}

impl AskError {
    fn new(error: CallError, right: &Right<'_>) -> Self {
        match error.code() {
            // A 403 also comes from admission and quotas; those say so themselves.
            Some(403) if says_rbac(&error) => Self::Forbidden {
                attempt: right.attempt(),
                rule: right.rule(),
                cause: error,
            },
            Some(401) => Self::Unauthorized {
                attempt: right.attempt(),
                cause: error,
            },
            None if no_status(&error) => Self::Unreachable(error),
            _ => Self::Call(error),
        }
    }

    /// Somebody wrote first, or the object is not in the state that was assumed.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_conflict())
    }

    /// There is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Call(error) if error.is_not_found())
    }

    /// A later try may succeed as it is.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Call(error) => error.is_transient(),
            Self::Forbidden { .. } | Self::Unauthorized { .. } => false,
        }
    }

    /// Whether whoever asked may not.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Forbidden { .. } | Self::Unauthorized { .. })
    }
}

impl From<AskError> for CallError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Forbidden { cause, .. }
            | AskError::Unauthorized { cause, .. }
            | AskError::Unreachable(cause)
            | AskError::Call(cause) => cause,
        }
    }
}

/// The server's own sentence, without the structure around it.
fn plain(error: &CallError) -> String {
    if let CallError::Api { attempt, source } = error
        && let kube::Error::Api(status) = source.as_ref()
    {
        return format!("{attempt}: {} ({})", status.message, status.code);
    }
    chain(error)
}

/// The authorizer's message names user, verb and resource ("cannot get resource").
fn says_rbac(error: &CallError) -> bool {
    chain(error).contains("cannot ")
}

/// An answer that cannot be read is not silence.
fn no_status(error: &CallError) -> bool {
    match error {
        CallError::Timeout { .. } => true,
        CallError::Api { source, .. } => !matches!(
            source.as_ref(),
            kube::Error::Api(_) | kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)
        ),
        _ => false,
    }
}

/// Makes one call.
pub async fn ask<T>(
    right: Right<'_>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, AskError> {
    ask_within(DEADLINE, right, request).await
}

/// Makes one call whose answer takes no longer than that, or never comes.
pub(crate) async fn ask_within<T>(
    deadline: Duration,
    right: Right<'_>,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, AskError> {
    let answer = runtime::call(deadline, right.attempt(), request).await;
    answer.map_err(|error| AskError::new(error, &right))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    async fn refused(code: u16, message: &str) -> AskError {
        let status = Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        };
        let answer = std::future::ready(Err::<(), _>(kube::Error::Api(Box::new(status))));
        let right = Right::core("get", "secrets", ("clb-gate", "clb-gate-ca"));
        ask(right, answer).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_missing_right_is_named_as_the_rule_that_grants_it() {
        let error = refused(403, r#"User "eve" cannot get resource "secrets""#).await;
        assert_eq!(
            error.to_string(),
            "get secrets clb-gate/clb-gate-ca: forbidden; whoever runs this needs the rule {apiGroups: [\"\"], \
             resources: [\"secrets\"], resourceNames: [\"clb-gate-ca\"], verbs: [\"get\"]} of a Role in namespace clb-gate"
        );
        assert!(!error.is_transient());
    }

    #[tokio::test]
    async fn other_refusals_keep_their_own_words() {
        let error = refused(403, "exceeded quota: compute").await;
        assert!(error.to_string().contains("exceeded quota"), "{error}");
        assert!(refused(404, "").await.is_not_found());
        assert!(refused(409, "").await.is_conflict());
        assert!(refused(503, "").await.is_transient());
        assert!(matches!(
            refused(401, "").await,
            AskError::Unauthorized { .. }
        ));
    }
}
