//! TKE's `TkeServiceConfig`s as the cluster has them, where it has the kind at all, and the Services and
//! Ingresses that name them.
//!
//! A Service or an Ingress is joined with what it names as either changes, so that whoever judges it needs nothing but
//! the object itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use direct_access::tke_service_config::{Named, Read};
use direct_access::{IngressFacts, ServiceFacts, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use runtime::{Key, Readiness, Supervisor, Watch, watch};
use serde::Deserialize;

use crate::cluster::Cluster;

/// The object as the API server gives it: whatever its definition lets through.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TkeServiceConfig {
    /// Its name and so on.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// All it says.
    #[serde(default)]
    pub spec: serde_json::Value,
}

/// What is known of them.
#[derive(Clone, Debug, Default)]
pub struct Configs {
    /// Whether the cluster has the kind.
    there: bool,
    all: HashMap<Key, Arc<Read>>,
}

/// Starts the watch that keeps them.
pub(crate) fn follow(
    supervisor: &Supervisor,
    client: &Client,
    cluster: &Arc<Cluster>,
    readiness: &Readiness,
) {
    let cluster = Arc::clone(cluster);
    let watched = Watch::<TkeServiceConfig>::all("tke-service-configs", client.clone());
    watch::spawn_offered(
        supervisor,
        (client.clone(), watched),
        TkeServiceConfig::read,
        move |news| cluster.on_configs(news),
        readiness.handle("tke-service-configs"),
    );
}

impl TkeServiceConfig {
    /// What of it can be applied, and what not.
    pub fn read(self) -> Arc<Read> {
        Arc::new(Read::of(&self.spec))
    }
}

impl Configs {
    /// All there are, in a cluster that has the kind.
    pub fn of(all: impl IntoIterator<Item = TkeServiceConfig>) -> Self {
        let one = |one: TkeServiceConfig| (Key::of(&one), one.read());
        Self {
            there: true,
            all: all.into_iter().map(one).collect(),
        }
    }

    /// Takes in what the watch told.
    pub fn take_in(&mut self, news: watch::Offered<Arc<Read>>) {
        match news {
            watch::Offered::Absent => *self = Self::default(),
            watch::Offered::Change(change) => {
                self.there = true;
                change.fold_into(&mut self.all);
            }
        }
    }

    /// What a name leads to.
    pub fn named(&self, namespace: &str, name: &str) -> Named {
        if !self.there {
            return Named::NoKind;
        }
        let found = self.all.get(&Key::new(namespace, name));
        found.map_or(Named::Missing, |read| Named::Found(Arc::clone(read)))
    }

    /// Joins a Service with what it names; whether that is something else than before.
    pub fn join(&self, service: &mut ServiceFacts) -> bool {
        let named = match service.annotation(names::TKE_SERVICE_CONFIG) {
            None => Named::NotLooked,
            Some(name) => self.named(&service.namespace, name),
        };
        let other = service.config != named;
        service.config = named;
        other
    }

    /// The same of an Ingress.
    pub fn join_ingress(&self, ingress: &mut IngressFacts) -> bool {
        let named = match ingress.annotation(names::ingress::TKE_SERVICE_CONFIG) {
            None => Named::NotLooked,
            Some(name) => self.named(&ingress.namespace, name),
        };
        let other = ingress.config != named;
        ingress.config = named;
        other
    }
}

impl Resource for TkeServiceConfig {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "TkeServiceConfig".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "cloud.tencent.com".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1alpha1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "tkeserviceconfigs".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use runtime::Change;
    use runtime::watch::Offered;
    use serde_json::json;

    use super::*;
    use crate::desired::tests::service;

