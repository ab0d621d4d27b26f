//! Which target a new connection goes to: pure, so that the rules can be tested by the thousand.
//!
//! Only targets with a weight above 0 count. Healthy ones share the connections; if there is none,
//! the dead ones do (a CLB that finds all targets dead treats them as alive). A target that was
//! never judged gets nothing. On layer 7 a healthy target that failed several requests in a row is
//! passed over for a while, unless all have.

use super::trouble::Trouble;
use crate::health::machine::Verdict;
use crate::state::ids::mix;
use crate::state::parts::{Place, RuleScheduler, Target};
use std::net::{IpAddr, SocketAddr};
use tokio::time::Instant;

/// A target as the balancer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) seat: Seat,
    pub(crate) weight: u8,
    pub(crate) verdict: Verdict,
}

/// One binding of an ip:port; bound anew it is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Seat {
    pub(crate) address: SocketAddr,
    pub(crate) generation: u64,
}

/// Who a connection or request is from, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) address: IpAddr,
    pub(crate) now: Instant,
}

/// The targets of a listener or rule and how much each has had lately.
#[derive(Debug)]
pub(crate) struct Wheel {
    scheduler: RuleScheduler,
    spokes: Vec<Spoke>,
}

#[derive(Debug)]
struct Spoke {
    offer: Offer,
    /// Smooth weighted round robin: what this target is owed.
    owed: i64,
    /// Live connections.
    live: usize,
    trouble: Trouble,
}

/// Which targets are asked: those with this verdict, and maybe not those in trouble.
#[derive(Clone, Copy)]
struct Wanted {
    verdict: Verdict,
    untroubled: bool,
}

/// What a listener or rule has to offer. Without health check everyone counts as healthy.
pub(crate) fn offers(place: &Place<'_>) -> Vec<Offer> {
    let checks = place.check.is_some_and(|check| check.on);
    let offer = |(address, target): (&SocketAddr, &Target)| Offer {
        seat: Seat {
            address: *address,
            generation: target.generation,
        },
        weight: target.weight,
        verdict: if checks {
            target.health.verdict
        } else {
            Verdict::Alive
        },
    };
    place.targets.iter().map(offer).collect()
}

impl Seat {
    /// What stands for this target in a client's cookie: not its address.
    pub(crate) fn token(&self) -> u128 {
        let address = match self.address.ip() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        let high = mixed(address) ^ u64::from(self.address.port());
        u128::from(mix(high)) << 64 | u128::from(mix(mix(high)))
    }
}

impl Wheel {
    pub(crate) fn new(scheduler: RuleScheduler) -> Self {
        Self {
            scheduler,
            spokes: Vec::new(),
        }
    }

    /// Replaces scheduler and offers; targets that stay keep their turn and their count. Both lists
    /// are in the order of seats.
    pub(crate) fn set(&mut self, scheduler: RuleScheduler, offers: Vec<Offer>) {
        self.scheduler = scheduler;
        let mut old = std::mem::take(&mut self.spokes).into_iter().peekable();
        for offer in offers {
            while old.next_if(|spoke| spoke.offer.seat < offer.seat).is_some() {}
            let spoke = match old.next_if(|spoke| spoke.offer.seat == offer.seat) {
                Some(known) => Spoke { offer, ..known },
                None => Spoke {
                    offer,
                    owed: 0,
                    live: 0,
                    trouble: Trouble::default(),
                },
            };
            self.spokes.push(spoke);
        }
    }

    /// The target of a new connection, which counts as live from now on.
    pub(crate) fn pick(&mut self, visitor: Visitor) -> Option<Seat> {
        let now = visitor.now;
        let wanted = self.eligible(now)?;
        let scheduler = self.scheduler;
        let spokes = self.spokes.iter_mut();
        let candidates = spokes.filter(|spoke| spoke.may_serve(wanted, now));
        let chosen = match scheduler {
            RuleScheduler::Wrr => next_in_turn(candidates),
            RuleScheduler::LeastConn => least_loaded(candidates),
            RuleScheduler::IpHash => at_lot(visitor.address, candidates.collect()),
        }?;
        chosen.live += 1;
        Some(chosen.offer.seat)
    }

