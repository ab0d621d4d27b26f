//! What the webhook knows of the cluster: Services, settings and what bears on the network mode, watched,
//! and turned into an index that the handler reads without ever waiting.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};
use direct_access::network::{ClusterFacts, NodeFacts};
use direct_access::{ExposureIndex, ObjectRef, ServiceFacts, Settings, names};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
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
                facts.services.insert(key, service);
                self.index.store(Arc::new(index));
            }
            Change::Deleted(key) => {
                let mut index = ExposureIndex::clone(&self.index.load());
                facts.services.remove(&key);
                index.delete(&ObjectRef {
                    namespace: key.namespace,
                    name: key.name,
                });
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
        let index = ExposureIndex::build(facts.services.values(), &facts.settings);
        tracing::info!(
            services = facts.services.len(),
            exposures = index.len(),
            "index built"
        );
        self.index.store(Arc::new(index));
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
