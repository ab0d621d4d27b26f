//! Whether a load balancer can be worked with at all. Pure.

use clb::LoadBalancer;
use direct_access::names;

/// Why a load balancer that is asked for cannot be used: it does not exist, or cannot reach the pods.
pub(crate) fn unusable(
    id: &str,
    found: Option<&LoadBalancer>,
    own_vpc: Option<&str>,
) -> Option<String> {
    let annotation = names::EXISTING_LOAD_BALANCER;
    let accepted = "accepted is the id of a CLB that exists in the cluster's region and VPC";
    let vpc = found.and_then(|found| found.vpc_id.as_deref());
    let problem = match (found, vpc, own_vpc) {
        (None, _, _) => format!("no such CLB in this region and account; {accepted}"),
        (Some(_), Some(vpc), Some(own)) if own != vpc => {
            format!("it is in VPC {vpc}, the pods are in {own}; {accepted}")
        }
        (Some(_), _, _) => return None,
    };
    Some(format!(
        "metadata.annotations[{annotation}] is {id:?}; {problem}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_vpc(vpc: Option<&str>) -> LoadBalancer {
        let known = serde_json::json!({"LoadBalancerId": "lb-1", "VpcId": vpc});
        serde_json::from_value(known).unwrap()
    }

    #[test]
    fn it_must_exist_where_the_pods_are() {
        let absent = unusable("lb-1", None, Some("vpc-a")).unwrap();
        assert!(absent.contains("no such CLB") && absent.contains("\"lb-1\""));
        let elsewhere = unusable("lb-1", Some(&of_vpc(Some("vpc-b"))), Some("vpc-a")).unwrap();
        assert!(elsewhere.contains("vpc-b") && elsewhere.contains("vpc-a"));
        for (theirs, own) in [
            (Some("vpc-a"), Some("vpc-a")),
            (None, Some("vpc-a")),
            (Some("vpc-a"), None),
        ] {
            assert_eq!(unusable("lb-1", Some(&of_vpc(theirs)), own), None);
        }
    }
}
