//! What the API server says of an arm's pods, by a watch: each one's life with the moments that count.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher::{Config, Event, watcher};
use parking_lot::Mutex;

use super::client::Clock;
use super::ground::{APP, Ground};
use super::report::{Counts, Gate};
use crate::ours::{address, is_ready};
use crate::world::{GATE, condition, gates};

/// A pod's life, as far as it was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) ip: Option<IpAddr>,
    pub(super) node: Option<String>,
    /// When it was first seen.
    pub(super) first: Duration,
    has_gate: bool,
    containers: Option<Duration>,
    gate: Option<Duration>,
    ready: bool,
    pub(super) going: Option<Duration>,
    pub(super) gone: Option<Duration>,
}

/// All pods that were seen, by UID.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    all: BTreeMap<String, Life>,
    /// Whether the first list is whole.
    pub(super) looked: bool,
}

impl Seen {
    /// Pods by state.
    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for pod in self.there() {
            let count = match (pod.going, pod.ready, pod.containers) {
                (Some(_), ..) => &mut counts.going,
                (None, true, _) => &mut counts.ready,
                (None, false, Some(_)) => &mut counts.waiting,
                (None, false, None) => &mut counts.starting,
            };
            *count += 1;
        }
        counts
    }

    /// Those that are there.
    pub(super) fn there(&self) -> impl Iterator<Item = &Life> {
        self.all.values().filter(|pod| pod.gone.is_none())
    }

    /// Those that are there and Ready and stay, the oldest first.
    pub(super) fn serving(&self) -> Vec<Life> {
        let stay = self.there().filter(|pod| pod.ready && pod.going.is_none());
        let mut all: Vec<_> = stay.cloned().collect();
        all.sort_by_key(|pod| (pod.first, pod.name.clone()));
        all
    }

    /// The gates of pods whose containers were seen to become ready, and whose gate was seen to open.
    pub(super) fn gate_times(&self) -> Vec<Gate> {
        let waited = self.all.values().filter_map(|pod| {
            let (containers, gate) = (pod.containers?, pod.gate?);
            (containers > pod.first).then(|| Gate {
                at: gate.as_secs_f64(),
                took: gate.saturating_sub(containers).as_secs_f64(),
            })
        });
        waited.collect()
    }

    /// Who had an address at a moment: the last one that came by then.
    pub(super) fn at(&self, ip: IpAddr, moment: Duration) -> Option<&Life> {
        let had = self.all.values();
        let had = had.filter(|pod| pod.ip == Some(ip) && pod.first <= moment);
        had.max_by_key(|pod| pod.first)
    }

    fn apply(&mut self, pod: &Pod, now: Duration) {
        let uid = pod.uid().unwrap_or_default();
        let life = self.all.entry(uid.clone()).or_insert_with(|| Life {
            name: pod.name_any(),
            uid,
            first: now,
            has_gate: gates(pod) > 0,
            ..Life::default()
        });
        life.ip = address(pod).or(life.ip);
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        life.node = node.or_else(|| life.node.take());
        life.ready = is_ready(pod);
        if condition(pod, "ContainersReady") == Some("True") {
            life.containers.get_or_insert(now);
        }
        if life.has_gate && condition(pod, GATE) == Some("True") {
            life.gate.get_or_insert(now);
        }
        if pod.metadata.deletion_timestamp.is_some() {
            life.going.get_or_insert(now);
        }
    }

    fn gone(&mut self, uid: &str, now: Duration) {
        if let Some(life) = self.all.get_mut(uid) {
            life.going.get_or_insert(now);
            life.gone.get_or_insert(now);
        }
    }

    /// After a new list: whoever is not in it is gone.
    fn listed(&mut self, listed: &BTreeSet<String>, now: Duration) {
        self.looked = true;
        let missing = self.all.keys().filter(|uid| !listed.contains(*uid));
        for uid in missing.cloned().collect::<Vec<_>>() {
            self.gone(&uid, now);
        }
    }
}

/// Watches until it is dropped.
pub(super) async fn watch(ground: Ground, clock: Clock, seen: Arc<Mutex<Seen>>) -> Result<()> {
    let config = Config::default().labels(&format!("app={APP}"));
    #[expect(
        clippy::disallowed_methods,
        reason = "the proof's own network is never cut"
    )]
    let events = watcher(ground.world.api::<Pod>(), config);
    pin_mut!(events);
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        let now = clock.now();
        match event {
            Ok(Event::Apply(pod)) => seen.lock().apply(&pod, now),
            Ok(Event::Delete(pod)) => seen.lock().gone(&pod.uid().unwrap_or_default(), now),
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.extend(pod.uid());
                seen.lock().apply(&pod, now);
            }
            Ok(Event::InitDone) => seen.lock().listed(&listed, now),
            // It begins again by itself.
            Err(error) => eprintln!("proof: watching pods: {error}"),
        }
    }
    bail!("the watch of pods ended")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(uid: &str, ip: &str, ready: [&str; 3]) -> Pod {
        let names = ["ContainersReady", GATE, "Ready"];
        let conditions = names.iter().zip(ready);
        let conditions: Vec<_> = conditions
            .map(|(name, status)| json!({"type": name, "status": status}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": uid, "uid": uid},
            "spec": {"containers": [], "readinessGates": [{"conditionType": GATE}]},
            "status": {"podIP": ip, "conditions": conditions},
        }))
        .unwrap()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_gate_s_time_is_from_containers_ready_to_open_and_only_where_both_were_seen() {
        let mut seen = Seen::default();
        let [no, yes] = ["False", "True"];
        seen.apply(&pod("a", "10.0.0.1", [no, no, no]), at(1));
        assert_eq!(seen.counts().starting, 1);
        seen.apply(&pod("a", "10.0.0.1", [yes, no, no]), at(3));
        assert_eq!(seen.counts().waiting, 1);
        seen.apply(&pod("a", "10.0.0.1", [yes, yes, yes]), at(9));
        seen.apply(&pod("b", "10.0.0.2", [yes, yes, yes]), at(9));
        assert_eq!(seen.counts().ready, 2);
        assert_eq!(seen.gate_times(), [Gate { at: 9.0, took: 6.0 }]);
    }

    #[test]
    fn an_address_is_that_of_who_had_it_then() {
        let mut seen = Seen::default();
        let old = pod("old", "10.0.0.1", ["True"; 3]);
        seen.apply(&old, at(1));
        seen.listed(&BTreeSet::new(), at(5));
        assert_eq!(seen.there().count(), 0);
        seen.apply(&pod("new", "10.0.0.1", ["True"; 3]), at(8));
        let who = |moment| {
            seen.at("10.0.0.1".parse().unwrap(), at(moment))
                .map(|pod| pod.name.as_str())
        };
        assert_eq!(who(0), None);
        assert_eq!(who(6), Some("old"));
        assert_eq!(who(9), Some("new"));
    }
}
