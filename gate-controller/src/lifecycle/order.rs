//! What to order for a Service: its annotations as `CreateLoadBalancer` takes them. Read only when a
//! load balancer is made; a change afterwards does not reach the one that is there.

use clb::{CreateLoadBalancer, InternetAccessible, LoadBalancerType, ResourceTag};
use direct_access::ownership::ClusterId;
use direct_access::{Problem, ServiceFacts, names};

/// Characters of a CLB's name (API reference of `CreateLoadBalancer`: 1 to 80).
const LONGEST_NAME: usize = 80;
/// `InternetChargeType` as the API reference lists them.
const CHARGE_TYPES: [&str; 3] = [
    "TRAFFIC_POSTPAID_BY_HOUR",
    "BANDWIDTH_POSTPAID_BY_HOUR",
    "BANDWIDTH_PACKAGE",
];
/// How TKE pays where only the bandwidth is named.
const DEFAULT_CHARGE_TYPE: &str = "TRAFFIC_POSTPAID_BY_HOUR";
/// Mbit/s where only the charge type is named: the API's own default.
const DEFAULT_BANDWIDTH: u32 = 10;
/// Mbit/s, as TKE's documentation of the annotation bounds them.
const BANDWIDTHS: std::ops::RangeInclusive<u32> = 1..=2048;

/// The order for a Service's load balancer in a VPC.
pub(crate) fn order(
    service: &ServiceFacts,
    cluster: &ClusterId,
    vpc: Option<String>,
) -> Result<CreateLoadBalancer, Box<Problem>> {
    if let Some(text) = service.annotation(names::EXTENSIVE_PARAMETERS) {
        let accepted = "this version does not read it, and a CLB without what it asks for may be the wrong one; \
                        remove it, or make the CLB yourself and name it";
        return bad(service, names::EXTENSIVE_PARAMETERS, text, accepted);
    }
    let Some(vpc) = vpc else {
        let accepted = "no VPC is known to make a CLB in; set vpcId in ConfigMap clb-gate-settings, e.g. vpc-abcd1234";
        return Err(Box::new(service.problem("setting vpcId", "", accepted)));
    };
    let subnet = subnet(service)?;
    let kind = match subnet {
        Some(_) => LoadBalancerType::Internal,
        None => LoadBalancerType::Open,
    };
    let mut order = CreateLoadBalancer::new(kind);
    order.load_balancer_name = Some(name(service));
    order.vpc_id = Some(vpc);
    order.internet_accessible = match subnet {
        Some(_) => None,
        None => payment(service)?,
    };
    order.subnet_id = subnet;
    order.tags = tags(service, cluster);
    order.client_token = service.annotation(names::CLIENT_TOKEN).map(str::to_owned);
    Ok(order)
}

fn name(service: &ServiceFacts) -> String {
    let whole = format!("clb-gate_{}_{}", service.namespace, service.name);
    whole.chars().take(LONGEST_NAME).collect()
}

fn tags(service: &ServiceFacts, cluster: &ClusterId) -> Vec<ResourceTag> {
    let tag = |key: &str, value: String| ResourceTag {
        tag_key: key.to_owned(),
        tag_value: value,
    };
    vec![
        tag(names::CLUSTER_TAG, cluster.to_string()),
        tag(names::SERVICE_TAG, service.uid.clone()),
    ]
}

fn subnet(service: &ServiceFacts) -> Result<Option<String>, Box<Problem>> {
    let Some(id) = service.annotation(names::INTERNAL_SUBNET) else {
        return Ok(None);
    };
    if id
        .strip_prefix("subnet-")
        .is_some_and(|rest| !rest.is_empty())
    {
        return Ok(Some(id.to_owned()));
    }
    let accepted = "accepted is the id of a subnet of the cluster's VPC, e.g. subnet-abcd1234";
    bad(service, names::INTERNAL_SUBNET, id, accepted)
}

