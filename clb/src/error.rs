//! What can go wrong with a call, and what that means for the caller ([`Kind`]).
//!
//! A message is complete by itself, causes included, because users see it in an Event. So the causes
//! are fields but not `source()`s: a printer of the whole chain would say them twice.

use std::fmt;

use crate::retry::Access;
use crate::{Cause, CredentialsError, Endpoint, LoadBalancerId, Region, Task};

/// Where a call was made: what every error message begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The API's action, as `DescribeTargets`.
    pub action: &'static str,
    /// The load balancer the call was about, where it was about one.
    pub load_balancer: Option<LoadBalancerId>,
    /// The region asked.
    pub region: Region,
    /// The endpoint asked.
    pub endpoint: Endpoint,
    pub(crate) access: Access,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action)?;
        if let Some(id) = &self.load_balancer {
            write!(f, " {id}")?;
        }
        write!(f, " in {}", self.region)
    }
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API answered with an error.
    #[error("{site}: {code}: {}{}", .message.trim_end_matches(['.', ' ']), Advice(.code, .site))]
    Api {
        /// The call.
        site: Box<Site>,
        /// The API's error code.
        code: String,
        /// The API's message.
        message: String,
        /// The id Tencent's support asks for.
        request_id: String,
    },
    /// There are no credentials to sign with; nothing was sent.
    #[error("{site}: no credentials: {cause}")]
    Credentials {
        /// The call.
        site: Box<Site>,
        /// Why not.
        cause: CredentialsError,
    },
    /// The call's deadline would pass before it could be sent.
    #[error("{site}: not sent: its time is up while waiting for its turn")]
    Late {
        /// The call.
        site: Box<Site>,
    },
    /// The request was sent, and no whole answer came.
    #[error("{site}: no answer from {}: {}", .site.endpoint, Chain(.cause.as_ref()))]
    Lost {
        /// The call.
        site: Box<Site>,
        /// Why not.
        cause: Cause,
    },
    /// A slice is empty or longer than the API takes in one call; nothing was sent.
    #[error("{site}: {given} {what} given; accepted are 1 to {most} in one call")]
    Size {
        /// The call.
        site: Box<Site>,
        /// What is too many or too few.
        what: &'static str,
        /// How many the API takes.
        most: usize,
        /// How many were given.
        given: usize,
    },
    /// An asynchronous task ended without success.
    #[error("{site}: task {task} failed: {}", .message.as_deref().unwrap_or("the API gave no reason"))]
    TaskFailed {
        /// The call that watched the task.
        site: Box<Site>,
        /// The task.
        task: Task,
        /// The API's reason; often absent.
        message: Option<String>,
    },
    /// An asynchronous task was still running when the caller's time was up.
    #[error("{site}: task {task} is still in progress")]
    TaskUnfinished {
        /// The call that watched the task.
        site: Box<Site>,
        /// The task.
        task: Task,
    },
    /// The answer is longer than the API sends or this client reads, and cannot be asked for in parts.
    #[error("{site}: the answer is too large; ask for fewer listeners or rules at once")]
    TooLarge {
        /// The call.
        site: Box<Site>,
    },
    /// An answer came that is not the API's.
    #[error("{site}: {} answered with HTTP status {status}: {problem}", .site.endpoint)]
    Unreadable {
        /// The call.
        site: Box<Site>,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        problem: String,
    },
    /// No connection could be made; nothing was sent.
    #[error("{site}: cannot reach {}: {}", .site.endpoint, Chain(.cause.as_ref()))]
    Unsent {
        /// The call.
        site: Box<Site>,
        /// Why not.
        cause: Cause,
    },
}

/// What a failure means for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The load balancer is busy with another change: wait, then again.
    Conflict,
    /// The credentials are refused or absent: a human must act, or a Secret must rotate.
    Denied,
    /// The load balancer, listener, rule or target does not exist: read anew.
    Gone,
    /// The request is wrong: sending it again gives the same answer.
    Invalid,
    /// The account's or the load balancer's quota is used up.
    Quota,
    /// Too many calls: wait, then again.
    Throttled,
    /// It may work the next time, and nothing was changed by this one.
    Transient,
    /// A write may or may not have been done: read what is, and decide anew.
    UnknownOutcome,
}

impl Kind {
    /// The kind's name as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Invalid => "invalid",
            Self::Quota => "quota",
            Self::Throttled => "throttled",
            Self::Transient => "transient",
            Self::UnknownOutcome => "unknown_outcome",
        }
    }
}