    /// The same for a client that had this target before: whether it may have it again.
    pub(crate) fn pick_again(&mut self, seat: Seat, now: Instant) -> bool {
        let wanted = self.eligible(now);
        let spoke = self
            .spokes
            .iter_mut()
            .find(|spoke| spoke.offer.seat == seat);
        let may = |spoke: &&mut Spoke| wanted.is_some_and(|each| spoke.may_serve(each, now));
        let Some(spoke) = spoke.filter(may) else {
            return false;
        };
        spoke.live += 1;
        true
    }

    /// The target that this cookie's value stands for.
    pub(crate) fn by_token(&self, token: u128) -> Option<Seat> {
        let mut seats = self.spokes.iter().map(|spoke| spoke.offer.seat);
        seats.find(|seat| seat.token() == token)
    }

    /// A connection has ended.
    pub(crate) fn release(&mut self, seat: Seat) {
        if let Some(spoke) = self.spoke(seat) {
            spoke.live = spoke.live.saturating_sub(1);
        }
    }

    /// How a request to a target of layer 7 went.
    pub(crate) fn tell(&mut self, seat: Seat, good: bool, now: Instant) {
        if let Some(spoke) = self.spoke(seat) {
            spoke.trouble = spoke.trouble.after(good, now);
        }
    }

    pub(crate) fn holds(&self, seat: Seat) -> bool {
        self.spokes.iter().any(|spoke| spoke.offer.seat == seat)
    }

    fn spoke(&mut self, seat: Seat) -> Option<&mut Spoke> {
        self.spokes
            .iter_mut()
            .find(|spoke| spoke.offer.seat == seat)
    }

    fn eligible(&self, now: Instant) -> Option<Wanted> {
        let untroubled = Wanted {
            verdict: Verdict::Alive,
            untroubled: true,
        };
        let any = |verdict| Wanted {
            verdict,
            untroubled: false,
        };
        [untroubled, any(Verdict::Alive), any(Verdict::Dead)]
            .into_iter()
            .find(|wanted| {
                self.spokes
                    .iter()
                    .any(|spoke| spoke.may_serve(*wanted, now))
            })
    }
}

impl Spoke {
    fn may_serve(&self, wanted: Wanted, now: Instant) -> bool {
        self.offer.weight > 0
            && self.offer.verdict == wanted.verdict
            && !(wanted.untroubled && self.trouble.keeps_away(now))
    }
}

/// Everyone is owed its weight; who is owed most serves and pays for the round.
fn next_in_turn<'a>(candidates: impl Iterator<Item = &'a mut Spoke>) -> Option<&'a mut Spoke> {
    let mut round = 0;
    let mut best: Option<&mut Spoke> = None;
    for spoke in candidates {
        let weight = i64::from(spoke.offer.weight);
        spoke.owed += weight;
        round += weight;
        if best.as_ref().is_none_or(|leader| spoke.owed > leader.owed) {
            best = Some(spoke);
        }
    }
    let best = best?;
    best.owed -= round;
    Some(best)
}

/// The least connections per weight, counting the new one.
fn least_loaded<'a>(candidates: impl Iterator<Item = &'a mut Spoke>) -> Option<&'a mut Spoke> {
    candidates.min_by(|one, other| {
        let load = |spoke: &Spoke, by: &Spoke| (spoke.live + 1) * usize::from(by.offer.weight);
        load(one, other).cmp(&load(other, one))
    })
}

/// An address's lot among `sum` of them.
fn lot(address: IpAddr, sum: u64) -> u64 {
    let bits = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    mixed(bits).checked_rem(sum).unwrap_or(0)
}

fn mixed(bits: u128) -> u64 {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0);
    mix(half(bits) ^ mix(half(bits >> 64)))
}

/// Each target holds as many lots as it weighs.
fn at_lot(address: IpAddr, candidates: Vec<&mut Spoke>) -> Option<&mut Spoke> {
    let weight = |spoke: &Spoke| u64::from(spoke.offer.weight);
    let sum = candidates.iter().map(|spoke| weight(spoke)).sum();
    let lot = lot(address, sum);
    let mut passed = 0;
    candidates.into_iter().find(|spoke| {
        passed += weight(spoke);
        lot < passed
    })
}

#[cfg(test)]
#[path = "pick_tests.rs"]
mod tests;
