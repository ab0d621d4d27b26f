//! The index that answers, for a pod's namespace and labels, which Services expose it: by themselves, or
//! because an Ingress leads to them.
//!
//! Selectors are grouped by their set of keys and looked up by a hash of the values the pod has for
//! them: a label that ten thousand Services share does not make ten thousand candidates.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::drain::{Drain, Drains};
use crate::exposure::{Exposure, Judgement, exposures};
use crate::ingress::{IngressFacts, IngressJudgement, ingress_exposures};
use crate::network::Conclusion;
use crate::service::{ObjectRef, ServiceFacts};
use crate::settings::Settings;

/// Which Services expose a pod. Cloning is cheap enough to do once a change: namespaces are shared.
#[derive(Clone, Debug, Default)]
pub struct ExposureIndex {
    namespaces: HashMap<String, Arc<Namespace>>,
    hasher: RandomState,
    network: Conclusion,
    drains: Drains,
}

#[derive(Clone, Debug, Default)]
struct Namespace {
    groups: Vec<Group>,
    /// Some entry has a drain during which pods serve on: usually none, and then nobody looks for one.
    keeps_pods: bool,
}

/// All selectors over the same keys.
#[derive(Clone, Debug)]
struct Group {
    keys: Vec<String>,
    by_values: HashMap<u64, Vec<Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    values: Vec<String>,
    service: ObjectRef,
    /// The Ingress that leads to it; `None` where the Service itself asks.
    ingress: Option<ObjectRef>,
    /// For so many seconds its pods serve on while they leave.
    keeps: Option<u16>,
}

