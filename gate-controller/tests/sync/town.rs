//! A town whose pods come and go, with neighbours who use the same load balancer: what should be
//! there at any moment, and what must never be touched.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use direct_access::listener::ListenerParameters;
use direct_access::{Owner, Protocol};
use gate_controller::desired::{
    Desired, DesiredListener, DesiredRule, DesiredTarget, Others, RuleKey,
};
use gate_controller::pod::Fate;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::{Bound, LOAD_BALANCER, World, service, target, wanted};

/// The town's Services: three listeners, the last with two rules.
pub(crate) const SERVICES: [(Protocol, u16); 3] = [
    (Protocol::Tcp, 80),
    (Protocol::Udp, 53),
    (Protocol::Http, 8080),
];
/// A neighbour's own listener.
const NEIGHBOUR_PORT: u16 = 9000;
/// A neighbour binds only where nothing is about to be deleted: the API has no compare-and-delete.
const CALM: Duration = Duration::from_mins(1);

/// A pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) uid: String,
    pub(crate) address: u32,
    pub(crate) service: usize,
    pub(crate) weight: u8,
    pub(crate) fate: Fate,
}

/// The town.
pub(crate) struct Town {
    pub(crate) pods: Vec<Pod>,
    /// Since when each Service has been there.
    pub(crate) services: [Option<Instant>; 3],
    born: u32,
    /// What neighbours have bound: where and target -> weight, tag.
    pub(crate) foreign: Bound,
}

impl Town {
    /// With all Services, no pods, and a neighbour.
    pub(crate) fn new(world: &World) -> Self {
        let mut town = Self {
            pods: vec![],
            services: [Some(Instant::now()); 3],
            born: 0,
            foreign: BTreeMap::new(),
        };
        operate(
            world,
            "CreateListener",
            &json!({
                "Ports": [NEIGHBOUR_PORT], "Protocol": "TCP", "ListenerNames": ["neighbour"],
            }),
        );
        let found = listeners(world).remove(0);
        town.bind_foreign(world, &found, None, 200);
        town
    }

    /// A pod comes, unless its address is in use.
    pub(crate) fn come(&mut self, service: usize, address: u32) {
        if self.pods.iter().any(|pod| pod.address == address) {
            return;
        }
        self.born += 1;
        self.pods.push(Pod {
            uid: format!("uid-{}", self.born),
            address,
            service,
            weight: 10,
            fate: Fate::Live,
        });
    }

    /// A pod vanishes, and another one has its address at once.
    pub(crate) fn reuse(&mut self, number: usize) {
        if let Some(index) = self.index(number) {
            let gone = self.pods.remove(index);
            self.come(gone.service, gone.address);
        }
    }

    /// A pod vanishes.
    pub(crate) fn vanish(&mut self, number: usize) {
        if let Some(index) = self.index(number) {
            self.pods.remove(index);
        }
    }

    /// The pod to which this number falls.
    pub(crate) fn pod(&mut self, number: usize) -> Option<&mut Pod> {
        let index = self.index(number)?;
        self.pods.get_mut(index)
    }

    fn index(&self, number: usize) -> Option<usize> {
        number.checked_rem(self.pods.len())
    }

    /// What should be on the load balancer.
    pub(crate) fn desired(&self) -> Desired {
        let fate = |pod: &Pod| (pod.uid.clone(), pod.fate);
        let fates: HashMap<_, _> = self.pods.iter().map(fate).collect();
        let services = self.services.iter().enumerate();
        let listeners = services.filter(|(_, there)| there.is_some());
        Desired {
            listeners: listeners
                .map(|(number, _)| {
                    let (protocol, port) = SERVICES[number];
                    (protocol.at(port), self.listener(number))
                })
                .collect(),
            others: Arc::new(Others {
                fates,
                ..Others::default()
            }),
            ..Desired::default()
        }
    }

    fn listener(&self, number: usize) -> DesiredListener {
        let (protocol, _) = SERVICES[number];
        let pods = self.pods.iter();
        let live = pods.filter(|pod| pod.service == number && pod.fate == Fate::Live);
        let targets: Vec<_> = live.map(binding).collect();
        let layer7 = protocol == Protocol::Http;
        let rule = |url: &str| {
            let key = RuleKey {
                domain: "shop.example.com".to_owned(),
                url: url.to_owned(),
            };
            let rule = DesiredRule {
                targets: targets.clone(),
                ..DesiredRule::default()
            };
            (key, rule)
        };
        DesiredListener {
            owner: Owner::service(service()),
            protocol,
            parameters: ListenerParameters::default(),
            rules: if layer7 {
                [rule("/"), rule("/cart")].into()
            } else {
                BTreeMap::new()
            },
            targets: if layer7 { vec![] } else { targets },
        }
    }

    /// Everything that should be bound.
    pub(crate) fn wanted(&self) -> Bound {
        let mut all = wanted(LOAD_BALANCER, &self.desired());
        all.extend(self.foreign.clone());
        all
    }

