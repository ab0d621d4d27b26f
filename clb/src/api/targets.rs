//! Targets as the load balancers have them: `DescribeTargets`.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

use crate::actions::DESCRIBE_TARGETS as DESCRIBE;
use crate::api::filter::Filter;
use crate::api::listeners::Protocol;
use crate::batch::TARGETS_LISTENERS;
use crate::wire::null_default;
use crate::{Client, Error, ListenerId, ListenerQuery, LoadBalancerId, LocationId};

/// The targets of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ListenerTargets {
    /// The listener.
    pub listener_id: ListenerId,
    /// Its protocol.
    #[serde(default, deserialize_with = "null_default")]
    pub protocol: Protocol,
    /// Its port.
    #[serde(default, deserialize_with = "null_default")]
    pub port: u16,
    /// The last port of a range; 0 or absent for none.
    pub end_port: Option<u16>,
    /// The targets of its rules; empty on layer 4.
    #[serde(default, deserialize_with = "null_default")]
    pub rules: Vec<RuleTargets>,
    /// Its own targets; empty on layer 7.
    #[serde(default, deserialize_with = "null_default")]
    pub targets: Vec<Backend>,
}

/// The targets of a layer-7 rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct RuleTargets {
    /// The rule.
    pub location_id: LocationId,
    /// Its domain.
    pub domain: Option<String>,
    /// Its URL.
    pub url: Option<String>,
    /// Its targets.
    #[serde(default, deserialize_with = "null_default")]
    pub targets: Vec<Backend>,
}

/// A target as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct Backend {
    /// `ENI`, `CVM` and so on, in upper or lower case.
    #[serde(rename = "Type", default, deserialize_with = "null_default")]
    pub kind: String,
    /// The instance, for a target bound by instance.
    pub instance_id: Option<String>,
    /// The network interface.
    pub eni_id: Option<String>,
    /// The port.
    #[serde(default, deserialize_with = "null_default")]
    pub port: u16,
    /// The share of traffic, 0 to 100.
    pub weight: Option<u8>,
    /// The addresses; a pod's is the first.
    #[serde(default, deserialize_with = "null_default")]
    pub private_ip_addresses: Vec<String>,
    /// The mark given at registration.
    pub tag: Option<String>,
    /// When it was bound, as the API writes it: `2019-07-12 16:22:02`, Beijing time.
    pub registered_time: Option<String>,
}

impl Backend {
    /// The target's address and port, where it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.private_ip_addresses.first()?.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }
}

/// Which targets to read; an empty query asks for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetQuery {
    /// Only those of these listeners.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listener_ids: Vec<ListenerId>,
    /// Only those of listeners of this protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// Only those of listeners on this port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Only those that match: `location-id`, `private-ip-address`, `tag`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Query<'a> {
    load_balancer_id: &'a LoadBalancerId,
    #[serde(flatten)]
    query: TargetQuery,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default, deserialize_with = "null_default")]
    listeners: Vec<ListenerTargets>,
}

impl Client {
    /// The targets of the given listeners, or of all where none is given.
    pub async fn describe_targets(
        &self,
        load_balancer: &LoadBalancerId,
        listeners: &[ListenerId],
    ) -> Result<Vec<ListenerTargets>, Error> {
        let query = TargetQuery {
            listener_ids: listeners.to_vec(),
            ..TargetQuery::default()
        };
        self.find_targets(load_balancer, &query).await
    }

    /// The targets that match the query, of any number of listeners. Where the answer for all
    /// listeners is too large, they are read in parts.
    pub async fn find_targets(
        &self,
        load_balancer: &LoadBalancerId,
        query: &TargetQuery,
    ) -> Result<Vec<ListenerTargets>, Error> {
        if !query.listener_ids.is_empty() {
            return self
                .targets_of(load_balancer, &query.listener_ids, query)
                .await;
        }
        let all = Query {
            load_balancer_id: load_balancer,
            query: query.clone(),
        };
        match self
            .call::<_, Found>(DESCRIBE, Some(load_balancer), &all)
            .await
        {
            Ok(answered) => Ok(answered.value.listeners),
            Err(Error::TooLarge { .. }) => {
                let listeners = ListenerQuery {
                    protocol: query.protocol.clone(),
                    port: query.port,
                    ..ListenerQuery::default()
                };
                let ids = self.listener_ids(load_balancer, &listeners).await?;
                self.targets_of(load_balancer, &ids, query).await
            }
            Err(error) => Err(error),
        }
    }

    async fn targets_of(
        &self,
        load_balancer: &LoadBalancerId,
        listeners: &[ListenerId],
        query: &TargetQuery,
    ) -> Result<Vec<ListenerTargets>, Error> {
        let part = |ids: &[ListenerId]| Query {
            load_balancer_id: load_balancer,
            query: TargetQuery {
                listener_ids: ids.to_vec(),
                ..query.clone()
            },
        };
        let parts = (listeners, TARGETS_LISTENERS);
        let found: Vec<Found> = self
            .call_in_parts(DESCRIBE, Some(load_balancer), parts, part)
            .await?;
        Ok(found.into_iter().flat_map(|part| part.listeners).collect())
    }
}
