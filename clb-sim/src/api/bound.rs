//! `DescribeTargets`: what is bound, under listeners of layer 4 and under rules of layer 7.

use super::Reply;
use super::listeners::Wanted;
use super::load_balancers::Filter;
use super::params::{Params, at_most};
use crate::clock::beijing;
use crate::refusal::{Refusal, code};
use crate::state::ids::derived;
use crate::state::parts::{Listener, Rule, Target, Targets};
use crate::state::{Call, Model};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

const LISTENERS_PER_CALL: usize = 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct Describe {
    load_balancer_id: String,
    listener_ids: Option<Vec<String>>,
    protocol: Option<String>,
    port: Option<i64>,
    filters: Option<Vec<Filter>>,
}

impl Params for Describe {}

pub(super) fn describe(model: &mut Model, _: &Call, params: &Describe) -> Result<Reply, Refusal> {
    let load_balancer = model.load_balancer(&params.load_balancer_id)?;
    let ids = params.listener_ids.as_deref().unwrap_or_default();
    at_most("ListenerIds", ids.len(), LISTENERS_PER_CALL)?;
    let sieve = Sieve::read(params.filters.as_deref().unwrap_or_default())?;
    let wanted = Wanted {
        ids,
        protocol: params.protocol.as_deref(),
        port: params.port,
    };
    let listeners = wanted
        .of(load_balancer)
        .map(|listener| show(listener, &sieve))
        .collect();
    Ok(Reply::now(Answer { listeners }))
}

/// The network interface that has the address.
pub(super) fn interface(address: SocketAddr) -> String {
    derived("eni", &address.ip().to_string())
}

/// The rule that a layer-4 listener does not have, but that its health is shown under.
pub(super) fn unseen_rule(listener: &Listener) -> String {
    derived("loc", &listener.id)
}

/// The filters of a call; a target passes all of them.
#[derive(Default)]
struct Sieve {
    locations: Option<BTreeSet<String>>,
    addresses: Option<BTreeSet<String>>,
    tags: Option<BTreeSet<String>>,
}

impl Sieve {
    fn read(filters: &[Filter]) -> Result<Self, Refusal> {
        let mut sieve = Self::default();
        for filter in filters {
            let place = match filter.name.as_str() {
                "location-id" => &mut sieve.locations,
                "private-ip-address" => &mut sieve.addresses,
                "tag" => &mut sieve.tags,
                other => {
                    let message = format!(
                        "Filters.Name {other:?} is not known: location-id, private-ip-address and tag are"
                    );
                    return Err(Refusal::new(code::INVALID_FILTER, message));
                }
            };
            *place = Some(filter.values.iter().cloned().collect());
        }
        Ok(sieve)
    }

    fn location(&self, id: &str) -> bool {
        self.locations.as_ref().is_none_or(|ids| ids.contains(id))
    }

    fn target(&self, address: &SocketAddr, target: &Target) -> bool {
        let ip = || address.ip().to_string();
        let tag = target.tag.as_ref();
        self.addresses
            .as_ref()
            .is_none_or(|ips| ips.contains(&ip()))
            && self
                .tags
                .as_ref()
                .is_none_or(|tags| tag.is_some_and(|tag| tags.contains(tag)))
    }
}

// Structs and not JSON values, because there may be twenty thousand targets.

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    listeners: Vec<ListenerBackend<'a>>,
}

/// Layer 4 has no rules and says null; layer 7 says null for targets.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ListenerBackend<'a> {
    listener_id: &'a str,
    protocol: &'static str,
    port: u16,
    end_port: u16,
    rules: Option<Vec<RuleTargets<'a>>>,
    targets: Option<Vec<Backend<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RuleTargets<'a> {
    location_id: &'a str,
    domain: &'a str,
    url: &'a str,
    targets: Vec<Backend<'a>>,
    function_targets: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Backend<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    instance_id: String,
    port: u16,
    weight: u8,
    public_ip_addresses: Option<()>,
    private_ip_addresses: [IpAddr; 1],
    instance_name: Option<()>,
    registered_time: String,
    eni_id: String,
    zone: Option<()>,
    tag: Option<&'a str>,
}

fn show<'a>(listener: &'a Listener, sieve: &Sieve) -> ListenerBackend<'a> {
    let layer7 = listener.protocol.has_rules();
    let rules = || {
        let wanted = listener
            .rules
            .iter()
            .filter(|rule| sieve.location(&rule.id));
        wanted.map(|rule| show_rule(rule, sieve)).collect()
    };
    let seen = !layer7 && sieve.location(&unseen_rule(listener));
    let targets = seen.then(|| backends(&listener.targets, sieve));
    ListenerBackend {
        listener_id: &listener.id,
        protocol: listener.protocol.name(),
        port: listener.port,
        end_port: 0,
        rules: layer7.then(rules),
        targets: targets.filter(|list| !list.is_empty()),
    }
}

fn show_rule<'a>(rule: &'a Rule, sieve: &Sieve) -> RuleTargets<'a> {
    RuleTargets {
        location_id: &rule.id,
        domain: rule.domain(),
        url: &rule.url,
        targets: backends(&rule.targets, sieve),
        function_targets: None,
    }
}

fn backends<'a>(targets: &'a Targets, sieve: &Sieve) -> Vec<Backend<'a>> {
    targets
        .iter()
        .filter(|(address, target)| sieve.target(address, target))
        .map(|(address, target)| backend(*address, target))
        .collect()
}

fn backend(address: SocketAddr, target: &Target) -> Backend<'_> {
    let eni = interface(address);
    Backend {
        kind: "ENI",
        instance_id: eni.clone(),
        port: address.port(),
        weight: target.weight,
        public_ip_addresses: None,
        private_ip_addresses: [address.ip()],
        instance_name: None,
        registered_time: beijing(target.registered),
        eni_id: eni,
        zone: None,
        tag: target.tag.as_deref(),
    }
}
