//! Who may call, and what: key pairs, permanent or temporary, each maybe with a CAM policy.

pub(crate) mod metadata;
mod policy;
pub(crate) mod sts;

use crate::api::Secret;
use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use policy::Policy;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How long temporary credentials last if nobody says (API of STS and of the metadata service).
const LIFE_S: i64 = 7200;
/// The most accounts known at a time; of temporary ones, the expired go first.
const ACCOUNTS: usize = 10_000;

/// An account as an operator writes it. It has no `Debug`, because it holds a key.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    secret_id: String,
    secret_key: String,
    /// Temporary credentials have one, and it must be sent.
    token: Option<String>,
    /// When they expire, in unix seconds.
    expires_at: Option<i64>,
    /// It may do everything without.
    policy: Option<Policy>,
    /// Under which its calls are counted: temporary credentials share their role's rate.
    #[serde(skip)]
    role: Option<String>,
}

/// A role that temporary credentials can be had for.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Role {
    /// Such as `qcs::cam::uin/100000000001:roleName/clb-gate`.
    arn: String,
    /// The only token that is taken; any without.
    web_identity_token: Option<String>,
    /// It may do everything without.
    policy: Option<Policy>,
}

/// Why a file of accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The file cannot be read.
    #[error("accounts file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("accounts file {path}: not a JSON list of accounts: {source}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: serde_json::Error,
    },
}

/// Everyone who may call.
pub(crate) struct Accounts {
    known: BTreeMap<String, Account>,
    /// Without any, every role is taken.
    roles: BTreeMap<String, Role>,
    /// The role that the metadata service gives out.
    machine_role: Option<String>,
    /// What the metadata service gave out last: everyone on the machine gets the same.
    machine: Option<sts::Issued>,
    /// How long temporary credentials last, whatever is asked.
    life_s: Option<i64>,
    issued: u64,
}

impl Accounts {
    /// With one account that may do everything.
    pub(crate) fn new(secret: &Secret, machine_role: Option<String>) -> Self {
        let first = Account {
            secret_id: secret.id.clone(),
            secret_key: secret.key.clone(),
            token: None,
            expires_at: None,
            policy: None,
            role: None,
        };
        Self {
            known: BTreeMap::from([(secret.id.clone(), first)]),
            roles: BTreeMap::new(),
            machine_role,
            machine: None,
            life_s: None,
            issued: 0,
        }
    }

    /// Adds or replaces an account.
    pub(crate) fn add(&mut self, account: Account, now: Millis) -> Result<(), Refusal> {
        if self.known.len() >= ACCOUNTS {
            self.known
                .retain(|_, known| known.expires_at.is_none_or(|at| at > now / 1000));
        }
        if self.known.len() >= ACCOUNTS {
            let message = format!("{ACCOUNTS} accounts are known already");
            return Err(Refusal::new(code::INVALID_PARAMETER, message));
        }
        self.known.insert(account.secret_id.clone(), account);
        Ok(())
    }

    pub(crate) fn remove(&mut self, secret_id: &str) -> bool {
        self.known.remove(secret_id).is_some()
    }

    pub(crate) fn add_role(&mut self, role: Role) {
        self.roles.insert(role.arn.clone(), role);
    }

    /// What the metadata service gives out, and for how long everything temporary lasts.
    pub(crate) fn set_temporary(&mut self, role: Option<String>, life_s: Option<i64>) {
        self.machine_role = role;
        self.life_s = life_s;
        self.machine = None;
    }

    pub(crate) fn find(&self, secret_id: &str) -> Option<&Account> {
        self.known.get(secret_id)
    }
}

impl Account {
    pub(crate) fn secret(&self) -> Secret {
        Secret {
            id: self.secret_id.clone(),
            key: self.secret_key.clone(),
        }
    }

    /// Under which its calls are counted.
    pub(crate) fn owner(&self) -> &str {
        self.role.as_deref().unwrap_or(&self.secret_id)
    }

    /// Whether the token that was sent belongs to this account, and still counts.
    pub(crate) fn check_token(&self, sent: Option<&str>, now: Millis) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(Refusal::new(code::AUTH_TOKEN, message));
        match (&self.token, sent.filter(|token| !token.is_empty())) {
            (None, Some(_)) => refuse("X-TC-Token was sent, but this is a permanent key pair"),
            (Some(_), None) => {
                refuse("X-TC-Token was not sent, but these credentials are temporary")
            }
            (Some(token), Some(sent)) if token != sent => {
                refuse("X-TC-Token does not belong to these credentials")
            }
            _ if self.expires_at.is_some_and(|at| at <= now / 1000) => {
                refuse("these temporary credentials have expired")
            }
            _ => Ok(()),
        }
    }

    /// Whether the policy allows the action on these load balancers.
    pub(crate) fn check_policy(
        &self,
        action: &str,
        load_balancers: &[String],
    ) -> Result<(), Refusal> {
        let allowed = |policy: &Policy| policy.allows(&format!("clb:{action}"), load_balancers);
        if self.policy.as_ref().is_none_or(allowed) {
            return Ok(());
        }
        let message = format!(
            "you are not authorized to perform operation (clb:{action}) on resource ({}): the account's policy does not allow it",
            if load_balancers.is_empty() {
                "*".to_owned()
            } else {
                load_balancers.join(", ")
            }
        );
        Err(Refusal::new(code::UNAUTHORIZED, message))
    }
}

/// The accounts of a file, a JSON list.
pub(crate) fn load(path: &Path) -> Result<Vec<Account>, AccountsError> {
    let text = std::fs::read(path).map_err(|source| AccountsError::Io {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| AccountsError::Content {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(more: &str) -> Account {
        let text = format!(r#"{{"secret_id":"a","secret_key":"k"{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[rstest::rstest]
    #[case("", None, true)]
    #[case("", Some(""), true)]
    #[case("", Some("t"), false)]
    #[case(r#","token":"t""#, Some("t"), true)]
    #[case(r#","token":"t""#, Some("u"), false)]
    #[case(r#","token":"t""#, None, false)]
    #[case(r#","token":"t","expires_at":11"#, Some("t"), true)]
    #[case(r#","token":"t","expires_at":10"#, Some("t"), false)]
    fn tokens_are_sent_belong_and_expire(
        #[case] more: &str,
        #[case] sent: Option<&str>,
        #[case] good: bool,
    ) {
        let checked = account(more).check_token(sent, 10_000);
        assert_eq!(checked.is_ok(), good, "{checked:?}");
    }

    #[test]
    fn a_policy_that_lacks_an_action_names_it() {
        let more = r#","policy":{"version":"2.0","statement":[{"effect":"allow","action":["clb:Describe*"],"resource":["*"]}]}"#;
        let account = account(more);
        assert!(account.check_policy("DescribeTargets", &[]).is_ok());
        let refusal = account.check_policy("CreateListener", &[]).unwrap_err();
        assert_eq!(refusal.code, "UnauthorizedOperation");
        assert!(refusal.message.contains("clb:CreateListener"));
    }
}
