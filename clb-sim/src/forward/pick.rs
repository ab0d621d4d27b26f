//! Which target a new connection goes to: pure, so that the rules can be tested by the thousand.
//!
//! Only targets with a weight above 0 count. Healthy ones share the connections; if there is none,
//! the dead ones do (a CLB that finds all targets dead treats them as alive). A target that was
//! never judged gets nothing.

use crate::health::machine::Verdict;
use crate::state::parts::{Listener, Scheduler};
use std::net::SocketAddr;

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

/// The targets of a listener and how much each has had lately.
#[derive(Debug)]
pub(crate) struct Wheel {
    scheduler: Scheduler,
    spokes: Vec<Spoke>,
}

#[derive(Debug)]
struct Spoke {
    offer: Offer,
    /// Smooth weighted round robin: what this target is owed.
    owed: i64,
    /// Live connections.
    live: usize,
}

/// What a listener has to offer. Without health check everyone counts as healthy.
pub(crate) fn offers(listener: &Listener) -> Vec<Offer> {
    let checks = listener.checks();
    let offer = |(address, target): (&SocketAddr, &crate::state::parts::Target)| Offer {
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
    listener.targets.iter().map(offer).collect()
}

impl Wheel {
    pub(crate) fn new(scheduler: Scheduler) -> Self {
        Self {
            scheduler,
            spokes: Vec::new(),
        }
    }

    /// Replaces scheduler and offers; targets that stay keep their turn and their count. Both lists
    /// are in the order of seats.
    pub(crate) fn set(&mut self, scheduler: Scheduler, offers: Vec<Offer>) {
        self.scheduler = scheduler;
        let mut old = std::mem::take(&mut self.spokes).into_iter().peekable();
        for offer in offers {
            while old.next_if(|spoke| spoke.offer.seat < offer.seat).is_some() {}
            let known = old.next_if(|spoke| spoke.offer.seat == offer.seat);
            let (owed, live) = known.map_or((0, 0), |spoke| (spoke.owed, spoke.live));
            self.spokes.push(Spoke { offer, owed, live });
        }
    }

    /// The target of a new connection, which counts as live from now on.
    pub(crate) fn pick(&mut self) -> Option<Seat> {
        let wanted = self.eligible()?;
        let scheduler = self.scheduler;
        let candidates = self
            .spokes
            .iter_mut()
            .filter(|spoke| spoke.may_serve(wanted));
        let chosen = match scheduler {
            Scheduler::Wrr => next_in_turn(candidates),
            Scheduler::LeastConn => least_loaded(candidates),
        }?;
        chosen.live += 1;
        Some(chosen.offer.seat)
    }

    /// The same for a client that had this target before: whether it may have it again.
    pub(crate) fn pick_again(&mut self, seat: Seat) -> bool {
        let wanted = self.eligible();
        let spoke = self
            .spokes
            .iter_mut()
            .find(|spoke| spoke.offer.seat == seat);
        let Some(spoke) = spoke.filter(|spoke| wanted.is_some_and(|each| spoke.may_serve(each)))
        else {
            return false;
        };
        spoke.live += 1;
        true
    }

    /// A connection has ended.
    pub(crate) fn release(&mut self, seat: Seat) {
        if let Some(spoke) = self
            .spokes
            .iter_mut()
            .find(|spoke| spoke.offer.seat == seat)
        {
            spoke.live = spoke.live.saturating_sub(1);
        }
    }

    pub(crate) fn holds(&self, seat: Seat) -> bool {
        self.spokes.iter().any(|spoke| spoke.offer.seat == seat)
    }

    fn eligible(&self) -> Option<Verdict> {
        [Verdict::Alive, Verdict::Dead]
            .into_iter()
            .find(|verdict| self.spokes.iter().any(|spoke| spoke.may_serve(*verdict)))
    }
}

impl Spoke {
    fn may_serve(&self, verdict: Verdict) -> bool {
        self.offer.weight > 0 && self.offer.verdict == verdict
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn offer(number: u8, weight: u8, verdict: Verdict) -> Offer {
        Offer {
            seat: Seat {
                address: SocketAddr::from(([10, 0, 0, number], 80)),
                generation: u64::from(number),
            },
            weight,
            verdict,
        }
    }

    fn wheel(scheduler: Scheduler, offers: Vec<Offer>) -> Wheel {
        let mut wheel = Wheel::new(scheduler);
        wheel.set(scheduler, offers);
        wheel
    }

    fn tally(wheel: &mut Wheel, picks: usize) -> BTreeMap<u64, usize> {
        let mut tally = BTreeMap::new();
        for _ in 0..picks {
            if let Some(seat) = wheel.pick() {
                *tally.entry(seat.generation).or_default() += 1;
            }
        }
        tally
    }

    #[test]
    fn turns_follow_the_weights_smoothly() {
        let offers = vec![
            offer(1, 5, Verdict::Alive),
            offer(2, 1, Verdict::Alive),
            offer(3, 1, Verdict::Alive),
        ];
        let mut wheel = wheel(Scheduler::Wrr, offers);
        let order: Vec<u64> = (0..7)
            .filter_map(|_| Some(wheel.pick()?.generation))
            .collect();
        assert_eq!(order, [1, 1, 2, 1, 3, 1, 1]);
    }

    #[test]
    fn least_conn_fills_the_emptiest() {
        let mut wheel = wheel(
            Scheduler::LeastConn,
            vec![offer(1, 10, Verdict::Alive), offer(2, 10, Verdict::Alive)],
        );
        let first = wheel.pick().unwrap();
        let second = wheel.pick().unwrap();
        assert_ne!(first, second);
        wheel.release(second);
        assert_eq!(wheel.pick(), Some(second));
    }

    #[test]
    fn a_target_that_stays_keeps_its_connections() {
        let both = vec![offer(1, 1, Verdict::Alive), offer(3, 1, Verdict::Alive)];
        let mut wheel = wheel(Scheduler::LeastConn, both);
        assert_eq!(tally(&mut wheel, 4), BTreeMap::from([(1, 2), (3, 2)]));
        let three = (1..=3)
            .map(|number| offer(number, 1, Verdict::Alive))
            .collect();
        wheel.set(Scheduler::LeastConn, three);
        assert_eq!(tally(&mut wheel, 2), BTreeMap::from([(2, 2)]));
    }

    #[test]
    fn a_target_is_had_again_only_while_it_may_serve() {
        let offers = |weight, verdict| vec![offer(1, weight, verdict), offer(2, 9, Verdict::Alive)];
        let mut wheel = wheel(Scheduler::LeastConn, offers(1, Verdict::Alive));
        let [first, second] = [1, 2].map(|number| offer(number, 1, Verdict::Alive).seat);
        assert!(wheel.pick_again(first));
        assert_eq!(wheel.pick(), Some(second), "it counts as live");
        wheel.set(Scheduler::Wrr, offers(0, Verdict::Alive));
        assert!(!wheel.pick_again(first), "weight 0 takes no new connection");
        wheel.set(Scheduler::Wrr, offers(1, Verdict::Dead));
        assert!(!wheel.pick_again(first));
        wheel.set(Scheduler::Wrr, Vec::new());
        assert!(!wheel.pick_again(first));
    }

    fn any_offers() -> impl Strategy<Value = Vec<Offer>> {
        let verdict = prop_oneof![
            Just(Verdict::Unknown),
            Just(Verdict::Alive),
            Just(Verdict::Dead)
        ];
        prop::collection::vec((0_u8..=100, verdict), 0..12).prop_map(|all| {
            let numbered = all.into_iter().zip(1..);
            numbered
                .map(|((weight, verdict), number)| offer(number, weight, verdict))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn traffic_goes_where_the_rules_say(offers in any_offers(), least: bool) {
            let scheduler = if least { Scheduler::LeastConn } else { Scheduler::Wrr };
            let tally = tally(&mut wheel(scheduler, offers.clone()), 200);
            let weighted = |verdict| offers.iter().filter(move |offer| offer.weight > 0 && offer.verdict == verdict);
            let alive = weighted(Verdict::Alive).count();
            let wanted = if alive > 0 { Verdict::Alive } else { Verdict::Dead };
            let allowed: Vec<u64> = weighted(wanted).map(|offer| offer.seat.generation).collect();
            prop_assert!(tally.keys().all(|generation| allowed.contains(generation)));
            prop_assert_eq!(tally.is_empty(), allowed.is_empty());
        }

        #[test]
        fn shares_are_exact_over_a_full_round(weights in prop::collection::vec(1_u8..=20, 1..8)) {
            let offers: Vec<Offer> = weights.iter().zip(1..).map(|(weight, number)| offer(number, *weight, Verdict::Alive)).collect();
            let round: usize = weights.iter().map(|weight| usize::from(*weight)).sum();
            let tally = tally(&mut wheel(Scheduler::Wrr, offers.clone()), round * 3);
            for offer in offers {
                prop_assert_eq!(tally[&offer.seat.generation], usize::from(offer.weight) * 3);
            }
        }
    }
}
