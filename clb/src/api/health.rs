//! `DescribeTargetHealth`: what the load balancers' own health checks say.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

use crate::api::listeners::Protocol;
use crate::batch::HEALTH_LOAD_BALANCERS;
use crate::client::{Action, Answered};
use crate::wire::null_default;
use crate::{Client, Error, ListenerId, LoadBalancerId, LocationId};

const DESCRIBE: Action = Action::read("DescribeTargetHealth");

/// The health of a load balancer's targets.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct LoadBalancerHealth {
    /// The load balancer.
    pub load_balancer_id: LoadBalancerId,
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

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Query<'a> {
    load_balancer_ids: &'a [LoadBalancerId],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    listener_ids: &'a [ListenerId],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default, deserialize_with = "null_default")]
    load_balancers: Vec<LoadBalancerHealth>,
}

impl Client {
    /// The health of the targets of up to 30 load balancers; of only the given listeners, if any
    /// are given.
    pub async fn describe_target_health(
        &self,
        load_balancers: &[LoadBalancerId],
        listeners: &[ListenerId],
    ) -> Result<Vec<LoadBalancerHealth>, Error> {
        self.check_size(
            DESCRIBE,
            None,
            (
                "load balancers",
                load_balancers.len(),
                HEALTH_LOAD_BALANCERS,
            ),
        )?;
        let only = match load_balancers {
            [one] => Some(one),
            _ => None,
        };
        let query = Query {
            load_balancer_ids: load_balancers,
            listener_ids: listeners,
        };
        let answered: Answered<Found> = self.call(DESCRIBE, only, &query).await?;
        Ok(answered.value.load_balancers)
    }
}
