//! Health as a test says it, instead of probes: each target is probed in thought, every
//! `IntervalTime` from soon after its binding, and found as the test says at that moment. Nothing
//! runs for it; whoever looks at a target counts the probes that were due since the last look.

use super::Model;
use super::event::Event;
use super::forecast::Forecast;
use super::health_check::HealthCheck;
use super::ids::mix;
use super::parts::{Target, TargetKey};
use crate::clock::Millis;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// No count of equal probes above the API's largest `HealthNum` and `UnHealthNum` decides anything
/// that this many did not.
const TELLING: u64 = 10;

/// What probes find.
#[derive(Debug)]
pub(crate) struct Script {
    /// Of addresses nothing was said about.
    default: bool,
    said: BTreeMap<SocketAddr, bool>,
}

/// A target's probes so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Probes {
    from: Millis,
    /// Where in its turn this target comes, 0 to 999: not all are probed in one instant.
    turn: Millis,
    counted: u64,
}

impl Probes {
    pub(crate) fn from(from: Millis, generation: u64) -> Self {
        Self {
            from,
            turn: Millis::try_from(mix(generation) % 1000).unwrap_or(0),
            counted: 0,
        }
    }

    /// How many probes were due by now: the first within a quarter of the interval, as a new
    /// target of a real CLB is judged after about `HealthNum` - 1 intervals.
    fn due(self, now: Millis, interval: Millis) -> u64 {
        let first = self.from + interval / 4 * self.turn / 1000;
        if now < first {
            return 0;
        }
        u64::try_from((now - first) / interval + 1).unwrap_or(0)
    }
}

impl Script {
    fn finds(&self, address: &SocketAddr) -> bool {
        self.said.get(address).copied().unwrap_or(self.default)
    }
}

impl Model {
    /// From now on health is what [`Self::say`] and [`Self::say_of_others`] say.
    pub(crate) fn follow_script(&mut self) {
        self.script = Some(Script {
            default: true,
            said: BTreeMap::new(),
        });
    }

    /// What probes of this address find from now on.
    pub(crate) fn say(&mut self, address: SocketAddr, good: bool, now: Millis) {
        let Some(script) = &mut self.script else {
            return;
        };
        let before = self.events.len();
        for found in self.load_balancers.values_mut() {
            for listener in &mut found.listeners {
                let id = listener.id.clone();
                for (location, check, targets) in listener.places_mut() {
                    let round = Round::of((&id, location), check, (script, &self.forecast), now);
                    if let (Some(round), Some(target)) = (round, targets.get_mut(&address)) {
                        self.events.extend(round.count(address, target));
                    }
                }
            }
        }
        script.said.insert(address, good);
        self.revision.health += u64::from(self.events.len() > before);
    }

    /// What probes of all other addresses find from now on.
    pub(crate) fn say_of_others(&mut self, good: bool, now: Millis) {
        self.look_at_all(now);
        if let Some(script) = &mut self.script {
            script.default = good;
        }
    }

    /// Brings the health of all targets up to date.
    pub(crate) fn look_at_all(&mut self, now: Millis) {
        let ids: Vec<String> = self.load_balancers.keys().cloned().collect();
        for id in ids {
            self.look_at(&id, now);
        }
    }

    /// Brings the health of one load balancer's targets up to date.
    pub(crate) fn look_at(&mut self, id: &str, now: Millis) {
        let (Some(script), Some(found)) = (&self.script, self.load_balancers.get_mut(id)) else {
            return;
        };
        let before = self.events.len();
        for listener in &mut found.listeners {
            let id = listener.id.clone();
            for (location, check, targets) in listener.places_mut() {
                let Some(round) = Round::of((&id, location), check, (script, &self.forecast), now)
                else {
                    continue;
                };
                for (address, target) in targets {
                    self.events.extend(round.count(*address, target));
                }
            }
        }
        self.revision.health += u64::from(self.events.len() > before);
    }
}

/// The counting of one listener's or rule's probes at one moment.
struct Round<'a> {
    script: &'a Script,
    forecast: &'a Forecast,
    place: (&'a str, Option<&'a str>),
    now: Millis,
    interval: Millis,
    rise: u16,
    fall: u16,
}

impl<'a> Round<'a> {
    fn of(
        place: (&'a str, Option<&'a str>),
        check: Option<&HealthCheck>,
        (script, forecast): (&'a Script, &'a Forecast),
        now: Millis,
    ) -> Option<Self> {
        let check = check.filter(|check| check.on)?;
        Some(Self {
            script,
            forecast,
            place,
            now,
            interval: Millis::from(check.interval_s) * 1000,
            rise: check.rise,
            fall: check.fall,
        })
    }

    /// Counts the probes since the last look; all found the same, because what is said changes
    /// only after a look.
    fn count(&self, address: SocketAddr, target: &mut Target) -> Option<Event> {
        if self.forecast.covers(&address) {
            return None;
        }
        let due = target.probes.due(self.now, self.interval);
        let new = due.saturating_sub(target.probes.counted).min(TELLING);
        if new == 0 {
            return None;
        }
        target.probes.counted = due;
        let (from, good) = (target.health.verdict, self.script.finds(&address));
        for _ in 0..new {
            target.health = target.health.after(good, self.rise, self.fall);
        }
        let to = target.health.verdict;
        (to != from).then(|| Event::Judged {
            key: TargetKey {
                listener_id: self.place.0.to_owned(),
                location_id: self.place.1.map(str::to_owned),
                address,
            },
            from,
            to,
        })
    }
}
