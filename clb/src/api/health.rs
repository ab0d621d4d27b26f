//! `DescribeTargetHealth`: what the load balancers' own health checks say.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

use crate::actions::DESCRIBE_TARGET_HEALTH as DESCRIBE;
use crate::api::listeners::Protocol;
use crate::batch::HEALTH_LOAD_BALANCERS;
use crate::client::Answered;
use crate::ids::only;
use crate::wire::null_default;
use crate::{Client, Error, ListenerId, ListenerQuery, LoadBalancerId, LocationId};

/// The health of a load balancer's targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct LoadBalancerHealth {
    /// The load balancer.
    pub load_balancer_id: LoadBalancerId,
    /// Its name.
    #[serde(default, deserialize_with = "null_default")]
    pub load_balancer_name: String,
    /// Its listeners.
    #[serde(default, deserialize_with = "null_default")]
    pub listeners: Vec<ListenerHealth>,
}

/// The health of a listener's targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ListenerHealth {
    /// The listener.
    pub listener_id: ListenerId,
    /// Its name.
    #[serde(default, deserialize_with = "null_default")]
    pub listener_name: String,
    /// Its protocol.
    #[serde(default, deserialize_with = "null_default")]
    pub protocol: Protocol,
    /// Its port.
    #[serde(default, deserialize_with = "null_default")]
    pub port: u16,
    /// Its rules. A layer-4 listener has one, which has neither domain nor URL.
    #[serde(default, deserialize_with = "null_default")]
    pub rules: Vec<RuleHealth>,
}

/// The health of a rule's targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RuleHealth {
    /// The rule; a made-up one under a layer-4 listener.
    pub location_id: Option<LocationId>,
    /// The rule's domain.
    pub domain: Option<String>,
    /// The rule's URL.
    pub url: Option<String>,
    /// Its targets.
    #[serde(default, deserialize_with = "null_default")]
    pub targets: Vec<TargetHealth>,
}

/// One target's health.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct TargetHealth {
    /// The target's address.
    #[serde(rename = "IP", default, deserialize_with = "null_default")]
    pub ip: String,
    /// The target's port.
    #[serde(default, deserialize_with = "null_default")]
    pub port: u16,
    /// Whether the target is healthy. By itself not enough: see [`state`](Self::state).
    pub health_status: Option<bool>,
    /// The health in a word.
    pub health_status_detail: Option<String>,
    /// The same in the API's first, misspelled field.
    pub health_status_detial: Option<String>,
    /// The instance or network interface.
    pub target_id: Option<String>,
}

/// What the health check says about a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HealthState {
    /// Healthy: it gets traffic if it has weight.
    Alive,
    /// The health check is off, or the listener is stopped.
    Close,
    /// Unhealthy.
    Dead,
    /// Not probed yet, being probed, or contradictory.
    Unknown,
}

impl TargetHealth {
    /// Alive only where the flag and the word both say so: the API's own sample has a target that is
    /// `true` and `Dead`. Where there is no word, the flag alone counts, of which `false` means "not
    /// yet" as well as "not".
    pub fn state(&self) -> HealthState {
        let word = self
            .health_status_detail
            .as_ref()
            .or(self.health_status_detial.as_ref());
        let word = word
            .map(|text| text.to_ascii_lowercase())
            .filter(|text| !text.is_empty());
        match (self.health_status, word.as_deref()) {
            (_, Some("close")) => HealthState::Close,
            (_, Some("dead")) => HealthState::Dead,
            (Some(true), Some("alive") | None) => HealthState::Alive,
            _ => HealthState::Unknown,
        }
    }

    /// The target's address and port, where the address is one.
    pub fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.ip.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

/// Whose health to read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthQuery {
    /// The load balancers. None, no answer.
    pub load_balancer_ids: Vec<LoadBalancerId>,
    /// Only these of their listeners, if any are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listener_ids: Vec<ListenerId>,
    /// Only these of their rules, if any are given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub location_ids: Vec<LocationId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default, deserialize_with = "null_default")]
    load_balancers: Vec<LoadBalancerHealth>,
}

impl Client {
    /// The health of the load balancers' targets; of only the given listeners, if any are given.
    pub async fn describe_target_health(
        &self,
        load_balancers: &[LoadBalancerId],
        listeners: &[ListenerId],
    ) -> Result<Vec<LoadBalancerHealth>, Error> {
        self.find_target_health(&HealthQuery {
            load_balancer_ids: load_balancers.to_vec(),
            listener_ids: listeners.to_vec(),
            location_ids: vec![],
        })
        .await
    }

    /// The health that matches the query, of any number of load balancers. Where the answer for one
    /// load balancer is too large, its listeners are read in parts; their health then comes in
    /// several entries for that load balancer.
    pub async fn find_target_health(
        &self,
        query: &HealthQuery,
    ) -> Result<Vec<LoadBalancerHealth>, Error> {
        let mut parts: Vec<&[LoadBalancerId]> = query
            .load_balancer_ids
            .chunks(HEALTH_LOAD_BALANCERS)
            .rev()
            .collect();
        let mut found = vec![];
        while let Some(part) = parts.pop() {
            let asked = HealthQuery {
                load_balancer_ids: part.to_vec(),
                ..query.clone()
            };
            match (self.health(&asked).await, part) {
                (Err(Error::TooLarge { .. }), [one]) => {
                    found.extend(self.health_by_listener(one, query).await?);
                }
                (Err(Error::TooLarge { .. }), several) => {
                    let (first, second) = several.split_at(several.len() / 2);
                    parts.extend([second, first]);
                }
                (answer, _) => found.extend(answer?),
            }
        }
        Ok(found)
    }

    async fn health(&self, query: &HealthQuery) -> Result<Vec<LoadBalancerHealth>, Error> {
        let answered: Answered<Found> = self
            .call(DESCRIBE, only(&query.load_balancer_ids), query)
            .await?;
        Ok(answered.value.load_balancers)
    }

    /// The answer for the load balancer is too large, so the first part is half of its listeners.
    async fn health_by_listener(
        &self,
        load_balancer: &LoadBalancerId,
        query: &HealthQuery,
    ) -> Result<Vec<LoadBalancerHealth>, Error> {
        let all = self
            .listener_ids(load_balancer, &ListenerQuery::default())
            .await?;
        let wanted =
            |id: &ListenerId| query.listener_ids.is_empty() || query.listener_ids.contains(id);
        let ids: Vec<ListenerId> = all.into_iter().filter(wanted).collect();
        let part = |ids: &[ListenerId]| HealthQuery {
            load_balancer_ids: vec![load_balancer.clone()],
            listener_ids: ids.to_vec(),
            location_ids: query.location_ids.clone(),
        };
        let parts = (ids.as_slice(), ids.len().div_ceil(2).max(1));
        let found: Vec<Found> = self
            .call_in_parts(DESCRIBE, Some(load_balancer), parts, part)
            .await?;
        Ok(found
            .into_iter()
            .flat_map(|part| part.load_balancers)
            .collect())
    }
}
