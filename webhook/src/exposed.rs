//! What the webhook knows of the cluster: Services, Ingresses, settings and what bears on the network mode,
//! watched, and turned into an index that the handler reads without ever waiting.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};
use direct_access::network::{ClusterFacts, NodeFacts};
use direct_access::{ExposureIndex, IngressFacts, ObjectRef, ServiceFacts, Settings, names};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Client;
use parking_lot::Mutex;
use runtime::{Change, Key, Readiness, Supervisor, Watch, watch};

/// The index and what it is made of.
#[derive(Debug, Default)]
pub struct Exposed {
    index: ArcSwap<ExposureIndex>,
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    services: HashMap<Key, ServiceFacts>,
    ingresses: HashMap<Key, IngressFacts>,
    settings: Settings,
    nodes: HashMap<Key, NodeFacts>,
    cluster: ClusterFacts,
}

impl Exposed {
    /// Nothing is exposed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The index as it is now. Never blocks.
    pub fn index(&self) -> Guard<Arc<ExposureIndex>> {
        self.index.load()
    }

    /// Starts the watches that keep the index true.
    pub fn watch(
        self: &Arc<Self>,
        supervisor: &Supervisor,
        client: &Client,
        namespace: &str,
        readiness: &Readiness,
    ) {
        let services = Watch::<Service>::all("services", client.clone());
        let own = self.clone();
        let on_service = move |change| own.on_service(change);
        let ready = readiness.handle("services");
        watch::spawn(supervisor, services, ServiceFacts::prune, on_service, ready);

        let ingresses = Watch::<Ingress>::all("ingresses", client.clone());
        let own = self.clone();
        let on_ingress = move |change| own.on_ingress(change);
        let ready = readiness.handle("ingresses");
        watch::spawn(
            supervisor,
            ingresses,
            IngressFacts::prune,
            on_ingress,
            ready,
        );

        let settings = Watch::<ConfigMap>::namespaced("settings", client.clone(), namespace)
            .named(names::SETTINGS);
        let own = self.clone();
        let on_settings = move |change| own.on_settings(change);
        let ready = readiness.handle("settings");
        watch::spawn(supervisor, settings, read_settings, on_settings, ready);
        self.watch_network(supervisor, client, readiness);
    }

    fn watch_network(
        self: &Arc<Self>,
        supervisor: &Supervisor,
        client: &Client,
        readiness: &Readiness,
    ) {
        let tke = Watch::<ConfigMap>::namespaced("tke", client.clone(), names::KUBE_SYSTEM)
            .named(names::TKE_SERVICE_CONTROLLER);
        let own = self.clone();
        let on_tke = move |change: Change<BTreeMap<_, _>>| own.on_tke(change.only());
        let data = |map: ConfigMap| map.data.unwrap_or_default();
        watch::spawn(supervisor, tke, data, on_tke, readiness.handle("tke"));

        let nodes = Watch::<Node>::all("nodes", client.clone());
        let own = self.clone();
        let on_node = move |change| own.on_node(change);
        let ready = readiness.handle("nodes");
        watch::spawn(supervisor, nodes, NodeFacts::prune, on_node, ready);
    }

    /// Takes in a change of the Services.
    pub fn on_service(&self, change: Change<ServiceFacts>) {
        let mut facts = self.facts.lock();
        match change {
            Change::Restarted(all) => {
                facts.services = all.into_iter().collect();
                self.rebuild(&facts);
            }
            Change::Applied(key, service) => {
                let mut index = ExposureIndex::clone(&self.index.load());
                index.apply(&service, &facts.settings);
                facts.services.insert(key.clone(), service);
                facts.lead_to(&key, &mut index);
                self.index.store(Arc::new(index));
            }
            Change::Deleted(key) => {
                let mut index = ExposureIndex::clone(&self.index.load());
                facts.services.remove(&key);
                index.delete(&object(&key));
                facts.lead_to(&key, &mut index);
                self.index.store(Arc::new(index));
            }
        }
    }

    /// Takes in a change of the Ingresses.
    pub fn on_ingress(&self, change: Change<IngressFacts>) {
        let mut facts = self.facts.lock();
        match change {
            Change::Restarted(all) => {
                facts.ingresses = all.into_iter().collect();
                self.rebuild(&facts);
            }
            Change::Applied(key, ingress) => {
                let mut index = ExposureIndex::clone(&self.index.load());
                facts.enter(&ingress, &mut index);
                facts.ingresses.insert(key, ingress);
                self.index.store(Arc::new(index));
            }
            Change::Deleted(key) => {
                let mut index = ExposureIndex::clone(&self.index.load());
                facts.ingresses.remove(&key);
                index.delete_ingress(&object(&key));
                self.index.store(Arc::new(index));
            }
        }
    }

    /// Takes in a change of the settings. Without their ConfigMap the defaults apply.
    pub fn on_settings(&self, change: Change<Settings>) {
        let settings = change.only().unwrap_or_default();
        self.conclude(&mut self.facts.lock(), settings);
    }

