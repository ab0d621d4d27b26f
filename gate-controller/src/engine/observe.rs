//! From the API's answers to what the planner reads.

use std::collections::BTreeSet;

use clb::{
    Backend, Client, Error, Listener, ListenerId, ListenerQuery, ListenerTargets, LoadBalancer,
    LoadBalancerId, Rule, RuleTargets,
};
use direct_access::listener::{self, ListenerParameters};
use direct_access::ownership::Tag;

use crate::desired::RuleKey;
use crate::plan::{HealthCheck, ObservedListener, ObservedRule, ObservedTarget};

/// Listeners in one `DescribeTargets`; more are read with all others.
const LISTENERS: usize = 20;

/// A load balancer's own address: the domain of rules that name none.
pub(crate) fn own_address(found: &LoadBalancer) -> Option<String> {
    found.load_balancer_vips.first().cloned()
}

/// Reads all listeners of a load balancer with their targets. `own` is its address.
pub(crate) async fn listeners(
    client: &Client,
    load_balancer: &LoadBalancerId,
    own: Option<&str>,
) -> Result<Vec<ObservedListener>, Error> {
    let query = ListenerQuery::default();
    let (listeners, targets) = futures::try_join!(
        client.describe_listeners(load_balancer, &query),
        client.describe_targets(load_balancer, &[])
    )?;
    Ok(join(listeners, &targets, own))
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

fn join(
    listeners: Vec<Listener>,
    targets: &[ListenerTargets],
    own: Option<&str>,
) -> Vec<ObservedListener> {
    let observed = |listener: Listener| {
        let parameters = of_listener(&listener);
        let mut observed = ObservedListener {
            port: listener.port,
            protocol: listener.protocol.as_str().to_owned(),
            name: Some(listener.listener_name).filter(|name| !name.is_empty()),
            health: HealthCheck::of(parameters.health_check.as_ref()),
            parameters,
            targets: vec![],
            rules: listener.rules.iter().map(|one| rule(one, own)).collect(),
            id: listener.listener_id.as_str().to_owned(),
        };
        refresh(&mut observed, targets);
        observed
    };
    listeners.into_iter().map(observed).collect()
}

fn rule(rule: &Rule, own: Option<&str>) -> ObservedRule {
    let domain = rule.domain.clone().unwrap_or_default();
    let named = Some(domain.as_str()) != own;
    let parameters = ListenerParameters {
        health_check: rule.health_check.as_ref().map(check),
        scheduler: rule.scheduler.clone(),
        session_expire_time: rule.session_expire_time.map(i64::from),
        certificate: rule.certificate.as_ref().map(certificate),
        forward_type: rule.forward_type.clone(),
        http2: rule.http2,
        ..ListenerParameters::default()
    };
    ObservedRule {
        id: rule.location_id.as_str().to_owned(),
        key: RuleKey {
            domain: if named { domain } else { String::new() },
            url: rule.url.clone().unwrap_or_default(),
        },
        health: HealthCheck::of(parameters.health_check.as_ref()),
        parameters,
        default: rule.default_server == Some(true),
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

fn of_listener(listener: &Listener) -> ListenerParameters {
    ListenerParameters {
        health_check: listener.health_check.as_ref().map(check),
        scheduler: listener.scheduler.clone(),
        session_expire_time: listener.session_expire_time.map(i64::from),
        certificate: listener.certificate.as_ref().map(certificate),
        sni_switch: listener.sni_switch.map(i64::from),
        deregister_target_rst: listener.deregister_target_rst,
        ..ListenerParameters::default()
    }
}

fn check(check: &clb::HealthCheck) -> listener::HealthCheck {
    let clb::HealthCheck {
        check_type,
        http_check_path,
        http_check_domain,
        http_check_method,
        http_version,
        context_type,
        send_context,
        recv_context,
        ..
    } = check.clone();
    listener::HealthCheck {
        health_switch: check.health_switch.map(i64::from),
        time_out: check.time_out.map(i64::from),
        interval_time: check.interval_time.map(i64::from),
        health_num: check.health_num.map(i64::from),
        un_health_num: check.un_health_num.map(i64::from),
        check_port: check.check_port.map(i64::from),
        http_code: check.http_code.map(i64::from),
        source_ip_type: check.source_ip_type.map(i64::from),
        check_type,
        http_check_path,
        http_check_domain,
        http_check_method,
        http_version,
        context_type,
        send_context,
        recv_context,
    }
}

fn certificate(certificate: &clb::Certificate) -> listener::Certificate {
    let clb::Certificate {
        ssl_mode,
        cert_id,
        cert_ca_id,
    } = certificate.clone();
    listener::Certificate {
        ssl_mode,
        cert_id,
        cert_ca_id,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_are_joined_by_listener() {
        let listeners = serde_json::from_value(serde_json::json!([
            {"ListenerId": "lbl-1", "ListenerName": "", "Protocol": "TCP", "Port": 80,
             "HealthCheck": {"HealthSwitch": 1, "IntervalTime": 4, "HealthNum": 2}},
            {"ListenerId": "lbl-2", "ListenerName": "x", "Protocol": "HTTP", "Port": 81, "HealthCheck": null, "Rules": [
                {"LocationId": "loc-1", "Domain": "198.18.0.130", "Url": "/"},
                {"LocationId": "loc-2", "Domain": "a.example", "Url": "/"}]}
        ]))
        .unwrap();
        let targets: Vec<ListenerTargets> = serde_json::from_value(serde_json::json!([
            {"ListenerId": "lbl-1", "Protocol": "TCP", "Port": 80, "Targets": [
                {"Type": "ENI", "Port": 8080, "Weight": 10, "PrivateIpAddresses": ["198.18.1.5"], "Tag": "clb-gate:us:uid-a"},
                {"Type": "ENI", "Port": 8080, "Weight": 10, "PrivateIpAddresses": null, "Tag": null}]}
        ]))
        .unwrap();
        let joined = join(listeners, &targets, Some("198.18.0.130"));
        let domains: Vec<_> = joined[1]
            .rules
            .iter()
            .map(|rule| rule.key.domain.as_str())
            .collect();
        assert_eq!(domains, ["", "a.example"]);
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
