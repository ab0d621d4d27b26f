//! Load balancers themselves.

use serde::{Deserialize, Serialize};

use crate::batch::LOAD_BALANCERS;
use crate::client::{Action, Answered};
use crate::wire::null_default;
use crate::{Client, Error, LoadBalancerId, Task};

const CREATE: Action = Action::write("CreateLoadBalancer");
const DESCRIBE: Action = Action::read("DescribeLoadBalancers");

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
    /// When it was made, as the API writes it.
    pub create_time: Option<String>,
}

impl LoadBalancer {
    /// Whether it is ready to be used.
    pub fn is_normal(&self) -> bool {
        self.status == Some(1)
    }
}

/// Where a load balancer's targets are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct TargetRegion {
    /// The region.
    pub region: Option<String>,
    /// The network.
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

/// Whether a load balancer has public addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LoadBalancerType {
    /// Addresses of a subnet.
    Internal,
    /// Public addresses.
    Open,
}

/// How public traffic is paid for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InternetAccessible {
    /// `TRAFFIC_POSTPAID_BY_HOUR`, `BANDWIDTH_POSTPAID_BY_HOUR` or `BANDWIDTH_PACKAGE`.
    pub internet_charge_type: String,
    /// Mbit/s.
    pub internet_max_bandwidth_out: u32,
}

/// A new load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateLoadBalancer {
    /// Public or internal.
    pub load_balancer_type: LoadBalancerType,
    /// Its name, 1 to 80 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_name: Option<String>,
    /// Its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    /// Its subnet; required for an internal one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    /// `IPV4`, `IPV6` or `IPv6FullChain`.
    #[serde(rename = "AddressIPVersion", skip_serializing_if = "Option::is_none")]
    pub address_ip_version: Option<String>,
    /// How its traffic is paid for; public ones only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_accessible: Option<InternetAccessible>,
    /// Its tags, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<ResourceTag>,
    /// Whether targets need not allow its traffic themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_pass_to_target: Option<bool>,
    /// Makes a repeated request the same one: at most 64 ASCII characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
}

impl CreateLoadBalancer {
    /// One with the API's defaults.
    pub fn new(load_balancer_type: LoadBalancerType) -> Self {
        Self {
            load_balancer_type,
            load_balancer_name: None,
            vpc_id: None,
            subnet_id: None,
            address_ip_version: None,
            internet_accessible: None,
            tags: vec![],
            load_balancer_pass_to_target: None,
            client_token: None,
        }
    }
}

/// What was ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedLoadBalancers {
    /// The ids; the API may leave them out at first.
    pub ids: Vec<LoadBalancerId>,
    /// The order, by which ids may be asked for.
    pub deal_name: Option<String>,
    /// The task.
    pub task: Task,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Query<'a> {
    load_balancer_ids: &'a [LoadBalancerId],
    limit: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    #[serde(default, deserialize_with = "null_default")]
    load_balancer_set: Vec<LoadBalancer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewIds {
    #[serde(default, deserialize_with = "null_default")]
    load_balancer_ids: Vec<LoadBalancerId>,
    #[serde(default)]
    deal_name: Option<String>,
}

impl Client {
    /// The load balancers with these ids. One that does not exist is left out; no ids, no answer.
    pub async fn describe_load_balancers(
        &self,
        ids: &[LoadBalancerId],
    ) -> Result<Vec<LoadBalancer>, Error> {
        let mut found = vec![];
        for page in ids.chunks(LOAD_BALANCERS) {
            let only = match page {
                [one] => Some(one),
                _ => None,
            };
            let query = Query {
                load_balancer_ids: page,
                limit: LOAD_BALANCERS,
            };
            let answered: Answered<Found> = self.call(DESCRIBE, only, &query).await?;
            found.extend(answered.value.load_balancer_set);
        }
        Ok(found)
    }

    /// Orders a load balancer. Wait until [`is_normal`](LoadBalancer::is_normal) before using it.
    pub async fn create_load_balancer(
        &self,
        create: &CreateLoadBalancer,
    ) -> Result<CreatedLoadBalancers, Error> {
        let answered: Answered<NewIds> = self.call(CREATE, None, create).await?;
        let NewIds {
            load_balancer_ids: ids,
            deal_name,
        } = answered.value;
        Ok(CreatedLoadBalancers {
            ids,
            deal_name,
            task: Task::new(answered.request_id),
        })
    }
}
