//! What to order for a Service or an Ingress: its annotations as `CreateLoadBalancer` takes them. Read when a load
//! balancer is made; what of it can be changed afterwards is [`adjust`](super::adjust)'s.

use clb::{CreateLoadBalancer, InternetAccessible, LoadBalancerType, ResourceTag};
use direct_access::attributes::attributes;
use direct_access::ownership::ClusterId;
use direct_access::{Kind, LoadBalancer as Place, ObjectRef, Problem, Word, names};
use serde::Deserialize;

use super::holder::Holder;

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

/// The order for an object's load balancer in a VPC.
pub(crate) fn order(
    holder: &Holder,
    cluster: &ClusterId,
    vpc: Option<String>,
) -> Result<CreateLoadBalancer, Box<Problem>> {
    let more = extensive(holder)?;
    let Some(vpc) = vpc else {
        let accepted = "no VPC is known to make a CLB in; set vpcId in ConfigMap clb-gate-settings, e.g. vpc-abcd1234";
        return Err(Box::new(holder.owner.problem(
            "setting vpcId",
            "",
            accepted,
        )));
    };
    let subnet = subnet(holder)?;
    let kind = match subnet {
        Some(_) => LoadBalancerType::Internal,
        None => LoadBalancerType::Open,
    };
    let mut order = CreateLoadBalancer::new(kind);
    order.load_balancer_name = more.load_balancer_name.or_else(|| Some(name(holder)));
    order.address_ip_version = more.address_ip_version;
    order.zone_id = more.zone_id;
    order.vip_isp = more.vip_isp;
    order.sla_type = more.sla_type;
    order.vip = more.vip;
    order.load_balancer_pass_to_target = attributes(&holder.words(), &Place::Made(None))
        .0
        .pass_to_target;
    order.vpc_id = Some(vpc);
    order.internet_accessible = match subnet {
        Some(_) => None,
        None => payment(holder)?,
    };
    order.subnet_id = subnet;
    order.tags = tags(holder, cluster);
    order.client_token = holder.says(Word::ClientToken).map(str::to_owned);
    Ok(order)
}

fn name(holder: &Holder) -> String {
    let ObjectRef { namespace, name } = holder.object();
    let whole = format!("clb-gate_{namespace}_{name}");
    whole.chars().take(LONGEST_NAME).collect()
}

fn tags(holder: &Holder, cluster: &ClusterId) -> Vec<ResourceTag> {
    let tag = |key: &str, value: String| ResourceTag {
        tag_key: key.to_owned(),
        tag_value: value,
    };
    let own = match holder.owner.kind {
        Kind::Service => names::SERVICE_TAG,
        Kind::Ingress => names::INGRESS_TAG,
    };
    vec![
        tag(names::CLUSTER_TAG, cluster.to_string()),
        tag(own, holder.uid.clone()),
    ]
}

fn subnet(holder: &Holder) -> Result<Option<String>, Box<Problem>> {
    let Some(id) = holder.says(Word::Subnet) else {
        return Ok(None);
    };
    if id
        .strip_prefix("subnet-")
        .is_some_and(|rest| !rest.is_empty())
    {
        return Ok(Some(id.to_owned()));
    }
    let accepted = "accepted is the id of a subnet of the cluster's VPC, e.g. subnet-abcd1234";
    bad(holder, Word::Subnet, id, accepted)
}

fn payment(holder: &Holder) -> Result<Option<InternetAccessible>, Box<Problem>> {
    let (kind, number) = (charge_type(holder)?, bandwidth(holder)?);
    if kind.is_none() && number.is_none() {
        return Ok(None);
    }
    Ok(Some(InternetAccessible {
        internet_charge_type: kind.unwrap_or(DEFAULT_CHARGE_TYPE).to_owned(),
        internet_max_bandwidth_out: number.unwrap_or(DEFAULT_BANDWIDTH),
    }))
}

/// How public traffic is paid for, where the object says so.
pub(crate) fn charge_type(holder: &Holder) -> Result<Option<&str>, Box<Problem>> {
    let kind = holder.says(Word::ChargeType);
    if let Some(other) = kind.filter(|kind| !CHARGE_TYPES.contains(kind)) {
        let accepted = format!("accepted are {}", CHARGE_TYPES.join(", "));
        return bad(holder, Word::ChargeType, other, &accepted);
    }
    Ok(kind)
}

/// Mbit/s, where the object says so; what its `TkeServiceConfig` declares wins.
pub(crate) fn bandwidth(holder: &Holder) -> Result<Option<u32>, Box<Problem>> {
    Ok(holder.bandwidth.or(annotated_bandwidth(holder)?))
}

