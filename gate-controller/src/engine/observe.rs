//! From the API's answers to what the planner reads.

use std::collections::BTreeSet;
use std::time::Duration;

use clb::{
    Backend, Client, Error, Listener, ListenerId, ListenerQuery, ListenerTargets, LoadBalancerId,
    Rule, RuleTargets,
};
use direct_access::ownership::Tag;

use crate::desired::RuleKey;
use crate::plan::{HealthCheck, ObservedListener, ObservedRule, ObservedTarget};

/// Listeners in one `DescribeTargets`; more are read with all others.
const LISTENERS: usize = 20;

/// Seconds between two checks where the API says nothing (CLB's default).
const DEFAULT_INTERVAL: u32 = 5;
/// Good checks in a row that make a target healthy, where the API says nothing (CLB's default).
const DEFAULT_HEALTH_NUM: u32 = 3;

/// Reads all listeners of a load balancer with their targets.
pub(crate) async fn listeners(
    client: &Client,
    load_balancer: &LoadBalancerId,
) -> Result<Vec<ObservedListener>, Error> {
    let query = ListenerQuery::default();
    let (listeners, targets) = futures::try_join!(
        client.describe_listeners(load_balancer, &query),
        client.describe_targets(load_balancer, &[])
    )?;
    Ok(join(listeners, &targets))
}

/// Reads the targets of these listeners anew into `known`.
pub(super) async fn targets(
    client: &Client,
    load_balancer: &LoadBalancerId,
    known: &mut [ObservedListener],
    touched: &BTreeSet<String>,
) -> Result<(), Error> {
    let ids: Vec<_> = touched.iter().map(ListenerId::new).collect();
    let all = ids.is_empty() || ids.len() > LISTENERS;
    let asked = if all { &[][..] } else { &ids[..] };
    let read = client.describe_targets(load_balancer, asked).await?;
    for listener in known {
        if all || touched.contains(&listener.id) {
            refresh(listener, &read);
        }
    }
    Ok(())
}

fn refresh(listener: &mut ObservedListener, read: &[ListenerTargets]) {
    let found = read
        .iter()
        .find(|one| one.listener_id.as_str() == listener.id);
    listener.targets = found.map_or_else(Vec::new, |found| targets_of(&found.targets));
    for rule in &mut listener.rules {
        let of_rule = found.and_then(|found| of_rule(found, &rule.id));
        rule.targets = of_rule.map_or_else(Vec::new, |found| targets_of(&found.targets));
    }
}

fn join(listeners: Vec<Listener>, targets: &[ListenerTargets]) -> Vec<ObservedListener> {
    let observed = |listener: Listener| {
        let mut observed = ObservedListener {
            port: listener.port,
            protocol: listener.protocol.as_str().to_owned(),
            name: Some(listener.listener_name).filter(|name| !name.is_empty()),
            health: health(listener.health_check.as_ref()),
            targets: vec![],
            rules: listener.rules.iter().map(rule).collect(),
            id: listener.listener_id.as_str().to_owned(),
        };
        refresh(&mut observed, targets);
        observed
    };
    listeners.into_iter().map(observed).collect()
}

fn rule(rule: &Rule) -> ObservedRule {
    ObservedRule {
        id: rule.location_id.as_str().to_owned(),
        key: RuleKey {
            domain: rule.domain.clone().unwrap_or_default(),
            url: rule.url.clone().unwrap_or_default(),
        },
        health: health(rule.health_check.as_ref()),
        targets: vec![],
    }
}

fn of_rule<'a>(found: &'a ListenerTargets, rule: &str) -> Option<&'a RuleTargets> {
    found
        .rules
        .iter()
        .find(|one| one.location_id.as_str() == rule)
}

fn targets_of(backends: &[Backend]) -> Vec<ObservedTarget> {
    backends.iter().filter_map(target).collect()
}

/// `None`: it has no address that a pod could have.
fn target(backend: &Backend) -> Option<ObservedTarget> {
    let address = backend.address()?;
    Some(ObservedTarget {
        address: (address.ip(), address.port()),
        weight: backend.weight.unwrap_or_default(),
        tag: backend.tag.as_deref().and_then(Tag::parse),
    })
}

fn health(check: Option<&clb::HealthCheck>) -> HealthCheck {
    let number = |read: fn(&clb::HealthCheck) -> Option<u32>, default| {
        check.and_then(read).unwrap_or(default)
    };
    let interval = number(|check| check.interval_time, DEFAULT_INTERVAL);
    let good = number(|check| check.health_num, DEFAULT_HEALTH_NUM);
    HealthCheck {
        off: check.is_some_and(clb::HealthCheck::is_off),
        earliest: Duration::from_secs(u64::from(good.saturating_sub(1)) * u64::from(interval)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_joined_by_listener() {
        let listeners = serde_json::from_value(serde_json::json!([
            {"ListenerId": "lbl-1", "ListenerName": "", "Protocol": "TCP", "Port": 80,
             "HealthCheck": {"HealthSwitch": 1, "IntervalTime": 4, "HealthNum": 2}},
            {"ListenerId": "lbl-2", "ListenerName": "x", "Protocol": "HTTP", "Port": 81, "HealthCheck": null}
        ]))
        .unwrap();
        let targets: Vec<ListenerTargets> = serde_json::from_value(serde_json::json!([
            {"ListenerId": "lbl-1", "Protocol": "TCP", "Port": 80, "Targets": [
                {"Type": "ENI", "Port": 8080, "Weight": 10, "PrivateIpAddresses": ["198.18.1.5"], "Tag": "clb-gate:us:uid-a"},
                {"Type": "ENI", "Port": 8080, "Weight": 10, "PrivateIpAddresses": null, "Tag": null}]}
        ]))
        .unwrap();
        let joined = join(listeners, &targets);
        assert_eq!(joined[0].health.earliest, Duration::from_secs(4));
        assert_eq!(joined[0].targets.len(), 1);
        assert_eq!(joined[0].targets[0].tag.as_ref().unwrap().pod_uid, "uid-a");
        assert_eq!(
            (joined[1].targets.len(), joined[1].health.earliest),
            (0, Duration::from_secs(10))
        );
        assert_eq!(
            (joined[0].name.as_deref(), joined[1].name.as_deref()),
            (None, Some("x"))
        );
    }
}
