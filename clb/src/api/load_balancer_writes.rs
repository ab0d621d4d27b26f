//! Making, changing and deleting load balancers.

use serde::{Deserialize, Serialize};

use crate::actions::{
    CREATE_LOAD_BALANCER as CREATE, DELETE_LOAD_BALANCER as DELETE,
    MODIFY_LOAD_BALANCER_ATTRIBUTES as MODIFY,
    SET_LOAD_BALANCER_SECURITY_GROUPS as SET_SECURITY_GROUPS,
};
use crate::api::filter::NonEmpty;
use crate::api::load_balancers::{ResourceTag, TargetRegion};
use crate::batch::{DELETE_LOAD_BALANCERS, SECURITY_GROUPS};
use crate::client::Answered;
use crate::ids::only;
use crate::wire::{Empty, null_default};
use crate::{Client, Error, LoadBalancerId, Task};

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
    /// Its availability zone; public ones only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone_id: Option<String>,
    /// Its carrier: `CTCC`, `CUCC`, `CMCC` or `BGP`, the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip_isp: Option<String>,
    /// The address asked for; internal ones only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vip: Option<String>,
    /// Its size, as `clb.c2.medium`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sla_type: Option<String>,
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
            zone_id: None,
            vip_isp: None,
            vip: None,
            sla_type: None,
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

/// Changes to a load balancer. What is absent stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ModifyLoadBalancer {
    /// The load balancer.
    pub load_balancer_id: LoadBalancerId,
    /// Its new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_name: Option<String>,
    /// Where its targets are from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_region_info: Option<TargetRegion>,
    /// How its traffic is paid for from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_charge_info: Option<InternetAccessible>,
    /// Whether targets need not allow its traffic themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer_pass_to_target: Option<bool>,
    /// Whether it cannot be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_protect: Option<bool>,
}

impl ModifyLoadBalancer {
    /// No change yet.
    pub fn new(load_balancer_id: LoadBalancerId) -> Self {
        Self {
            load_balancer_id,
            load_balancer_name: None,
            target_region_info: None,
            internet_charge_info: None,
            load_balancer_pass_to_target: None,
            delete_protect: None,
        }
    }
}

/// Whether a load balancer is deleted that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// Yes.
    Delete,
    /// No: the API refuses where it has 20 targets or more, or traffic above 10 Mbit/s.
    Keep,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Delete<'a> {
    load_balancer_ids: NonEmpty<'a, LoadBalancerId>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    force_delete: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SecurityGroups<'a> {
    load_balancer_id: &'a LoadBalancerId,
    security_groups: &'a [String],
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

    /// Changes a load balancer.
    pub async fn modify_load_balancer(&self, modify: &ModifyLoadBalancer) -> Result<Task, Error> {
        let lb = Some(&modify.load_balancer_id);
        Ok(self.call::<_, Empty>(MODIFY, lb, modify).await?.into())
    }

    /// Gives a load balancer exactly these security groups; none of them removes all.
    pub async fn set_security_groups(
        &self,
        load_balancer: &LoadBalancerId,
        security_groups: &[String],
    ) -> Result<Task, Error> {
        let (action, lb) = (SET_SECURITY_GROUPS, Some(load_balancer));
        if !security_groups.is_empty() {
            let given = security_groups.len();
            self.check_size(action, lb, ("security groups", given, SECURITY_GROUPS))?;
        }
        let set = SecurityGroups {
            load_balancer_id: load_balancer,
            security_groups,
        };
        Ok(self.call::<_, Empty>(action, lb, &set).await?.into())
    }

    /// Deletes up to 20 load balancers with all that is in them.
    pub async fn delete_load_balancers(
        &self,
        load_balancers: NonEmpty<'_, LoadBalancerId>,
        in_use: InUse,
    ) -> Result<Task, Error> {
        let ids = load_balancers.as_slice();
        let lb = only(ids);
        self.check_size(
            DELETE,
            lb,
            ("load balancers", ids.len(), DELETE_LOAD_BALANCERS),
        )?;
        let delete = Delete {
            load_balancer_ids: load_balancers,
            force_delete: in_use == InUse::Delete,
        };
        Ok(self.call::<_, Empty>(DELETE, lb, &delete).await?.into())
    }
}
