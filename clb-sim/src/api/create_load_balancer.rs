//! `CreateLoadBalancer`.

use super::Reply;
use super::listener_fields::within;
use super::params::{Params, at_most, in_range};
use crate::refusal::{Refusal, code};
use crate::state::parts::{More, Network};
use crate::state::{Call, Created, Fate, Model, NewLoadBalancer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const LARGEST_ORDER: i64 = 20;
const TAGS: usize = 20;
const LONGEST_TOKEN: usize = 64;
/// So that callers cannot fill memory; the real API has a limit too, of unknown size.
const TOKENS: usize = 10_000;

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Create {
    load_balancer_type: String,
    forward: Option<i64>,
    load_balancer_name: Option<String>,
    vpc_id: Option<String>,
    subnet_id: Option<String>,
    number: Option<i64>,
    tags: Option<Vec<Tag>>,
    vip: Option<String>,
    #[serde(skip_serializing)]
    client_token: Option<String>,
    load_balancer_pass_to_target: Option<bool>,
    #[serde(rename = "AddressIPVersion")]
    address_ip_version: Option<String>,
    dynamic_vip: Option<bool>,
}

impl Params for Create {
    const IGNORED: &'static [&'static str] = &[
        "AccessLogTopicId",
        "AdvancedRoute",
        "AvailableZoneAffinityInfo",
        "BandwidthPackageId",
        "ClusterIds",
        "ClusterTag",
        "Egress",
        "EipAddressId",
        "ExclusiveCluster",
        "InternetAccessible",
        "LBChargePrepaid",
        "LBChargeType",
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
struct Tag {
    tag_key: String,
    tag_value: String,
}

pub(super) fn create(model: &mut Model, call: &Call, params: &Create) -> Result<Reply, Refusal> {
    let request = serde_json::to_string(params).unwrap_or_default();
    if let Some(earlier) = repeat(model, params, &request)? {
        return Ok(answer(model, &earlier));
    }
    let number = in_range("Number", params.number, 1, 1..=LARGEST_ORDER)?;
    let wanted = wanted(model, params)?;
    check_quota(model, wanted.kind, number)?;
    let mut made = Vec::new();
    for _ in 0..number {
        let id = model.ids.next("lb");
        // A creation that fails answers an id too; nothing ever has it.
        if !matches!(call.fate, Fate::TaskFails(_) | Fate::Silent) {
            let new = named(&wanted, &id, model, number > 1);
            model.add_load_balancer(call, new)?;
        }
        made.push(id);
    }
    let created = Created {
        request,
        load_balancers: made.clone(),
        deal: format!("deal-{}", call.request_id),
    };
    model.remember(call, Some(created.deal.clone()), made);
    if let Some(token) = &params.client_token {
        model.client_tokens.insert(token.clone(), created.clone());
    }
    Ok(answer(model, &created))
}

/// The ids, or none while nothing is ready and the operator wants it so.
fn answer(model: &Model, created: &Created) -> Reply {
    let ready = |id: &String| {
        model
            .load_balancers
            .get(id)
            .is_some_and(|found| found.active)
    };
    let ids = if model.settings.behaviour.create_without_ids
        && !created.load_balancers.iter().all(ready)
    {
        &[]
    } else {
        created.load_balancers.as_slice()
    };
    Reply::now(json!({ "LoadBalancerIds": ids, "DealName": created.deal }))
}

/// The same token with the same parameters answers as before; with others it is an error.
fn repeat(model: &Model, params: &Create, request: &str) -> Result<Option<Created>, Refusal> {
    let Some(token) = &params.client_token else {
        return Ok(None);
    };
    if token.len() > LONGEST_TOKEN || !token.is_ascii() {
        let message = format!(
            "ClientToken {token:?} is not accepted: at most {LONGEST_TOKEN} ASCII characters are"
        );
        return Err(Refusal::new(code::CLIENT_TOKEN, message));
    }
    match model.client_tokens.get(token) {
        Some(earlier) if earlier.request != request => {
            let message = format!("ClientToken {token:?} was used before with other parameters");
            Err(Refusal::new(code::INVALID_PARAMETER, message))
        }
        None if model.client_tokens.len() >= TOKENS => {
            let message = format!("ClientToken: {TOKENS} tokens are remembered already");
            Err(Refusal::new(code::CLIENT_TOKEN, message))
        }
        earlier => Ok(earlier.cloned()),
    }
}

/// What all load balancers of one order share; the id and the name come later.
fn wanted(model: &Model, params: &Create) -> Result<NewLoadBalancer, Refusal> {
    if params.forward.is_some_and(|forward| forward != 1) {
        let message = "Forward: only 1, application load balancers, can be created";
        return Err(Refusal::new(code::INVALID_VALUE, message));
    }
    if let Some(name) = &params.load_balancer_name {
        within("LoadBalancerName", name, 1..=80)?;
    }
    let tags = params.tags.as_deref().unwrap_or_default();
    at_most("Tags", tags.len(), TAGS)?;
    Ok(NewLoadBalancer {
        id: String::new(),
        name: params.load_balancer_name.clone().unwrap_or_default(),
        kind: network(model, params)?,
        subnet_id: params.subnet_id.clone().unwrap_or_default(),
        tags: tags
            .iter()
            .map(|tag| (tag.tag_key.clone(), tag.tag_value.clone()))
            .collect::<BTreeMap<_, _>>(),
        pass_to_target: params.load_balancer_pass_to_target.unwrap_or(false),
        vpc_id: None,
        vip: vip(params)?,
        more: More {
            ip_version: ip_version(params)?,
            domain: params.dynamic_vip.filter(|on| *on).map(|_| String::new()),
            ..More::default()
        },
    })
}

fn named(wanted: &NewLoadBalancer, id: &str, model: &Model, several: bool) -> NewLoadBalancer {
    let mut new = wanted.clone();
    // A name that is taken, or given to several, is replaced by the API.
    let taken = |name: &str| {
        model
            .load_balancers
            .values()
            .any(|found| found.name == name)
    };
    if several || new.name.is_empty() || taken(&new.name) {
        id.clone_into(&mut new.name);
    }
    if new.more.domain.is_some() || model.settings.behaviour.domain_for_vip {
        new.more.domain = Some(format!("{id}.clb.sim.test"));
    }
    id.clone_into(&mut new.id);
    new
}

fn vip(params: &Create) -> Result<Option<Ipv4Addr>, Refusal> {
    let read = |text: &String| {
        text.parse().map_err(|_| {
            let message =
                format!("Vip {text:?} is not an IPv4 address, which this simulator needs");
            Refusal::new(code::INVALID_VALUE, message)
        })
    };
    params.vip.as_ref().map(read).transpose()
}

/// As `DescribeLoadBalancers` shows it; none is IPv4. The VIP stays an IPv4 address: IPv6 load
/// balancers exist here as objects only.
fn ip_version(params: &Create) -> Result<Option<String>, Refusal> {
    let Some(given) = &params.address_ip_version else {
        return Ok(None);
    };
    match given.to_ascii_lowercase().as_str() {
        "ipv4" => Ok(None),
        "ipv6" => Ok(Some("ipv6".to_owned())),
        "ipv6fullchain" => Ok(Some("IPv6FullChain".to_owned())),
        _ => {
            let message = format!(
                "AddressIPVersion {given:?} is not accepted: IPV4, IPV6 and IPv6FullChain are"
            );
            Err(Refusal::new(code::INVALID_VALUE, message))
        }
    }
}

fn network(model: &Model, params: &Create) -> Result<Network, Refusal> {
    let vpc = &model.settings.vpc_id;
    if let Some(other) = params.vpc_id.as_ref().filter(|given| *given != vpc) {
        let message = format!("VpcId {other:?} does not exist here: the only VPC is {vpc:?}");
        return Err(Refusal::new(code::INVALID_VALUE, message));
    }
    match params.load_balancer_type.as_str() {
        "OPEN" => Ok(Network::Open),
        "INTERNAL" if params.subnet_id.as_ref().is_some_and(|id| !id.is_empty()) => {
            Ok(Network::Internal)
        }
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
    let quotas = model.quotas();
    let (quota, id) = match kind {
        Network::Open => (quotas.open_load_balancers, "TOTAL_OPEN_CLB_QUOTA"),
        Network::Internal => (quotas.internal_load_balancers, "TOTAL_INTERNAL_CLB_QUOTA"),
    };
    let all = model.load_balancers.values();
    let present = all.filter(|found| found.kind == kind).count();
    if present + number <= quota {
        return Ok(());
    }
    let message = format!(
        "{present} {} load balancers exist; {number} more exceed the quota of {quota} ({id})",
        kind.name()
    );
    Err(Refusal::new(code::LIMIT_EXCEEDED, message))
}
