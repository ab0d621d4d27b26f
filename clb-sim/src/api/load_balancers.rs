//! `DescribeLoadBalancers`.

use super::Reply;
use super::params::{Params, at_most, in_range};
use super::unused;
use crate::clock::beijing;
use crate::refusal::{Refusal, code};
use crate::state::parts::LoadBalancer;
use crate::state::{Call, Model};
use serde::Deserialize;
use serde_json::{Value, json};

const IDS_PER_CALL: usize = 20;
const FILTERS: usize = 10;
const FILTER_VALUES: usize = 100;
const DEFAULT_PAGE: i64 = 20;
const LARGEST_PAGE: i64 = 100;

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
    domain: Option<String>,
    forward: Option<i64>,
    security_group: Option<String>,
    with_rs: Option<i64>,
    search_key: Option<String>,
    order_by: Option<String>,
    order_type: Option<i64>,
    additional_fields: Option<Vec<String>>,
}

impl Params for Describe {
    const IGNORED: &'static [&'static str] = &[
        "BackendPrivateIps",
        "BackendPublicIps",
        "MasterZone",
        "ProjectId",
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
    let offset = in_range("Offset", params.offset, 0, 0..=i64::MAX)?;
    let limit = in_range("Limit", params.limit, DEFAULT_PAGE, 0..=LARGEST_PAGE)?;
    let mut found: Vec<&LoadBalancer> = model
        .load_balancers
        .values()
        .filter(|found| {
            matches(found, params) && filters.iter().all(|filter| passes(found, filter))
        })
        .collect();
    sort(&mut found, params)?;
    let extra = params.additional_fields.as_deref().unwrap_or_default();
    let page = found.iter().skip(offset).take(limit);
    let shown = page.map(|found| show(found, &model.settings.region, extra));
    let shown: Vec<Value> = shown.collect();
    Ok(Reply::now(
        json!({ "TotalCount": found.len(), "LoadBalancerSet": shown }),
    ))
}

/// The newest first, unless the caller wants another order.
fn sort(found: &mut [&LoadBalancer], params: &Describe) -> Result<(), Refusal> {
    let by = params.order_by.as_deref().unwrap_or("CreateTime");
    let key: fn(&LoadBalancer) -> &str = match by {
        "CreateTime" => |_| "",
        "LoadBalancerName" => |found| &found.name,
        "Domain" => |found| found.more.domain.as_deref().unwrap_or_default(),
        "LoadBalancerType" => |found| found.kind.name(),
        other => {
            let message = format!(
                "OrderBy {other:?} is not known: LoadBalancerName, CreateTime, Domain and LoadBalancerType are"
            );
            return Err(Refusal::new(code::INVALID_VALUE, message));
        }
    };
    let descending = in_range("OrderType", params.order_type, 1, 0..=1)? == 1;
    found.sort_by(|one, other| {
        let one = (key(one), one.created, &one.id);
        let order = one.cmp(&(key(other), other.created, &other.id));
        if descending { order.reverse() } else { order }
    });
    Ok(())
}

fn check_filters(filters: &[Filter]) -> Result<(), Refusal> {
    at_most("Filters", filters.len(), FILTERS)?;
    for filter in filters {
        at_most("Filters.Values", filter.values.len(), FILTER_VALUES)?;
        if filter.name != "tag-key" && !filter.name.starts_with("tag:") {
            let message = format!(
                "Filters.Name {:?} is not known here: tag-key and tag:<key> are",
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
    let is =
        |given: &Option<String>, value: &str| given.as_ref().is_none_or(|given| given == value);
    let in_part = |given: &Option<String>, value: &str| {
        given
            .as_ref()
            .is_none_or(|given| value.contains(given.as_str()))
    };
    let domain = found.more.domain.as_deref().unwrap_or_default();
    let vip = found.vip.to_string();
    let anything = [&found.name, &found.id, &vip, domain];
    let has_group = |group: &String| found.security_groups.contains(group);
    none_or(&params.load_balancer_ids, &found.id)
        && none_or(&params.load_balancer_vips, &vip)
        && in_part(&params.load_balancer_name, &found.name)
        && anything
            .iter()
            .any(|value| in_part(&params.search_key, value))
        && is(&params.vpc_id, &found.vpc_id)
        && is(&params.load_balancer_type, found.kind.name())
        && in_part(&params.domain, domain)
        && params.security_group.as_ref().is_none_or(has_group)
        && is_of_kind(found, params)
}

/// `Forward` and `WithRs`, where -1 means all.
fn is_of_kind(found: &LoadBalancer, params: &Describe) -> bool {
    let forward = i64::from(!found.more.classic);
    let bound = i64::from(found.targets() > 0);
    let is =
        |given: Option<i64>, value: i64| given.is_none_or(|given| given == -1 || given == value);
    is(params.forward, forward) && is(params.with_rs, bound)
}

fn show(found: &LoadBalancer, own_region: &str, extra: &[String]) -> Value {
    let tags = found.tags.iter();
    let tags = tags.map(|(key, value)| json!({ "TagKey": key, "TagValue": value }));
    let tags: Vec<Value> = tags.collect();
    let flags = found.more.protected.then_some("DeleteProtect");
    let domain = found.more.domain.as_deref();
    let vips = domain.is_none().then_some(found.vip);
    let (region, vpc) = match &found.more.target_region {
        Some((region, vpc)) => (region.as_str(), vpc),
        None => (own_region, &found.vpc_id),
    };
    let mut shown = json!({
        "LoadBalancerId": found.id,
        "LoadBalancerName": found.name,
        "LoadBalancerType": found.kind.name(),
        "Forward": i32::from(!found.more.classic),
        "Domain": domain.unwrap_or_default(),
        "LoadBalancerVips": Vec::from_iter(vips),
        "Status": i32::from(found.active),
        "CreateTime": beijing(found.created),
        "StatusTime": beijing(found.created),
        "VpcId": found.vpc_id,
        "SubnetId": found.subnet_id,
        "AddressIPVersion": found.more.ip_version.as_deref().unwrap_or("ipv4"),
        "Tags": tags,
        "SecureGroups": found.security_groups,
        "TargetRegionInfo": { "Region": region, "VpcId": vpc, "NumericalVpcId": 0 },
        "LoadBalancerPassToTarget": found.pass_to_target,
        "LoadBalancerDomain": domain.unwrap_or_default(),
        "AttributeFlags": Vec::from_iter(flags),
    });
    if let (true, Value::Object(shown)) = (extra.iter().any(|it| it == "TargetCount"), &mut shown) {
        shown.insert("TargetCount".to_owned(), found.targets().into());
    }
    unused::with(shown, unused::of_load_balancer())
}
