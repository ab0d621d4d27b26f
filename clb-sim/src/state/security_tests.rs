use super::*;
use proptest::prelude::*;

const VIP: &str = "198.18.0.129";
const TARGET: &str = "198.18.1.5:8080";

fn security(text: &str) -> Security {
    serde_json::from_str(text).unwrap()
}

/// `sg-web` lets web clients in at 80, `sg-pods` the VIP at 8080; pods have `sg-pods`.
fn usual() -> Security {
    security(
        r#"{
            "groups": {
                "sg-web": [{"protocol": "TCP", "ports": "80", "source": "203.0.113.0/24"}],
                "sg-pods": [{"protocol": "TCP", "ports": "8000-8100", "source": "198.18.0.129/32"}],
                "sg-shut": []
            },
            "attached": [{"addresses": "198.18.0.0/16", "groups": ["sg-pods"]}]
        }"#,
    )
}

fn traffic(client: &str) -> Packet {
    Packet::Traffic {
        client: client.parse().unwrap(),
        protocol: Protocol::Tcp,
        listener_port: 80,
        target: TARGET.parse().unwrap(),
    }
}

fn probe(from: &str, protocol: Layer4) -> Packet {
    Packet::Probe {
        from: from.parse().unwrap(),
        protocol,
        target: TARGET.parse().unwrap(),
    }
}

fn judge(security: &Security, groups: &[&str], pass_to_target: bool, packet: Packet) -> Verdict {
    let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
    let fence = Fence {
        groups: &groups,
        pass_to_target,
    };
    security.judge(fence, packet)
}

const BY_LB: Verdict = Verdict::Dropped(Dropped::ByLoadBalancer);
const BY_TARGET: Verdict = Verdict::Dropped(Dropped::ByTarget);
const PASS: Verdict = Verdict::Allowed(Allowed::PassToTarget);
const RULES: Verdict = Verdict::Allowed(Allowed::Rules);
const SHARED_RANGE: Verdict = Verdict::Allowed(Allowed::SharedRange);

#[rstest::rstest]
#[case(&["sg-web"], true, "203.0.113.9", PASS)]
#[case(&["sg-web"], true, "192.0.2.9", BY_LB)]
#[case(&["sg-shut", "sg-web"], true, "203.0.113.9", PASS)]
#[case(&["sg-shut"], true, "203.0.113.9", BY_LB)]
#[case(&["sg-nobody-described"], true, "192.0.2.9", PASS)]
#[case(&[], true, "192.0.2.9", PASS)]
// The pods' group knows the VIP, not the client.
#[case(&["sg-web"], false, "203.0.113.9", BY_TARGET)]
#[case(&["sg-web"], false, VIP, BY_LB)]
#[case(&[], false, VIP, RULES)]
fn clients_pass_both_fences(
    #[case] groups: &[&str],
    #[case] pass: bool,
    #[case] client: &str,
    #[case] wanted: Verdict,
) {
    assert_eq!(judge(&usual(), groups, pass, traffic(client)), wanted);
}

#[rstest::rstest]
#[case(VIP, Layer4::Tcp, false, RULES)]
#[case("198.18.0.130", Layer4::Tcp, false, BY_TARGET)]
#[case("198.18.0.130", Layer4::Tcp, true, PASS)]
#[case(VIP, Layer4::Icmp, false, BY_TARGET)]
#[case(VIP, Layer4::Udp, false, BY_TARGET)]
#[case("100.64.0.1", Layer4::Tcp, false, SHARED_RANGE)]
#[case("100.127.255.254", Layer4::Icmp, false, SHARED_RANGE)]
#[case("100.128.0.1", Layer4::Tcp, false, BY_TARGET)]
fn probes_pass_the_target_s_fence_only(
    #[case] from: &str,
    #[case] protocol: Layer4,
    #[case] pass: bool,
    #[case] wanted: Verdict,
) {
    // The load balancer's own groups do not concern what it sends itself.
    assert_eq!(
        judge(&usual(), &["sg-shut"], pass, probe(from, protocol)),
        wanted
    );
}