impl ExposureIndex {
    /// Builds the index from the whole list at once.
    pub fn build<'a>(
        services: impl IntoIterator<Item = &'a ServiceFacts>,
        settings: &Settings,
    ) -> Self {
        let mut index = Self {
            network: settings.conclusion,
            drains: settings.drains,
            ..Self::default()
        };
        for service in services {
            index.insert(service, settings);
        }
        index
    }

    /// Takes in a Service that was added or changed.
    pub fn apply(&mut self, service: &ServiceFacts, settings: &Settings) {
        self.delete(&service.object());
        self.insert(service, settings);
    }

    /// Takes in an Ingress that was added or changed, or whose Services were; `services` finds those of
    /// its namespace by name.
    pub fn apply_ingress<'s>(
        &mut self,
        ingress: &IngressFacts,
        services: &dyn Fn(&str) -> Option<&'s ServiceFacts>,
        settings: &Settings,
    ) {
        self.delete_ingress(&ingress.object());
        self.insert_ingress(ingress, services, settings);
    }

    /// Forgets a Service. What Ingresses lead to it is theirs to say.
    pub fn delete(&mut self, service: &ObjectRef) {
        self.forget(&service.namespace, |entry| {
            entry.ingress.is_none() && entry.service == *service
        });
    }

    /// Forgets an Ingress.
    pub fn delete_ingress(&mut self, ingress: &ObjectRef) {
        self.forget(&ingress.namespace, |entry| {
            entry.ingress.as_ref() == Some(ingress)
        });
    }

    fn forget(&mut self, namespace: &str, gone: impl Fn(&Entry) -> bool) {
        let Some(shared) = self.namespaces.get_mut(namespace) else {
            return;
        };
        let known = Arc::make_mut(shared);
        for group in &mut known.groups {
            group.by_values.retain(|_, entries| {
                entries.retain(|entry| !gone(entry));
                !entries.is_empty()
            });
        }
        known.groups.retain(|group| !group.by_values.is_empty());
        known.keeps_pods &= known.groups.iter().any(Group::keeps_pods);
        if known.groups.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    /// A Service that exposes a pod of this namespace; `label` gives the value of one of its labels.
    pub fn find<'a>(
        &self,
        namespace: &str,
        label: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<&ObjectRef> {
        let namespace = self.namespaces.get(namespace)?;
        namespace
            .groups
            .iter()
            .find_map(|group| group.find(&self.hasher, &label))
    }

    /// The longest time that a pod of this namespace should serve on while it leaves, and for which Service;
    /// `None` where nothing that exposes it asks for that.
    pub fn longest_drain<'a>(
        &self,
        namespace: &str,
        label: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<(&ObjectRef, u16)> {
        let namespace = self.namespaces.get(namespace)?;
        if !namespace.keeps_pods {
            return None;
        }
        let groups = namespace.groups.iter();
        let entries = groups.flat_map(|group| group.entries(&self.hasher, &label));
        entries
            .filter_map(|entry| Some((&entry.service, entry.keeps?)))
            .max_by_key(|(_, seconds)| *seconds)
    }

    /// What of the cluster bears on drains.
    pub fn drains(&self) -> Drains {
        self.drains
    }

    /// The cluster's network, by which a pod is judged that was found here.
    pub fn network(&self) -> Conclusion {
        self.network
    }

    /// How many Services are in it, once for each object that exposes them, for logs and tests.
    pub fn len(&self) -> usize {
        self.namespaces
            .values()
            .flat_map(|namespace| &namespace.groups)
            .flat_map(|group| group.by_values.values())
            .map(Vec::len)
            .sum()
    }

    /// Whether no Service is in it.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    fn insert(&mut self, service: &ServiceFacts, settings: &Settings) {
        if let Judgement::Served(served) = exposures(service, settings) {
            let drain = served.exposures.first().map(|exposure| exposure.drain);
            let leaves = (&service.selector, drain.unwrap_or_default());
            self.enter(&service.object(), leaves, None);
        }
    }

    fn insert_ingress<'s>(
        &mut self,
        ingress: &IngressFacts,
        services: &dyn Fn(&str) -> Option<&'s ServiceFacts>,
        settings: &Settings,
    ) {
        let judgement = ingress_exposures(ingress, services, settings);
        let IngressJudgement::Served(served) = judgement else {
            return;
        };
        // Many paths may lead to one Service.
        let by_service: BTreeMap<_, _> = served
            .exposures
            .iter()
            .map(|exposure: &Exposure| (&exposure.service, (&exposure.selector, exposure.drain)))
            .collect();
        for (service, selected) in by_service {
            self.enter(service, selected, Some(&ingress.object()));
        }
    }

    fn enter(
        &mut self,
        service: &ObjectRef,
        (selector, drain): (&BTreeMap<String, String>, Drain),
        ingress: Option<&ObjectRef>,
    ) {
        let values: Vec<_> = selector.values().cloned().collect();
        let hash = hash(&self.hasher, values.iter().map(String::as_str));
        let shared = self
            .namespaces
            .entry(service.namespace.clone())
            .or_default();
        let namespace = Arc::make_mut(shared);
        namespace.keeps_pods |= drain.keeps_pod;
        let group = namespace.group(selector.keys());
        let entry = Entry {
            values,
            service: service.clone(),
            ingress: ingress.cloned(),
            keeps: drain.keeps_pod.then_some(drain.seconds),
        };
        group.by_values.entry(hash).or_default().push(entry);
    }
}

impl Namespace {
    /// The group of these keys (which come sorted, from a `BTreeMap`), made where it is missing.
    fn group<'a>(&mut self, keys: impl Iterator<Item = &'a String> + Clone) -> &mut Group {
        let known = self
            .groups
            .iter()
            .position(|group| group.keys.iter().eq(keys.clone()));
        let at = known.unwrap_or(self.groups.len());
        if known.is_none() {
            self.groups.push(Group {
                keys: keys.cloned().collect(),
                by_values: HashMap::new(),
            });
        }
        #[expect(clippy::indexing_slicing, reason = "`at` was just found or pushed")]
        &mut self.groups[at]
    }
}