    /// A neighbour binds a target on a listener of ours, or takes it away again.
    pub(crate) fn toggle_foreign(&mut self, world: &World, service: usize) {
        let (protocol, port) = SERVICES[service];
        let slot = format!("{LOAD_BALANCER} {protocol}:{port}");
        let there = self
            .foreign
            .keys()
            .find(|(holder, _)| holder.starts_with(&slot));
        if let Some(key) = there.cloned() {
            self.unbind_foreign(world, &key);
            return;
        }
        let calm = self.services[service].is_some_and(|since| since.elapsed() > CALM);
        let found = listeners(world);
        let found = found.iter().find(|one| is_at(one, service));
        if let (true, Some(listener)) = (calm, found) {
            let rule = listener["rules"].get(0).cloned();
            let there = protocol != Protocol::Http || rule.is_some();
            if there {
                self.bind_foreign(world, listener, rule.as_ref(), 200);
            }
        }
    }

    fn bind_foreign(&mut self, world: &World, listener: &Value, rule: Option<&Value>, host: u8) {
        let ip = format!("10.9.0.{host}");
        operate(
            world,
            "BatchRegisterTargets",
            &json!({ "Targets": [{
                "ListenerId": listener["id"], "LocationId": rule.map(|rule| &rule["id"]),
                "EniIp": ip, "Port": 80, "Weight": 7, "Tag": "neighbour",
            }]}),
        );
        let holder = holder(listener, rule);
        let known = (7, Some("neighbour".to_owned()));
        self.foreign.insert((holder, format!("{ip}:80")), known);
    }

    fn unbind_foreign(&mut self, world: &World, key: &(String, String)) {
        let address: std::net::SocketAddr = key.1.parse().unwrap();
        for listener in listeners(world) {
            let rules = listener["rules"].as_array().unwrap().iter().map(Some);
            for rule in rules.chain([None]) {
                if holder(&listener, rule) == key.0 {
                    operate(
                        world,
                        "BatchDeregisterTargets",
                        &json!({ "Targets": [{
                            "ListenerId": listener["id"], "LocationId": rule.map(|rule| &rule["id"]),
                            "EniIp": address.ip(), "Port": address.port(),
                        }]}),
                    );
                }
            }
        }
        self.foreign.remove(key);
    }

    /// A person deletes a listener of ours, with whatever hangs there.
    pub(crate) fn lose_listener(&mut self, world: &World, service: usize) {
        let all = listeners(world);
        if let Some(found) = all.iter().find(|one| is_at(one, service)) {
            operate(
                world,
                "DeleteListener",
                &json!({ "ListenerId": found["id"] }),
            );
            let slot = holder(found, None);
            self.foreign
                .retain(|(holder, _), _| !holder.starts_with(&slot));
        }
    }

    /// What must be so at any time.
    pub(crate) fn check_neighbours(&self, world: &World) -> Result<(), String> {
        let bound = world.bound();
        for (key, known) in &self.foreign {
            if bound.get(key) != Some(known) {
                return Err(format!("{key:?} was {known:?}, is {:?}", bound.get(key)));
            }
        }
        Ok(())
    }
}

/// A person takes away a target of ours.
pub(crate) fn lose_target(world: &World, service: usize) {
    let all = listeners(world);
    let Some(found) = all.iter().find(|one| is_at(one, service)) else {
        return;
    };
    let rule = found["rules"].get(0);
    let targets = rule.unwrap_or(found)["targets"].as_array().unwrap();
    let ours = |target: &&Value| target["tag"] != "neighbour";
    if let Some(target) = targets.iter().find(ours) {
        operate(
            world,
            "BatchDeregisterTargets",
            &json!({ "Targets": [{
                "ListenerId": found["id"], "LocationId": rule.map(|rule| &rule["id"]),
                "EniIp": target["ip"], "Port": target["port"],
            }]}),
        );
    }
}

/// An action by another hand.
pub(crate) fn operate(world: &World, action: &str, order: &Value) -> Value {
    let mut order = order.clone();
    order["LoadBalancerId"] = LOAD_BALANCER.into();
    world.clb.operate(action, &order).unwrap()
}

/// The listeners as the simulator has them.
pub(crate) fn listeners(world: &World) -> Vec<Value> {
    let state = world.clb.state();
    state["load_balancers"][0]["listeners"]
        .as_array()
        .unwrap()
        .clone()
}

fn is_at(listener: &Value, service: usize) -> bool {
    let (protocol, port) = SERVICES[service];
    listener["protocol"] == protocol.as_str() && listener["port"] == port
}

/// Where targets hang, as [`World::bound`] calls it.
pub(crate) fn holder(listener: &Value, rule: Option<&Value>) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let slot = format!(
        "{LOAD_BALANCER} {}:{}",
        text(&listener["protocol"]),
        listener["port"]
    );
    match rule {
        Some(rule) => format!("{slot} {}{}", text(&rule["domain"]), text(&rule["url"])),
        None => slot,
    }
}

fn binding(pod: &Pod) -> DesiredTarget {
    DesiredTarget {
        pod_uid: pod.uid.clone(),
        weight: pod.weight,
        ..target(pod.address)
    }
}