#[test]
fn a_port_outside_the_rule_is_shut() {
    let packet = Packet::Probe {
        from: VIP.parse().unwrap(),
        protocol: Layer4::Tcp,
        target: "198.18.1.5:8101".parse().unwrap(),
    };
    assert_eq!(judge(&usual(), &[], false, packet), BY_TARGET);
}

#[rstest::rstest]
#[case(
    r#"{"groups": {"sg-a": [{"protocol": "TCP", "ports": "90-80", "source": "10.0.0.0/8"}]}}"#,
    "90-80"
)]
#[case(
    r#"{"groups": {"sg-a": [{"protocol": "GRE", "source": "10.0.0.0/8"}]}}"#,
    "GRE"
)]
#[case(
    r#"{"groups": {"sg-a": [{"protocol": "TCP", "source": "10.0.0.0"}]}}"#,
    "10.0.0.0"
)]
#[case(r#"{"rules": {}}"#, "rules")]
fn nonsense_is_refused_by_name(#[case] text: &str, #[case] says: &str) {
    let error = serde_json::from_str::<Security>(text)
        .unwrap_err()
        .to_string();
    assert!(error.contains(says), "{error}");
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let protocol = prop_oneof![
        Just(Layer4::All),
        Just(Layer4::Icmp),
        Just(Layer4::Tcp),
        Just(Layer4::Udp)
    ];
    let ports = prop::option::of(
        (0_u16..5, 0_u16..5).prop_map(|(first, more)| Ports(first..=first + more)),
    );
    (protocol, ports, 0_u8..4, 28_u8..=32).prop_map(|(protocol, ports, host, prefix)| Rule {
        protocol,
        ports,
        source: format!("10.0.0.{host}/{prefix}").parse().unwrap(),
    })
}

fn any_security() -> impl Strategy<Value = Security> {
    let group = prop::collection::vec(any_rule(), 0..4);
    let groups = prop::collection::btree_map("[abc]", group, 0..4);
    let attachment =
        (0_u8..4, prop::collection::btree_set("[abcd]", 0..3)).prop_map(|(host, groups)| {
            Attachment {
                addresses: format!("10.0.1.{host}/31").parse().unwrap(),
                groups,
            }
        });
    let attached = prop::collection::vec(attachment, 0..3);
    (groups, attached).prop_map(|(groups, attached)| Security { groups, attached })
}

fn any_packet() -> impl Strategy<Value = Packet> {
    (any::<bool>(), any::<bool>(), 0_u8..4, 0_u8..4, 0_u16..8).prop_map(
        |(traffic, udp, from, host, port)| {
            let source = IpAddr::from([10, 0, 0, from]);
            let target = SocketAddr::from(([10, 0, 1, host], port));
            let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
            if traffic {
                Packet::Traffic {
                    client: source,
                    protocol,
                    listener_port: port,
                    target,
                }
            } else {
                Packet::Probe {
                    from: source,
                    protocol: Layer4::of(protocol),
                    target,
                }
            }
        },
    )
}

proptest! {
    #[test]
    fn one_rule_more_never_shuts_anybody_out(
        mut security in any_security(), packet in any_packet(), pass: bool, id in "[abc]", rule in any_rule(),
    ) {
        let groups = ["a", "d"];
        let before = judge(&security, &groups, pass, packet).dropped().is_none();
        // To a group that exists: describing a group for the first time may well shut it.
        if let Some(rules) = security.groups.get_mut(&id) {
            rules.push(rule);
        }
        prop_assert!(!before || judge(&security, &groups, pass, packet).dropped().is_none());
    }

    #[test]
    fn passing_to_targets_never_shuts_anybody_out(security in any_security(), packet in any_packet()) {
        let groups = ["a", "b"];
        let strict = judge(&security, &groups, false, packet).dropped().is_none();
        prop_assert!(!strict || judge(&security, &groups, true, packet).dropped().is_none());
    }

    #[test]
    fn without_groups_everything_passes(packet in any_packet(), pass: bool, named: bool) {
        let groups: &[&str] = if named { &["sg-a"] } else { &[] };
        prop_assert!(judge(&Security::default(), groups, pass, packet).dropped().is_none());
    }

    #[test]
    fn what_is_shown_can_be_sent_back(described in any_security()) {
        let text = serde_json::to_string(&described).unwrap();
        prop_assert_eq!(security(&text), described);
    }
}