    /// Takes in TKE's `ConfigMap`; `None`: there is none.
    pub fn on_tke(&self, data: Option<BTreeMap<String, String>>) {
        let mut facts = self.facts.lock();
        facts.cluster.tke = data;
        let settings = facts.settings.clone();
        self.conclude(&mut facts, settings);
    }

    /// Takes in a change of the nodes.
    pub fn on_node(&self, change: Change<NodeFacts>) {
        let mut facts = self.facts.lock();
        change.fold_into(&mut facts.nodes);
        facts.cluster.nodes = facts.nodes.values().collect();
        let settings = facts.settings.clone();
        self.conclude(&mut facts, settings);
    }

    /// The index is built anew only where something else is concluded: nodes tell of themselves all the time.
    fn conclude(&self, facts: &mut Facts, mut settings: Settings) {
        settings.conclude(&facts.cluster);
        if facts.settings == settings {
            return;
        }
        tracing::info!(?settings, "settings or network changed");
        facts.settings = settings;
        self.rebuild(facts);
    }

    fn rebuild(&self, facts: &Facts) {
        let mut index = ExposureIndex::build(facts.services.values(), &facts.settings);
        for ingress in facts.ingresses.values() {
            facts.enter(ingress, &mut index);
        }
        tracing::info!(
            services = facts.services.len(),
            ingresses = facts.ingresses.len(),
            exposures = index.len(),
            "index built"
        );
        self.index.store(Arc::new(index));
    }
}

impl Facts {
    /// Enters an Ingress anew.
    fn enter(&self, ingress: &IngressFacts, index: &mut ExposureIndex) {
        let find = |name: &str| {
            let key = Key::new(ingress.namespace.as_str(), name);
            self.services.get(&key)
        };
        index.apply_ingress(ingress, &find, &self.settings);
    }

    /// Enters the Ingresses anew that name a Service, which has come, changed or gone.
    fn lead_to(&self, service: &Key, index: &mut ExposureIndex) {
        let ingresses = self.ingresses.values();
        for ingress in ingresses.filter(|one| one.namespace == service.namespace) {
            if ingress.services().contains(service.name.as_str()) {
                self.enter(ingress, index);
            }
        }
    }
}

