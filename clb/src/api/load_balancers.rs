//! Load balancers as they are: `DescribeLoadBalancers`.

use serde::{Deserialize, Serialize};
use std::collections::HashSet;

use crate::actions::DESCRIBE_LOAD_BALANCERS as DESCRIBE;
use crate::api::filter::Filter;
use crate::api::load_balancer_writes::LoadBalancerType;
use crate::batch::{LOAD_BALANCER_PAGE, LOAD_BALANCERS};
use crate::ids::only;
use crate::wire::null_default;
use crate::{Client, Error, LoadBalancerId};

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct LoadBalancer {
    /// Its id.
    pub load_balancer_id: LoadBalancerId,
    /// Its name.
    #[serde(default, deserialize_with = "null_default")]
    pub load_balancer_name: String,
    /// `OPEN` or `INTERNAL`.
    pub load_balancer_type: Option<String>,
    /// 1 for a CLB; 0 for a classic one, which knows no rules.
    pub forward: Option<u8>,
    /// 0 being made, 1 normal.
    pub status: Option<u8>,
    /// Its addresses; empty where it is reached by its domain.
    #[serde(default, deserialize_with = "null_default")]
    pub load_balancer_vips: Vec<String>,
    /// Its domain, for some types.
    pub domain: Option<String>,
    /// Its domain, for the others.
    pub load_balancer_domain: Option<String>,
    /// Its network.
    pub vpc_id: Option<String>,
    /// Its subnet, for an internal one.
    pub subnet_id: Option<String>,
    /// `ipv4` and so on.
    #[serde(rename = "AddressIPVersion")]
    pub address_ip_version: Option<String>,
    /// Of one of IPv6: `IPv6FullChain`, or `IPv6Nat64` where it translates to IPv4.
    #[serde(rename = "IPv6Mode")]
    pub ipv6_mode: Option<String>,
    /// Its tags.
    #[serde(default, deserialize_with = "null_default")]
    pub tags: Vec<ResourceTag>,
    /// Its security groups.
    #[serde(default, deserialize_with = "null_default")]
    pub secure_groups: Vec<String>,
    /// Where its targets are.
    pub target_region_info: Option<TargetRegion>,
    /// Whether targets need not allow its traffic themselves.
    pub load_balancer_pass_to_target: Option<bool>,
    /// How its public traffic is paid for.
    pub network_attributes: Option<NetworkAttributes>,
    /// What protects it from changes and deletion, as `DeleteProtect`.
    #[serde(default, deserialize_with = "null_default")]
    pub attribute_flags: Vec<String>,
    /// 1 where it is switched off for want of payment.
    pub isolation: Option<u8>,
    /// When it was made, as the API writes it.
    pub create_time: Option<String>,
}

impl LoadBalancer {
    /// Whether it is ready to be used.
    pub fn is_normal(&self) -> bool {
        self.status == Some(1)
    }
}

/// How a load balancer's public traffic is paid for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[non_exhaustive]
pub struct NetworkAttributes {
    /// `TRAFFIC_POSTPAID_BY_HOUR`, `BANDWIDTH_POSTPAID_BY_HOUR` or `BANDWIDTH_PACKAGE`.
    pub internet_charge_type: Option<String>,
    /// Mbit/s.
    pub internet_max_bandwidth_out: Option<u32>,
}

/// Which load balancers to read; an empty query asks for all of the region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct LoadBalancerQuery {
    /// Only these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_ids: Vec<LoadBalancerId>,
    /// Only public or internal ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_type: Option<LoadBalancerType>,
    /// Only those of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_name: Option<String>,
    /// Only those of this network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// Only those that match all of these, at most 10; see [`Filter::tag`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
}

/// Where a load balancer's targets are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TargetRegion {
    /// The region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

/// A tag of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ResourceTag {
    /// The key.
    pub tag_key: String,
    /// The value.
    pub tag_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(flatten)]
    query: LoadBalancerQuery,
    #[serde(skip_serializing_if = "is_zero")]
    offset: usize,
    limit: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default, deserialize_with = "null_default")]
    load_balancer_set: Vec<LoadBalancer>,
    total_count: Option<usize>,
}

/// How often a list is read anew because it changed while it was read.
const READINGS: u32 = 3;

impl Client {
    /// The load balancers with these ids. One that does not exist is left out; no ids, no answer.
    pub async fn describe_load_balancers(
        &self,
        ids: &[LoadBalancerId],
    ) -> Result<Vec<LoadBalancer>, Error> {
        let query = LoadBalancerQuery {
            load_balancer_ids: ids.to_vec(),
            ..LoadBalancerQuery::default()
        };
        if ids.is_empty() {
            return Ok(vec![]);
        }
        self.find_load_balancers(&query).await
    }

    /// All load balancers that match the query, in as many calls as it takes.
    pub async fn find_load_balancers(
        &self,
        query: &LoadBalancerQuery,
    ) -> Result<Vec<LoadBalancer>, Error> {
        let ids = query.load_balancer_ids.as_slice();
        if ids.is_empty() {
            return self.all_pages(query).await;
        }
        let part = |ids: &[LoadBalancerId]| Page {
            query: LoadBalancerQuery {
                load_balancer_ids: ids.to_vec(),
                ..query.clone()
            },
            offset: 0,
            limit: LOAD_BALANCERS,
        };
        let found: Vec<Found> = self
            .call_in_parts(DESCRIBE, only(ids), (ids, LOAD_BALANCERS), part)
            .await?;
        Ok(found
            .into_iter()
            .flat_map(|part| part.load_balancer_set)
            .collect())
    }

    /// A load balancer made or deleted between two pages shifts the later ones: the total tells, and
    /// the list is read anew.
    async fn all_pages(&self, query: &LoadBalancerQuery) -> Result<Vec<LoadBalancer>, Error> {
        let mut reading = 1;
        loop {
            let Reading { found, totals } = self.read_pages(query).await?;
            let steady = totals.iter().all(|total| *total == found.len());
            if steady || reading == READINGS {
                return Ok(found);
            }
            reading += 1;
        }
    }

    async fn read_pages(&self, query: &LoadBalancerQuery) -> Result<Reading, Error> {
        let (mut reading, mut offset, mut limit) = (Reading::default(), 0, LOAD_BALANCER_PAGE);
        loop {
            let page = Page {
                query: query.clone(),
                offset,
                limit,
            };
            let page: Found = match self.call(DESCRIBE, None, &page).await {
                Err(Error::TooLarge { .. }) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                answer => answer?.value,
            };
            let read = page.load_balancer_set.len();
            offset += read;
            let more = page.total_count.map_or(read == limit, |all| offset < all);
            reading.take(page);
            if read == 0 || !more {
                return Ok(reading);
            }
        }
    }
}

/// A list read page by page.
#[derive(Default)]
struct Reading {
    /// What was found, each once.
    found: Vec<LoadBalancer>,
    /// How many there are, as each page told it.
    totals: Vec<usize>,
}

impl Reading {
    fn take(&mut self, page: Found) {
        self.totals.extend(page.total_count);
        self.found.extend(page.load_balancer_set);
        let mut seen = HashSet::new();
        self.found
            .retain(|one| seen.insert(one.load_balancer_id.clone()));
    }
}
