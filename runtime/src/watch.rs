//! Watches that cannot hurt: a malformed object costs one log line, an API server that goes away costs
//! back-off, and what is not needed is dropped as it arrives.
//!
//! A watch keeps no store. It hands every [`Change`] to its handler, in order, and the handler keeps
//! what it wants. The initial list is delivered once, whole, as [`Change::Restarted`]; so is every
//! later list, whenever the API server could not continue the watch.

mod offered;
mod renewal;

use std::{collections::HashMap, fmt, fmt::Debug, mem};

use futures::{Stream, StreamExt};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::{DeserializeGuard, NamespaceResourceScope},
    runtime::watcher,
};
use serde::de::DeserializeOwned;

use crate::{
    ready::ReadyHandle,
    supervise::{BoxError, Supervisor},
};

pub use offered::{Offered, spawn_offered};
pub use renewal::events;

/// Objects to a list page. Pages are decoded whole before they are pruned, so this bounds the peak:
/// 50 pods of 40 KB are 2 MB.
const PAGE_SIZE: u32 = 50;

/// An object's place in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl Key {
    /// The key of a namespaced object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The key of any object.
    pub fn of(object: &impl ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// What happened, with objects pruned to `P`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<P> {
    /// Added or modified.
    Applied(Key, P),
    /// Deleted.
    Deleted(Key),
    /// This is all there is. What is not in it is gone.
    Restarted(Vec<(Key, P)>),
}

impl<P> Change<P> {
    /// Takes the change into a map of all objects.
    pub fn fold_into(self, all: &mut HashMap<Key, P>) {
        match self {
            Self::Applied(key, object) => _ = all.insert(key, object),
            Self::Deleted(key) => _ = all.remove(&key),
            Self::Restarted(whole) => *all = whole.into_iter().collect(),
        }
    }

    /// For a watch of one object by name: the object as it is now, if there is one.
    pub fn only(self) -> Option<P> {
        match self {
            Self::Applied(_, object) => Some(object),
            Self::Deleted(_) => None,
            Self::Restarted(all) => all.into_iter().next().map(|(_, object)| object),
        }
    }
}

/// What to watch.
#[derive(Clone, Debug)]
pub struct Watch<K> {
    name: &'static str,
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
}

impl<K: Resource<DynamicType = ()>> Watch<K> {
    /// Every object of the kind, in all namespaces. `name` is for logs, e.g. `"services"`.
    pub fn all(name: &'static str, client: Client) -> Self {
        Self {
            name,
            api: Api::all(client),
            config: watcher::Config::default().page_size(PAGE_SIZE),
        }
    }

    /// Every object of the kind in one namespace.
    pub fn namespaced(name: &'static str, client: Client, namespace: &str) -> Self
    where
        K: Resource<Scope = NamespaceResourceScope>,
    {
        let api = Api::namespaced(client.clone(), namespace);
        Self {
            api,
            ..Self::all(name, client)
        }
    }

    /// Only the object of that name, so that RBAC can be limited to it with `resourceNames`.
    #[must_use]
    pub fn named(self, object: &str) -> Self {
        self.fields(&format!("metadata.name={object}"))
    }

    /// Only objects that match a field selector.
    #[must_use]
    pub fn fields(mut self, selector: &str) -> Self {
        self.config = self.config.fields(selector);
        self
    }

    /// Only objects that match a label selector.
    #[must_use]
    pub fn labels(mut self, selector: &str) -> Self {
        self.config = self.config.labels(selector);
        self
    }
}

/// Starts a watch as a supporting task. `prune` keeps what is needed of an object, `handle` gets every
/// change in order and must not block, and `ready` reports after the first whole list.
pub fn spawn<K, P>(
    supervisor: &Supervisor,
    watch: Watch<K>,
    prune: impl FnMut(K) -> P + Send + 'static,
    handle: impl FnMut(Change<P>) + Send + 'static,
    ready: ReadyHandle,
) where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    P: Send + 'static,
{
    let name = watch.name;
    let events = events(watch.api, watch.config);
    supervisor.spawn_support(name, consume(name, events, prune, handle, ready));
}

async fn consume<K, P>(
    name: &'static str,
    events: impl Stream<Item = watcher::Result<watcher::Event<DeserializeGuard<K>>>>,
    mut prune: impl FnMut(K) -> P,
    mut handle: impl FnMut(Change<P>),
    ready: ReadyHandle,
) -> Result<(), BoxError>
where
    K: Resource<DynamicType = ()>,
{
    let mut events = std::pin::pin!(events);
    let mut fold = Fold {
        name,
        list: Vec::new(),
        failing: false,
    };
    while let Some(event) = events.next().await {
        if let Some(change) = fold.step(event, &mut prune) {
            let whole = matches!(change, Change::Restarted(_));
            handle(change);
            if whole {
                ready.ready();
            }
        }
    }
    Ok(())
}

struct Fold<P> {
    name: &'static str,
    list: Vec<(Key, P)>,
    failing: bool,
}

impl<P> Fold<P> {
    fn step<K: Resource<DynamicType = ()>>(
        &mut self,
        event: watcher::Result<watcher::Event<DeserializeGuard<K>>>,
        prune: &mut impl FnMut(K) -> P,
    ) -> Option<Change<P>> {
        match self.note(event)? {
            watcher::Event::Init => self.list.clear(),
            watcher::Event::InitApply(object) => {
                let object = self.decoded(object, prune);
                self.list.extend(object);
            }
            watcher::Event::InitDone => return Some(Change::Restarted(mem::take(&mut self.list))),
            watcher::Event::Apply(object) => {
                let (key, object) = self.decoded(object, prune)?;
                return Some(Change::Applied(key, object));
            }
            watcher::Event::Delete(object) => return Some(Change::Deleted(Key::of(&object))),
        }
        None
    }

