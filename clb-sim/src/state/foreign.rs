//! Somebody else who binds and unbinds targets at an interval, without asking: a foreign writer.

use super::ids::mix;
use super::parts::{Binding, Effect, TargetKey};
use super::{Call, Model};
use crate::clock::Millis;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// What it writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForeignWriter {
    load_balancer: String,
    listener: String,
    /// A rule of a layer-7 listener.
    location: Option<String>,
    every_ms: u32,
    /// The first of its addresses; it changes each in turn.
    #[serde(default = "first_address")]
    first_ip: Ipv4Addr,
    /// How many addresses.
    #[serde(default = "addresses")]
    addresses: u8,
    #[serde(default = "port")]
    port: u16,
    tag: Option<String>,
    #[serde(default)]
    seed: u64,
}

/// Outside the ranges that pods have.
fn first_address() -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, 1)
}

fn addresses() -> u8 {
    8
}

fn port() -> u16 {
    80
}

/// A writer at work.
#[derive(Debug)]
pub(super) struct AtWork {
    what: ForeignWriter,
    next: Millis,
    turn: u64,
}

impl Model {
    /// Sets a writer to work; its first turn is after one interval.
    pub(crate) fn set_to_work(&mut self, what: ForeignWriter, now: Millis) -> Result<(), String> {
        if what.every_ms == 0 || what.addresses == 0 {
            return Err("every_ms and addresses must be above 0".to_owned());
        }
        let next = now + Millis::from(what.every_ms);
        self.writers.push(AtWork {
            what,
            next,
            turn: 0,
        });
        self.revision.structure += 1;
        Ok(())
    }

    /// Sends all writers home; what they bound stays.
    pub(crate) fn send_home(&mut self) {
        self.writers.clear();
    }

    /// Lets every turn that is due happen.
    pub(super) fn let_write(&mut self, now: Millis) {
        let mut writers = std::mem::take(&mut self.writers);
        for writer in &mut writers {
            while writer.next <= now {
                self.turn(writer);
                writer.next += Millis::from(writer.what.every_ms);
                writer.turn += 1;
            }
        }
        self.writers = writers;
    }

    /// When the next turn is.
    pub(super) fn next_turn(&self) -> Option<Millis> {
        self.writers.iter().map(|writer| writer.next).min()
    }

    /// Binds one of its addresses, or unbinds it if it is bound.
    fn turn(&mut self, writer: &AtWork) {
        let what = &writer.what;
        let number = mix(what.seed ^ mix(writer.turn)) % u64::from(what.addresses);
        let ip = what.first_ip.to_bits() + u32::try_from(number).unwrap_or(0);
        let key = TargetKey {
            listener_id: what.listener.clone(),
            location_id: what.location.clone(),
            address: SocketAddr::from((Ipv4Addr::from_bits(ip), what.port)),
        };
        let Some(bound) = self.is_bound(&what.load_balancer, &key) else {
            return;
        };
        let effect = if bound {
            Effect::Unbind(vec![key])
        } else {
            let tag = what.tag.clone();
            let weight = 0;
            Effect::Bind(vec![Binding { key, weight, tag }])
        };
        let call = Call::operator(writer.next, String::new());
        // A load balancer it may not write to, it leaves alone.
        let _ = self.begin(&call, &what.load_balancer, effect);
    }

    /// Whether the target is bound; none if there is no such listener or rule.
    fn is_bound(&self, load_balancer: &str, key: &TargetKey) -> Option<bool> {
        let listener = self.load_balancers.get(load_balancer)?;
        let listener = listener.listener(&key.listener_id)?;
        let mut places = listener.places();
        let place = places.find(|place| place.location_id == key.location_id.as_deref())?;
        Some(place.targets.contains_key(&key.address))
    }
}
