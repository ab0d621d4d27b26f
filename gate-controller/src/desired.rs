//! What the CLB should hold: Services and pods in, one [`Desired`] a load balancer out. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use direct_access::listener::ListenerParameters;
use direct_access::service::ObjectRef;
use direct_access::slot::{Protocol, Space};
use direct_access::{Exposure, Judgement, Problem, ServiceFacts, Settings, Slot, exposures};

use crate::pod::{Fate, PodRecord};

/// Everything that is wanted, and everything that users should be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// By load balancer id.
    pub load_balancers: BTreeMap<String, Desired>,
    /// Problems by Service.
    pub problems: BTreeMap<ObjectRef, Vec<Problem>>,
    /// The exposures of every Service that is served.
    pub exposures: Vec<Exposure>,
    /// What bears on removal, on whatever load balancer.
    pub others: Arc<Others>,
}

/// What one load balancer should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// By slot.
    pub listeners: BTreeMap<Slot, DesiredListener>,
    /// What of other objects bears on what may be removed; shared by all load balancers.
    pub others: Arc<Others>,
}

/// What bears on removal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Others {
    /// Fate of every pod, by UID; what is absent is gone.
    pub fates: HashMap<String, Fate>,
    /// UIDs of pods whose targets stay as they are: a Service that selects them cannot be read.
    pub held_pods: HashSet<String>,
    /// Slots of Services that cannot be read: their listeners stay as they are.
    pub held_slots: HashSet<Slot>,
}

/// What one listener should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredListener {
    /// The Service it belongs to.
    pub service: ObjectRef,
    /// What it speaks.
    pub protocol: Protocol,
    /// How to create it where it is missing.
    pub parameters: ListenerParameters,
    /// Its targets at layer 4, in the order of pod names.
    pub targets: Vec<DesiredTarget>,
    /// Its rules at layer 7.
    pub rules: BTreeMap<RuleKey, DesiredRule>,
}

/// What tells the rules of a listener apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleKey {
    /// The host; the CLB's own address where none is named.
    pub domain: String,
    /// The path, beginning with `/`.
    pub url: String,
}

/// What one rule should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredRule {
    /// How to create it where it is missing.
    pub parameters: ListenerParameters,
    /// Its targets, in the order of pod names.
    pub targets: Vec<DesiredTarget>,
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredTarget {
    /// Address and port of the pod.
    pub address: (IpAddr, u16),
    /// The pod.
    pub pod: ObjectRef,
    /// The pod's UID.
    pub pod_uid: String,
    /// 0 to 100.
    pub weight: u8,
}

/// Computes what every load balancer should hold. The `ledger` names those written to before: one that
/// no Service names any more should hold nothing of ours.
pub fn wanted<'a>(
    services: impl IntoIterator<Item = &'a ServiceFacts>,
    pods: &PodsByNamespace<'_>,
    settings: &Settings,
    ledger: &BTreeSet<String>,
) -> Wanted {
    let mut wanted = Wanted::default();
    for id in ledger {
        wanted.load_balancers.entry(id.clone()).or_default();
    }
    let mut ordered: Vec<_> = services.into_iter().collect();
    // The older Service keeps a port that two of them claim.
    ordered.sort_by(|a, b| (a.created, &a.uid).cmp(&(b.created, &b.uid)));
    let mut held = Vec::new();
    for service in ordered {
        match exposures(service, settings) {
            Judgement::Served(served) => {
                wanted.tell(service, served.problems);
                wanted.serve(service, served.exposures, pods);
            }
            Judgement::NotOurs(reason) => {
                wanted.tell(service, reason.problem(service).into_iter().collect());
                if reason.holds() {
                    held.push(service);
                }
            }
        }
    }
    let others = Arc::new(others(&held, pods));
    for desired in wanted.load_balancers.values_mut() {
        desired.others = Arc::clone(&others);
    }
    wanted.others = others;
    wanted
}

