//! Credentials that lie somewhere: in the program, the environment, a mounted Secret, a file.

use secrecy::SecretString;
use std::collections::HashMap;
use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};

use super::{
    Credentials, CredentialsError, Obtaining, ProvideCredentials, SECRET_ID, SECRET_KEY, TOKEN,
};

/// Credentials that never change.
#[derive(Clone, Debug)]
pub struct StaticCredentials(pub Credentials);

impl ProvideCredentials for StaticCredentials {
    fn credentials(&self) -> Obtaining<'_> {
        Box::pin(ready(Ok(self.0.clone())))
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
    fn credentials(&self) -> Obtaining<'_> {
        let read = assemble("the environment", |name| Ok((self.0)(name)));
        Box::pin(ready(read))
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
    fn credentials(&self) -> Obtaining<'_> {
        let version = current_version(&self.0);
        let read = assemble(&self.0.display().to_string(), |name| {
            read_optional(version.join(name))
        });
        Box::pin(ready(read))
    }
}

/// Credentials from a file as Tencent's SDKs read it: `secret_id`, `secret_key` and `token` in the
/// section `[default]`. Read at every call.
#[derive(Clone, Debug)]
pub struct FileCredentials(PathBuf);

impl FileCredentials {
    /// Reads from `file`, which need not exist yet.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self(file.into())
    }

    fn read(&self) -> Result<Credentials, CredentialsError> {
        let text = read_optional(self.0.clone())?.unwrap_or_default();
        let values = default_section(&text);
        assemble(&self.0.display().to_string(), |name| {
            let key = match name {
                SECRET_ID => "secret_id",
                SECRET_KEY => "secret_key",
                _ => "token",
            };
            Ok(values.get(key).map(|value| (*value).to_owned()))
        })
    }
}

impl ProvideCredentials for FileCredentials {
    fn credentials(&self) -> Obtaining<'_> {
        Box::pin(ready(self.read()))
    }
}

fn default_section(text: &str) -> HashMap<&str, &str> {
    let mut values = HashMap::new();
    let mut within = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            within = section.trim_end_matches(']').trim() == "default";
        } else if within && !line.starts_with(['#', ';']) {
            let pair = line.split_once('=');
            values.extend(pair.map(|(key, value)| (key.trim(), value.trim())));
        }
    }
    values
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

/// Neither id nor key is no credentials; one of the two is a mistake somebody must hear of.
fn assemble(
    place: &str,
    read: impl Fn(&'static str) -> Result<Option<String>, CredentialsError>,
) -> Result<Credentials, CredentialsError> {
    let value = |name| read(name)?.map_or(Ok(None), |text| checked(name, place, &text));
    let (id, key, token) = (value(SECRET_ID)?, value(SECRET_KEY)?, value(TOKEN)?);
    let missing = |name| CredentialsError::Missing {
        name,
        place: place.to_owned(),
    };
    match (id, key) {
        (Some(secret_id), Some(key)) => Ok(Credentials {
            secret_id,
            secret_key: key.into(),
            token: token.map(SecretString::from),
        }),
        (None, None) => Err(CredentialsError::Absent {
            place: place.to_owned(),
            problem: format!("{SECRET_ID} is not set"),
        }),
        (None, Some(_)) => Err(missing(SECRET_ID)),
        (Some(_), None) => Err(missing(SECRET_KEY)),
    }
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
    use std::task::{Context, Poll};

    fn env(
        pairs: &'static [(&'static str, &'static str)],
    ) -> Result<Credentials, CredentialsError> {
        now(&EnvCredentials::new(|name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }))
    }

    /// These providers never wait.
    fn now(provider: &dyn ProvideCredentials) -> Result<Credentials, CredentialsError> {
        let mut asked = provider.credentials();
        let waker = std::task::Waker::noop();
        match asked.as_mut().poll(&mut Context::from_waker(waker)) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("it waits"),
        }
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
        let missing = now(&provider).unwrap_err().to_string();
        assert!(
            missing.contains(&dir.path().display().to_string()),
            "{missing}"
        );
        for key in ["one", "two"] {
            publish(&format!("..{key}"), key);
            let got = now(&provider).unwrap();
            assert_eq!(
                (got.secret_id, got.secret_key.expose_secret()),
                (format!("id-{key}"), key)
            );
        }
    }

    #[test]
    fn half_of_a_key_is_a_mistake_and_none_is_no_credentials() {
        assert!(env(&[]).unwrap_err().is_absent());
        assert!(!env(&[(SECRET_ID, "AKID")]).unwrap_err().is_absent());
        assert!(!env(&[(SECRET_KEY, "key")]).unwrap_err().is_absent());
    }

    #[test]
    fn a_file_is_read_as_the_sdks_read_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = "[other]\nsecret_id = no\n[default]\n# a comment = x\nsecret_id = AKID\n\
                    secret_key=a=b\nrole_arn = r\n[last]\nsecret_id = no\n";
        std::fs::write(file.path(), text).unwrap();
        let got = now(&FileCredentials::new(file.path())).unwrap();
        assert_eq!(
            (got.secret_id.as_str(), got.secret_key.expose_secret()),
            ("AKID", "a=b")
        );
        assert!(got.token.is_none());

        std::fs::write(file.path(), "[other]\nsecret_id = no\n").unwrap();
        let absent = now(&FileCredentials::new(file.path())).unwrap_err();
        assert!(absent.is_absent(), "{absent}");
        assert!(
            now(&FileCredentials::new("/nowhere"))
                .unwrap_err()
                .is_absent()
        );
    }
}
