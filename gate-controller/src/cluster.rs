//! What the watches have told: Services, Ingresses, pods and settings, pruned. Everything else asks here.

mod label_sets;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use direct_access::network::{ClusterFacts, NodeFacts};
use direct_access::tke_service_config::Read;
use direct_access::{
    CertificateRef, Exposure, IngressFacts, IngressJudgement, Judgement, Kind, ObjectRef, Owner,
    ServiceFacts, Settings, exposures, ingress_exposures, names,
};
use parking_lot::Mutex;
use runtime::watch::Offered;
use runtime::{Change, Key};
use tokio::sync::watch;

use crate::configs::Configs;
use crate::departed::Departed;
use crate::desired::{Asked, PodsByNamespace, Wanted, by_namespace, unconfirmed, wanted};
use crate::lifecycle::{Made, Subjects};
use crate::pod::PodRecord;
use crate::secrets::Certificates;
use label_sets::LabelSets;

/// The cache. Locks are held for the length of a computation, never across an await.
#[derive(Debug)]
pub struct Cluster {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    services: HashMap<Key, ServiceFacts>,
    ingresses: HashMap<Key, IngressFacts>,
    certificates: Certificates,
    configs: Configs,
    pods: HashMap<Key, PodRecord>,
    label_sets: LabelSets,
    departed: Departed,
    settings: Settings,
    nodes: HashMap<Key, NodeFacts>,
    facts: ClusterFacts,
    made: Made,
    /// How often Services or Ingresses were listed: a list may be older than what was known.
    lists: u64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::channel(0).0,
        }
    }
}

impl Cluster {
    /// Tells of every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Takes in what the Service watch told.
    pub fn on_service(&self, change: Change<ServiceFacts>) {
        let mut state = self.state.lock();
        match change {
            Change::Applied(key, service) => state.apply_service(key, service),
            Change::Deleted(key) => _ = state.services.remove(&key),
            Change::Restarted(all) => {
                state.services = all.into_iter().collect();
                state.listed();
            }
        }
        drop(state);
        self.tell();
    }

    /// Takes in what the Ingress watch told.
    pub fn on_ingress(&self, change: Change<IngressFacts>) {
        let mut state = self.state.lock();
        match change {
            Change::Applied(key, ingress) => state.apply_ingress(key, ingress),
            Change::Deleted(key) => _ = state.ingresses.remove(&key),
            Change::Restarted(all) => {
                state.ingresses = all.into_iter().collect();
                state.listed();
            }
        }
        drop(state);
        self.tell();
    }

    /// Takes in the answer of our own write to an Ingress, which the watch may bring later.
    pub fn on_ingress_written(&self, ingress: IngressFacts) {
        let mut state = self.state.lock();
        let key = Key::new(ingress.namespace.clone(), ingress.name.clone());
        // An Ingress that the watch has removed meanwhile stays removed.
        if !state.ingresses.contains_key(&key) {
            return;
        }
        state.apply_ingress(key, ingress);
        drop(state);
        self.tell();
    }

    /// All Ingresses, in the order of their names.
    pub fn ingresses(&self) -> Vec<IngressFacts> {
        let mut all: Vec<_> = self.state.lock().ingresses.values().cloned().collect();
        all.sort_by_key(IngressFacts::object);
        all
    }

    /// Every Ingress as it is judged now; of a load balancer made for it, the id only once it was seen to be.
    pub fn judged_ingresses(&self) -> Vec<(IngressFacts, IngressJudgement)> {
        let state = self.state.lock();
        let one = |ingress: &IngressFacts| {
            let find = |name: &str| {
                let key = Key::new(ingress.namespace.as_str(), name);
                state.services.get(&key)
            };
            let mut judgement = ingress_exposures(ingress, &find, &state.settings);
            if let IngressJudgement::Served(served) = &mut judgement {
                unconfirmed(&mut served.load_balancer, &ingress.uid, &state.made);
            }
            (ingress.clone(), judgement)
        };
        state.ingresses.values().map(one).collect()
    }

    /// The Secrets that objects of ours name for their certificates.
    pub fn named_secrets(&self) -> BTreeSet<ObjectRef> {
        let by_ingresses = self.judged_ingresses().into_iter();
        let by_ingresses = by_ingresses.map(|(_, judgement)| match judgement {
            IngressJudgement::Served(served) => served.exposures,
            IngressJudgement::NotOurs(_) => vec![],
        });
        let all = by_ingresses.chain(self.layer7_services()).flatten();
        let certificates = all.filter_map(|one| one.rule?.certificate);
        certificates
            .filter_map(|certificate| match certificate {
                CertificateRef::Secret(secret) => Some(secret),
                CertificateRef::Id(_) => None,
            })
            .collect()
    }

