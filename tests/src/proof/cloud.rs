//! What the CLB says of an arm's targets, looked at several times a second by the operator's door, which
//! counts as nobody's call.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use super::client::Clock;
use super::ground::Ground;
use crate::operator::Operator;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// What a target gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// New connections.
    Serves,
    /// Nothing new: weight 0.
    Drains,
    /// Nothing: not healthy, or not yet.
    Sick,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Whether anybody has looked yet.
    pub(super) looked: bool,
    /// Targets as they are.
    pub(super) now: BTreeMap<SocketAddr, Life>,
    /// When each changed; none for gone.
    changes: BTreeMap<SocketAddr, Vec<(Duration, Option<Life>)>>,
}

impl Seen {
    /// How many targets are so.
    pub(super) fn count(&self, life: Life) -> u32 {
        let all = self.now.values().filter(|one| **one == life);
        u32::try_from(all.count()).unwrap_or(u32::MAX)
    }

    /// From when on a target got nothing new, at or after a moment.
    pub(super) fn out_since(&self, target: SocketAddr, from: Duration) -> Option<Duration> {
        let changes = self.changes.get(&target)?;
        let before = changes.iter().rfind(|(at, _)| *at <= from);
        if before.is_some_and(|(_, life)| *life != Some(Life::Serves)) {
            return Some(from);
        }
        let mut later = changes.iter().filter(|(at, _)| *at > from);
        let out = later.find(|(_, life)| *life != Some(Life::Serves))?;
        Some(out.0)
    }

    fn look(&mut self, found: BTreeMap<SocketAddr, Life>, at: Duration) {
        for (target, life) in &found {
            if self.now.get(target) != Some(life) {
                let changes = self.changes.entry(*target).or_default();
                changes.push((at, Some(*life)));
            }
        }
        for target in self.now.keys().filter(|target| !found.contains_key(target)) {
            self.changes.entry(*target).or_default().push((at, None));
        }
        self.now = found;
        self.looked = true;
    }
}

/// Looks until it is dropped.
pub(super) async fn watch(ground: Ground, clock: Clock, seen: Arc<Mutex<Seen>>) -> Result<()> {
    let mut ticks = interval(PAUSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let state = ground.operator.ask("GET", "state", "").await?;
        let found = targets(&state, &ground.load_balancer, ground.arm.port());
        seen.lock().look(found.unwrap_or_default(), clock.now());
    }
}

/// The targets of the listener on a port, in what the door says.
fn targets(state: &Value, load_balancer: &str, port: u16) -> Option<BTreeMap<SocketAddr, Life>> {
    let named = |one: &&Value| one.get("id").and_then(Value::as_str) == Some(load_balancer);
    let found = state
        .get("load_balancers")?
        .as_array()?
        .iter()
        .find(named)?;
    let on = |one: &&Value| one.get("port").and_then(Value::as_u64) == Some(port.into());
    let listener = found.get("listeners")?.as_array()?.iter().find(on)?;
    let targets = listener.get("targets")?.as_array()?;
    Some(targets.iter().filter_map(target).collect())
}

fn target(one: &Value) -> Option<(SocketAddr, Life)> {
    let ip = one.get("ip")?.as_str()?.parse().ok()?;
    let port = u16::try_from(one.get("port")?.as_u64()?).ok()?;
    let healthy = one.get("health").and_then(Value::as_str) == Some("Alive");
    let life = match (healthy, one.get("weight")?.as_u64()?) {
        (_, 0) => Life::Drains,
        (true, _) => Life::Serves,
        (false, _) => Life::Sick,
    };
    Some((SocketAddr::new(ip, port), life))
}

/// Which target each of these connections went to, by the client's end and a moment at which it was there or
/// just gone: an address and port are soon used again.
pub(super) async fn connections(
    operator: &Operator,
    ends: &[(SocketAddr, Timestamp)],
) -> Result<Vec<Option<SocketAddr>>> {
    let one = |(client, until): &(SocketAddr, Timestamp)| json!({ "client": client, "until": until.as_millisecond() });
    let asked: Vec<_> = ends.iter().map(one).collect();
    let body = json!({ "connections": asked }).to_string();
    let answer = operator.ask("POST", "connections", &body).await?;
    let found = answer.get("connections").and_then(Value::as_array);
    let found = found.context("the simulator says nothing of connections")?;
    let target = |visit: &Value| visit.get("target")?.as_str()?.parse().ok();
    Ok(found.iter().map(target).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn targets_of_the_listener_are_found_with_what_they_get() {
        let target = |ip: &str, weight: u8, health: &str| json!({"ip": ip, "port": 8080, "weight": weight, "health": health});
        let targets_of = json!([
            target("10.0.0.1", 10, "Alive"),
            target("10.0.0.2", 0, "Alive"),
            target("10.0.0.3", 10, "Unknown"),
        ]);
        let listener = json!({"port": 80, "targets": targets_of});
        let state =
            json!({"load_balancers": [{"id": "lb-a", "listeners": [{"port": 81}, listener]}]});
        let found = targets(&state, "lb-a", 80).unwrap();
        let lives: Vec<_> = found.values().copied().collect();
        assert_eq!(lives, [Life::Serves, Life::Drains, Life::Sick]);
        assert!(targets(&state, "lb-b", 80).is_none());
    }

    #[test]
    fn a_target_is_out_from_when_it_no_longer_serves() {
        let target: SocketAddr = "10.0.0.1:80".parse().unwrap();
        let is = |life| BTreeMap::from([(target, life)]);
        let mut seen = Seen::default();
        seen.look(is(Life::Serves), at(1));
        seen.look(is(Life::Serves), at(2));
        seen.look(is(Life::Sick), at(5));
        seen.look(is(Life::Serves), at(9));
        seen.look(BTreeMap::new(), at(12));
        assert_eq!(seen.out_since(target, at(2)), Some(at(5)));
        assert_eq!(seen.out_since(target, at(6)), Some(at(6)), "already out");
        assert_eq!(seen.out_since(target, at(9)), Some(at(12)), "gone");
        let other = "10.0.0.2:80".parse().unwrap();
        assert_eq!(seen.out_since(other, at(0)), None);
    }
}