fn object(key: &Key) -> ObjectRef {
    ObjectRef {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

fn read_settings(map: ConfigMap) -> Settings {
    let (settings, problems) = Settings::parse(&map.data.unwrap_or_default());
    for problem in problems {
        tracing::warn!(%problem, "a setting was ignored");
    }
    settings
}

#[cfg(test)]
mod tests {
    use direct_access::drain::Kubelet;
    use direct_access::network::Mode;
    use direct_access::settings::Ownership;

    use super::*;
    use crate::fixtures::service;

    fn keyed(name: &str) -> (Key, ServiceFacts) {
        (Key::new("shop", name), service("shop", name))
    }

    fn finds(exposed: &Exposed, app: &str) -> bool {
        let labels = [("app", app), ("app.kubernetes.io/part-of", "shop")];
        let label = |key: &str| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        exposed.index().find("shop", label).is_some()
    }

    #[test]
    fn the_index_follows_the_services() {
        let exposed = Exposed::new();
        exposed.on_service(Change::Restarted(vec![keyed("a"), keyed("b")]));
        assert!(finds(&exposed, "a") && finds(&exposed, "b"));
        exposed.on_service(Change::Deleted(Key::new("shop", "a")));
        assert!(!finds(&exposed, "a") && finds(&exposed, "b"));
        let (key, facts) = keyed("c");
        exposed.on_service(Change::Applied(key, facts));
        assert!(finds(&exposed, "c"));
        exposed.on_service(Change::Restarted(vec![keyed("a")]));
        assert!(finds(&exposed, "a") && !finds(&exposed, "c"));
    }

    /// Leads to port 80 of a Service that asks for nothing itself.
    fn leading(name: &str, service: &str) -> (Key, IngressFacts) {
        use direct_access::ingress::{Backend, BackendPort, RouteFacts};
        let annotation = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let ingress = IngressFacts {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            annotations: [
                annotation(names::ingress::DIRECT_ACCESS, "true"),
                annotation(names::ingress::EXISTING_LOAD_BALANCER, "lb-abcd1234"),
            ]
            .into(),
            routes: vec![RouteFacts {
                backend: Backend::Service {
                    name: service.to_owned(),
                    port: BackendPort::Number(80),
                },
                ..RouteFacts::default()
            }],
            ..IngressFacts::default()
        };
        (Key::new("shop", name), ingress)
    }

    fn plain(name: &str) -> (Key, ServiceFacts) {
        let (key, mut service) = keyed(name);
        service.annotations.clear();
        (key, service)
    }

    #[test]
    fn the_index_follows_what_ingresses_lead_to() {
        let exposed = Exposed::new();
        exposed.on_service(Change::Restarted(vec![plain("a"), plain("b")]));
        assert!(!finds(&exposed, "a"));
        let (key, ingress) = leading("front", "a");
        exposed.on_ingress(Change::Applied(key, ingress));
        assert!(finds(&exposed, "a") && !finds(&exposed, "b"));
        let (key, ingress) = leading("front", "b");
        exposed.on_ingress(Change::Applied(key, ingress));
        assert!(!finds(&exposed, "a") && finds(&exposed, "b"));
        // The Service goes and comes again.
        exposed.on_service(Change::Deleted(Key::new("shop", "b")));
        assert!(!finds(&exposed, "b"));
        let (key, service) = plain("b");
        exposed.on_service(Change::Applied(key, service));
        assert!(finds(&exposed, "b"));
        exposed.on_ingress(Change::Deleted(Key::new("shop", "front")));
        assert!(!finds(&exposed, "b"));
        exposed.on_ingress(Change::Restarted(vec![leading("front", "a")]));
        assert!(finds(&exposed, "a"));
    }

    #[test]
    fn a_service_and_an_ingress_may_expose_the_same_pods() {
        let exposed = Exposed::new();
        exposed.on_service(Change::Restarted(vec![keyed("a")]));
        exposed.on_ingress(Change::Restarted(vec![leading("front", "a")]));
        assert_eq!(exposed.index().len(), 2);
        let (key, service) = plain("a");
        exposed.on_service(Change::Applied(key, service));
        assert!(finds(&exposed, "a"));
        exposed.on_ingress(Change::Restarted(vec![]));
        assert!(!finds(&exposed, "a"));
    }

    #[test]
    fn settings_are_applied_to_services_already_known() {
        let exposed = Exposed::new();
        exposed.on_service(Change::Restarted(vec![keyed("a")]));
        let skipped = Settings {
            ownership: Ownership::SkippedByTke,
            ..Settings::default()
        };
        exposed.on_settings(Change::Applied(Key::new("clb-gate", "settings"), skipped));
        assert!(!finds(&exposed, "a"));
        exposed.on_settings(Change::Deleted(Key::new("clb-gate", "settings")));
        assert!(finds(&exposed, "a"));
    }

    #[test]
    fn what_bears_on_drains_is_concluded_anew_from_whatever_changes() {
        let exposed = Exposed::new();
        exposed.on_service(Change::Restarted(vec![keyed("web")]));
        let labels = [("app", "web"), ("app.kubernetes.io/part-of", "shop")];
        let label = |key: &str| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
        let seconds = || {
            let index = exposed.index();
            let longest = index.longest_drain("shop", label);
            longest.map(|(_, seconds)| seconds)
        };
        assert_eq!(seconds(), None);
        let switch = (names::POD_GRACEFUL_DELETION.to_owned(), "true".to_owned());
        exposed.on_tke(Some([switch].into()));
        assert_eq!(seconds(), Some(30));
        exposed.on_tke(None);
        assert_eq!(seconds(), None);

        let too_old = || exposed.index().drains().too_old;
        let old = NodeFacts {
            kubelet: Kubelet::parse("v1.29.4"),
            ..NodeFacts::default()
        };
        let key = || Key::new("", "node-1");
        exposed.on_node(Change::Applied(key(), old));
        assert_eq!(too_old(), old.kubelet);
        exposed.on_node(Change::Deleted(key()));
        assert_eq!(too_old(), None);
    }

    #[test]
    fn the_network_is_concluded_anew_from_whatever_changes() {
        let exposed = Exposed::new();
        let mode = || exposed.index().network().mode;
        assert_eq!(mode(), Mode::Routable);
        let node = NodeFacts {
            pod_cidr: true,
            ..NodeFacts::default()
        };
        let key = || Key::new("", "node-1");
        exposed.on_node(Change::Restarted(vec![(key(), node)]));
        assert_eq!(mode(), Mode::Routable, "not TKE");
        exposed.on_tke(Some(BTreeMap::new()));
        assert_eq!(mode(), Mode::GlobalRouter);
        let eni = NodeFacts {
            eni_ip: true,
            ..node
        };
        exposed.on_node(Change::Applied(key(), eni));
        assert_eq!(mode(), Mode::Mixed);
        let (named, _) = Settings::parse(&[("network".to_owned(), "vpc-cni".to_owned())].into());
        let settings = Key::new("clb-gate", "settings");
        exposed.on_settings(Change::Applied(settings.clone(), named));
        assert_eq!(mode(), Mode::VpcCni);
        exposed.on_settings(Change::Deleted(settings));
        assert_eq!(mode(), Mode::Mixed);
        exposed.on_node(Change::Deleted(key()));
        assert_eq!(mode(), Mode::VpcCni, "no node tells");
        exposed.on_tke(None);
        assert_eq!(mode(), Mode::Routable);
    }
}