    /// What Services ask for that may name a Secret.
    fn layer7_services(&self) -> Vec<Vec<Exposure>> {
        let state = self.state.lock();
        let services = state.services.values();
        let naming = services.filter(|one| one.annotation(names::SPECIFY_PROTOCOL).is_some());
        let asked = naming.filter_map(|service| match exposures(service, &state.settings) {
            Judgement::Served(served) => Some(served.exposures),
            Judgement::NotOurs(_) => None,
        });
        asked.collect()
    }

    /// What was read of Secrets.
    pub fn certificates(&self) -> Certificates {
        self.state.lock().certificates.clone()
    }

    /// Takes in what was read of Secrets.
    pub fn on_certificates(&self, certificates: Certificates) {
        let mut state = self.state.lock();
        if state.certificates == certificates {
            return;
        }
        state.certificates = certificates;
        drop(state);
        self.tell();
    }

    /// Takes in what the watch of `TkeServiceConfig`s told; told on only where an object names what changed.
    pub fn on_configs(&self, news: Offered<Arc<Read>>) {
        let mut state = self.state.lock();
        state.configs.take_in(news);
        if state.join() {
            drop(state);
            self.tell();
        }
    }

    /// Joins Services and Ingresses that were read elsewhere with the `TkeServiceConfig`s they name.
    pub fn join(&self, services: &mut [ServiceFacts], ingresses: &mut [IngressFacts]) {
        let state = self.state.lock();
        for service in services {
            state.configs.join(service);
        }
        for ingress in ingresses {
            state.configs.join_ingress(ingress);
        }
    }

    /// Takes in what the pod watch told.
    pub fn on_pod(&self, change: Change<PodRecord>) {
        let mut state = self.state.lock();
        match change {
            Change::Applied(key, pod) => state.apply(key, pod),
            Change::Deleted(key) => {
                if let Some(gone) = state.pods.remove(&key) {
                    state.departed.insert(gone.uid);
                }
            }
            Change::Restarted(all) => {
                let share = |(key, pod)| (key, state.label_sets.sharing(pod));
                let all = all.into_iter().map(share).collect();
                state.pods = all;
            }
        }
        drop(state);
        self.tell();
    }

    /// Whether the watch told that the pod of this UID was deleted. One that a list no longer has may be
    /// gone, or the list may be wrong.
    pub fn saw_end(&self, pod_uid: &str) -> bool {
        self.state.lock().departed.contains(pod_uid)
    }

    /// Takes in the answer of our own write to a Service, which the watch may bring later.
    pub fn on_service_written(&self, service: ServiceFacts) {
        let mut state = self.state.lock();
        let key = Key::new(service.namespace.clone(), service.name.clone());
        // A Service that the watch has removed meanwhile stays removed.
        if !state.services.contains_key(&key) {
            return;
        }
        state.apply_service(key, service);
        drop(state);
        self.tell();
    }

    /// Takes in which load balancers were made for whom.
    pub fn on_made(&self, made: Made) {
        let mut state = self.state.lock();
        if state.made == made {
            return;
        }
        state.made = made;
        drop(state);
        self.tell();
    }

    /// Which load balancers were made for whom.
    pub fn made(&self) -> Made {
        self.state.lock().made.clone()
    }

    /// Whose load balancers are looked after.
    pub(crate) fn subjects(&self) -> Subjects {
        let state = self.state.lock();
        let find = |namespace: &str, name: &str| state.services.get(&Key::new(namespace, name));
        let (services, ingresses) = (state.services.values(), state.ingresses.values());
        Subjects::of(services, ingresses, &find, &state.settings)
    }

    /// Looks at all Services.
    pub fn with_services<T>(
        &self,
        look: impl FnOnce(&mut dyn Iterator<Item = &ServiceFacts>, &Settings) -> T,
    ) -> T {
        let state = self.state.lock();
        look(&mut state.services.values(), &state.settings)
    }

    /// Takes in the answer of our own write, which the watch may bring later.
    pub fn on_written(&self, pod: PodRecord) {
        let mut state = self.state.lock();
        let key = Key::new(pod.namespace.clone(), pod.name.clone());
        // A pod that the watch has removed meanwhile stays removed.
        if state.pods.contains_key(&key) {
            state.apply(key, pod);
        }
    }

