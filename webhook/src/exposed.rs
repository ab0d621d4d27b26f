//! What the webhook knows of the cluster: Services and settings, watched, and turned into an index
//! that the handler reads without ever waiting.

use std::{collections::HashMap, sync::Arc};

use arc_swap::{ArcSwap, Guard};
use direct_access::{ExposureIndex, ObjectRef, ServiceFacts, Settings, names};
use k8s_openapi::api::core::v1::{ConfigMap, Service};
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
        let mut facts = self.facts.lock();
        if facts.settings != settings {
            tracing::info!(?settings, "settings changed");
            facts.settings = settings;
            self.rebuild(&facts);
        }
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
}