impl Error {
    /// What the failure means for the caller.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Api {
                site,
                code,
                message,
                ..
            } => api_kind(site.access, code, message),
            Self::Credentials { .. } => Kind::Denied,
            Self::Late { .. } | Self::Unsent { .. } => Kind::Transient,
            Self::Lost { site, .. } => in_doubt(site.access),
            Self::Size { .. } => Kind::Invalid,
            Self::TaskFailed { message, .. } => task_kind(message.as_deref()),
            Self::TaskUnfinished { .. } => Kind::UnknownOutcome,
            Self::TooLarge { site } => too_large(site.access),
            Self::Unreadable { site, status, .. } => status_kind(site.access, *status),
        }
    }

    /// The API's error code, where it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Api { code, .. } => Some(code),
            Self::Credentials { .. }
            | Self::Late { .. }
            | Self::Lost { .. }
            | Self::Size { .. }
            | Self::TaskFailed { .. }
            | Self::TaskUnfinished { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::Unsent { .. } => None,
        }
    }

    /// The id of the API's answer, which Tencent's support asks for.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Api { request_id, .. } => Some(request_id),
            Self::TaskFailed { task, .. } | Self::TaskUnfinished { task, .. } => {
                Some(task.as_str())
            }
            Self::Credentials { .. }
            | Self::Late { .. }
            | Self::Lost { .. }
            | Self::Size { .. }
            | Self::TooLarge { .. }
            | Self::Unreadable { .. }
            | Self::Unsent { .. } => None,
        }
    }

    /// Where the call was made.
    pub fn site(&self) -> &Site {
        match self {
            Self::Api { site, .. }
            | Self::Credentials { site, .. }
            | Self::Late { site }
            | Self::Lost { site, .. }
            | Self::Size { site, .. }
            | Self::TaskFailed { site, .. }
            | Self::TaskUnfinished { site, .. }
            | Self::TooLarge { site }
            | Self::Unreadable { site, .. }
            | Self::Unsent { site, .. } => site,
        }
    }
}

/// A sent write without an answer may have been done.
fn in_doubt(access: Access) -> Kind {
    match access {
        Access::Read => Kind::Transient,
        Access::Write => Kind::UnknownOutcome,
    }
}

/// A long answer comes from whoever has done the work.
fn too_large(access: Access) -> Kind {
    match access {
        Access::Read => Kind::Invalid,
        Access::Write => Kind::UnknownOutcome,
    }
}

/// The API answers everything, errors too, with status 200. Another status is a proxy's or a wrong
/// host's: 4xx refuses before anything is done, 5xx may come after it.
fn status_kind(access: Access, status: u16) -> Kind {
    match status {
        408 => in_doubt(access),
        429 => Kind::Throttled,
        300..=499 => Kind::Invalid,
        _ => in_doubt(access),
    }
}

fn task_kind(message: Option<&str>) -> Kind {
    match message {
        Some(text) if says_busy(text) => Kind::Conflict,
        Some(text) if says_gone(text) => Kind::Gone,
        Some(_) | None => Kind::Transient,
    }
}

/// The codes are those of the CLB API's reference and those common to all of Tencent Cloud's APIs.
fn api_kind(access: Access, code: &str, message: &str) -> Kind {
    let (family, detail) = code.split_once('.').unwrap_or((code, ""));
    match (family, detail) {
        ("RequestLimitExceeded", _) => Kind::Throttled,
        ("FailedOperation", "ResourceInOperating" | "ResourceInCloning") | ("ResourceInUse", _) => {
            Kind::Conflict
        }
        ("AuthFailure" | "UnauthorizedOperation" | "OperationDenied", _) => Kind::Denied,
        ("LimitExceeded" | "ResourceInsufficient", _) => Kind::Quota,
        ("ResourceNotFound", _)
        | ("InvalidParameter", "LBIdNotFound" | "ListenerIdNotFound" | "LocationNotFound")
        | ("FailedOperation", "NoListenerInLB") => Kind::Gone,
        ("FailedOperation", _) if says_busy(message) => Kind::Conflict,
        ("FailedOperation", _) | ("InvalidParameter" | "InvalidParameterValue", "")
            if says_gone(message) =>
        {
            Kind::Gone
        }
        // The server broke while at it: a write may have been done.
        ("InternalError", _) => in_doubt(access),
        (
            "ActionOffline"
            | "InvalidAction"
            | "InvalidParameter"
            | "InvalidParameterValue"
            | "InvalidRequest"
            | "MissingParameter"
            | "NoSuchVersion"
            | "RequestSizeLimitExceeded"
            | "ResponseSizeLimitExceeded"
            | "UnknownParameter"
            | "UnsupportedOperation"
            | "UnsupportedProtocol"
            | "UnsupportedRegion",
            _,
        ) => Kind::Invalid,
        // `FailedOperation`, `ServiceUnavailable`, and the codes of next year: wait and try.
        _ => Kind::Transient,
    }
}

/// `Loadbalancer(lb-x) is not in normal desState, maybe some tasks are being processed, please try
/// later.` comes with `FailedOperation.ResourceInOperating`, and with plain `FailedOperation` too.
fn says_busy(message: &str) -> bool {
    let text = message.to_lowercase();
    [
        "not in normal desstate",
        "tasks are being processed",
        "in operating",
    ]
    .iter()
    .any(|part| text.contains(part))
}

