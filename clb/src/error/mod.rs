//! What can go wrong with a call, and what that means for the caller ([`Kind`]).
//!
//! A message is complete by itself, causes included, because users see it in an Event. So the causes
//! are fields but not `source()`s: a printer of the whole chain would say them twice.

mod advice;
mod meaning;

pub use advice::{About, Advice};

use std::fmt;

use crate::retry::Access;
use crate::transport::chain;
use meaning::{api_kind, in_doubt, status_kind, task_kind, too_large};

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
    #[error("{site}: {code}: {}{}", .message.trim_end_matches(['.', ' ']), advice::end(advice::of_code(.code, .site)))]
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
    #[error("{site}: no answer from {}: {}", .site.endpoint, chain(.cause.as_ref()))]
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
    #[error("{site}: {} answered with HTTP status {status}: {problem}{}", .site.endpoint, advice::end(advice::of_endpoint(.site)))]
    Unreadable {
        /// The call.
        site: Box<Site>,
        /// The HTTP status.
        status: u16,
        /// What is wrong with the answer.
        problem: String,
    },
    /// No connection could be made; nothing was sent.
    #[error("{site}: cannot reach {}: {}{}", .site.endpoint, chain(.cause.as_ref()), advice::end(advice::of_endpoint(.site)))]
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
            Self::Credentials { cause, .. } if cause.is_transient() => Kind::Transient,
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

    /// What a user can do about it, where there is something.
    pub fn advice(&self) -> Option<Advice<'_>> {
        match self {
            Self::Api { site, code, .. } => advice::of_code(code, site),
            Self::Credentials { site, .. } => Some(advice::of_credentials(site)),
            Self::Unreadable { site, .. } | Self::Unsent { site, .. } => {
                Some(advice::of_endpoint(site))
            }
            Self::Late { .. }
            | Self::Lost { .. }
            | Self::Size { .. }
            | Self::TaskFailed { .. }
            | Self::TaskUnfinished { .. }
            | Self::TooLarge { .. } => None,
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
