//! Every rule of the guides to direct access, as a table.

use k8s_openapi::api::core::v1::Node;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::drain::Kubelet;
use crate::names;
use crate::settings::Network;

const PLAIN: NodeFacts = NodeFacts {
    super_node: false,
    eni_ip: false,
    pod_cidr: false,
    kubelet: None,
};
const ENI: NodeFacts = NodeFacts {
    eni_ip: true,
    ..PLAIN
};
const CIDR: NodeFacts = NodeFacts {
    pod_cidr: true,
    ..PLAIN
};
const BOTH: NodeFacts = NodeFacts {
    pod_cidr: true,
    ..ENI
};
const OLD: NodeFacts = NodeFacts {
    kubelet: Some(Kubelet {
        major: 1,
        minor: 29,
    }),
    ..PLAIN
};
const SUPER: NodeFacts = NodeFacts {
    super_node: true,
    ..PLAIN
};

fn facts(switches: Option<&[(&str, &str)]>, nodes: &[NodeFacts]) -> ClusterFacts {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    ClusterFacts {
        tke: switches.map(|all| all.iter().map(owned).collect()),
        nodes: nodes.iter().collect(),
    }
}

#[rstest]
#[case::not_tke_whatever_its_nodes_say(None, &[BOTH, SUPER], Mode::Routable, Evidence::NotTke)]
#[case::vpc_cni_alone(Some(&[][..]), &[ENI, ENI], Mode::VpcCni, Evidence::EniNodes)]
#[case::a_node_that_is_still_starting(Some(&[][..]), &[PLAIN, ENI], Mode::VpcCni, Evidence::EniNodes)]
#[case::vpc_cni_added_later(Some(&[][..]), &[BOTH, CIDR], Mode::Mixed, Evidence::EniNodesAndPodCidrs)]
#[case::the_two_on_different_nodes(Some(&[][..]), &[ENI, CIDR], Mode::Mixed, Evidence::EniNodesAndPodCidrs)]
#[case::global_router_alone(Some(&[][..]), &[CIDR], Mode::GlobalRouter, Evidence::PodCidrs)]
#[case::only_super_nodes(Some(&[][..]), &[SUPER, SUPER], Mode::Serverless, Evidence::SuperNodes)]
#[case::super_nodes_beside_others(Some(&[][..]), &[SUPER, BOTH], Mode::Mixed, Evidence::EniNodesAndPodCidrs)]
#[case::what_a_super_node_has_does_not_count(Some(&[][..]), &[SUPER, CIDR], Mode::GlobalRouter, Evidence::PodCidrs)]
#[case::no_nodes_yet(Some(&[][..]), &[], Mode::VpcCni, Evidence::NoNodeTells)]
#[case::nodes_that_do_not_tell(Some(&[][..]), &[PLAIN], Mode::VpcCni, Evidence::NoNodeTells)]
fn auto_concludes_from_what_the_cluster_shows(
    #[case] switches: Option<&[(&str, &str)]>,
    #[case] nodes: &[NodeFacts],
    #[case] mode: Mode,
    #[case] evidence: Evidence,
) {
    let concluded = conclude(Network::Auto, &facts(switches, nodes));
    assert_eq!((concluded.mode, concluded.evidence), (mode, evidence));
    assert!(!concluded.global_route && !evidence.as_str().is_empty());
}

#[test]
fn the_setting_wins_and_the_switch_is_read_all_the_same() {
    let on = [(names::GLOBAL_ROUTE_DIRECT_ACCESS, "true")];
    for mode in Mode::ALL {
        let concluded = conclude(Network::Named(mode), &facts(Some(&on), &[ENI]));
        let expected = Conclusion {
            mode,
            evidence: Evidence::Setting,
            global_route: true,
        };
        assert_eq!(concluded, expected);
    }
}

#[rstest]
#[case(None, false)]
#[case(Some(&[][..]), false)]
#[case(Some(&[("GlobalRouteDirectAccess", "true")][..]), true)]
#[case(Some(&[("GlobalRouteDirectAccess", " true\n")][..]), true)]
#[case(Some(&[("GlobalRouteDirectAccess", "false")][..]), false)]
#[case(Some(&[("GlobalRouteDirectAccess", "True")][..]), false)]
#[case(Some(&[("GlobalRouteDirectAccess", "yes")][..]), false)]
#[case(Some(&[("EnableDefaultDirectAccess", "true")][..]), false)]
fn only_true_opens_global_router(
    #[case] switches: Option<&[(&str, &str)]>,
    #[case] expected: bool,
) {
    let concluded = conclude(Network::Auto, &facts(switches, &[CIDR]));
    assert_eq!(concluded.global_route, expected);
}