fn annotated_bandwidth(holder: &Holder) -> Result<Option<u32>, Box<Problem>> {
    let Some(text) = holder.says(Word::Bandwidth) else {
        return Ok(None);
    };
    let parsed = text.parse().ok().filter(|n| BANDWIDTHS.contains(n));
    let accepted = "accepted are 1 to 2048 (Mbit/s)";
    parsed.map_or_else(
        || bad(holder, Word::Bandwidth, text, accepted),
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

fn extensive(holder: &Holder) -> Result<Extensive, Box<Problem>> {
    let Some(text) = holder.says(Word::Extensive) else {
        return Ok(Extensive::default());
    };
    let refuse = |why: String| {
        let accepted = format!("{why}; no CLB is made, because it might be the wrong one");
        bad(holder, Word::Extensive, text, &accepted)
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

fn bad<T>(holder: &Holder, word: Word, value: &str, accepted: &str) -> Result<T, Box<Problem>> {
    Err(Box::new(holder.words().problem(word, value, accepted)))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::desired::tests::{front, service};

    const KINDS: [Kind; 2] = [Kind::Service, Kind::Ingress];

    fn plain(kind: Kind) -> Holder {
        match kind {
            Kind::Service => Holder::from(&service("web")),
            Kind::Ingress => Holder::from(&front()),
        }
    }

    fn ordered(kind: Kind, says: &[(Word, &str)]) -> Result<CreateLoadBalancer, Box<Problem>> {
        let mut holder = plain(kind);
        let pairs = says.iter();
        let pairs = pairs.map(|(word, value)| (word.key(kind).to_owned(), (*value).to_owned()));
        holder.annotations.extend(pairs);
        order(&holder, &ClusterId::new("us"), Some("vpc-1".to_owned()))
    }

    #[test]
    fn a_plain_ingress_gets_a_public_one_with_both_tags_and_the_token() {
        let order = ordered(Kind::Ingress, &[(Word::ClientToken, "uid-front-1")]).unwrap();
        assert_eq!(order.load_balancer_type, LoadBalancerType::Open);
        assert_eq!(order.client_token.as_deref(), Some("uid-front-1"));
        assert_eq!(
            order.load_balancer_name.as_deref(),
            Some("clb-gate_shop_front")
        );
        let tags = order.tags.iter();
        let tags: Vec<_> = tags
            .map(|tag| (tag.tag_key.as_str(), tag.tag_value.as_str()))
            .collect();
        assert_eq!(
            tags,
            [
                (names::CLUSTER_TAG, "us"),
                (names::INGRESS_TAG, "uid-front")
            ]
        );
    }

    #[test]
    fn a_plain_service_gets_a_public_one_with_both_tags_and_the_token() {
        let order = ordered(Kind::Service, &[(Word::ClientToken, "uid-web-1")]).unwrap();
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
        for kind in KINDS {
            let says = [(Word::Subnet, "subnet-1"), (Word::Bandwidth, "5")];
            let order = ordered(kind, &says).unwrap();
            assert_eq!(order.load_balancer_type, LoadBalancerType::Internal);
            assert_eq!(order.subnet_id.as_deref(), Some("subnet-1"));
            assert_eq!(order.internet_accessible, None);
        }
    }

    #[test]
    fn how_traffic_is_paid_for_is_read() {
        for kind in KINDS {
            let paid = |says: &[_]| ordered(kind, says).unwrap().internet_accessible.unwrap();
            let payment = paid(&[(Word::Bandwidth, "5")]);
            assert_eq!(payment.internet_max_bandwidth_out, 5);
            assert_eq!(payment.internet_charge_type, DEFAULT_CHARGE_TYPE);
            let payment = paid(&[(Word::ChargeType, "BANDWIDTH_POSTPAID_BY_HOUR")]);
            assert_eq!(payment.internet_charge_type, "BANDWIDTH_POSTPAID_BY_HOUR");
            assert_eq!(payment.internet_max_bandwidth_out, DEFAULT_BANDWIDTH);
        }
    }

    #[test]
    fn extensive_parameters_are_ordered() {
        let text = r#"{"AddressIPVersion":"IPV6","ZoneId":"ap-guangzhou-3","VipIsp":"CTCC",
            "LoadBalancerName":"mine","SlaType":"clb.c2.medium","Vip":"198.18.0.9"}"#;
        for kind in KINDS {
            all_of_them(&ordered(
                kind,
                &[(Word::Extensive, text), (Word::PassToTarget, "true")],
            ));
            let empty = ordered(kind, &[(Word::Extensive, "{}")]).unwrap();
            assert_eq!(empty.vip_isp, None);
        }
    }

    fn all_of_them(order: &Result<CreateLoadBalancer, Box<Problem>>) {
        let order = order.as_ref().unwrap();
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
    }

    #[rstest]
    #[case(Word::Subnet, "mine", "subnet-abcd1234")]
    #[case(Word::Bandwidth, "0", "1 to 2048")]
    #[case(Word::ChargeType, "FREE", "BANDWIDTH_PACKAGE")]
    #[case(Word::Extensive, "[]", "JSON object")]
    #[case(Word::Extensive, r#"{"VipISP":"CTCC"}"#, "VipIsp")]
    #[case(Word::Extensive, r#"{"VipIsp":"ACME"}"#, "CTCC")]
    #[case(Word::Extensive, r#"{"AddressIPVersion":"6"}"#, "IPv6FullChain")]
    #[case(Word::Extensive, r#"{"LoadBalancerName":""}"#, "1 to 80")]
    fn what_cannot_be_read_is_not_ordered(
        #[case] word: Word,
        #[case] value: &str,
        #[case] accepted: &str,
    ) {
        for kind in KINDS {
            let problem = ordered(kind, &[(word, value)]).unwrap_err().to_string();
            assert!(
                problem.contains(word.key(kind)) && problem.contains(accepted),
                "{problem}"
            );
        }
    }

    #[test]
    fn without_a_vpc_nothing_is_ordered() {
        let problem = order(&plain(Kind::Service), &ClusterId::new("us"), None).unwrap_err();
        assert!(problem.to_string().contains("vpcId"));
    }

    #[test]
    fn a_long_name_is_cut() {
        let mut long = service(&"n".repeat(63));
        long.namespace = "s".repeat(63);
        assert_eq!(name(&Holder::from(&long)).len(), LONGEST_NAME);
    }
}
