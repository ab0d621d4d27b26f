//! What the CLB should hold: Services, Ingresses and pods in, one [`Desired`] a load balancer out. Pure.

mod asking;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use direct_access::listener::ListenerParameters;
use direct_access::network::Conclusion;
use direct_access::service::ObjectRef;
use direct_access::slot::Protocol;
use direct_access::{CertificateId, Exposure, Kind, Owner, Problem, Rule, Slot, names};

pub(crate) use asking::unconfirmed;
pub use asking::{Asked, wanted};

use crate::pod::{Fate, PodRecord};
use crate::reach::Mixture;

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
    /// Where something could not be read: what is there of running pods stays until it can.
    pub incomplete: BTreeSet<Slot>,
    /// What of other objects bears on what may be removed; shared by all load balancers.
    pub others: Arc<Others>,
}

/// What bears on removal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Others {
    /// Fate of every pod, by UID; what is absent is gone.
    pub fates: HashMap<String, Fate>,
    /// UIDs of pods whose targets stay as they are: an object that exposes them cannot be read.
    pub held_pods: HashSet<String>,
    /// Slots of objects or ports that cannot be read: their listeners and the targets of live pods on
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
    /// Who asks for it; at layer 7 the first of those who do.
    pub owner: Owner,
    /// What it speaks.
    pub protocol: Protocol,
    /// How to create it where it is missing.
    pub parameters: ListenerParameters,
    /// Its targets at layer 4, in the order of pod names.
    pub targets: Vec<DesiredTarget>,
    /// Its rules at layer 7.
    pub rules: BTreeMap<RuleKey, DesiredRule>,
}

/// What is known of the certificate that a rule needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Certified {
    /// None is needed.
    #[default]
    NotNeeded,
    /// This one.
    Known(CertificateId),
    /// Some: who only looks ahead may not read Secrets.
    Assumed,
    /// It is being looked up.
    Sought,
    /// It is not known, for this reason.
    Unknown(String),
}

/// What tells the rules of a listener apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleKey {
    /// The host; empty for the CLB's own address.
    pub domain: String,
    /// The path, beginning with `/`.
    pub url: String,
}

/// What one rule should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredRule {
    /// Who asks for it, where that is not who asks for the listener.
    pub owner: Option<Owner>,
    /// It gets the requests for hosts that have no rule.
    pub default: bool,
    /// What clients are shown where it is made.
    pub certificate: Certified,
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
    fn tell(&mut self, owner: &Owner, problems: Vec<Problem>) {
        if !problems.is_empty() {
            self.problems
                .entry(owner.clone())
                .or_default()
                .extend(problems);
        }
    }

    fn serve(&mut self, exposure: &Exposure, certificate: Certified, pods: &PodsByNamespace<'_>) {
        let Some(id) = exposure.load_balancer.id() else {
            return;
        };
        let desired = self.load_balancers.entry(id.to_owned()).or_default();
        if let Some(older) = desired.taken(exposure) {
            self.conflict(exposure, &older, id);
            return;
        }
        let certificate = self.settled(exposure, certificate, id);
        self.tell_other_http2(exposure);
        let targets = selected(exposure, pods)
            .filter_map(|pod| target(pod, exposure, self.network))
            .collect();
        let desired = self.load_balancers.entry(id.to_owned()).or_default();
        desired.add(exposure, certificate, targets);
    }

    /// A domain shows one certificate: where two objects name one each, the older's.
    fn settled(&mut self, exposure: &Exposure, own: Certified, load_balancer: &str) -> Certified {
        let desired = self.load_balancers.get(load_balancer);
        let shown = desired.and_then(|desired| desired.shown(exposure));
        let (Some((older, id)), Certified::Known(named)) = (shown, &own) else {
            return own;
        };
        if id == named {
            return own;
        }
        let domain = exposure
            .rule
            .as_ref()
            .and_then(|rule| rule.path.domain.as_deref());
        let (owner, domain) = (&exposure.owner, domain.unwrap_or_default());
        let accepted = format!(
            "the older {older} names another certificate for this host at {} of CLB {load_balancer}, which is the one \
             that is shown; name the same",
            exposure.slot()
        );
        let problem = match owner.kind {
            Kind::Service => owner.annotation_problem(names::SPECIFY_PROTOCOL, domain, &accepted),
            Kind::Ingress => owner.problem("spec.tls", domain, &accepted),
        };
        let settled = Certified::Known(id.clone());
        self.remark(problem);
        settled
    }

    /// A domain speaks HTTP/2 or does not: where two of its rules say so differently, the older's holds.
    fn tell_other_http2(&mut self, exposure: &Exposure) {
        let (Some(rule), Some(asked)) = (&exposure.rule, exposure.parameters.http2) else {
            return;
        };
        let desired = exposure
            .load_balancer
            .id()
            .and_then(|id| self.load_balancers.get(id));
        let listener = desired.and_then(|desired| desired.listeners.get(&exposure.slot()));
        let holds = listener.and_then(|listener| listener.http2(&RuleKey::of(rule).domain));
        if holds.is_none_or(|holds| holds == asked) {
            return;
        }
        let accepted = format!(
            "an older rule of this host at {} says otherwise, and that holds; say the same in both",
            exposure.slot()
        );
        let (field, asked) = ("http2 in its TkeServiceConfig", asked.to_string());
        self.remark(exposure.owner.problem(field, &asked, &accepted));
    }

    /// On its object, once.
    fn remark(&mut self, problem: Problem) {
        once(&mut self.problems, problem);
    }

    /// Two objects claim a place: the older keeps it, and both are told, because either user may be the
    /// one to mend it.
    fn conflict(&mut self, younger: &Exposure, older: &Owner, load_balancer: &str) {
        let place = place(younger);
        let remedy = match &younger.rule {
            Some(_) => "give one of them another host, path, port or CLB",
            None => "give one of them another port or another CLB",
        };
        let problem = |object: &Owner, what: &str| {
            let field = match object.kind {
                Kind::Service => format!("spec.ports[port={}]", younger.port),
                Kind::Ingress => "spec.rules".to_owned(),
            };
            object.problem(&field, &place, &format!("{what}; {remedy}"))
        };
        let on_younger = problem(
            &younger.owner,
            &format!("the older {older} has it on CLB {load_balancer} and keeps it"),
        );
        let on_older = problem(
            older,
            &format!(
                "the younger {} claims it too on CLB {load_balancer} and does not get it",
                younger.owner
            ),
        );
        for problem in [on_younger, on_older] {
            once(&mut self.conflicts, problem);
        }
    }
}

