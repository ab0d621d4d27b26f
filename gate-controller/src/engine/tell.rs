//! What a writer publishes: its view for the gates, and Events on pods that were bound.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use direct_access::Owner;
use runtime::News;

use super::memory::Registered;
use super::writer::Writer;
use crate::desired::{Desired, DesiredTarget};
use crate::family::fitted;
use crate::view::{Spot, View};

impl Writer {
    /// Publishes what is known.
    pub(super) fn publish(&self) {
        let desired = self.inbox.desired();
        let view = View {
            listeners: self
                .memory
                .read
                .as_ref()
                .map(|(all, _)| Arc::clone(all))
                .unwrap_or_default(),
            registered: Arc::clone(&self.memory.registered),
            address: self.memory.address.clone(),
            owners: owners(&desired),
            held: self.memory.held.clone(),
            warnings: self.memory.warnings.clone(),
            unchanged: self.memory.unchanged.clone(),
            family: self.memory.family,
            awaited: self.awaited_listeners(),
            problem: self.memory.problem.clone(),
        };
        let context = &self.context;
        context
            .metrics
            .bindings(self.id.as_str(), view.registered.len());
        context.metrics.draining(self.id.as_str(), self.draining());
        context.views.publish(self.id.as_str(), view);
        context.seen.notify_one();
    }

    /// Tells the pods that are bound now and were not `before`.
    pub(super) fn tell_bound(&self, before: &Registered) {
        let new: HashSet<&str> = self
            .memory
            .registered
            .iter()
            .filter(|(place, (uid, _))| before.get(place).is_none_or(|(known, _)| known != uid))
            .map(|(_, (uid, _))| uid.as_str())
            .collect();
        if new.is_empty() {
            return;
        }
        let desired = fitted(self.inbox.desired(), self.memory.family);
        for (slot, target) in bindings(&desired) {
            if new.contains(target.pod_uid.as_str()) {
                let (ip, own) = target.address;
                let note = format!("Bound {ip}:{own} to CLB {} {slot}", self.id);
                let news = News::normal("Bound", "Bind", note);
                let home = &self.context.home;
                home.tell_pod(&target.pod, &target.pod_uid, news);
            }
        }
    }
}

/// Who has what of a load balancer.
pub(crate) fn owners(desired: &Desired) -> BTreeMap<Spot, Owner> {
    let listeners = desired.listeners.iter();
    let spots = listeners.flat_map(|(slot, listener)| {
        let own = ((*slot, None), listener.owner.clone());
        let of_rules = listener.rules.keys().map(move |key| {
            let owner = listener.owner_of(Some(key)).clone();
            ((*slot, Some(key.clone())), owner)
        });
        std::iter::once(own).chain(of_rules)
    });
    spots.collect()
}

fn bindings(desired: &Desired) -> impl Iterator<Item = (direct_access::Slot, &DesiredTarget)> {
    let listeners = desired.listeners.iter();
    listeners.flat_map(|(slot, listener)| listener.every_target().map(|target| (*slot, target)))
}
