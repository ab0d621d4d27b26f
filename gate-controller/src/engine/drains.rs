//! What a writer counts and tells of targets whose pods leave.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use runtime::News;
use tokio::time::Instant;

use super::memory::Memory;
use super::writer::Writer;
use crate::desired::{Leaving, Others};
use crate::plan::{ObservedListener, Operation, Place, Removal};
use crate::pod::Fate;

/// Since when each target has been seen at weight 0.
pub(super) type Drained = HashMap<Place, Instant>;

impl Writer {
    /// Tells of targets of going pods that are at weight 0 now and were not `before`, and counts how long
    /// that took.
    pub(super) fn tell_drained(&self, before: &Drained, now: Timestamp) {
        let others = &self.inbox.desired().others;
        for (place, leaving) in newly(&self.memory, before, others) {
            if !self.memory.last.contains(place) {
                let took = now.duration_since(leaving.asked).as_secs_f64();
                self.context.metrics.drained(took.max(0.0));
            }
            let (ip, port) = place.address;
            let at = self.listens(&place.listener);
            let note = format!(
                "{ip}:{port} has weight 0 on CLB {}{at}: it gets no new connections",
                self.id
            );
            let news = News::normal("Draining", "Drain", note);
            let uid = self
                .memory
                .registered
                .get(place)
                .map(|(uid, _)| uid.as_str());
            let home = &self.context.home;
            home.tell_pod(&leaving.pod, uid.unwrap_or_default(), news);
        }
    }

    fn listens(&self, id: &str) -> String {
        let read = self.memory.read.iter().flat_map(|(all, _)| all.iter());
        let mut found = read.filter(|listener| listener.id == id);
        let slot = found.next().map(ObservedListener::slot);
        slot.map(|slot| format!(" {slot}")).unwrap_or_default()
    }

    /// Counts what was taken away although it had not drained.
    pub(super) fn count_undrained(&self, operation: &Operation) {
        let others = &self.inbox.desired().others;
        let count = undrained(&self.memory, operation, others).count();
        self.context.metrics.undrained(count);
    }

    /// How many targets of going pods are at weight 0.
    pub(super) fn draining(&self) -> usize {
        let others = &self.inbox.desired().others;
        newly(&self.memory, &Drained::new(), others).count()
    }

    /// Keeps in mind which targets of going pods keep their weight: they are not late, nothing else serves.
    pub(super) fn note_last(&mut self, last: &BTreeSet<Place>) {
        let registered = &self.memory.registered;
        self.memory
            .last
            .retain(|place| registered.contains_key(place));
        self.memory.last.extend(last.iter().cloned());
    }
}

fn newly<'m>(
    memory: &'m Memory,
    before: &'m Drained,
    others: &'m Others,
) -> impl Iterator<Item = (&'m Place, &'m Leaving)> {
    let new = memory.drained.keys();
    let new = new.filter(|place| !before.contains_key(*place));
    new.filter_map(|place| {
        let (uid, _) = memory.registered.get(place)?;
        Some((place, others.leaving.get(uid)?))
    })
}

/// Targets whose pods had ended or were gone before weight 0 was read back.
fn undrained<'m>(
    memory: &'m Memory,
    operation: &'m Operation,
    others: &'m Others,
) -> impl Iterator<Item = &'m Place> {
    let removed = match operation {
        Operation::Deregister(all) => &all[..],
        Operation::Weigh(_)
        | Operation::CreateListeners(_)
        | Operation::CreateRules(..)
        | Operation::Register(_)
        | Operation::Modify(_)
        | Operation::DeleteRules(..)
        | Operation::DeleteListener(..) => &[],
    };
    let runs = |place: &Place| {
        let uid = memory.registered.get(place).map(|(uid, _)| uid.as_str());
        let fate = uid.and_then(|uid| others.fates.get(uid));
        matches!(fate, Some(Fate::Live | Fate::Going))
    };
    let gone = removed.iter().filter(move |(place, why)| match why {
        Removal::PodGone => true,
        Removal::AddressReused => !runs(place),
        Removal::Drained => false,
    });
    let places = gone.map(|(place, _)| place);
    places.filter(|place| !memory.drained.contains_key(*place) && !memory.last.contains(*place))
}

#[cfg(test)]
mod tests {
    use direct_access::ObjectRef;

    use super::*;

    fn place(number: u8) -> Place {
        Place {
            listener: "lbl-1".to_owned(),
            rule: None,
            address: ([198, 18, 1, number].into(), 80),
        }
    }

    /// Four targets, of which the second has weight 0 and the third kept its weight as the last.
    fn memory() -> Memory {
        let now = Instant::now();
        let one = |number: u8| (place(number), (format!("uid-{number}"), now));
        Memory {
            registered: std::sync::Arc::new((1..=4).map(one).collect()),
            drained: [(place(2), now)].into(),
            last: [place(3)].into(),
            ..Memory::default()
        }
    }

    fn others() -> Others {
        let leaving = Leaving {
            pod: ObjectRef::default(),
            asked: Timestamp::UNIX_EPOCH,
        };
        Others {
            fates: [("uid-4".to_owned(), Fate::Going)].into(),
            leaving: [("uid-2".to_owned(), leaving)].into(),
            ..Others::default()
        }
    }

    #[tokio::test]
    async fn what_ended_before_it_had_weight_0_is_counted() {
        let (memory, others) = (memory(), others());
        let gone = |why: Removal| Operation::Deregister((1..=4).map(|n| (place(n), why)).collect());
        let counted = |why: Removal| -> Vec<Place> {
            let operation = gone(why);
            undrained(&memory, &operation, &others).cloned().collect()
        };
        assert_eq!(counted(Removal::PodGone), [place(1), place(4)]);
        assert_eq!(counted(Removal::AddressReused), [place(1)]);
        assert_eq!(counted(Removal::Drained), []);
    }

    #[tokio::test]
    async fn a_going_pods_target_is_told_of_once() {
        let (memory, others) = (memory(), others());
        let told = |before: &Drained| newly(&memory, before, &others).count();
        assert_eq!(told(&Drained::new()), 1);
        assert_eq!(told(&memory.drained), 0);
        let others = Others::default();
        assert_eq!(newly(&memory, &Drained::new(), &others).count(), 0);
    }
}
