//! What the CLB should hold: Services and pods in, one [`Desired`] a load balancer out. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use direct_access::listener::ListenerParameters;
use direct_access::network::Conclusion;
use direct_access::service::ObjectRef;
use direct_access::slot::{Protocol, Space};
use direct_access::{
    Exposure, Judgement, LoadBalancer, Owner, Problem, ServiceFacts, Settings, Slot, exposures,
};

use crate::lifecycle::Made;
use crate::pod::{Fate, PodRecord};
use crate::reach::{Mixture, survey};

/// Everything that is wanted, and everything that users should be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// By load balancer id.
    pub load_balancers: BTreeMap<String, Desired>,
    /// Problems by object.
    pub problems: BTreeMap<Owner, Vec<Problem>>,
    /// Places that two objects claim, told on both.
    pub conflicts: BTreeMap<Owner, Vec<Problem>>,
    /// Services whose pods are of several network modes.
    pub mixed: BTreeMap<ObjectRef, Mixture>,
    /// By which it is judged what the CLB can reach.
    pub network: Conclusion,
    /// The exposures of every Service that is served. A load balancer that was not seen to be made for
    /// its Service has no id here.
    pub exposures: Vec<Exposure>,
    /// What bears on removal, on whatever load balancer.
    pub others: Arc<Others>,
}

/// What one load balancer should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// By slot.
    pub listeners: BTreeMap<Slot, DesiredListener>,
    /// Nothing may be done to it for now: a Service says it was made for it, which its tags have not
    /// shown yet.
    pub hold: bool,
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
    /// Slots of Services or ports that cannot be read: their listeners and the targets of live pods on
    /// them stay as they are.
    pub held_slots: HashSet<Slot>,
    /// UIDs of exposed pods that the CLB cannot reach by what is known of the network: never bound, but a
    /// target that is there stays, or a changed setting would take a running workload out of its CLB.
    pub unreachable: HashSet<String>,
    /// The cluster's network.
    pub network: Conclusion,
}

