//! The role of the virtual machine (CVM) the program runs on, as the metadata service gives it.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::fmt;

use super::temporary::{Issue, Issued, Issuing, Temporary};
use super::{Credentials, CredentialsError, Obtaining, ProvideCredentials};
use crate::{Clock, Metadata};

const PATH: &str = "cam/security-credentials/";
/// The metadata service has new credentials some minutes before the old ones expire; Tencent's SDKs
/// ask for them this long before.
const RENEW: SignedDuration = SignedDuration::from_mins(5);

/// Credentials of the machine's role, renewed 5 minutes before they expire.
pub struct RoleCredentials(Temporary<Role>);

impl RoleCredentials {
    /// Asks the metadata service. Nothing is sent yet.
    pub fn new(metadata: Metadata, now: Clock) -> Self {
        let role = Role {
            metadata,
            now: now.clone(),
        };
        Self(Temporary::new(role, now))
    }
}

impl fmt::Debug for RoleCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoleCredentials").finish_non_exhaustive()
    }
}

impl ProvideCredentials for RoleCredentials {
    fn credentials(&self) -> Obtaining<'_> {
        Box::pin(self.0.credentials())
    }

    fn refused(&self, credentials: &Credentials) {
        self.0.refused(credentials);
    }
}

struct Role {
    metadata: Metadata,
    now: Clock,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    code: Option<String>,
    tmp_secret_id: Option<String>,
    tmp_secret_key: Option<String>,
    token: Option<String>,
    expired_time: Option<i64>,
}

impl Issue for Role {
    fn issue(&self) -> Issuing<'_> {
        Box::pin(self.read())
    }
}

impl Role {
    async fn read(&self) -> Result<Issued, CredentialsError> {
        let absent = |problem: String| CredentialsError::Absent {
            place: self.place(),
            problem,
        };
        // Whoever is not on such a machine has no metadata service, so that it cannot be reached is
        // no more than the absence of a role.
        let name = self.metadata.get(PATH).await;
        let name = name.map_err(|error| absent(format!("no role ({error})")))?;
        let name = name.ok_or_else(|| absent("no role".to_owned()))?;
        let name = name.trim();
        if !is_role(name) {
            return Err(self.unreachable("it gives no name of a role"));
        }
        let given = self.metadata.get(&format!("{PATH}{name}")).await;
        let given = given.map_err(|error| self.unreachable(&error.to_string()))?;
        let given = given.ok_or_else(|| self.refused(name, "it has no credentials"))?;
        self.understand(name, &given)
    }

    /// What the parser says of an answer may quote a secret, so it is not repeated.
    fn understand(&self, name: &str, text: &str) -> Result<Issued, CredentialsError> {
        let given: Given = serde_json::from_str(text)
            .map_err(|_| self.unreachable("its answer has no credentials in it"))?;
        if let Some(code) = given.code.filter(|code| code != "Success") {
            return Err(self.refused(name, &format!("the answer is {code:?}")));
        }
        let (Some(secret_id), Some(secret_key), Some(token), Some(expires)) = (
            given.tmp_secret_id,
            given.tmp_secret_key,
            given.token,
            given.expired_time,
        ) else {
            return Err(self.unreachable("its answer has no credentials in it"));
        };
        let expires = Timestamp::from_second(expires)
            .ok()
            .filter(|expires| *expires > (self.now)())
            .ok_or_else(|| {
                self.unreachable("its credentials have expired already; check this node's clock")
            })?;
        Ok(Issued {
            renew: expires.checked_sub(RENEW).unwrap_or(expires),
            expires,
            credentials: Credentials {
                secret_id,
                secret_key: secret_key.into(),
                token: Some(token.into()),
            },
        })
    }

    fn place(&self) -> String {
        format!("the metadata service {}", self.metadata.endpoint())
    }

    fn refused(&self, role: &str, problem: &str) -> CredentialsError {
        CredentialsError::Refused {
            place: self.place(),
            problem: format!("role {role}: {problem}; check the role bound to this machine"),
        }
    }

    fn unreachable(&self, problem: &str) -> CredentialsError {
        CredentialsError::Unreachable {
            place: self.place(),
            problem: problem.to_owned(),
        }
    }
}

/// The name becomes part of a path.
fn is_role(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=128).contains(&name.len()) && name.bytes().all(plain)
}