/// Pods by namespace, in the order of their names.
pub type PodsByNamespace<'a> = HashMap<&'a str, Vec<&'a PodRecord>>;

/// Groups pods by namespace.
pub fn by_namespace<'a>(pods: impl IntoIterator<Item = &'a PodRecord>) -> PodsByNamespace<'a> {
    let mut grouped = PodsByNamespace::new();
    for pod in pods {
        grouped.entry(pod.namespace.as_str()).or_default().push(pod);
    }
    for pods in grouped.values_mut() {
        pods.sort_by(|a, b| a.name.cmp(&b.name));
    }
    grouped
}

impl Wanted {
    fn tell(&mut self, service: &ServiceFacts, problems: Vec<Problem>) {
        if !problems.is_empty() {
            self.problems
                .entry(service.object())
                .or_default()
                .extend(problems);
        }
    }

    fn serve(
        &mut self,
        service: &ServiceFacts,
        exposures: Vec<Exposure>,
        pods: &PodsByNamespace<'_>,
    ) {
        for exposure in exposures {
            let desired = self
                .load_balancers
                .entry(exposure.load_balancer.clone())
                .or_default();
            if let Some(other) = desired.listeners.get(&exposure.slot()) {
                let problem = taken(service, &exposure, &other.service);
                self.tell(service, vec![problem]);
                self.exposures.push(exposure);
                continue;
            }
            let targets = selected(&exposure, pods)
                .filter_map(|pod| target(pod, &exposure))
                .collect();
            let listener = DesiredListener {
                service: service.object(),
                protocol: exposure.protocol,
                parameters: exposure.parameters.clone(),
                targets,
                rules: BTreeMap::new(),
            };
            desired.listeners.insert(exposure.slot(), listener);
            self.exposures.push(exposure);
        }
    }
}

fn selected<'a>(
    exposure: &'a Exposure,
    pods: &'a PodsByNamespace<'_>,
) -> impl Iterator<Item = &'a PodRecord> + 'a {
    let namespace = pods.get(exposure.service.namespace.as_str());
    let all = namespace.into_iter().flatten().copied();
    all.filter(|pod| pod.fate == Fate::Live && pod.selected_by(&exposure.selector))
}

/// A pod is bound once it has an address and its containers were ready; from then on it stays bound
/// until it goes, because the CLB's own health check decides.
fn target(pod: &PodRecord, exposure: &Exposure) -> Option<DesiredTarget> {
    let started = pod.containers_ready || pod.condition.is_some();
    if pod.host_network || !started {
        return None;
    }
    let address = (pod.ip?, pod.port(&exposure.target)?);
    Some(DesiredTarget {
        address,
        pod: pod.object(),
        pod_uid: pod.uid.clone(),
        weight: pod.weight,
    })
}

fn taken(service: &ServiceFacts, exposure: &Exposure, owner: &ObjectRef) -> Problem {
    Problem {
        object: service.object(),
        field: "spec.ports[].port".to_owned(),
        value: exposure.port.to_string(),
        accepted: format!(
            "the older Service {owner} has this port on {}; choose another port or another CLB",
            exposure.load_balancer
        ),
    }
}

