//! Temporary credentials: `AssumeRoleWithWebIdentity` of Tencent's STS, version 2018-08-13.

use super::policy::Policy;
use super::{Account, Accounts, LIFE_S};
use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// The version of STS, by which its calls are told from the CLB's.
pub(crate) const VERSION: &str = "2018-08-13";
const ACTION: &str = "AssumeRoleWithWebIdentity";
/// The longest life that may be asked for.
const LONGEST_S: i64 = 43_200;

/// Credentials that were made. They have no `Debug`, because they hold a key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(super) id: String,
    pub(super) key: String,
    pub(super) token: String,
    pub(super) expires_at: i64,
    pub(super) made_at: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Assume {
    provider_id: String,
    web_identity_token: String,
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<i64>,
}

impl Accounts {
    /// Answers a call of STS.
    pub(crate) fn assume(
        &mut self,
        (action, authorization): (&str, &str),
        body: &[u8],
        now: Millis,
    ) -> Result<Value, Refusal> {
        if action != ACTION {
            let message = format!("X-TC-Action {action:?} of STS is not served here: {ACTION} is");
            return Err(Refusal::new(code::INVALID_ACTION, message));
        }
        if authorization != "SKIP" {
            let message = format!("Authorization of {ACTION} is the word SKIP");
            return Err(Refusal::new(code::AUTH_INVALID, message));
        }
        let asked: Assume = serde_json::from_slice(body)
            .map_err(|error| Refusal::new(code::INVALID_PARAMETER, error.to_string()))?;
        let policy = self.judge(&asked)?;
        let life = asked.duration_seconds.unwrap_or(LIFE_S);
        if !(1..=LONGEST_S).contains(&life) {
            let message =
                format!("DurationSeconds {life} is out of range: 1 to {LONGEST_S} are accepted");
            return Err(Refusal::new(code::INVALID_VALUE, message));
        }
        let issued = self.issue((&asked.role_arn, policy), life, now)?;
        Ok(json!({
            "ExpiredTime": issued.expires_at,
            "Expiration": rfc3339(issued.expires_at),
            "Credentials": {
                "Token": issued.token,
                "TmpSecretId": issued.id,
                "TmpSecretKey": issued.key,
            },
        }))
    }

    fn judge(&self, asked: &Assume) -> Result<Option<Policy>, Refusal> {
        for (field, text) in [
            ("ProviderId", &asked.provider_id),
            ("RoleArn", &asked.role_arn),
            ("RoleSessionName", &asked.role_session_name),
        ] {
            if text.is_empty() {
                let message = format!("{field} is empty");
                return Err(Refusal::new(code::INVALID_PARAMETER, message));
            }
        }
        let role = self.roles.get(&asked.role_arn);
        if role.is_none() && !self.roles.is_empty() {
            let message = format!("RoleArn {:?} does not exist", asked.role_arn);
            return Err(Refusal::new(code::ROLE_NOT_FOUND, message));
        }
        let expected = role.and_then(|role| role.web_identity_token.as_deref());
        let given = asked.web_identity_token.as_str();
        if given.is_empty() || expected.is_some_and(|expected| expected != given) {
            let message = "WebIdentityToken is not accepted";
            return Err(Refusal::new(code::WEB_IDENTITY, message));
        }
        Ok(role.and_then(|role| role.policy.clone()))
    }

    /// Makes credentials that count from now on.
    pub(super) fn issue(
        &mut self,
        (role, policy): (&str, Option<Policy>),
        asked_s: i64,
        now: Millis,
    ) -> Result<Issued, Refusal> {
        let random = || uuid::Uuid::new_v4().simple().to_string();
        self.issued += 1;
        let made_at = now / 1000;
        let issued = Issued {
            id: format!("AKIDtmp{}{}", self.issued, random()),
            key: random(),
            token: random(),
            expires_at: made_at + self.life_s.unwrap_or(asked_s),
            made_at,
        };
        let account = Account {
            secret_id: issued.id.clone(),
            secret_key: issued.key.clone(),
            token: Some(issued.token.clone()),
            expires_at: Some(issued.expires_at),
            policy,
            role: Some(role.to_owned()),
        };
        self.add(account, now)?;
        Ok(issued)
    }
}

/// A moment as credentials print it.
pub(super) fn rfc3339(seconds: i64) -> String {
    let moment = Timestamp::from_second(seconds).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
