//! What to order for a Service: its annotations as `CreateLoadBalancer` takes them. Read when a load
//! balancer is made; what of it can be changed afterwards is [`adjust`](super::adjust)'s.

use clb::{CreateLoadBalancer, InternetAccessible, LoadBalancerType, ResourceTag};
use direct_access::attributes::attributes;
use direct_access::ownership::ClusterId;
use direct_access::{LoadBalancer as Place, Problem, ServiceFacts, names, tke_service_config};
use serde::Deserialize;

/// Characters of a CLB's name (API reference of `CreateLoadBalancer`: 1 to 80).
const LONGEST_NAME: usize = 80;
/// `InternetChargeType` as the API reference lists them.
const CHARGE_TYPES: [&str; 3] = [
    "TRAFFIC_POSTPAID_BY_HOUR",
    "BANDWIDTH_POSTPAID_BY_HOUR",
    "BANDWIDTH_PACKAGE",
];
/// `AddressIPVersion` and `VipIsp` as the API reference lists them.
const IP_VERSIONS: [&str; 3] = ["IPV4", "IPV6", "IPv6FullChain"];
const CARRIERS: [&str; 4] = ["BGP", "CMCC", "CTCC", "CUCC"];
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
    let more = extensive(service)?;
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
    order.load_balancer_name = more.load_balancer_name.or_else(|| Some(name(service)));
    order.address_ip_version = more.address_ip_version;
    order.zone_id = more.zone_id;
    order.vip_isp = more.vip_isp;
    order.sla_type = more.sla_type;
    order.vip = more.vip;
    order.load_balancer_pass_to_target = attributes(service, &Place::Made(None)).0.pass_to_target;
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
    let (kind, number) = (charge_type(service)?, bandwidth(service)?);
    if kind.is_none() && number.is_none() {
        return Ok(None);
    }
    Ok(Some(InternetAccessible {
        internet_charge_type: kind.unwrap_or(DEFAULT_CHARGE_TYPE).to_owned(),
        internet_max_bandwidth_out: number.unwrap_or(DEFAULT_BANDWIDTH),
    }))
}

/// How public traffic is paid for, where the Service says so.
pub(crate) fn charge_type(service: &ServiceFacts) -> Result<Option<&str>, Box<Problem>> {
    let kind = service.annotation(names::CHARGE_TYPE);
    if let Some(other) = kind.filter(|kind| !CHARGE_TYPES.contains(kind)) {
        let accepted = format!("accepted are {}", CHARGE_TYPES.join(", "));
        return bad(service, names::CHARGE_TYPE, other, &accepted);
    }
    Ok(kind)
}

/// Mbit/s, where the Service says so; what its `TkeServiceConfig` declares wins.
pub(crate) fn bandwidth(service: &ServiceFacts) -> Result<Option<u32>, Box<Problem>> {
    let declared = tke_service_config::bandwidth(service);
    Ok(declared.or(annotated_bandwidth(service)?))
}

fn annotated_bandwidth(service: &ServiceFacts) -> Result<Option<u32>, Box<Problem>> {
    let Some(text) = service.annotation(names::BANDWIDTH) else {
        return Ok(None);
    };
    let parsed = text.parse().ok().filter(|n| BANDWIDTHS.contains(n));
    let accepted = "accepted are 1 to 2048 (Mbit/s)";
    parsed.map_or_else(
        || bad(service, names::BANDWIDTH, text, accepted),
        |number| Ok(Some(number)),
    )
}

/// The annotation's part of the order, as the API names the fields.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
struct Extensive {
    #[serde(rename = "AddressIPVersion")]
    address_ip_version: Option<String>,
    zone_id: Option<String>,
    vip_isp: Option<String>,
    load_balancer_name: Option<String>,
    sla_type: Option<String>,
    vip: Option<String>,
}

fn extensive(service: &ServiceFacts) -> Result<Extensive, Box<Problem>> {
    let Some(text) = service.annotation(names::EXTENSIVE_PARAMETERS) else {
        return Ok(Extensive::default());
    };
    let refuse = |why: String| {
        let accepted = format!("{why}; no CLB is made, because it might be the wrong one");
        bad(service, names::EXTENSIVE_PARAMETERS, text, &accepted)
    };
    // Through a map first: serde would read a struct from a JSON array too.
    let fields = serde_json::from_str::<serde_json::Map<_, _>>(text);
    let read = fields.and_then(|fields| serde_json::from_value(fields.into()));
    let read: Extensive = match read {
        Ok(read) => read,
        Err(error) => {
            return refuse(format!(
                "accepted is a JSON object of CreateLoadBalancer fields: {error}"
            ));
        }
    };
    let bounds = [
        (
            "AddressIPVersion",
            &read.address_ip_version,
            &IP_VERSIONS[..],
        ),
        ("VipIsp", &read.vip_isp, &CARRIERS[..]),
    ];
    for (field, value, accepted) in bounds {
        if let Some(other) = value.as_deref().filter(|value| !accepted.contains(value)) {
            return refuse(format!(
                "{field} {other:?} is not one of {}",
                accepted.join(", ")
            ));
        }
    }
    let length = read
        .load_balancer_name
        .as_ref()
        .map(|name| name.chars().count());
    if length.is_some_and(|length| !(1..=LONGEST_NAME).contains(&length)) {
        return refuse(format!(
            "LoadBalancerName has 1 to {LONGEST_NAME} characters"
        ));
    }
    Ok(read)
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

    #[test]
    fn extensive_parameters_are_ordered() {
        let text = r#"{"AddressIPVersion":"IPV6","ZoneId":"ap-guangzhou-3","VipIsp":"CTCC",
            "LoadBalancerName":"mine","SlaType":"clb.c2.medium","Vip":"198.18.0.9"}"#;
        let order = ordered(&[
            (names::EXTENSIVE_PARAMETERS, text),
            (names::PASS_TO_TARGET, "true"),
        ])
        .unwrap();
        let read = [
            &order.address_ip_version,
            &order.zone_id,
            &order.vip_isp,
            &order.load_balancer_name,
            &order.sla_type,
            &order.vip,
        ];
        let expected = [
            "IPV6",
            "ap-guangzhou-3",
            "CTCC",
            "mine",
            "clb.c2.medium",
            "198.18.0.9",
        ];
        assert_eq!(read.map(|one| one.as_deref().unwrap()), expected);
        assert_eq!(order.load_balancer_pass_to_target, Some(true));
        assert_eq!(
            ordered(&[(names::EXTENSIVE_PARAMETERS, "{}")])
                .unwrap()
                .vip_isp,
            None
        );
    }

    #[rstest]
    #[case(names::INTERNAL_SUBNET, "mine", "subnet-abcd1234")]
    #[case(names::BANDWIDTH, "0", "1 to 2048")]
    #[case(names::CHARGE_TYPE, "FREE", "BANDWIDTH_PACKAGE")]
    #[case(names::EXTENSIVE_PARAMETERS, "[]", "JSON object")]
    #[case(names::EXTENSIVE_PARAMETERS, r#"{"VipISP":"CTCC"}"#, "VipIsp")]
    #[case(names::EXTENSIVE_PARAMETERS, r#"{"VipIsp":"ACME"}"#, "CTCC")]
    #[case(
        names::EXTENSIVE_PARAMETERS,
        r#"{"AddressIPVersion":"6"}"#,
        "IPv6FullChain"
    )]
    #[case(names::EXTENSIVE_PARAMETERS, r#"{"LoadBalancerName":""}"#, "1 to 80")]
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
