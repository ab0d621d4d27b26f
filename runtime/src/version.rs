//! Which Kubernetes versions clb-gate works with, checked once at start.

use std::{fmt, time::Duration};

use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;

use crate::{client::server_version, ready::ReadyHandle, supervise::Supervisor};

/// The oldest supported minor: 1.30 has `matchConditions` as a stable feature and `preStop: sleep` on
/// by default.
pub const OLDEST: Minor = Minor {
    major: 1,
    minor: 30,
};
/// The newest minor the tests run on.
pub const NEWEST: Minor = Minor {
    major: 1,
    minor: 36,
};

/// Between attempts to ask an API server that does not answer.
const RETRY: Duration = Duration::from_secs(2);

/// A Kubernetes minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minor {
    /// `1` of 1.36.
    pub major: u32,
    /// `36` of 1.36.
    pub minor: u32,
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What a server version means for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Supported {
    /// Within the range the tests cover.
    Yes(Minor),
    /// Newer than tested: works as far as Kubernetes keeps its promises, worth a warning.
    NewerThanTested(Minor),
    /// Lacks something clb-gate relies on: stop.
    TooOld(Minor),
    /// Unreadable; managed clusters invent versions, so this is a warning.
    Unknown(String),
}

impl Supported {
    /// Whether the process must not start.
    pub fn refuses(&self) -> bool {
        matches!(self, Self::TooOld(_))
    }
}

impl fmt::Display for Supported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes(v) => write!(f, "Kubernetes {v} is supported"),
            Self::NewerThanTested(v) => {
                write!(
                    f,
                    "Kubernetes {v} is newer than the newest tested, {NEWEST}"
                )
            }
            Self::TooOld(v) => write!(
                f,
                "Kubernetes {v} is too old: {OLDEST} to {NEWEST} are supported"
            ),
            Self::Unknown(v) => {
                write!(
                    f,
                    "the API server's version {v:?} cannot be read; {OLDEST} to {NEWEST} are supported"
                )
            }
        }
    }
}

/// Judges the version an API server reports. Vendors add suffixes to the minor (`30+`).
pub fn supported(info: &Info) -> Supported {
    let (Some(major), Some(minor)) = (leading_number(&info.major), leading_number(&info.minor))
    else {
        return Supported::Unknown(info.git_version.clone());
    };
    let version = Minor { major, minor };
    if version < OLDEST {
        Supported::TooOld(version)
    } else if version > NEWEST {
        Supported::NewerThanTested(version)
    } else {
        Supported::Yes(version)
    }
}

/// Starts the check as a supporting task. It is patient with an API server that does not answer, says
/// what it found, reports ready, and stops the process where the version is too old.
pub fn spawn_check(supervisor: &Supervisor, client: Client, ready: ReadyHandle) {
    supervisor.spawn_support("kubernetes-version", async move {
        let found = ask(&client).await;
        match &found {
            Supported::Yes(_) => tracing::info!("{found}"),
            Supported::NewerThanTested(_) | Supported::Unknown(_) => tracing::warn!("{found}"),
            Supported::TooOld(_) => return Err(found.to_string().into()),
        }
        ready.ready();
        std::future::pending().await
    });
}

async fn ask(client: &Client) -> Supported {
    let mut complained = false;
    loop {
        match server_version(client).await {
            Ok(info) => return supported(&info),
            Err(error) if !complained => tracing::warn!(%error, "retrying"),
            Err(_) => {}
        }
        complained = true;
        tokio::time::sleep(RETRY).await;
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1", "29", Supported::TooOld(Minor { major: 1, minor: 29 }))]
    #[case("1", "30+", Supported::Yes(OLDEST))]
    #[case("1", "36", Supported::Yes(NEWEST))]
    #[case("1", "37", Supported::NewerThanTested(Minor { major: 1, minor: 37 }))]
    #[case("2", "0", Supported::NewerThanTested(Minor { major: 2, minor: 0 }))]
    #[case("", "36", Supported::Unknown("v?".into()))]
    fn judges(#[case] major: &str, #[case] minor: &str, #[case] expected: Supported) {
        let info = Info {
            major: major.into(),
            minor: minor.into(),
            git_version: "v?".into(),
            ..Info::default()
        };
        assert_eq!(supported(&info), expected);
    }
}
