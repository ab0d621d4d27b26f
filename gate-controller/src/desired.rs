//! What the CLB should hold: Services, Ingresses and pods in, one [`Desired`] a load balancer out. Pure.

mod asking;
mod drains;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use direct_access::listener::ListenerParameters;
use direct_access::network::Conclusion;
use direct_access::service::ObjectRef;
use direct_access::slot::Protocol;
use direct_access::{CertificateId, Exposure, Kind, Owner, Problem, Rule, Slot, names};

pub(crate) use asking::unconfirmed;
pub use asking::{Asked, wanted};

use crate::plan::DRAIN;
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
    /// On how many lists of Services and Ingresses that rests.
    pub lists: u64,
    /// What bears on removal, on whatever load balancer.
    pub others: Arc<Others>,
}

/// What is exposed, for the gates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposed {
    /// By whom and where.
    pub exposures: Vec<Exposure>,
    /// On how many lists of Services and Ingresses that rests.
    pub lists: u64,
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
    /// The other address of dual-stack pods, by UID.
    pub second_ips: HashMap<String, IpAddr>,
    /// The pods that were asked to go, by UID.
    pub leaving: HashMap<String, Leaving>,
    /// How long targets of a pod keep weight 0 while it still runs, by UID, where that may be another time
    /// than the usual.
    pub drains: HashMap<String, Duration>,
    /// UIDs of pods of which nobody knows yet that they serve, where that bears on one that was asked to go.
    pub unproven: HashSet<String>,
}

/// A pod that was asked to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The pod.
    pub pod: ObjectRef,
    /// When it was asked.
    pub asked: jiff::Timestamp,
}

impl Others {
    /// Whether the targets of this pod stay as they are.
    pub fn keeps(&self, pod_uid: &str) -> bool {
        self.held_pods.contains(pod_uid) || self.unreachable.contains(pod_uid)
    }

    /// How long targets of this pod keep weight 0 while it still runs.
    pub fn drain(&self, pod_uid: &str) -> Duration {
        let own = self.drains.get(pod_uid).copied();
        own.unwrap_or(DRAIN)
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

    /// Its targets and those of its rules.
    pub fn every_target(&self) -> impl Iterator<Item = &DesiredTarget> {
        let of_rules = self.rules.values().flat_map(|rule| &rule.targets);
        self.targets.iter().chain(of_rules)
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
pub(crate) mod tests;