    fn object(name: &str, scheduler: &str) -> TkeServiceConfig {
        let listener = json!({"protocol": "TCP", "port": 80, "scheduler": scheduler});
        let object = json!({"apiVersion": "cloud.tencent.com/v1alpha1", "kind": "TkeServiceConfig",
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"loadBalancer": {"l4Listeners": [listener]}}});
        serde_json::from_value(object).unwrap()
    }

    fn naming(name: &str) -> ServiceFacts {
        let mut naming = service("web");
        let key = names::TKE_SERVICE_CONFIG.to_owned();
        naming.annotations.insert(key, name.to_owned());
        naming
    }

    /// The scheduler of the Service's listener, and what is told of the Service.
    fn wanted(cluster: &Cluster) -> (Option<String>, Vec<String>) {
        let wanted = cluster.wanted(&std::collections::BTreeSet::new());
        let listeners = wanted.load_balancers["lb-abcd1234"].listeners.values();
        let scheduler = listeners.map(|one| one.parameters.scheduler.clone()).next();
        let told = wanted.problems.values().flatten();
        (scheduler.unwrap(), told.map(ToString::to_string).collect())
    }

    #[test]
    fn an_object_that_comes_changes_and_goes_reaches_its_service_and_wakes_whoever_waits() {
        let cluster = Cluster::default();
        let naming = naming("tuned");
        let key = Key::new("shop", "web");
        cluster.on_service(Change::Applied(key, naming));
        let mut changes = cluster.changes();
        let mut news = |news: Offered<Arc<Read>>| {
            cluster.on_configs(news);
            let woken = changes.has_changed().unwrap();
            changes.mark_unchanged();
            woken
        };
        let at = |name: &str| Key::new("shop", name);
        let applied = |name: &str, scheduler: &str| {
            Offered::Change(Change::Applied(at(name), object(name, scheduler).read()))
        };
        let (scheduler, told) = wanted(&cluster);
        assert_eq!(scheduler, None);
        assert!(
            told[0].contains("no TkeServiceConfigs") && told[0].contains("E4043"),
            "{told:?}"
        );

        assert!(news(Offered::Change(Change::Restarted(vec![]))));
        assert!(
            wanted(&cluster).1[0].contains("no such TkeServiceConfig in the Service's namespace")
        );
        assert!(!news(applied("other", "WRR")), "nobody names it");
        assert!(news(applied("tuned", "WRR")));
        assert_eq!(wanted(&cluster), (Some("WRR".to_owned()), vec![]));
        assert!(!news(applied("tuned", "WRR")), "nothing of it changed");
        assert!(news(applied("tuned", "LEAST_CONN")));
        assert_eq!(wanted(&cluster), (Some("LEAST_CONN".to_owned()), vec![]));
        assert!(news(applied("tuned", "BEST")));
        let (scheduler, told) = wanted(&cluster);
        assert_eq!(scheduler, None);
        assert!(
            told[0].contains(
                "TkeServiceConfig shop/tuned: spec.loadBalancer.l4Listeners[0].scheduler"
            )
        );
        assert!(news(Offered::Change(Change::Deleted(at("tuned")))));
        assert!(wanted(&cluster).1[0].contains("E4043"));
        assert!(news(applied("tuned", "WRR")));
        assert!(news(Offered::Absent));
        assert!(wanted(&cluster).1[0].contains("no TkeServiceConfigs"));
    }

    #[test]
    fn a_service_that_comes_later_is_joined_and_one_that_names_nothing_is_not() {
        let configs = Configs::of([object("tuned", "WRR")]);
        let mut named = naming("tuned");
        assert!(configs.join(&mut named) && matches!(named.config, Named::Found(_)));
        assert!(!configs.join(&mut named));
        named.namespace = "elsewhere".to_owned();
        assert!(configs.join(&mut named), "only in its own namespace");
        assert_eq!(named.config, Named::Missing);
        let mut plain = service("plain");
        assert!(!configs.join(&mut plain));
        assert_eq!(plain.config, Named::NotLooked);

        let cluster = Cluster::default();
        let all = vec![(Key::new("shop", "tuned"), object("tuned", "WRR").read())];
        cluster.on_configs(Offered::Change(Change::Restarted(all)));
        let key = Key::new("shop", "web");
        cluster.on_service(Change::Restarted(vec![(key.clone(), naming("other"))]));
        assert!(wanted(&cluster).1[0].contains("\"other\""));
        cluster.on_service(Change::Applied(key, naming("tuned")));
        assert_eq!(wanted(&cluster), (Some("WRR".to_owned()), vec![]));
        cluster.on_service_written(naming("gone"));
        assert!(wanted(&cluster).1[0].contains("\"gone\""));
    }

    #[test]
    fn an_ingress_is_joined_as_it_comes_and_as_its_object_does() {
        let naming = || {
            let mut front = crate::desired::tests::front();
            let key = names::ingress::TKE_SERVICE_CONFIG.to_owned();
            front.annotations.insert(key, "tuned".to_owned());
            front
        };
        let cluster = Cluster::default();
        let key = Key::new("shop", "front");
        let config = |cluster: &Cluster| cluster.ingresses()[0].config.clone();
        cluster.on_ingress(Change::Applied(key.clone(), naming()));
        assert_eq!(config(&cluster), Named::NoKind);
        let all = vec![(Key::new("shop", "tuned"), object("tuned", "WRR").read())];
        cluster.on_configs(Offered::Change(Change::Restarted(all)));
        assert!(matches!(config(&cluster), Named::Found(_)));
        cluster.on_ingress(Change::Restarted(vec![(key, naming())]));
        assert!(matches!(config(&cluster), Named::Found(_)));
        let mut fresh = [naming()];
        cluster.join(&mut [], &mut fresh);
        assert!(matches!(fresh[0].config, Named::Found(_)));
        let mut plain = crate::desired::tests::front();
        assert!(!Configs::default().join_ingress(&mut plain));
    }

    /// Whatever its definition lets through is taken in, and said to be nonsense on the Service.
    #[test]
    fn an_object_without_anything_in_it_is_one() {
        for object in [
            json!({"metadata": {"name": "a"}}),
            json!({"metadata": {"name": "a"}, "spec": null}),
        ] {
            let read: TkeServiceConfig = serde_json::from_value(object).unwrap();
            assert_eq!(*read.read(), Read::default());
        }
        let nonsense: TkeServiceConfig =
            serde_json::from_value(json!({"metadata": {}, "spec": ["a"]})).unwrap();
        assert_eq!(nonsense.read().told.len(), 1);
    }
}