fn payment(service: &ServiceFacts) -> Result<Option<InternetAccessible>, Box<Problem>> {
    let kind = service.annotation(names::CHARGE_TYPE);
    let bandwidth = service.annotation(names::BANDWIDTH);
    if kind.is_none() && bandwidth.is_none() {
        return Ok(None);
    }
    if let Some(other) = kind.filter(|kind| !CHARGE_TYPES.contains(kind)) {
        let accepted = format!("accepted are {}", CHARGE_TYPES.join(", "));
        return bad(service, names::CHARGE_TYPE, other, &accepted);
    }
    let number = bandwidth.map_or(Ok(DEFAULT_BANDWIDTH), |text| {
        let parsed = text.parse().ok().filter(|n| BANDWIDTHS.contains(n));
        let accepted = "accepted are 1 to 2048 (Mbit/s)";
        parsed.map_or_else(|| bad(service, names::BANDWIDTH, text, accepted), Ok)
    })?;
    Ok(Some(InternetAccessible {
        internet_charge_type: kind.unwrap_or(DEFAULT_CHARGE_TYPE).to_owned(),
        internet_max_bandwidth_out: number,
    }))
}

fn bad<T>(
    service: &ServiceFacts,
    key: &str,
    value: &str,
    accepted: &str,
) -> Result<T, Box<Problem>> {
    Err(Box::new(service.annotation_problem(key, value, accepted)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::desired::tests::service;

    fn ordered(annotations: &[(&str, &str)]) -> Result<CreateLoadBalancer, Box<Problem>> {
        let mut service = service("web");
        let pairs = annotations.iter();
        let pairs = pairs.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        service.annotations.extend(pairs);
        order(&service, &ClusterId::new("us"), Some("vpc-1".to_owned()))
    }

    #[test]
    fn a_plain_service_gets_a_public_one_with_both_tags_and_the_token() {
        let order = ordered(&[(names::CLIENT_TOKEN, "uid-web-1")]).unwrap();
        assert_eq!(order.load_balancer_type, LoadBalancerType::Open);
        assert_eq!(order.vpc_id.as_deref(), Some("vpc-1"));
        assert_eq!(order.client_token.as_deref(), Some("uid-web-1"));
        assert_eq!(
            order.load_balancer_name.as_deref(),
            Some("clb-gate_shop_web")
        );
        let values: Vec<_> = order.tags.iter().map(|t| t.tag_value.as_str()).collect();
        assert_eq!(values, ["us", "uid-web"]);
        assert_eq!(order.internet_accessible, None);
    }

    #[test]
    fn an_internal_one_is_in_its_subnet_and_pays_for_no_traffic() {
        let order = ordered(&[
            (names::INTERNAL_SUBNET, "subnet-1"),
            (names::BANDWIDTH, "5"),
        ])
        .unwrap();
        assert_eq!(order.load_balancer_type, LoadBalancerType::Internal);
        assert_eq!(order.subnet_id.as_deref(), Some("subnet-1"));
        assert_eq!(order.internet_accessible, None);
    }

    #[test]
    fn how_traffic_is_paid_for_is_read() {
        let payment = ordered(&[(names::BANDWIDTH, "5")])
            .unwrap()
            .internet_accessible
            .unwrap();
        assert_eq!(payment.internet_max_bandwidth_out, 5);
        assert_eq!(payment.internet_charge_type, DEFAULT_CHARGE_TYPE);
    }

    #[rstest]
    #[case(names::INTERNAL_SUBNET, "mine", "subnet-abcd1234")]
    #[case(names::BANDWIDTH, "0", "1 to 2048")]
    #[case(names::CHARGE_TYPE, "FREE", "BANDWIDTH_PACKAGE")]
    #[case(names::EXTENSIVE_PARAMETERS, "{}", "remove it")]
    fn what_cannot_be_read_is_not_ordered(
        #[case] key: &str,
        #[case] value: &str,
        #[case] accepted: &str,
    ) {
        let problem = ordered(&[(key, value)]).unwrap_err().to_string();
        assert!(
            problem.contains(key) && problem.contains(accepted),
            "{problem}"
        );
    }

    #[test]
    fn without_a_vpc_nothing_is_ordered() {
        let problem = order(&service("web"), &ClusterId::new("us"), None).unwrap_err();
        assert!(problem.to_string().contains("vpcId"));
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut long = service(&"n".repeat(63));
        long.namespace = "s".repeat(63);
        assert_eq!(name(&long).len(), LONGEST_NAME);
    }
}
