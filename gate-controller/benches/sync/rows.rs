//! The nine rows of Tencent's tables, and the worlds they begin in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use direct_access::listener::ListenerParameters;
use direct_access::ownership::ClusterId;
use direct_access::{ObjectRef, Owner, Protocol};
use gate_controller::desired::{
    Desired, DesiredListener, DesiredRule, DesiredTarget, Others, RuleKey,
};
use gate_controller::pod::Fate;
use serde_json::{Value, json};

use super::world::{CLUSTER, LOAD_BALANCER, World, tag, wanted};

/// Targets in one `BatchRegisterTargets` (its reference).
pub(crate) const TARGETS: u64 = 500;
/// Rules in one `CreateRule`. Its reference names no limit; 50 is the default quota of rules that a
/// listener may have (`TOTAL_LISTENER_RULE_QUOTA`), so no caller can count on more in one call.
pub(crate) const RULES: u64 = 50;

/// One row: so many rules with so many backends each, before and after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) rules: (u32, u32),
    pub(crate) backends: (u32, u32),
    /// Seconds: before optimisation, with batches, with fewer queries of backends.
    pub(crate) seeds: [f64; 3],
}

const fn backends(to: u32, seeds: [f64; 3]) -> Row {
    Row {
        rules: (200, 200),
        backends: (1, to),
        seeds,
    }
}

const fn rules(to: u32, seeds: [f64; 3]) -> Row {
    Row {
        rules: (1, to),
        backends: (50, 50),
        seeds,
    }
}

/// "Backend node data surge" and "Layer-7 rule data surge" of Tencent's article on direct connection
/// of TKE to pods.
pub(crate) const ROWS: [Row; 9] = [
    backends(10, [1313.056, 227.908, 31.548]),
    backends(20, [1715.053, 449.795, 51.248]),
    backends(30, [2826.913, 665.619, 69.118]),
    backends(40, [3373.148, 861.583, 90.723]),
    backends(50, [4240.311, 1085.03, 106.353]),
    rules(100, [1631.787, 451.644, 68.63]),
    rules(200, [3399.833, 693.207, 141.004]),
    rules(300, [5630.398, 847.796, 236.91]),
    rules(400, [7562.615, 1028.75, 335.674]),
];

impl Row {
    pub(crate) fn name(&self) -> String {
        let ((rules, more), (backends, grown)) = (self.rules, self.backends);
        if rules == more {
            format!("{rules} rules x {backends} -> {grown}")
        } else {
            format!("{rules} -> {more} rules x {backends}")
        }
    }

    pub(crate) fn creates_rules(&self) -> bool {
        self.rules.0 < self.rules.1
    }

    /// Bindings that are missing.
    pub(crate) fn bindings(&self) -> u64 {
        let all = |rules: u32, backends: u32| u64::from(rules) * u64::from(backends);
        all(self.rules.1, self.backends.1) - all(self.rules.0, self.backends.0)
    }

    /// Rules that are missing.
    pub(crate) fn new_rules(&self) -> u64 {
        u64::from(self.rules.1 - self.rules.0)
    }

    /// The fewest write calls that can do it: writes to one load balancer are serial.
    pub(crate) fn bound(&self) -> u64 {
        self.bindings().div_ceil(TARGETS) + self.new_rules().div_ceil(RULES)
    }

    pub(crate) fn before(&self) -> Desired {
        desired(self.rules.0, self.backends.0)
    }

    pub(crate) fn after(&self) -> Desired {
        desired(self.rules.1, self.backends.1)
    }

    /// A world in which what was there before is there.
    pub(crate) fn world(&self, delays: clb_sim::Delays) -> World {
        let world = World::new(config(delays));
        let listener = create_listener(&world, LOAD_BALANCER, "HTTP");
        let keys: Vec<RuleKey> = (0..self.rules.0).map(key).collect();
        let rules = create_rules(&world, &listener, &keys);
        let before = self.before();
        let targets = before.listeners.values().flat_map(|all| &all.rules);
        for (key, rule) in targets {
            for targets in rule.targets.chunks(500) {
                register(&world, LOAD_BALANCER, (&listener, rules.get(key)), targets);
            }
        }
        assert_eq!(world.bound(), wanted(LOAD_BALANCER, &before));
        world
    }
}