    /// Takes in the settings.
    pub fn on_settings(&self, settings: Settings) {
        self.conclude(|state| state.settings = settings);
    }

    /// Takes in TKE's `ConfigMap` with the switches of its service controller; `None`: there is none.
    pub fn on_tke(&self, data: Option<BTreeMap<String, String>>) {
        self.conclude(|state| state.facts.tke = data);
    }

    /// Takes in what the node watch told.
    pub fn on_node(&self, change: Change<NodeFacts>) {
        self.conclude(|state| {
            change.fold_into(&mut state.nodes);
            state.facts.nodes = state.nodes.values().collect();
        });
    }

    /// Concludes the network mode anew; told only where something else holds then.
    fn conclude(&self, take_in: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        let before = state.settings.clone();
        take_in(&mut state);
        let State {
            settings, facts, ..
        } = &mut *state;
        settings.conclude(facts);
        if *settings == before {
            return;
        }
        let (mode, evidence) = (settings.conclusion.mode, settings.conclusion.evidence);
        tracing::info!(
            network = mode.as_str(),
            evidence = evidence.as_str(),
            "settings or network changed"
        );
        drop(state);
        self.tell();
    }

    /// The settings.
    pub fn settings(&self) -> Settings {
        self.state.lock().settings.clone()
    }

    /// What every load balancer should hold, by what the watches have told.
    pub fn wanted(&self, ledger: &BTreeSet<String>) -> Wanted {
        let state = self.state.lock();
        let pods = by_namespace(state.pods.values());
        let asked = Asked {
            services: state.services.values().collect(),
            ingresses: state.ingresses.values().collect(),
            certificates: Some(&state.certificates),
        };
        let lists = state.lists;
        Wanted {
            lists,
            ..wanted(&asked, &pods, &state.settings, ledger, &state.made)
        }
    }

    /// Looks at all pods, by namespace.
    pub fn with_pods<T>(&self, look: impl FnOnce(&PodsByNamespace<'_>) -> T) -> T {
        let state = self.state.lock();
        look(&by_namespace(state.pods.values()))
    }

    /// The UID of an object that asks for something, for Events.
    pub fn uid(&self, owner: &Owner) -> Option<String> {
        let state = self.state.lock();
        let key = Key::new(owner.object.namespace.clone(), owner.object.name.clone());
        match owner.kind {
            Kind::Service => state.services.get(&key).map(|one| one.uid.clone()),
            Kind::Ingress => state.ingresses.get(&key).map(|one| one.uid.clone()),
        }
    }

    fn tell(&self) {
        self.changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl State {
    /// Everything of a kind was listed.
    fn listed(&mut self) {
        self.lists += 1;
        self.join();
    }

    /// Joins everything with what it names; whether that is something else than before.
    fn join(&mut self) -> bool {
        let Self {
            services,
            ingresses,
            configs,
            ..
        } = self;
        let mut other = false;
        for service in services.values_mut() {
            other |= configs.join(service);
        }
        for ingress in ingresses.values_mut() {
            other |= configs.join_ingress(ingress);
        }
        other
    }

    /// What is older than what is known is not news: a write's answer may overtake the watch.
    fn apply_service(&mut self, key: Key, mut service: ServiceFacts) {
        self.configs.join(&mut service);
        let known = self.services.get(&key);
        if known.is_none_or(|known| known.uid != service.uid || known.version <= service.version) {
            self.services.insert(key, service);
        }
    }

    /// What is older than what is known is not news: a write's answer may overtake the watch.
    fn apply_ingress(&mut self, key: Key, mut ingress: IngressFacts) {
        self.configs.join_ingress(&mut ingress);
        let known = self.ingresses.get(&key);
        if known.is_none_or(|known| known.uid != ingress.uid || known.version <= ingress.version) {
            self.ingresses.insert(key, ingress);
        }
    }

    /// What is older than what is known is not news: a write's answer may overtake the watch.
    fn apply(&mut self, key: Key, pod: PodRecord) {
        let known = self.pods.get(&key);
        if known.is_none_or(|known| known.uid != pod.uid || known.version <= pod.version) {
            let pod = self.label_sets.sharing(pod);
            self.pods.insert(key, pod);
        }
    }
}

#[cfg(test)]
mod tests;