#[rstest]
#[case(json!({}), PLAIN)]
#[case(json!({"status": {"allocatable": {"cpu": "4", "tke.cloud.tencent.com/eni-ip": "60"}}}), ENI)]
#[case(json!({"status": {"capacity": {"tke.cloud.tencent.com/eni-ip": "0"}}}), ENI)]
#[case(json!({"status": {"allocatable": {"tke.cloud.tencent.com/eip": "1"}}}), PLAIN)]
#[case(json!({"spec": {"podCIDR": "172.16.0.0/26"}}), CIDR)]
#[case(json!({"spec": {"podCIDRs": ["172.16.0.0/26"]}}), CIDR)]
#[case(json!({"spec": {"podCIDR": "", "podCIDRs": []}}), PLAIN)]
#[case(json!({"metadata": {"labels": {"node.kubernetes.io/instance-type": "eklet"}}}), SUPER)]
#[case(json!({"metadata": {"labels": {"node.kubernetes.io/instance-type": "S5.MEDIUM4"}}}), PLAIN)]
#[case(json!({"status": {"nodeInfo": {"kubeletVersion": "v1.29.4-tke.2"}}}), OLD)]
fn a_node_is_pruned_to_what_tells(
    #[case] mut node: serde_json::Value,
    #[case] expected: NodeFacts,
) {
    if node.get("metadata").is_none() {
        node["metadata"] = json!({});
    }
    let node: Node = serde_json::from_value(node).unwrap();
    assert_eq!(NodeFacts::prune(node), expected);
}

#[rstest]
#[case(None, false)]
#[case(Some(""), false)]
#[case(Some("tke-bridge"), false)]
#[case(Some("tke-route-eni"), true)]
#[case(Some("tke-direct-eni"), true)]
#[case(Some("tke-bridge, tke-route-eni"), true)]
#[case(Some("my-tke-route-eni"), false)]
fn the_annotation_asks_for_an_eni(#[case] networks: Option<&str>, #[case] eni: bool) {
    assert_eq!(PodNetwork::of(false, networks, false).eni, eni);
}

const OFF: bool = false;
const ON: bool = true;

/// A pod without a word, one that asks for an ENI, and one that also tells the scheduler.
const SILENT: PodNetwork = PodNetwork {
    host_network: false,
    eni: false,
    eni_ip: false,
};
const ASKS: PodNetwork = PodNetwork {
    eni: true,
    ..SILENT
};
const WHOLE: PodNetwork = PodNetwork {
    eni_ip: true,
    ..ASKS
};

#[rstest]
// VPC-CNI alone: pods have an ENI by default, and TKE's own webhook asks for the resource.
#[case(Mode::VpcCni, OFF, SILENT, Reach::Eligible(Kind::Eni))]
#[case(Mode::VpcCni, OFF, ASKS, Reach::Eligible(Kind::Eni))]
#[case(Mode::VpcCni, ON, WHOLE, Reach::Eligible(Kind::Eni))]
// Mixed: the annotation makes an ENI pod; a missing eni-ip is told and is no reason to skip it.
#[case(
    Mode::Mixed,
    OFF,
    SILENT,
    Reach::Refused(Kind::GlobalRouter, Refusal::NoEni)
)]
#[case(Mode::Mixed, OFF, ASKS, Reach::Warned(Kind::Eni, Warning::NoEniIp))]
#[case(Mode::Mixed, OFF, WHOLE, Reach::Eligible(Kind::Eni))]
#[case(Mode::Mixed, ON, SILENT, Reach::Eligible(Kind::GlobalRouter))]
#[case(Mode::Mixed, ON, ASKS, Reach::Warned(Kind::Eni, Warning::NoEniIp))]
#[case(Mode::Mixed, ON, WHOLE, Reach::Eligible(Kind::Eni))]
// GlobalRouter alone: the ConfigMap's switch decides, and no annotation makes an ENI.
#[case(
    Mode::GlobalRouter,
    OFF,
    SILENT,
    Reach::Refused(Kind::GlobalRouter, Refusal::GlobalRouteOff)
)]
#[case(
    Mode::GlobalRouter,
    OFF,
    WHOLE,
    Reach::Refused(Kind::GlobalRouter, Refusal::GlobalRouteOff)
)]
#[case(Mode::GlobalRouter, ON, SILENT, Reach::Eligible(Kind::GlobalRouter))]
// Serverless and self-managed: always.
#[case(Mode::Serverless, OFF, SILENT, Reach::Eligible(Kind::Serverless))]
#[case(Mode::Routable, OFF, SILENT, Reach::Eligible(Kind::Routable))]
#[case(Mode::Routable, OFF, ASKS, Reach::Eligible(Kind::Routable))]
fn the_mode_and_the_pod_decide(
    #[case] mode: Mode,
    #[case] global_route: bool,
    #[case] pod: PodNetwork,
    #[case] expected: Reach,
) {
    let cluster = Conclusion {
        mode,
        global_route,
        evidence: Evidence::Setting,
    };
    assert_eq!(pod.reach(cluster), expected);
}

#[test]
fn the_host_network_is_refused_in_every_mode() {
    for mode in Mode::ALL {
        for global_route in [false, true] {
            for pod in [SILENT, ASKS, WHOLE] {
                let cluster = Conclusion {
                    mode,
                    global_route,
                    evidence: Evidence::Setting,
                };
                let pod = PodNetwork {
                    host_network: true,
                    ..pod
                };
                let reach = pod.reach(cluster);
                assert_eq!(reach.refusal(), Some(Refusal::HostNetwork));
                assert_eq!(reach.kind(), Kind::HostNetwork);
            }
        }
    }
}