fn once(all: &mut BTreeMap<Owner, Vec<Problem>>, problem: Problem) {
    let known = all.entry(problem.object.clone()).or_default();
    if !known.contains(&problem) {
        known.push(problem);
    }
}

/// `TCP:80`, and at layer 7 `HTTP:80 a.com/`.
fn place(exposure: &Exposure) -> String {
    match &exposure.rule {
        None => exposure.slot().to_string(),
        Some(rule) => format!("{}:{} {}", exposure.protocol, exposure.port, rule.path),
    }
}

impl Desired {
    /// Who has the place already. Several objects may have rules of one listener.
    fn taken(&self, exposure: &Exposure) -> Option<Owner> {
        let listener = self.listeners.get(&exposure.slot())?;
        match &exposure.rule {
            Some(rule) if listener.protocol == exposure.protocol => {
                let key = RuleKey::of(rule);
                listener
                    .rules
                    .contains_key(&key)
                    .then(|| listener.owner_of(Some(&key)).clone())
            }
            Some(_) | None => Some(listener.owner.clone()),
        }
    }

    /// The certificate that the domain of this rule shows already, and who asks for it.
    fn shown(&self, exposure: &Exposure) -> Option<(&Owner, &CertificateId)> {
        let key = RuleKey::of(exposure.rule.as_ref()?);
        let listener = self.listeners.get(&exposure.slot())?;
        listener.rules.iter().find_map(|(other, rule)| {
            let Certified::Known(id) = &rule.certificate else {
                return None;
            };
            let owner = listener.owner_of(Some(other));
            (other.domain == key.domain && *owner != exposure.owner).then_some((owner, id))
        })
    }