/// What unreadable Services have in the CLB stays as it is, on whatever load balancer it may be.
fn others(held: &[&ServiceFacts], pods: &PodsByNamespace<'_>) -> Others {
    let selected = |service: &&ServiceFacts| {
        let all = pods.get(service.namespace.as_str()).into_iter().flatten();
        let selector = service.selector.clone();
        all.filter(move |pod| pod.selected_by(&selector))
            .map(|pod| pod.uid.clone())
    };
    Others {
        fates: pods
            .values()
            .flatten()
            .map(|pod| (pod.uid.clone(), pod.fate))
            .collect(),
        held_pods: held.iter().flat_map(selected).collect(),
        held_slots: held
            .iter()
            .flat_map(|service| &service.ports)
            .map(|port| Slot {
                space: Space::of(&port.protocol),
                port: port.port,
            })
            .collect(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use direct_access::names;
    use direct_access::service::{PortFacts, TargetPort};

    use super::*;
    use crate::pod::tests::pod;

    pub(crate) fn service(name: &str) -> ServiceFacts {
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        ServiceFacts {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{name}"),
            load_balancer_type: true,
            selector: [pair("app", "web")].into(),
            annotations: [
                pair(names::DIRECT_ACCESS, "true"),
                pair(names::EXISTING_LOAD_BALANCER, "lb-abcd1234"),
            ]
            .into(),
            ports: vec![PortFacts {
                port: 80,
                protocol: "TCP".to_owned(),
                target: TargetPort::Name("http".to_owned()),
            }],
            ..ServiceFacts::default()
        }
    }

    pub(crate) fn compute(services: &[ServiceFacts], pods: &[PodRecord]) -> Wanted {
        wanted(
            services,
            &by_namespace(pods),
            &Settings::default(),
            &BTreeSet::new(),
        )
    }

    fn targets(wanted: &Wanted) -> Vec<&str> {
        let listener = &wanted.load_balancers["lb-abcd1234"].listeners[&Protocol::Tcp.at(80)];
        listener
            .targets
            .iter()
            .map(|target| target.pod_uid.as_str())
            .collect()
    }

    #[test]
    fn ready_live_pods_of_the_selector_are_bound() {
        let pods = [
            pod("a", 1),
            PodRecord {
                fate: Fate::Going,
                ..pod("b", 2)
            },
            PodRecord {
                containers_ready: false,
                ..pod("c", 3)
            },
            PodRecord {
                host_network: true,
                ..pod("d", 4)
            },
            PodRecord {
                labels: BTreeMap::new(),
                ..pod("e", 5)
            },
            PodRecord {
                ip: None,
                ..pod("f", 6)
            },
            PodRecord {
                ports: vec![],
                ..pod("g", 7)
            },
            PodRecord {
                namespace: "other".to_owned(),
                ..pod("h", 8)
            },
        ];
        assert_eq!(targets(&compute(&[service("web")], &pods)), ["uid-a"]);
    }

    #[test]
    fn a_pod_that_was_ready_once_stays_bound() {
        let condition = Some(direct_access::condition::Observed::default());
        let lost = PodRecord {
            containers_ready: false,
            condition,
            ..pod("a", 1)
        };
        assert_eq!(targets(&compute(&[service("web")], &[lost])), ["uid-a"]);
    }

    #[test]
    fn the_older_service_keeps_the_port() {
        let at = |second| Some(jiff::Timestamp::from_second(second).unwrap());
        let young = ServiceFacts {
            created: at(2),
            ..service("a-young")
        };
        let old = ServiceFacts {
            created: at(1),
            ..service("z-old")
        };
        let wanted = compute(&[young.clone(), old.clone()], &[pod("a", 1)]);
        assert_eq!(
            wanted.load_balancers["lb-abcd1234"].listeners[&Protocol::Tcp.at(80)].service,
            old.object()
        );
        assert!(
            wanted.problems[&young.object()][0]
                .to_string()
                .contains("z-old")
        );
        assert!(!wanted.problems.contains_key(&old.object()));
    }

    #[test]
    fn an_unreadable_service_holds_its_pods_and_ports() {
        let mut bad = service("web");
        bad.annotations
            .insert(names::DIRECT_ACCESS.to_owned(), "yes".to_owned());
        let ledger = ["lb-abcd1234".to_owned()].into();
        let pods = [pod("a", 1)];
        let wanted = wanted([&bad], &by_namespace(&pods), &Settings::default(), &ledger);
        let others = &wanted.load_balancers["lb-abcd1234"].others;
        assert!(
            others.held_pods.contains("uid-a") && others.held_slots.contains(&Protocol::Tcp.at(80))
        );
        assert!(wanted.load_balancers["lb-abcd1234"].listeners.is_empty());
    }
}