/// `LB not exist`, `LoadBalancer not exist` and `some ListenerId ... not found` come with codes that
/// do not say so.
fn says_gone(message: &str) -> bool {
    let text = message.to_lowercase();
    ["not exist", "not found"]
        .iter()
        .any(|part| text.contains(part))
}

/// What a user can do about an error code, as the end of the message.
struct Advice<'a>(&'a str, &'a Site);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(code, site) = self;
        match *code {
            "AuthFailure.SignatureFailure" => {
                write!(
                    f,
                    "; check TENCENTCLOUD_SECRET_KEY: it does not belong to TENCENTCLOUD_SECRET_ID"
                )
            }
            "AuthFailure.SignatureExpire" => {
                write!(
                    f,
                    "; check this node's clock: it must be within 5 minutes of Tencent Cloud's"
                )
            }
            "AuthFailure.SecretIdNotFound" | "AuthFailure.InvalidSecretId" => {
                write!(
                    f,
                    "; check TENCENTCLOUD_SECRET_ID: no such key at {}",
                    site.endpoint
                )
            }
            "AuthFailure.TokenFailure" => {
                write!(
                    f,
                    "; check TENCENTCLOUD_TOKEN: it has expired or belongs to another key"
                )
            }
            "AuthFailure.UnauthorizedOperation" | "UnauthorizedOperation" => {
                write!(f, "; allow clb:{} to this key's user in CAM", site.action)
            }
            "UnsupportedRegion" | "InvalidParameter.RegionNotFound" => {
                write!(
                    f,
                    "; check the region {}: accepted is one as ap-guangzhou",
                    site.region
                )
            }
            "InvalidParameter.LBIdNotFound" => {
                write!(
                    f,
                    "; check the load balancer's id and that it is in {}",
                    site.region
                )
            }
            code if code.starts_with("LimitExceeded") => {
                write!(f, "; raise the quota or free what is not used")
            }
            _ => Ok(()),
        }
    }
}

/// An error with all its causes: the outermost often says no more than "client error".
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut causes = std::iter::successors(Some(self.0), |error| error.source());
        if let Some(first) = causes.next() {
            write!(f, "{first}")?;
        }
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("RequestLimitExceeded", "", Kind::Throttled)]
    #[case("RequestLimitExceeded.UinLimitExceeded", "", Kind::Throttled)]
    #[case("FailedOperation.ResourceInOperating", "", Kind::Conflict)]
    #[case(
        "FailedOperation",
        "maybe some Tasks are being processed",
        Kind::Conflict
    )]
    #[case("FailedOperation", "bind failed", Kind::Transient)]
    #[case("FailedOperation", "some ListenerId lbl-x not found", Kind::Gone)]
    #[case("InvalidParameter.LBIdNotFound", "", Kind::Gone)]
    #[case("InvalidParameter.ListenerIdNotFound", "", Kind::Gone)]
    #[case("InvalidParameter", "LB not exist", Kind::Gone)]
    #[case("InvalidParameter", "Port is bad", Kind::Invalid)]
    #[case("InvalidParameter.RegionNotFound", "region not found", Kind::Invalid)]
    #[case("InvalidParameter.ClientTokenLimitExceeded", "", Kind::Invalid)]
    #[case("InvalidParameterValue.Length", "", Kind::Invalid)]
    #[case("LimitExceeded", "", Kind::Quota)]
    #[case("ResourceInsufficient", "", Kind::Quota)]
    #[case("AuthFailure.SecretIdNotFound", "not found", Kind::Denied)]
    #[case("UnauthorizedOperation", "", Kind::Denied)]
    #[case("ServiceUnavailable", "", Kind::Transient)]
    #[case("Brand.New", "", Kind::Transient)]
    #[case("", "", Kind::Transient)]
    fn codes_and_texts_have_a_meaning(
        #[case] code: &str,
        #[case] message: &str,
        #[case] kind: Kind,
    ) {
        assert_eq!(api_kind(Access::Read, code, message), kind);
        assert_eq!(api_kind(Access::Write, code, message), kind);
    }

    #[test]
    fn a_server_that_broke_leaves_a_write_in_doubt() {
        assert_eq!(api_kind(Access::Read, "InternalError", ""), Kind::Transient);
        assert_eq!(
            api_kind(Access::Write, "InternalError.X", ""),
            Kind::UnknownOutcome
        );
    }

    #[rstest]
    #[case(200, Kind::UnknownOutcome)]
    #[case(302, Kind::Invalid)]
    #[case(404, Kind::Invalid)]
    #[case(429, Kind::Throttled)]
    #[case(503, Kind::UnknownOutcome)]
    fn a_status_tells_whether_a_write_can_have_been_done(#[case] status: u16, #[case] kind: Kind) {
        assert_eq!(status_kind(Access::Write, status), kind);
    }
}
