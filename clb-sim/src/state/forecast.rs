//! Health foretold: targets that nobody probes, because the operator says from when on they are Alive.
//! For targets that exist on paper only, and where that moment must be known to the millisecond.

use super::Model;
use super::event::Event;
use super::parts::TargetKey;
use crate::clock::Millis;
use crate::health::machine::Health;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// What was foretold.
#[derive(Debug, Default)]
pub(crate) struct Forecast {
    /// From when on an address is Alive; none: not before more is said.
    alive_at: BTreeMap<SocketAddr, Option<Millis>>,
    /// What has not come true yet.
    ahead: BTreeSet<(Millis, SocketAddr)>,
}

impl Forecast {
    /// Whether this address is not probed.
    pub(crate) fn covers(&self, address: &SocketAddr) -> bool {
        self.alive_at.contains_key(address)
    }

    /// Everything that was said, by address.
    pub(crate) fn said(&self) -> impl Iterator<Item = (&SocketAddr, Option<Millis>)> {
        self.alive_at.iter().map(|(address, at)| (address, *at))
    }

    /// The health with which a target at this address begins when it is bound.
    pub(super) fn at_first(&self, address: &SocketAddr, now: Millis) -> Health {
        let alive_at = self.alive_at.get(address).copied().flatten();
        if alive_at.is_some_and(|at| at <= now) {
            return Health::alive();
        }
        Health::default()
    }

    /// When something comes true next.
    pub(super) fn next(&self) -> Option<Millis> {
        self.ahead.first().map(|(at, _)| *at)
    }

    fn say(&mut self, address: SocketAddr, alive_at: Option<Millis>) {
        let before = self.alive_at.insert(address, alive_at).flatten();
        if let Some(before) = before {
            self.ahead.remove(&(before, address));
        }
        self.ahead.extend(alive_at.map(|at| (at, address)));
    }

    fn take_due(&mut self, now: Millis) -> Option<SocketAddr> {
        let due = self.ahead.pop_first()?;
        if due.0 <= now {
            return Some(due.1);
        }
        self.ahead.insert(due);
        None
    }
}

impl Model {
    /// These addresses are not probed any more: Unknown until their moment, Alive from then on.
    pub(crate) fn foretell(
        &mut self,
        targets: impl IntoIterator<Item = (SocketAddr, Option<Millis>)>,
        now: Millis,
    ) {
        for (address, alive_at) in targets {
            self.forecast.say(address, alive_at);
            let health = self.forecast.at_first(&address, now);
            self.judge(address, health);
        }
        // Whoever probes must look again.
        self.revision.structure += 1;
        self.come_true(now);
    }

    /// All addresses are probed again; until probes have judged them they stay as they are.
    pub(crate) fn forget_forecast(&mut self) {
        self.forecast = Forecast::default();
        self.revision.structure += 1;
    }

    /// Lets everything happen whose moment has come.
    pub(super) fn come_true(&mut self, now: Millis) {
        while let Some(address) = self.forecast.take_due(now) {
            self.judge(address, Health::alive());
        }
    }

    fn judge(&mut self, address: SocketAddr, health: Health) {
        let before = self.events.len();
        for found in self.load_balancers.values_mut() {
            for listener in &mut found.listeners {
                let listener_id = listener.id.clone();
                for (location, _, targets) in listener.places_mut() {
                    let Some(target) = targets.get_mut(&address) else {
                        continue;
                    };
                    let from = std::mem::replace(&mut target.health, health).verdict;
                    let event = || Event::Judged {
                        key: TargetKey {
                            listener_id: listener_id.clone(),
                            location_id: location.map(str::to_owned),
                            address,
                        },
                        from,
                        to: health.verdict,
                    };
                    self.events.extend((from != health.verdict).then(event));
                }
            }
        }
        self.revision.health += u64::from(self.events.len() > before);
    }
}
