//! What a writer knows of those that are to take over from live pods that nothing wants any more.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use direct_access::gate::BindingState;
use tokio::time::Instant;

use super::writer::Writer;
use crate::plan::{Holder, Plan, Successors};
use crate::view;

impl Writer {
    /// Who was seen healthy since he was awaited. An older sight says nothing of now.
    pub(super) fn successors(&self, now: Instant) -> Successors {
        let awaited = &self.memory.awaited;
        if awaited.is_empty() {
            return Successors::default();
        }
        let seen = self.context.views.seen(self.id.as_str());
        let since = |(holder, since): (&Holder, &Instant)| (holder.clone(), now - *since);
        let durations: HashMap<Holder, Duration> = awaited.iter().map(since).collect();
        Successors::among(&self.memory.expected, durations, |place, check| {
            let (Some((_, registered)), Some(awaited)) = (
                self.memory.registered.get(place),
                awaited.get(&place.holder()),
            ) else {
                return false;
            };
            let from = *registered.max(awaited);
            let state = view::judge(seen.get(place), from, *registered + check.earliest);
            state == BindingState::Healthy
        })
    }

    /// Takes in where a successor is awaited now.
    pub(super) fn await_successors(&mut self, plan: &Plan, now: Instant) {
        let awaited = &mut self.memory.awaited;
        awaited.retain(|holder, _| plan.awaited.contains(holder));
        for holder in &plan.awaited {
            awaited.entry(holder.clone()).or_insert(now);
        }
    }

    /// Whose health the poller is to ask for.
    pub(super) fn awaited_listeners(&self) -> BTreeSet<String> {
        let holders = self.memory.awaited.keys();
        holders.map(|(listener, _)| listener.clone()).collect()
    }
}