impl Group {
    fn find<'a>(
        &self,
        hasher: &RandomState,
        label: &impl Fn(&str) -> Option<&'a str>,
    ) -> Option<&ObjectRef> {
        self.entries(hasher, label)
            .next()
            .map(|entry| &entry.service)
    }

    /// The entries whose selector selects a pod with these labels.
    fn entries<'s, 'l, 'a, L>(
        &'s self,
        hasher: &RandomState,
        label: &'l L,
    ) -> impl Iterator<Item = &'s Entry> + use<'s, 'l, 'a, L>
    where
        L: Fn(&str) -> Option<&'a str>,
    {
        let values = move || self.keys.iter().filter_map(|key| label(key));
        // Most pods lack one of the keys: told before anything is hashed.
        let has_all = self.keys.iter().all(|key| label(key).is_some());
        let entries = has_all
            .then(|| self.by_values.get(&hash(hasher, values())))
            .flatten();
        let entries = entries.into_iter().flatten();
        entries.filter(move |entry| values().eq(entry.values.iter().map(String::as_str)))
    }

    fn keeps_pods(&self) -> bool {
        let mut entries = self.by_values.values().flatten();
        entries.any(|entry| entry.keeps.is_some())
    }
}

fn hash<'a>(hasher: &RandomState, values: impl Iterator<Item = &'a str>) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut state = hasher.build_hasher();
    for value in values {
        value.hash(&mut state);
    }
    state.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::service::tests::service;

    type Labels = BTreeMap<String, String>;

    fn find<'i>(
        index: &'i ExposureIndex,
        namespace: &str,
        labels: &Labels,
    ) -> Option<&'i ObjectRef> {
        index.find(namespace, |key| labels.get(key).map(String::as_str))
    }

    fn labels() -> impl Strategy<Value = Labels> {
        prop::collection::btree_map("[abc]", "[xy]", 0..4)
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_search(
            selectors in prop::collection::vec(labels(), 0..12),
            pod in labels(),
            deleted in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let mut services: Vec<_> = selectors.into_iter().enumerate().map(|(number, selector)| {
                let mut service = service(&format!("s{number}"));
                service.selector = selector;
                service
            }).collect();
            let settings = Settings::default();
            let mut index = ExposureIndex::default();
            for service in &services {
                index.apply(service, &settings);
            }
            for at in deleted {
                if !services.is_empty() {
                    let gone = services.remove(at.index(services.len()));
                    index.delete(&gone.object());
                }
            }
            let matches = |s: &ServiceFacts| {
                !s.selector.is_empty() && s.selector.iter().all(|(k, v)| pod.get(k) == Some(v))
            };
            let plain = services.iter().any(matches);
            prop_assert_eq!(find(&index, "shop", &pod).is_some(), plain);
            prop_assert_eq!(find(&index, "other", &pod), None);
        }
    }

    #[test]
    fn a_change_replaces_what_was_known() {
        let settings = Settings::default();
        let mut index = ExposureIndex::default();
        let mut web = service("web");
        index.apply(&web, &settings);
        assert_eq!(index.len(), 1);
        web.annotations.clear();
        index.apply(&web, &settings);
        assert!(index.is_empty());
    }

    #[test]
    fn a_drain_ends_with_the_service_that_asked_for_it() {
        let settings = Settings::default();
        let mut index = ExposureIndex::default();
        let mut web = service("web");
        let mut longest = |web: &ServiceFacts| {
            index.apply(web, &settings);
            let found = index.longest_drain("shop", |key| (key == "app").then_some("web"));
            found.map(|(service, seconds)| (service.name.clone(), seconds))
        };
        assert_eq!(longest(&web), None);
        let wish = (crate::names::GRACE_DELETION.to_owned(), "true".to_owned());
        web.annotations.extend([wish]);
        assert_eq!(longest(&web), Some(("web".to_owned(), 30)));
        web.annotations.remove(crate::names::GRACE_DELETION);
        assert_eq!(longest(&web), None);
    }

    #[test]
    fn an_empty_selector_matches_nothing() {
        let mut all = service("all");
        all.selector.clear();
        let index = ExposureIndex::build([&all], &Settings::default());
        assert_eq!(find(&index, "shop", &Labels::new()), None);
    }
}