    fn add(&mut self, exposure: &Exposure, certificate: Certified, targets: Vec<DesiredTarget>) {
        let listener = self.listeners.entry(exposure.slot());
        let listener = listener.or_insert_with(|| DesiredListener {
            owner: exposure.owner.clone(),
            protocol: exposure.protocol,
            parameters: match exposure.rule {
                // At layer 7 they are the rule's, and each domain shows a certificate of its own.
                Some(_) => ListenerParameters {
                    sni_switch: (exposure.protocol == Protocol::Https).then_some(1),
                    ..ListenerParameters::default()
                },
                None => exposure.parameters.clone(),
            },
            targets: vec![],
            rules: BTreeMap::new(),
        });
        let Some(rule) = &exposure.rule else {
            listener.targets = targets;
            return;
        };
        let key = RuleKey::of(rule);
        let agreed = listener.http2(&key.domain);
        let desired = DesiredRule {
            owner: (listener.owner != exposure.owner).then(|| exposure.owner.clone()),
            default: rule.default,
            certificate,
            parameters: ListenerParameters {
                http2: agreed.or(exposure.parameters.http2),
                ..exposure.parameters.clone()
            },
            targets,
        };
        listener.rules.insert(key, desired);
    }
}

impl DesiredListener {
    /// Who asks for a rule, or for the listener itself.
    pub fn owner_of(&self, rule: Option<&RuleKey>) -> &Owner {
        let rule = rule.and_then(|key| self.rules.get(key));
        rule.and_then(|rule| rule.owner.as_ref())
            .unwrap_or(&self.owner)
    }

    /// Whether a domain is to speak HTTP/2, where a rule of it says so.
    fn http2(&self, domain: &str) -> Option<bool> {
        let mut its = self.rules.iter().filter(|(key, _)| key.domain == domain);
        its.find_map(|(_, rule)| rule.parameters.http2)
    }

    /// Everybody who asks for something here.
    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        let of_rules = self.rules.values().filter_map(|rule| rule.owner.as_ref());
        std::iter::once(&self.owner).chain(of_rules)
    }
}

impl RuleKey {
    /// The key of an exposure's rule.
    pub fn of(rule: &Rule) -> Self {
        Self {
            domain: rule.path.domain.clone().unwrap_or_default(),
            url: rule.path.url.clone(),
        }
    }
}

impl std::fmt::Display for RuleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.domain, self.url)
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
        weight: match exposure.owner.kind {
            Kind::Ingress => pod.rule_weight,
            Kind::Service => pod.weight,
        },
    })
}

#[cfg(test)]
mod host_tests;
#[cfg(test)]
mod ingress_tests;

#[cfg(test)]
pub(crate) mod tests {
    use direct_access::names;
    use direct_access::network::PodNetwork;
    use direct_access::service::{PortFacts, TargetPort};

    use direct_access::{
        IngressFacts, IngressJudgement, LoadBalancer, ServiceFacts, Settings, ingress_exposures,
    };

    use super::*;
    use crate::lifecycle::Made;
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

    /// An Ingress `shop/front` that leads `a.example/` to port 80 of Service `web`.
    pub(crate) fn front() -> IngressFacts {
        use direct_access::ingress::{Backend, BackendPort, RouteFacts};
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        IngressFacts {
            namespace: "shop".to_owned(),
            name: "front".to_owned(),
            uid: "uid-front".to_owned(),
            annotations: [
                pair(names::ingress::DIRECT_ACCESS, "true"),
                pair(names::ingress::EXISTING_LOAD_BALANCER, "lb-abcd1234"),
            ]
            .into(),
            routes: vec![RouteFacts {
                field: "spec.rules[0].http.paths[0]".to_owned(),
                host: Some("a.example".to_owned()),
                path: Some("/".to_owned()),
                path_type: "Prefix".to_owned(),
                backend: Backend::Service {
                    name: "web".to_owned(),
                    port: BackendPort::Number(80),
                },
            }],
            ..IngressFacts::default()
        }
    }

    /// The same, judged beside a Service that asks for nothing itself.
    pub(crate) fn judged_front() -> IngressJudgement {
        let mut web = service("web");
        web.annotations.clear();
        let find = |_: &str| Some(&web);
        ingress_exposures(&front(), &find, &Settings::default())
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
            &Asked::of_services(services),
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
            wanted.load_balancers["lb-abcd1234"].listeners[&Protocol::Tcp.at(80)].owner,
            old.owner()
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
        let asked = Asked::of_services(&services);
        wanted(&asked, &by_namespace(&pods), &settings, &ledger, &made)
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
        let wanted = wanted(
            &Asked::of_services([&bad]),
            &pods,
            &Settings::default(),
            &ledger,
            &made,
        );
        let others = &wanted.load_balancers["lb-abcd1234"].others;
        assert!(
            others.held_pods.contains("uid-a") && others.held_slots.contains(&Protocol::Tcp.at(80))
        );
        assert!(wanted.load_balancers["lb-abcd1234"].listeners.is_empty());
    }
}
