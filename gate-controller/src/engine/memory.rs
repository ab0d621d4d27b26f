//! What a writer knows of its load balancer, for one term of leadership.
//!
//! Two pictures: what was read, on which gates rest, and what should be there if the writes since then
//! did as they say, with which the next call is planned while the read-back is under way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use clb::Task;
use direct_access::Slot;
use direct_access::ownership::ClusterId;
use tokio::time::Instant;

use super::claims::Claims;
use super::refusals::Refusals;
use crate::family::Family;
use crate::plan::{Created, Held, Holder, ObservedListener, Operation, Place, apply};

/// Since when each of our targets has been seen registered, and for which pod.
pub(super) type Registered = HashMap<Place, (String, Instant)>;

#[derive(Default)]
pub(super) struct Memory {
    /// Number and beginning of the term.
    pub(super) term: Option<(u64, Instant)>,
    /// The load balancer's own address.
    pub(super) address: Option<String>,
    /// What it binds, once that is known.
    pub(super) family: Option<Family>,
    /// What was read, and when; views share it.
    pub(super) read: Option<(Arc<Vec<ObservedListener>>, Instant)>,
    /// When everything was read, not only what was written to.
    pub(super) whole: Option<Instant>,
    /// What should be there by now: what was read, until something is written.
    pub(super) expected: Arc<Vec<ObservedListener>>,
    /// What was written and not read back.
    pub(super) unread: Unread,
    /// What is known to be registered; views share it.
    pub(super) registered: Arc<Registered>,
    /// Since when each target has been seen at weight 0.
    pub(super) drained: HashMap<Place, Instant>,
    /// Since when live pods have served on for want of a successor, by listener or rule.
    pub(super) awaited: HashMap<Holder, Instant>,
    /// Targets of going pods that kept their weight, because nothing else served.
    pub(super) last: BTreeSet<Place>,
    /// What waits for a person.
    pub(super) held: BTreeMap<Slot, Vec<Held>>,
    /// What is not as declared and is not changed.
    pub(super) unchanged: BTreeMap<Slot, Vec<String>>,
    /// What a person should do soon.
    pub(super) warnings: BTreeMap<Slot, String>,
    /// What keeps the whole load balancer from being read or written.
    pub(super) problem: Option<String>,
    /// What was done is not known: everything is read before the next step.
    pub(super) stale: bool,
    /// In a row.
    pub(super) failures: u32,
    pub(super) refusals: Refusals,
    /// What we bound, where the CLB's tags do not tell.
    pub(super) claims: Claims,
    /// When targets were last registered.
    pub(super) registered_at: Option<Instant>,
    /// Since when additions wait.
    pub(super) waiting_since: Option<Instant>,
    /// The last task looked at was done at the first look: the next call need not wait for one.
    pub(super) quick_tasks: bool,
}

/// What was written and not read back.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread {
    /// Listeners or rules came or went.
    pub(super) listeners: bool,
    /// Whose targets changed.
    pub(super) touched: BTreeSet<String>,
    /// What was taken away: nothing is registered there before it was seen to be gone.
    pub(super) removed: HashSet<Place>,
    /// The task of the last write, where nobody has waited for it.
    pub(super) task: Option<Task>,
}

impl Unread {
    pub(super) fn is_empty(&self) -> bool {
        !self.listeners && self.touched.is_empty()
    }
}

impl Memory {
    pub(super) fn of_term(number: u64, claims: Claims) -> Self {
        Self {
            term: Some((number, Instant::now())),
            claims,
            ..Self::default()
        }
    }

    /// How long each drained target has been.
    pub(super) fn drained_for(&self, now: Instant) -> HashMap<Place, Duration> {
        let one = |(place, since): (&Place, &Instant)| (place.clone(), now - *since);
        self.drained.iter().map(one).collect()
    }

    /// Whether nothing has been read in this term yet.
    pub(super) fn is_new(&self) -> bool {
        self.read.is_none()
    }

