//! `DescribeQuota`: how much of everything the account may have.

use serde::{Deserialize, Serialize};

use crate::actions::DESCRIBE_QUOTA as DESCRIBE;
use crate::client::Answered;
use crate::wire::null_default;
use crate::{Client, Error};

/// One quota of the account in a region.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Quota {
    /// What it is about.
    pub quota_id: QuotaId,
    /// How many there are; absent where the limit is for each load balancer, listener or rule.
    pub quota_current: Option<u64>,
    /// How many there may be.
    pub quota_limit: Option<u64>,
}

/// What a quota is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(from = "String")]
#[non_exhaustive]
pub enum QuotaId {
    /// Internal load balancers of the account.
    InternalLoadBalancers,
    /// Listeners of a load balancer.
    Listeners,
    /// Public load balancers of the account.
    OpenLoadBalancers,
    /// Rules of a listener.
    Rules,
    /// Targets of a listener or rule.
    Targets,
    /// Another.
    Other(String),
}

impl From<String> for QuotaId {
    fn from(name: String) -> Self {
        match name.as_str() {
            "TOTAL_INTERNAL_CLB_QUOTA" => Self::InternalLoadBalancers,
            "TOTAL_LISTENER_QUOTA" => Self::Listeners,
            "TOTAL_OPEN_CLB_QUOTA" => Self::OpenLoadBalancers,
            "TOTAL_LISTENER_RULE_QUOTA" => Self::Rules,
            "TOTAL_TARGET_BIND_QUOTA" => Self::Targets,
            _ => Self::Other(name),
        }
    }
}

#[derive(Serialize)]
struct Query {}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default, deserialize_with = "null_default")]
    quota_set: Vec<Quota>,
}

impl Client {
    /// The account's quotas in the client's region.
    pub async fn describe_quota(&self) -> Result<Vec<Quota>, Error> {
        let answered: Answered<Found> = self.call(DESCRIBE, None, &Query {}).await?;
        Ok(answered.value.quota_set)
    }
}
