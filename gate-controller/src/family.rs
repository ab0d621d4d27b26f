//! Which address of a pod is bound: the one of its load balancer's family. Pure.
//!
//! A dual-stack pod has an address of each family, and a load balancer takes one of them. The Service's
//! `ipFamilies` are those of its cluster IPs, which direct access has no use for: they say nothing here.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use clb::LoadBalancer;

use crate::desired::{Desired, DesiredTarget};
use crate::pod::PodRecord;

/// The family of the addresses that a load balancer binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// What a load balancer binds, where the API says so. One of IPv6 that translates (NAT64) binds IPv4.
    pub fn of(found: &LoadBalancer) -> Option<Self> {
        let lower = |text: &Option<String>| text.as_deref().map(str::to_ascii_lowercase);
        let mode = lower(&found.ipv6_mode);
        match lower(&found.address_ip_version)?.as_str() {
            "ipv4" => Some(Self::V4),
            "ipv6" if mode.as_deref() == Some("ipv6nat64") => Some(Self::V4),
            "ipv6" | "ipv6fullchain" => Some(Self::V6),
            _ => None,
        }
    }

    /// Whether an address is of it.
    pub fn has(self, address: IpAddr) -> bool {
        address.is_ipv6() == (self == Self::V6)
    }

    /// As people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

impl PodRecord {
    /// Its address of this family; the first where the family is not known.
    pub fn ip_of(&self, family: Option<Family>) -> Option<IpAddr> {
        let Some(family) = family else { return self.ip };
        let own = [self.ip, self.other_ip].into_iter().flatten();
        own.into_iter().find(|ip| family.has(*ip))
    }

    /// Why it cannot be bound to a load balancer of this family; `None` where it can, or has no address yet.
    pub fn lacks(&self, family: Option<Family>) -> Option<String> {
        let (family, own) = (family?, self.ip?);
        self.ip_of(Some(family)).is_none().then(|| {
            let family = family.as_str();
            format!(
                "the CLB binds {family} addresses, and the pod has only {own}; give the cluster's pods {family} \
                 addresses (dual stack), or name a CLB of the other family"
            )
        })
    }
}

/// What a load balancer of this family should hold: pods by their address of it, and none that has none.
pub(crate) fn fitted(desired: Arc<Desired>, family: Option<Family>) -> Arc<Desired> {
    let Some(family) = family else { return desired };
    let fits = |target: &DesiredTarget| family.has(target.address.0);
    let mut listeners = desired.listeners.values();
    if listeners.all(|listener| listener.every_target().all(fits)) {
        return desired;
    }
    let mut other = (*desired).clone();
    let second = Arc::clone(&other.others);
    for listener in other.listeners.values_mut() {
        fit(&mut listener.targets, family, &second.second_ips);
        for rule in listener.rules.values_mut() {
            fit(&mut rule.targets, family, &second.second_ips);
        }
    }
    Arc::new(other)
}

fn fit(targets: &mut Vec<DesiredTarget>, family: Family, second: &HashMap<String, IpAddr>) {
    targets.retain_mut(|target| {
        if !family.has(target.address.0)
            && let Some(second) = second.get(&target.pod_uid)
        {
            target.address.0 = *second;
        }
        family.has(target.address.0)
    });
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::desired::tests::{compute, service};
    use crate::pod::tests::pod;

    const SIX: &str = "2001:db8::5";

    fn dual(name: &str, number: u8) -> PodRecord {
        PodRecord {
            other_ip: Some(SIX.parse().unwrap()),
            ..pod(name, number)
        }
    }

    #[rstest]
    #[case(Some("ipv4"), None, Some(Family::V4))]
    #[case(Some("IPv6FullChain"), None, Some(Family::V6))]
    #[case(Some("ipv6"), Some("IPv6FullChain"), Some(Family::V6))]
    #[case(Some("ipv6"), Some("IPv6Nat64"), Some(Family::V4))]
    #[case(Some("ipv9"), None, None)]
    #[case(None, None, None)]
    fn a_load_balancer_binds_one_family(
        #[case] version: Option<&str>,
        #[case] mode: Option<&str>,
        #[case] family: Option<Family>,
    ) {
        let found = serde_json::json!({
            "LoadBalancerId": "lb-1", "AddressIPVersion": version, "IPv6Mode": mode,
        });
        assert_eq!(Family::of(&serde_json::from_value(found).unwrap()), family);
    }

    #[test]
    fn a_dual_stack_pod_is_bound_by_the_address_of_its_load_balancers_family() {
        let pods = [dual("a", 1), pod("b", 2)];
        let wanted = compute(&[service("web")], &pods);
        let desired = Arc::new(wanted.load_balancers["lb-abcd1234"].clone());
        let bound = |family| -> Vec<String> {
            let fitted = fitted(Arc::clone(&desired), family);
            let targets = fitted.listeners.values().flat_map(|one| &one.targets);
            targets.map(|target| target.address.0.to_string()).collect()
        };
        assert_eq!(bound(Some(Family::V4)), ["198.18.1.1", "198.18.1.2"]);
        assert_eq!(bound(None), ["198.18.1.1", "198.18.1.2"]);
        assert_eq!(bound(Some(Family::V6)), [SIX], "the other one has none");
    }

    #[test]
    fn a_pod_without_an_address_of_the_family_is_told_so() {
        assert_eq!(dual("a", 1).lacks(Some(Family::V6)), None);
        assert_eq!(pod("b", 2).lacks(None), None);
        let why = pod("b", 2).lacks(Some(Family::V6)).unwrap();
        assert!(why.contains("IPv6") && why.contains("198.18.1.2"), "{why}");
        let young = PodRecord {
            ip: None,
            ..pod("c", 3)
        };
        assert_eq!(young.lacks(Some(Family::V6)), None);
    }
}