    /// Takes in what was read by a question sent at `at`. Returns what was known to be registered before.
    pub(super) fn take_in(
        &mut self,
        mut listeners: Vec<ObservedListener>,
        at: Instant,
        us: &ClusterId,
    ) -> Arc<Registered> {
        let now = Instant::now();
        self.claims.recognise(&mut listeners, us);
        let (mut registered, mut drained) = (HashMap::new(), HashMap::new());
        for (place, target) in listeners.iter().flat_map(ObservedListener::places) {
            let Some(tag) = target.tag.as_ref().filter(|tag| tag.cluster == *us) else {
                continue;
            };
            if target.weight == 0 {
                let since = self.drained.get(&place).copied().unwrap_or(now);
                drained.insert(place.clone(), since);
            }
            let known = self.registered.get(&place);
            let known = known.filter(|(uid, _)| *uid == tag.pod_uid);
            let since = known.map_or(now, |(_, since)| *since);
            registered.insert(place, (tag.pod_uid.clone(), since));
        }
        self.drained = drained;
        let listeners = Arc::new(listeners);
        self.expected = Arc::clone(&listeners);
        self.read = Some((listeners, at));
        self.unread = Unread::default();
        self.stale = false;
        std::mem::replace(&mut self.registered, Arc::new(registered))
    }

    /// Takes in that a call was made and answered.
    pub(super) fn wrote(&mut self, operation: &Operation, created: &Created, us: &ClusterId) {
        apply(Arc::make_mut(&mut self.expected), operation, created, us);
        self.unread.listeners |= operation.changes_listeners();
        for place in operation.places() {
            self.unread.touched.insert(place.listener.clone());
        }
        if let Operation::Deregister(all) = operation {
            let gone = all.iter().map(|(place, _)| place.clone());
            self.unread.removed.extend(gone);
        }
        if matches!(operation, Operation::Register(_)) {
            self.registered_at = Some(Instant::now());
            self.waiting_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use direct_access::listener::ListenerParameters;
    use direct_access::ownership::Tag;

    use super::*;
    use crate::plan::{HealthCheck, ObservedTarget, Removal, Weighted};

    fn us() -> ClusterId {
        ClusterId::new("us")
    }

    fn place() -> Place {
        Place {
            listener: "lbl-1".to_owned(),
            rule: None,
            address: ([198, 18, 1, 1].into(), 80),
        }
    }

    fn listener(uid: &str, weight: u8) -> Vec<ObservedListener> {
        let tag = Some(Tag {
            cluster: us(),
            pod_uid: uid.to_owned(),
        });
        vec![ObservedListener {
            id: "lbl-1".to_owned(),
            port: 80,
            protocol: "TCP".to_owned(),
            name: None,
            health: HealthCheck::default(),
            parameters: ListenerParameters::default(),
            targets: vec![ObservedTarget {
                address: place().address,
                weight,
                tag,
            }],
            rules: vec![],
        }]
    }

    #[tokio::test(start_paused = true)]
    async fn a_registration_is_as_old_as_its_pods_first_sighting() {
        let mut memory = Memory::default();
        let start = Instant::now();
        memory.take_in(listener("uid-a", 10), start, &us());
        tokio::time::advance(Duration::from_secs(5)).await;
        memory.take_in(listener("uid-a", 0), Instant::now(), &us());
        assert_eq!(memory.registered[&place()], ("uid-a".to_owned(), start));
        assert_eq!(memory.drained_for(Instant::now())[&place()], Duration::ZERO);
        memory.take_in(listener("uid-b", 10), Instant::now(), &us());
        assert_eq!(memory.registered[&place()].1, Instant::now());
        assert!(memory.drained.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_is_expected_and_not_known() {
        let mut memory = Memory::default();
        memory.take_in(listener("uid-a", 10), Instant::now(), &us());
        let gone = Operation::Deregister(vec![(place(), Removal::AddressReused)]);
        memory.wrote(&gone, &[], &us());
        assert!(memory.unread.removed.contains(&place()) && !memory.unread.is_empty());
        assert!(memory.expected[0].targets.is_empty());
        assert!(memory.registered.contains_key(&place()));
        let bound = Operation::Register(vec![Weighted {
            place: place(),
            weight: 10,
            pod_uid: "uid-b".to_owned(),
        }]);
        memory.wrote(&bound, &[], &us());
        assert_eq!(*memory.expected, listener("uid-b", 10));
        assert_eq!(memory.registered[&place()].0, "uid-a");
    }
}
