//! `DescribeLoadBalancers` and `CreateLoadBalancer`.

use super::Reply;
use super::params::{Params, at_most, not_empty, or_null};
use crate::clock::beijing;
use crate::refusal::{Refusal, code};
use crate::state::parts::{Effect, LoadBalancer, Network};
use crate::state::tasks::Task;
use crate::state::{Call, Created, Model, NewLoadBalancer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const IDS_PER_CALL: usize = 20;
const FILTERS: usize = 10;
const FILTER_VALUES: usize = 100;
const DEFAULT_PAGE: i64 = 20;
const LARGEST_PAGE: i64 = 100;
const LARGEST_ORDER: i64 = 20;
/// Account default, per region and kind (Tencent Cloud documentation, CLB quotas).
const CLBS_PER_KIND: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Describe {
    load_balancer_ids: Option<Vec<String>>,
    load_balancer_type: Option<String>,
    load_balancer_name: Option<String>,
    load_balancer_vips: Option<Vec<String>>,
    vpc_id: Option<String>,
    offset: Option<i64>,
    limit: Option<i64>,
    filters: Option<Vec<Filter>>,
}

impl Params for Describe {
    const IGNORED: &'static [&'static str] = &[
        "AdditionalFields",
        "BackendPrivateIps",
        "BackendPublicIps",
        "Domain",
        "Forward",
        "MasterZone",
        "OrderBy",
        "OrderType",
        "ProjectId",
        "SearchKey",
        "SecurityGroup",
        "WithRs",
    ];
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) values: Vec<String>,
}

pub(super) fn describe(model: &mut Model, _: &Call, params: &Describe) -> Result<Reply, Refusal> {
    let ids = params.load_balancer_ids.as_deref().unwrap_or_default();
    at_most("LoadBalancerIds", ids.len(), IDS_PER_CALL)?;
    let filters = params.filters.as_deref().unwrap_or_default();
    check_filters(filters)?;
    let offset = in_range("Offset", params.offset, 0, i64::MAX)?;
    let limit = in_range("Limit", params.limit, DEFAULT_PAGE, LARGEST_PAGE)?;
    let mut found: Vec<&LoadBalancer> = model
        .load_balancers
        .values()
        .filter(|found| {
            matches(found, params) && filters.iter().all(|filter| passes(found, filter))
        })
        .collect();
    found.sort_by_key(|found| (found.created, found.id.clone()));
    let shown = found
        .iter()
        .skip(offset)
        .take(limit)
        .map(|found| show(found))
        .collect();
    Ok(Reply::now(
        json!({ "TotalCount": found.len(), "LoadBalancerSet": Value::Array(shown) }),
    ))
}

fn in_range(field: &str, given: Option<i64>, default: i64, most: i64) -> Result<usize, Refusal> {
    let value = given.unwrap_or(default);
    usize::try_from(value)
        .ok()
        .filter(|_| value <= most)
        .ok_or_else(|| {
            Refusal::new(
                code::RANGE,
                format!("{field} {value} is out of range: accepted are 0 to {most}"),
            )
        })
}

fn check_filters(filters: &[Filter]) -> Result<(), Refusal> {
    at_most("Filters", filters.len(), FILTERS)?;
    for filter in filters {
        at_most("Filters.Values", filter.values.len(), FILTER_VALUES)?;
        if filter.name != "tag-key" && !filter.name.starts_with("tag:") {
            let message = format!(
                "Filters.Name {:?} is not known: tag-key and tag:<key> are",
                filter.name
            );
            return Err(Refusal::new(code::INVALID_FILTER, message));
        }
    }
    Ok(())
}

fn passes(found: &LoadBalancer, filter: &Filter) -> bool {
    match filter.name.strip_prefix("tag:") {
        Some(key) => found
            .tags
            .get(key)
            .is_some_and(|value| filter.values.contains(value)),
        None => filter.values.iter().any(|key| found.tags.contains_key(key)),
    }
}