/// Quotas raised as the largest row needs; everything else as a new account has it.
pub(crate) fn config(delays: clb_sim::Delays) -> clb_sim::Config {
    clb_sim::Config {
        delays,
        quotas: clb_sim::Quotas {
            rules: 400,
            targets: 10_000,
            ..clb_sim::Quotas::default()
        },
        ..clb_sim::Config::default()
    }
}

/// Makes a listener of ours at port 80, at once.
pub(crate) fn create_listener(world: &World, load_balancer: &str, protocol: &str) -> String {
    let name = ClusterId::new(CLUSTER).listener_name();
    let order = json!({
        "LoadBalancerId": load_balancer, "Ports": [80], "Protocol": protocol,
        "ListenerNames": [name],
    });
    let made = world.clb.operate("CreateListener", &order).unwrap();
    made["ListenerIds"][0].as_str().unwrap().to_owned()
}

fn create_rules(world: &World, listener: &str, keys: &[RuleKey]) -> BTreeMap<RuleKey, String> {
    let rule = |key: &RuleKey| json!({ "Domain": key.domain, "Url": key.url });
    let order = json!({
        "LoadBalancerId": LOAD_BALANCER, "ListenerId": listener,
        "Rules": keys.iter().map(rule).collect::<Vec<_>>(),
    });
    let made = world.clb.operate("CreateRule", &order).unwrap();
    let ids = made["LocationIds"].as_array().unwrap();
    let ids = ids.iter().map(|id| id.as_str().unwrap().to_owned());
    keys.iter().cloned().zip(ids).collect()
}

/// Binds targets of ours, at once.
pub(crate) fn register(
    world: &World,
    load_balancer: &str,
    (listener, rule): (&str, Option<&String>),
    targets: &[DesiredTarget],
) {
    let target = |target: &DesiredTarget| -> Value {
        json!({
            "ListenerId": listener, "LocationId": rule,
            "EniIp": target.address.0, "Port": target.address.1,
            "Weight": target.weight, "Tag": tag(&target.pod_uid),
        })
    };
    let targets: Vec<_> = targets.iter().map(target).collect();
    let order = json!({ "LoadBalancerId": load_balancer, "Targets": targets });
    let done = world.clb.operate("BatchRegisterTargets", &order).unwrap();
    assert_eq!(done["FailListenerIdSet"], json!([]), "{done}");
}

fn desired(rules: u32, backends: u32) -> Desired {
    let targets: Vec<_> = (0..backends).map(target).collect();
    let rule = |number| {
        let rule = DesiredRule {
            targets: targets.clone(),
            ..DesiredRule::default()
        };
        (key(number), rule)
    };
    let listener = DesiredListener {
        owner: Owner::service(shop("web")),
        protocol: Protocol::Http,
        parameters: ListenerParameters::default(),
        targets: vec![],
        rules: (0..rules).map(rule).collect(),
    };
    alive(listener, &targets)
}

/// Such a listener at port 80, and pods that live.
pub(crate) fn alive(listener: DesiredListener, targets: &[DesiredTarget]) -> Desired {
    let fate = |target: &DesiredTarget| (target.pod_uid.clone(), Fate::Live);
    let fates = targets.iter().map(fate).collect();
    Desired {
        listeners: [(listener.protocol.at(80), listener)].into(),
        others: Arc::new(Others {
            fates,
            ..Others::default()
        }),
        ..Desired::default()
    }
}

fn key(number: u32) -> RuleKey {
    RuleKey {
        domain: format!("h{}.example.com", number / 20),
        url: format!("/p{}", number % 20),
    }
}

/// A binding of the pod with this number.
pub(crate) fn target(number: u32) -> DesiredTarget {
    DesiredTarget {
        address: (IpAddr::V4(Ipv4Addr::from(0x0a00_0100 + number)), 8080),
        pod: shop(&format!("web-{number}")),
        pod_uid: format!("uid-{number}"),
        weight: 10,
    }
}

pub(crate) fn shop(name: &str) -> ObjectRef {
    ObjectRef {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}
