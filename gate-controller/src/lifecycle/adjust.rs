//! What of a load balancer that we made is not as its Service or Ingress asks, and can be changed in place. Pure.
//!
//! What is not asked for stays as it is, also when it was asked for before.

use std::fmt;

use clb::{InternetAccessible, LoadBalancer};
use direct_access::LoadBalancer as Place;
use direct_access::attributes::attributes;

use super::holder::Holder;
use super::order::{bandwidth, charge_type};

/// What a load balancer is like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Whether they alone are asked.
    pub pass_to_target: bool,
    /// How its public traffic is paid for, where it says so.
    pub internet: Option<InternetAccessible>,
}

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// Exactly these.
    pub security_groups: Option<Vec<String>>,
    /// Whether they alone are asked.
    pub pass_to_target: Option<bool>,
    /// How its public traffic is paid for.
    pub internet: Option<InternetAccessible>,
}

/// What has to be changed so that the object has what it asks for; `None` for nothing.
pub(super) fn adjustment(holder: &Holder, there: &Traits) -> Option<Adjustment> {
    let (asked, _) = attributes(&holder.words(), &Place::Made(None));
    let mut groups = there.security_groups.clone();
    groups.sort();
    let change = Adjustment {
        security_groups: asked.security_groups.filter(|asked| *asked != groups),
        pass_to_target: asked
            .pass_to_target
            .filter(|asked| *asked != there.pass_to_target),
        internet: internet(holder, there.internet.as_ref()),
    };
    (change != Adjustment::default()).then_some(change)
}

/// One that does not say how it is paid for cannot be compared, and stays. What cannot be read was told
/// when the load balancer was made, and asks for nothing.
fn internet(holder: &Holder, there: Option<&InternetAccessible>) -> Option<InternetAccessible> {
    let there = there?;
    let kind = charge_type(holder).ok().flatten();
    let number = bandwidth(holder).ok().flatten();
    let asked = InternetAccessible {
        internet_charge_type: kind.unwrap_or(&there.internet_charge_type).to_owned(),
        internet_max_bandwidth_out: number.unwrap_or(there.internet_max_bandwidth_out),
    };
    (asked != *there).then_some(asked)
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.security_groups.as_ref();
        let groups = groups.map(|all| format!("security groups {}", all.join(", ")));
        let pass = self.pass_to_target.map(|on| format!("pass to target {on}"));
        let internet = self.internet.as_ref().map(|asked| {
            format!(
                "{} at {} Mbit/s",
                asked.internet_charge_type, asked.internet_max_bandwidth_out
            )
        });
        let all: Vec<_> = [groups, pass, internet].into_iter().flatten().collect();
        f.write_str(&all.join("; "))
    }
}

impl Traits {
    /// As it was read.
    pub fn of(found: &LoadBalancer) -> Self {
        let network = found.network_attributes.clone().unwrap_or_default();
        let kind = network.internet_charge_type.filter(|kind| !kind.is_empty());
        let internet = kind.zip(network.internet_max_bandwidth_out);
        Self {
            security_groups: found.secure_groups.clone(),
            pass_to_target: found.load_balancer_pass_to_target.unwrap_or_default(),
            internet: internet.map(|(internet_charge_type, internet_max_bandwidth_out)| {
                InternetAccessible {
                    internet_charge_type,
                    internet_max_bandwidth_out,
                }
            }),
        }
    }

    /// Once the change is made.
    #[must_use]
    pub fn adjusted(&self, change: &Adjustment) -> Self {
        let change = change.clone();
        Self {
            security_groups: change
                .security_groups
                .unwrap_or_else(|| self.security_groups.clone()),
            pass_to_target: change.pass_to_target.unwrap_or(self.pass_to_target),
            internet: change.internet.or_else(|| self.internet.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use direct_access::names;
    use rstest::rstest;

    use super::*;
    use crate::desired::tests::service;

    fn there() -> Traits {
        let found = serde_json::json!({"LoadBalancerId": "lb-1", "SecureGroups": ["sg-b", "sg-a"],
            "LoadBalancerPassToTarget": false, "NetworkAttributes": {
                "InternetChargeType": "BANDWIDTH_PACKAGE", "InternetMaxBandwidthOut": 10}});
        Traits::of(&serde_json::from_value(found).unwrap())
    }

    #[rstest]
    #[case::absent(&[], None)]
    #[case::same(&[(names::SECURITY_GROUPS, "sg-a,sg-b"), (names::PASS_TO_TARGET, "false"), (names::BANDWIDTH, "10")], None)]
    #[case::unreadable(&[(names::SECURITY_GROUPS, "mine"), (names::BANDWIDTH, "0"), (names::CHARGE_TYPE, "FREE")], None)]
    #[case::groups(&[(names::SECURITY_GROUPS, "sg-a")], Some("groups"))]
    #[case::pass(&[(names::PASS_TO_TARGET, "true")], Some("pass"))]
    #[case::bandwidth_keeps_the_charge_type(&[(names::BANDWIDTH, "20")], Some("bandwidth"))]
    #[case::bandwidth_by_its_older_name(&[(names::OLDER_BANDWIDTH, "20")], Some("bandwidth"))]
    fn only_what_is_asked_for_and_differs_is_changed(
        #[case] annotations: &[(&str, &str)],
        #[case] expected: Option<&str>,
    ) {
        let mut service = service("web");
        let pairs = annotations.iter();
        let pairs = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        service.annotations.extend(pairs);
        let change = adjustment(&Holder::from(&service), &there());
        let named = change.as_ref().map(|change| match change {
            Adjustment {
                security_groups: Some(all),
                pass_to_target: None,
                internet: None,
            } => {
                assert_eq!(all, &["sg-a"]);
                "groups"
            }
            Adjustment {
                security_groups: None,
                pass_to_target: Some(true),
                internet: None,
            } => "pass",
            Adjustment {
                security_groups: None,
                pass_to_target: None,
                internet: Some(internet),
            } => {
                assert_eq!(internet.internet_charge_type, "BANDWIDTH_PACKAGE");
                assert_eq!(internet.internet_max_bandwidth_out, 20);
                "bandwidth"
            }
            _ => "more",
        });
        assert_eq!(named, expected);
        if let Some(change) = change {
            assert_eq!(
                adjustment(&Holder::from(&service), &there().adjusted(&change)),
                None
            );
        }
    }

    #[test]
    fn one_that_does_not_say_how_it_is_paid_for_stays() {
        let mut service = service("web");
        let known = names::BANDWIDTH.to_owned();
        service.annotations.insert(known, "20".to_owned());
        assert_eq!(
            adjustment(&Holder::from(&service), &Traits::default()),
            None
        );
    }
}