fn matches(found: &LoadBalancer, params: &Describe) -> bool {
    let none_or = |given: &Option<Vec<String>>, value: &String| {
        given
            .as_ref()
            .is_none_or(|list| list.is_empty() || list.contains(value))
    };
    none_or(&params.load_balancer_ids, &found.id)
        && none_or(&params.load_balancer_vips, &found.vip.to_string())
        && params
            .load_balancer_name
            .as_ref()
            .is_none_or(|name| *name == found.name)
        && params
            .vpc_id
            .as_ref()
            .is_none_or(|vpc| *vpc == found.vpc_id)
        && params
            .load_balancer_type
            .as_ref()
            .is_none_or(|kind| kind == found.kind.name())
}

fn show(found: &LoadBalancer) -> Value {
    let tags = found
        .tags
        .iter()
        .map(|(key, value)| json!({ "TagKey": key, "TagValue": value }));
    json!({
        "LoadBalancerId": found.id,
        "LoadBalancerName": found.name,
        "LoadBalancerType": found.kind.name(),
        "Forward": 1,
        "Domain": "",
        "LoadBalancerVips": [found.vip],
        "Status": i32::from(found.active),
        "CreateTime": beijing(found.created),
        "StatusTime": beijing(found.created),
        "VpcId": found.vpc_id,
        "SubnetId": found.subnet_id,
        "AddressIPVersion": "ipv4",
        "Tags": or_null(tags.collect()),
        "SecureGroups": null,
        "TargetRegionInfo": null,
        "LoadBalancerPassToTarget": found.pass_to_target,
        "LoadBalancerDomain": null,
        "AttributeFlags": null,
        "Isolation": 0,
    })
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Create {
    load_balancer_type: String,
    load_balancer_name: Option<String>,
    vpc_id: Option<String>,
    subnet_id: Option<String>,
    number: Option<i64>,
    tags: Option<Vec<Tag>>,
    client_token: Option<String>,
    load_balancer_pass_to_target: Option<bool>,
    #[serde(rename = "AddressIPVersion")]
    address_ip_version: Option<String>,
}

impl Params for Create {
    const IGNORED: &'static [&'static str] = &[
        "BandwidthPackageId",
        "ClusterIds",
        "ClusterTag",
        "DynamicVip",
        "EipAddressId",
        "ExclusiveCluster",
        "Forward",
        "InternetAccessible",
        "MasterZoneId",
        "ProjectId",
        "SlaType",
        "SlaveZoneId",
        "SnatIps",
        "SnatPro",
        "VipIsp",
        "ZoneId",
        "Zones",
    ];
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Tag {
    tag_key: String,
    tag_value: String,
}

pub(super) fn create(model: &mut Model, call: &Call, params: &Create) -> Result<Reply, Refusal> {
    let request = serde_json::to_string(params).unwrap_or_default();
    if let Some(earlier) = repeat(model, params, &request)? {
        return Ok(created(&earlier));
    }
    let number = in_range("Number", params.number, 1, LARGEST_ORDER)?;
    let kind = network(model, params)?;
    check_quota(model, kind, number)?;
    let mut made = Vec::new();
    for _ in 0..number {
        let id = model.ids.next("lb");
        model.add_load_balancer(call, new_load_balancer(&id, kind, params))?;
        made.push(id);
    }
    let created_now = Created {
        request,
        load_balancers: made.clone(),
        deal: format!("deal-{}", call.request_id),
    };
    model.tasks.remember(Task {
        id: call.request_id.clone(),
        deal: Some(created_now.deal.clone()),
        due: model.due(call),
        load_balancers: made,
    });
    if let Some(token) = &params.client_token {
        model
            .client_tokens
            .insert(token.clone(), created_now.clone());
    }
    Ok(created(&created_now))
}

fn created(made: &Created) -> Reply {
    Reply::now(json!({ "LoadBalancerIds": made.load_balancers, "DealName": made.deal }))
}

/// The same token with the same parameters answers as before; with others it is an error.
fn repeat(model: &Model, params: &Create, request: &str) -> Result<Option<Created>, Refusal> {
    let Some(token) = &params.client_token else {
        return Ok(None);
    };
    if token.len() > 64 || !token.is_ascii() {
        let message =
            format!("ClientToken {token:?} is not accepted: at most 64 ASCII characters are");
        return Err(Refusal::new(code::CLIENT_TOKEN, message));
    }
    match model.client_tokens.get(token) {
        Some(earlier) if earlier.request != request => {
            let message = format!("ClientToken {token:?} was used before with other parameters");
            Err(Refusal::new(code::INVALID_PARAMETER, message))
        }
        earlier => Ok(earlier.cloned()),
    }
}

fn network(model: &Model, params: &Create) -> Result<Network, Refusal> {
    let version = params.address_ip_version.as_deref().unwrap_or("IPV4");
    if !version.eq_ignore_ascii_case("ipv4") {
        let message =
            format!("AddressIPVersion {version:?} is valid, but this simulator only has IPv4");
        return Err(Refusal::new(code::UNSUPPORTED, message));
    }
    let vpc = &model.settings.vpc_id;
    if let Some(other) = params.vpc_id.as_ref().filter(|given| *given != vpc) {
        let message = format!("VpcId {other:?} does not exist here: the only VPC is {vpc:?}");
        return Err(Refusal::new(code::INVALID_VALUE, message));
    }
    match params.load_balancer_type.as_str() {
        "OPEN" => Ok(Network::Open),
        "INTERNAL" if params.subnet_id.is_some() => Ok(Network::Internal),
        "INTERNAL" => Err(Refusal::new(
            code::MISSING,
            "SubnetId is required for LoadBalancerType INTERNAL",
        )),
        other => {
            let message =
                format!("LoadBalancerType {other:?} is not accepted: OPEN and INTERNAL are");
            Err(Refusal::new(code::INVALID_VALUE, message))
        }
    }
}

fn check_quota(model: &Model, kind: Network, number: usize) -> Result<(), Refusal> {
    let present = model
        .load_balancers
        .values()
        .filter(|found| found.kind == kind)
        .count();
    if present + number <= CLBS_PER_KIND {
        return Ok(());
    }
    let message = format!(
        "{present} {} load balancers exist; {number} more exceed the quota of {CLBS_PER_KIND}",
        kind.name()
    );
    Err(Refusal::new(code::LIMIT_EXCEEDED, message))
}

fn new_load_balancer(id: &str, kind: Network, params: &Create) -> NewLoadBalancer {
    let tags = params.tags.iter().flatten();
    NewLoadBalancer {
        id: id.to_owned(),
        name: params
            .load_balancer_name
            .clone()
            .unwrap_or_else(|| id.to_owned()),
        kind,
        subnet_id: params.subnet_id.clone().unwrap_or_default(),
        tags: tags
            .map(|tag| (tag.tag_key.clone(), tag.tag_value.clone()))
            .collect::<BTreeMap<_, _>>(),
        pass_to_target: params.load_balancer_pass_to_target.unwrap_or(false),
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Delete {
    load_balancer_ids: Vec<String>,
}

impl Params for Delete {
    const IGNORED: &'static [&'static str] = &["ForceDelete"];
}

pub(super) fn delete(model: &mut Model, call: &Call, params: &Delete) -> Result<Reply, Refusal> {
    not_empty("LoadBalancerIds", params.load_balancer_ids.len())?;
    at_most(
        "LoadBalancerIds",
        params.load_balancer_ids.len(),
        IDS_PER_CALL,
    )?;
    for id in &params.load_balancer_ids {
        model.writable(call, id)?;
    }
    for id in &params.load_balancer_ids {
        model.begin(call, id, Effect::Remove)?;
    }
    Ok(Reply::now(json!({})))
}
