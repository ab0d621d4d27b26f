//! Layer-7 forwarding rules.

use serde::{Deserialize, Serialize};

use crate::actions::{
    CREATE_RULE as CREATE, DELETE_RULE as DELETE, MODIFY_DOMAIN_ATTRIBUTES as MODIFY_DOMAIN,
    MODIFY_RULE as MODIFY,
};
use crate::api::filter::NonEmpty;
use crate::api::listeners::{Certificate, Created, HealthCheck};
use crate::client::Answered;
use crate::wire::{Empty, null_default};
use crate::{Client, Error, ListenerId, LoadBalancerId, LocationId, Task};

/// A layer-7 forwarding rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Rule {
    /// Its id.
    pub location_id: LocationId,
    /// Its domain.
    pub domain: Option<String>,
    /// All its domains.
    #[serde(default, deserialize_with = "null_default")]
    pub domains: Vec<String>,
    /// Its URL.
    pub url: Option<String>,
    /// Its health check.
    pub health_check: Option<HealthCheck>,
    /// How it spreads requests: `WRR`, `LEAST_CONN`, `IP_HASH`.
    pub scheduler: Option<String>,
    /// For how many seconds a client stays with its target; 0 for not.
    pub session_expire_time: Option<u32>,
    /// HTTP, HTTPS or GRPC towards the targets.
    pub forward_type: Option<String>,
    /// Whether its domain gets the requests for domains that have no rule.
    pub default_server: Option<bool>,
    /// Whether clients may use HTTP/2.
    pub http2: Option<bool>,
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// `NODE`, or target groups, which this client does not manage.
    pub target_type: Option<String>,
    /// When it was made, as the API writes it.
    pub create_time: Option<String>,
}

/// A new rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct NewRule {
    /// Its URL, 1 to 200 characters.
    pub url: String,
    /// Its domain, 1 to 80 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Its domains, instead of one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<String>,
    /// Its health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// `WRR`, `LEAST_CONN` or `IP_HASH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// 0, or 30 to 3600 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expire_time: Option<u32>,
    /// `HTTP`, `HTTPS` or `GRPC` towards the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_type: Option<String>,
    /// Whether its domain gets the requests for domains that have no rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_server: Option<bool>,
    /// Whether clients may use HTTP/2; HTTPS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2: Option<bool>,
    /// Its certificate, on an HTTPS listener with one for each domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

impl NewRule {
    /// One with the API's defaults.
    pub fn new(domain: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            domain: Some(domain.into()),
            domains: vec![],
            health_check: None,
            scheduler: None,
            session_expire_time: None,
            forward_type: None,
            default_server: None,
            http2: None,
            certificate: None,
        }
    }
}

/// Changes to a rule. What is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyRule {
    /// The load balancer.
    pub load_balancer_id: LoadBalancerId,
    /// The listener.
    pub listener_id: ListenerId,
    /// The rule.
    pub location_id: LocationId,
    /// Its new URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its new health check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// `WRR`, `LEAST_CONN` or `IP_HASH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// 0, or 30 to 3600 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expire_time: Option<u32>,
    /// `HTTP`, `HTTPS` or `GRPC` towards the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_type: Option<String>,
}

impl ModifyRule {
    /// No change yet.
    pub fn new(
        load_balancer_id: LoadBalancerId,
        listener_id: ListenerId,
        location_id: LocationId,
    ) -> Self {
        Self {
            load_balancer_id,
            listener_id,
            location_id,
            url: None,
            health_check: None,
            scheduler: None,
            session_expire_time: None,
            forward_type: None,
        }
    }
}

/// Changes to what all rules of a domain have in common. What is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyDomain {
    /// The load balancer.
    pub load_balancer_id: LoadBalancerId,
    /// The listener.
    pub listener_id: ListenerId,
    /// The domain.
    pub domain: String,
    /// Its new certificate, on an HTTPS listener with one for each domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Whether clients may use HTTP/2; HTTPS only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2: Option<bool>,
    /// `true`: from now on it gets the requests for domains that have no rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_server: Option<bool>,
}

impl ModifyDomain {
    /// No change yet.
    pub fn new(
        load_balancer_id: LoadBalancerId,
        listener_id: ListenerId,
        domain: impl Into<String>,
    ) -> Self {
        Self {
            load_balancer_id,
            listener_id,
            domain: domain.into(),
            certificate: None,
            http2: None,
            default_server: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Create<'a> {
    load_balancer_id: &'a LoadBalancerId,
    listener_id: &'a ListenerId,
    rules: NonEmpty<'a, NewRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewIds {
    #[serde(default, deserialize_with = "null_default")]
    location_ids: Vec<LocationId>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Delete<'a> {
    load_balancer_id: &'a LoadBalancerId,
    listener_id: &'a ListenerId,
    location_ids: NonEmpty<'a, LocationId>,
}

impl Client {
    /// Makes rules of a layer-7 listener. Their ids come at once; they work when the task is done.
    /// How many one call takes is the quota of rules per listener.
    pub async fn create_rules(
        &self,
        load_balancer: &LoadBalancerId,
        listener: &ListenerId,
        rules: NonEmpty<'_, NewRule>,
    ) -> Result<Created<LocationId>, Error> {
        let create = Create {
            load_balancer_id: load_balancer,
            listener_id: listener,
            rules,
        };
        let answered: Answered<NewIds> = self.call(CREATE, Some(load_balancer), &create).await?;
        Ok(Created {
            ids: answered.value.location_ids,
            task: Task::new(answered.request_id),
        })
    }

    /// Changes a rule.
    pub async fn modify_rule(&self, modify: &ModifyRule) -> Result<Task, Error> {
        let lb = Some(&modify.load_balancer_id);
        Ok(self.call::<_, Empty>(MODIFY, lb, modify).await?.into())
    }

    /// Changes what all rules of a domain have in common.
    pub async fn modify_domain(&self, modify: &ModifyDomain) -> Result<Task, Error> {
        let lb = Some(&modify.load_balancer_id);
        let answered = self.call::<_, Empty>(MODIFY_DOMAIN, lb, modify).await?;
        Ok(answered.into())
    }

    /// Deletes rules of one listener and unbinds their targets.
    pub async fn delete_rules(
        &self,
        load_balancer: &LoadBalancerId,
        listener: &ListenerId,
        rules: NonEmpty<'_, LocationId>,
    ) -> Result<Task, Error> {
        let delete = Delete {
            load_balancer_id: load_balancer,
            listener_id: listener,
            location_ids: rules,
        };
        let lb = Some(load_balancer);
        Ok(self.call::<_, Empty>(DELETE, lb, &delete).await?.into())
    }
}