    /// One line when the watch begins to fail and one when it works again, however long it took.
    fn note<E>(&mut self, event: watcher::Result<E>) -> Option<E> {
        match &event {
            Err(error) if !self.failing => {
                tracing::warn!(watch = self.name, %error, "watch is failing, retrying with back-off");
            }
            Err(error) => tracing::debug!(watch = self.name, %error, "watch is still failing"),
            Ok(_) if self.failing => tracing::info!(watch = self.name, "watch works again"),
            Ok(_) => {}
        }
        self.failing = event.is_err();
        event.ok()
    }

    fn decoded<K: Resource<DynamicType = ()>>(
        &self,
        object: DeserializeGuard<K>,
        prune: &mut impl FnMut(K) -> P,
    ) -> Option<(Key, P)> {
        let key = Key::of(&object);
        match object.0 {
            Ok(object) => Some((key, prune(object))),
            Err(invalid) => {
                tracing::warn!(watch = self.name, object = %key, error = %invalid.error, "skipped a malformed object");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use kube::{core::error_boundary::InvalidObject, runtime::watcher::Event};

    use super::*;
    use crate::ready::Readiness;

    fn metadata(name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.into()),
            namespace: Some("ns".into()),
            ..ObjectMeta::default()
        }
    }

    fn good(name: &str) -> DeserializeGuard<ConfigMap> {
        DeserializeGuard(Ok(ConfigMap {
            metadata: metadata(name),
            ..ConfigMap::default()
        }))
    }

    fn malformed(name: &str) -> DeserializeGuard<ConfigMap> {
        DeserializeGuard(Err(InvalidObject {
            error: "bad".into(),
            metadata: metadata(name),
        }))
    }

    fn changes(
        events: Vec<watcher::Result<Event<DeserializeGuard<ConfigMap>>>>,
    ) -> (Vec<Change<usize>>, bool) {
        let (mut seen, set) = (Vec::new(), Readiness::new());
        let ready = set.handle("maps");
        let prune = |map: ConfigMap| map.name_any().len();
        let all = consume(
            "maps",
            stream::iter(events),
            prune,
            |change| seen.push(change),
            ready,
        );
        futures::FutureExt::now_or_never(all).unwrap().unwrap();
        (seen, set.is_ready())
    }

    #[test]
    fn the_initial_list_comes_once_and_whole() {
        let (seen, ready) = changes(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(good("a"))),
            Ok(Event::InitApply(malformed("broken"))),
            Ok(Event::InitApply(good("bb"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(good("ccc"))),
            Ok(Event::Apply(malformed("broken"))),
            Ok(Event::Delete(good("a"))),
            Ok(Event::Delete(malformed("broken"))),
        ]);
        let expected = [
            Change::Restarted(vec![(Key::new("ns", "a"), 1), (Key::new("ns", "bb"), 2)]),
            Change::Applied(Key::new("ns", "ccc"), 3),
            Change::Deleted(Key::new("ns", "a")),
            Change::Deleted(Key::new("ns", "broken")),
        ];
        assert_eq!(seen, expected);
        assert!(ready);
    }

    #[test]
    fn changes_fold_into_a_map_of_all_objects() {
        let mut all = HashMap::from([(Key::new("ns", "old"), 0)]);
        let (a, b) = (|| Key::new("ns", "a"), || Key::new("ns", "b"));
        Change::Restarted(vec![(a(), 1)]).fold_into(&mut all);
        Change::Applied(b(), 2).fold_into(&mut all);
        Change::Applied(a(), 3).fold_into(&mut all);
        Change::Deleted(b()).fold_into(&mut all);
        assert_eq!(all, HashMap::from([(a(), 3)]));
    }

    #[test]
    fn an_interrupted_list_starts_over_and_is_not_ready() {
        let error = || Err(watcher::Error::NoResourceVersion);
        let (seen, ready) = changes(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(good("a"))),
            error(),
            Ok(Event::Init),
        ]);
        assert!(seen.is_empty() && !ready);
        let (seen, _) = changes(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(good("a"))),
            error(),
            Ok(Event::Init),
            Ok(Event::InitDone),
        ]);
        assert_eq!(seen, [Change::Restarted(vec![])]);
    }
}
