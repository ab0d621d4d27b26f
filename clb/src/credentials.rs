//! Who we are to the API. A provider is asked at every call, so that a rotated secret is used at the
//! next one without a restart.

use secrecy::SecretString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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

/// A source of credentials. It is asked before every call and must answer at once.
pub trait ProvideCredentials: Send + Sync {
    /// The credentials to use now.
    fn credentials(&self) -> Result<Credentials, CredentialsError>;
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A value is absent or empty.
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
    /// A file of a mounted Secret cannot be read.
    #[error("cannot read {}: {cause}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

/// Credentials that never change.
#[derive(Clone, Debug)]
pub struct StaticCredentials(pub Credentials);

impl ProvideCredentials for StaticCredentials {
    fn credentials(&self) -> Result<Credentials, CredentialsError> {
        Ok(self.0.clone())
    }
}

/// Credentials from environment variables, read through a function so that only the program's entry
/// touches the real environment.
pub struct EnvCredentials<F>(F);

impl<F: Fn(&str) -> Option<String> + Send + Sync> EnvCredentials<F> {
    /// Reads variables with `lookup`.
    pub fn new(lookup: F) -> Self {
        Self(lookup)
    }
}

impl<F: Fn(&str) -> Option<String> + Send + Sync> ProvideCredentials for EnvCredentials<F> {
    fn credentials(&self) -> Result<Credentials, CredentialsError> {
        assemble("the environment", |name| Ok((self.0)(name)))
    }
}

/// Credentials from a mounted Secret: a directory with one file per key, read at every call.
#[derive(Clone, Debug)]
pub struct DirectoryCredentials(PathBuf);

impl DirectoryCredentials {
    /// Reads from `directory`, which need not exist yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }
}

impl ProvideCredentials for DirectoryCredentials {
    fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let version = current_version(&self.0);
        assemble(&self.0.display().to_string(), |name| {
            read_optional(version.join(name))
        })
    }
}

/// The kubelet swaps the link `..data` to publish a new version of a Secret. Following it once for
/// all files keeps the id of one version from being used with the key of the next.
fn current_version(directory: &Path) -> PathBuf {
    std::fs::canonicalize(directory.join("..data")).unwrap_or_else(|_| directory.to_owned())
}

fn read_optional(path: PathBuf) -> Result<Option<String>, CredentialsError> {
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(CredentialsError::Unreadable { path, cause }),
    }
}

fn assemble(
    place: &str,
    read: impl Fn(&'static str) -> Result<Option<String>, CredentialsError>,
) -> Result<Credentials, CredentialsError> {
    let value = |name| read(name)?.map_or(Ok(None), |text| checked(name, place, &text));
    let required = |name| {
        value(name)?.ok_or_else(|| CredentialsError::Missing {
            name,
            place: place.to_owned(),
        })
    };
    Ok(Credentials {
        secret_id: required(SECRET_ID)?,
        secret_key: required(SECRET_KEY)?.into(),
        token: value(TOKEN)?.map(SecretString::from),
    })
}

/// Trims what editors and `echo` leave behind; empty is absent.
fn checked(
    name: &'static str,
    place: &str,
    text: &str,
) -> Result<Option<String>, CredentialsError> {
    let text = text.trim();
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CredentialsError::Malformed {
            name,
            place: place.to_owned(),
        });
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn env(
        pairs: &'static [(&'static str, &'static str)],
    ) -> Result<Credentials, CredentialsError> {
        EnvCredentials::new(|name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
        .credentials()
    }

    #[test]
    fn the_environment_gives_credentials() {
        let got = env(&[(SECRET_ID, "AKID"), (SECRET_KEY, "key\n"), (TOKEN, "tok")]).unwrap();
        assert_eq!(
            (got.secret_id.as_str(), got.secret_key.expose_secret()),
            ("AKID", "key")
        );
        assert_eq!(got.token.unwrap().expose_secret(), "tok");
    }

    #[test]
    fn a_missing_or_malformed_value_is_named_and_never_shown() {
        let missing = env(&[(SECRET_ID, "AKID"), (SECRET_KEY, "")]).unwrap_err();
        assert!(
            missing
                .to_string()
                .contains("TENCENTCLOUD_SECRET_KEY is not set in the environment")
        );
        let malformed = env(&[(SECRET_ID, "AKID"), (SECRET_KEY, "s3cret\nline")]).unwrap_err();
        assert!(matches!(
            malformed,
            CredentialsError::Malformed {
                name: SECRET_KEY,
                ..
            }
        ));
        assert!(!format!("{malformed} {malformed:?}").contains("s3cret"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let got = env(&[
            (SECRET_ID, "AKID"),
            (SECRET_KEY, "hidden"),
            (TOKEN, "hidden"),
        ])
        .unwrap();
        assert!(!format!("{got:?} {:?}", StaticCredentials(got.clone())).contains("hidden"));
    }

    #[test]
    fn a_rotated_secret_is_read_at_the_next_call() {
        let dir = tempfile::tempdir().unwrap();
        let publish = |version: &str, key: &str| {
            let folder = dir.path().join(version);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join(SECRET_ID), format!("id-{key}\n")).unwrap();
            std::fs::write(folder.join(SECRET_KEY), key).unwrap();
            let link = dir.path().join("..new");
            std::os::unix::fs::symlink(version, &link).unwrap();
            std::fs::rename(link, dir.path().join("..data")).unwrap();
        };
        let provider = DirectoryCredentials::new(dir.path());
        let missing = provider.credentials().unwrap_err().to_string();
        assert!(
            missing.contains(&dir.path().display().to_string()),
            "{missing}"
        );
        for key in ["one", "two"] {
            publish(&format!("..{key}"), key);
            let got = provider.credentials().unwrap();
            assert_eq!(
                (got.secret_id, got.secret_key.expose_secret()),
                (format!("id-{key}"), key)
            );
        }
    }
}
