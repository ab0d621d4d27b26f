//! Who we are to the API. A provider is asked at every call, so that a rotated secret is used at the
//! next one without a restart.

mod chain;
mod places;
mod role;
mod temporary;
mod web_identity;

pub use chain::{ChainConfig, CredentialsChain, Lookup};
pub use places::{DirectoryCredentials, EnvCredentials, FileCredentials, StaticCredentials};
pub use role::RoleCredentials;
pub use web_identity::{WebIdentity, WebIdentityCredentials};

use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// The key id's name, in the environment and in a mounted Secret alike.
pub const SECRET_ID: &str = "TENCENTCLOUD_SECRET_ID";
/// The key's name.
pub const SECRET_KEY: &str = "TENCENTCLOUD_SECRET_KEY";
/// The session token's name; only temporary credentials have one.
pub const TOKEN: &str = "TENCENTCLOUD_TOKEN";

/// An API key.
#[derive(Clone)]
pub struct Credentials {
    /// The key's id. Not a secret by itself.
    pub secret_id: String,
    /// The key.
    pub secret_key: SecretString,
    /// The session token of temporary credentials.
    pub token: Option<SecretString>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("secret_id", &self.secret_id)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Whether these are the very same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        fn shown(credentials: &Credentials) -> (&str, &str, Option<&str>) {
            (
                &credentials.secret_id,
                credentials.secret_key.expose_secret(),
                credentials.token.as_ref().map(ExposeSecret::expose_secret),
            )
        }
        shown(self) == shown(other)
    }
}

/// The future of asking for credentials.
pub type Obtaining<'a> =
    Pin<Box<dyn Future<Output = Result<Credentials, CredentialsError>> + Send + 'a>>;

/// A source of credentials. It is asked before every attempt of a call, so it keeps what takes long
/// to get.
pub trait ProvideCredentials: Send + Sync {
    /// The credentials to use now.
    fn credentials(&self) -> Obtaining<'_>;

    /// The API refused these: get others before they would expire, if there can be others.
    fn refused(&self, credentials: &Credentials) {
        let _ = credentials;
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// There are none in this place, and nothing says that there should be.
    #[error("{problem} in {place}")]
    Absent {
        /// Where they were looked for.
        place: String,
        /// What is not there.
        problem: String,
    },
    /// No place has any.
    #[error(
        "none found: {}; set {SECRET_ID} and {SECRET_KEY}, and {TOKEN} for temporary credentials",
        List(.0)
    )]
    Nowhere(Vec<Self>),
    /// They did not come before the call's time was up.
    #[error("they did not come in time")]
    Late,
    /// A value that belongs to others is absent or empty.
    #[error(
        "{name} is not set in {place}; set {SECRET_ID} and {SECRET_KEY}, and {TOKEN} for temporary credentials"
    )]
    Missing {
        /// Which value.
        name: &'static str,
        /// Where it was looked for.
        place: String,
    },
    /// A value cannot be part of a request.
    #[error(
        "{name} in {place} has characters that no Tencent Cloud key has; accepted is printable ASCII without spaces"
    )]
    Malformed {
        /// Which value.
        name: &'static str,
        /// Where it was read.
        place: String,
    },
    /// What they were asked for from is not set up.
    #[error("{place}: {problem}")]
    Refused {
        /// Who was asked.
        place: String,
        /// What the answer was.
        problem: String,
    },
    /// The same as a moment ago; it was not tried again yet.
    #[error(transparent)]
    Still(Arc<Self>),
    /// Who gives them cannot be reached, or gives no answer of use.
    #[error("{place}: {problem}")]
    Unreachable {
        /// Who was asked.
        place: String,
        /// What went wrong.
        problem: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl CredentialsError {
    /// Whether another place may be asked: nothing says that this one should have any.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Absent { .. } | Self::Nowhere(_) => true,
            Self::Still(error) => error.is_absent(),
            Self::Late
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::Refused { .. }
            | Self::Unreachable { .. }
            | Self::Unreadable { .. } => false,
        }
    }

    /// Whether it may be better soon, without anybody's doing.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Late | Self::Unreachable { .. } => true,
            Self::Still(error) => error.is_transient(),
            Self::Absent { .. }
            | Self::Malformed { .. }
            | Self::Missing { .. }
            | Self::Nowhere(_)
            | Self::Refused { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}

struct List<'a>(&'a [CredentialsError]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{error}")?;
        }
        Ok(())
    }
}