impl Others {
    /// Whether the targets of this pod stay as they are.
    pub fn keeps(&self, pod_uid: &str) -> bool {
        self.held_pods.contains(pod_uid) || self.unreachable.contains(pod_uid)
    }
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
/// no Service names any more should hold nothing of ours. `made` tells which ones we made for whom.
pub fn wanted<'a>(
    services: impl IntoIterator<Item = &'a ServiceFacts>,
    pods: &PodsByNamespace<'_>,
    settings: &Settings,
    ledger: &BTreeSet<String>,
    made: &Made,
) -> Wanted {
    let mut wanted = Wanted {
        network: settings.conclusion,
        ..Wanted::default()
    };
    let mut unseen = BTreeSet::new();
    for id in ledger {
        wanted.load_balancers.entry(id.clone()).or_default();
    }
    let mut ordered: Vec<_> = services.into_iter().collect();
    // The older Service keeps a port that two of them claim.
    ordered.sort_by(|a, b| (a.created, &a.uid).cmp(&(b.created, &b.uid)));
    let mut held = Vec::new();
    let mut held_slots = HashSet::new();
    for service in ordered {
        match exposures(service, settings) {
            Judgement::Served(mut served) => {
                for exposure in &mut served.exposures {
                    unseen.extend(unconfirmed(&mut exposure.load_balancer, service, made));
                }
                held_slots.extend(served.held);
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
    for id in unseen {
        let desired = wanted.load_balancers.entry(id).or_default();
        desired.hold = desired.listeners.is_empty();
    }
    let survey = survey(&wanted.exposures, pods, wanted.network);
    wanted.mixed = survey.mixed;
    let mut others = Others {
        unreachable: survey.unreachable,
        network: wanted.network,
        ..others(&held, pods)
    };
    others.held_slots.extend(held_slots);
    let others = Arc::new(others);
    for desired in wanted.load_balancers.values_mut() {
        desired.others = Arc::clone(&others);
    }
    wanted.others = others;
    wanted
}

/// Takes the id away from a load balancer that was not seen to be made for this Service, and returns it.
fn unconfirmed(
    load_balancer: &mut LoadBalancer,
    service: &ServiceFacts,
    made: &Made,
) -> Option<String> {
    match load_balancer {
        LoadBalancer::Made(id) if id.as_deref() != made.id(&service.uid) => id.take(),
        LoadBalancer::Made(_) | LoadBalancer::Existing(_) => None,
    }
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
                .entry(service.owner())
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
            let Some(id) = exposure.load_balancer.id() else {
                self.exposures.push(exposure);
                continue;
            };
            let desired = self.load_balancers.entry(id.to_owned()).or_default();
            if let Some(older) = desired.listeners.get(&exposure.slot()) {
                let older = older.service.clone();
                self.conflict(&exposure, &older, id);
                self.exposures.push(exposure);
                continue;
            }
            let targets = selected(&exposure, pods)
                .filter_map(|pod| target(pod, &exposure, self.network))
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

    /// Two Services claim a slot: the older keeps it, and both are told, because either user may be the
    /// one to mend it.
    fn conflict(&mut self, younger: &Exposure, older: &ObjectRef, load_balancer: &str) {
        let slot = younger.slot();
        let remedy = "give one of them another port or another CLB";
        let problem = |object: &ObjectRef, what: String| Problem {
            object: Owner::service(object.clone()),
            field: format!("spec.ports[port={}]", slot.port),
            value: slot.to_string(),
            accepted: format!("{what}; {remedy}"),
            code: None,
        };
        let on_younger = problem(
            &younger.service,
            format!("the older Service {older} has it on CLB {load_balancer} and keeps it"),
        );
        let on_older = problem(
            older,
            format!(
                "the younger Service {} claims it too on CLB {load_balancer} and does not get it",
                younger.service
            ),
        );
        for problem in [on_younger, on_older] {
            self.conflicts
                .entry(problem.object.clone())
                .or_default()
                .push(problem);
        }
    }
}

/// The live pods that an exposure selects.
pub(crate) fn selected<'a>(
    exposure: &'a Exposure,
    pods: &'a PodsByNamespace<'_>,
) -> impl Iterator<Item = &'a PodRecord> + 'a {
    let namespace = pods.get(exposure.service.namespace.as_str());
    let all = namespace.into_iter().flatten().copied();
    all.filter(|pod| pod.fate == Fate::Live && pod.selected_by(&exposure.selector))
}

/// A pod is bound once it has an address and its containers were ready; from then on it stays bound
/// until it goes, because the CLB's own health check decides.
fn target(pod: &PodRecord, exposure: &Exposure, network: Conclusion) -> Option<DesiredTarget> {
    let started = pod.containers_ready || pod.condition.is_some();
    if pod.network.reach(network).refusal().is_some() || !started {
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
        ..Others::default()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use direct_access::names;
    use direct_access::network::PodNetwork;
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
                name: None,
                port: 80,
                protocol: "TCP".to_owned(),
                target: TargetPort::Name("http".to_owned()),
            }],
            ..ServiceFacts::default()
        }
    }

    pub(crate) fn compute(services: &[ServiceFacts], pods: &[PodRecord]) -> Wanted {
        compute_in(&Settings::default(), services, pods)
    }

    pub(crate) fn compute_in(
        settings: &Settings,
        services: &[ServiceFacts],
        pods: &[PodRecord],
    ) -> Wanted {
        wanted(
            services,
            &by_namespace(pods),
            settings,
            &BTreeSet::new(),
            &Made::default(),
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
                network: PodNetwork::of(true, None, false),
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
        let told = |of: &ServiceFacts| wanted.conflicts[&of.owner()][0].to_string();
        for part in [
            "Service shop/a-young",
            "TCP:80",
            "older Service shop/z-old",
            "lb-abcd1234",
        ] {
            assert!(told(&young).contains(part), "{}", told(&young));
        }
        assert!(told(&old).contains("younger Service shop/a-young"));
    }

    #[test]
    fn tcp_and_udp_of_two_services_share_a_port_without_conflict() {
        let mut udp = service("udp");
        udp.ports[0].protocol = "UDP".to_owned();
        let wanted = compute(&[service("tcp"), udp], &[pod("a", 1)]);
        assert_eq!(wanted.load_balancers["lb-abcd1234"].listeners.len(), 2);
        assert!(wanted.conflicts.is_empty());
    }

    fn made_for(uid: &str, ours: ServiceFacts, also: Option<ServiceFacts>) -> Wanted {
        let settings = Settings {
            manage: direct_access::settings::Manage::LoadBalancers,
            ..Settings::default()
        };
        let made = Made::of([(uid.to_owned(), "lb-made".to_owned())]);
        let pods = [pod("a", 1)];
        let services: Vec<_> = [Some(ours), also].into_iter().flatten().collect();
        let ledger = ["lb-made".to_owned()].into();
        wanted(&services, &by_namespace(&pods), &settings, &ledger, &made)
    }

    fn unnamed() -> ServiceFacts {
        let mut unnamed = service("web");
        unnamed.annotations.remove(names::EXISTING_LOAD_BALANCER);
        let id = "lb-made".to_owned();
        unnamed
            .annotations
            .insert(names::LOAD_BALANCER_ID.to_owned(), id);
        unnamed
    }

    #[test]
    fn a_made_load_balancer_is_used_once_its_tags_were_seen() {
        let seen = made_for("uid-web", unnamed(), None);
        assert_eq!(seen.load_balancers["lb-made"].listeners.len(), 1);
        assert!(!seen.load_balancers["lb-made"].hold);
        assert_eq!(seen.exposures[0].load_balancer.id(), Some("lb-made"));
    }

    #[test]
    fn an_unconfirmed_id_is_neither_used_nor_emptied() {
        let typed = made_for("uid-other", unnamed(), None);
        assert!(typed.load_balancers["lb-made"].hold);
        assert!(typed.load_balancers["lb-made"].listeners.is_empty());
        assert_eq!(typed.exposures[0].load_balancer, LoadBalancer::Made(None));
    }

    #[test]
    fn a_typed_id_does_not_stop_who_is_there_by_right() {
        let mut rightful = service("rightful");
        rightful.annotations.insert(
            names::EXISTING_LOAD_BALANCER.to_owned(),
            "lb-made".to_owned(),
        );
        let both = made_for("uid-other", unnamed(), Some(rightful));
        assert!(!both.load_balancers["lb-made"].hold);
        assert_eq!(both.load_balancers["lb-made"].listeners.len(), 1);
    }

    #[test]
    fn an_unreadable_service_holds_its_pods_and_ports() {
        let mut bad = service("web");
        bad.annotations
            .insert(names::DIRECT_ACCESS.to_owned(), "yes".to_owned());
        let ledger = ["lb-abcd1234".to_owned()].into();
        let pods = [pod("a", 1)];
        let pods = by_namespace(&pods);
        let made = Made::default();
        let wanted = wanted([&bad], &pods, &Settings::default(), &ledger, &made);
        let others = &wanted.load_balancers["lb-abcd1234"].others;
        assert!(
            others.held_pods.contains("uid-a") && others.held_slots.contains(&Protocol::Tcp.at(80))
        );
        assert!(wanted.load_balancers["lb-abcd1234"].listeners.is_empty());
    }
}
