//! The order of the calls that wait for one action's next turn. Pure: the time comes in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

use super::Priority;

/// Calls that may be made at once after a pause. Small, because the API may count whole seconds:
/// then burst + rate calls fall into one.
const BURST: u32 = 4;

/// How many turns in a row may go past the longest waiting call: one in five is its own.
const OVERTAKINGS: u32 = 4;

/// A place in the queue. The lower goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    priority: Priority,
    number: u64,
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is not the first.
    AfterOthers,
    /// It is the first, and the next turn is then.
    At(Instant),
    /// It may be made, and has left the queue.
    Now,
}

/// Those who wait, each with what wakes it.
pub(super) struct Queue<W> {
    interval: Duration,
    /// When a call would be on time if calls came at the rate exactly; earlier by a burst is allowed.
    due: Option<Instant>,
    waiting: BTreeMap<Place, W>,
    /// The same by age.
    ages: BTreeSet<(u64, Priority)>,
    last: u64,
    overtaken: u32,
}

impl<W> Queue<W> {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            due: None,
            waiting: BTreeMap::new(),
            ages: BTreeSet::new(),
            last: 0,
            overtaken: 0,
        }
    }

    /// Takes a place, unless the turn cannot come by the deadline even if nobody overtakes.
    pub(super) fn join(
        &mut self,
        priority: Priority,
        waker: W,
        (now, deadline): (Instant, Instant),
    ) -> Option<Place> {
        let ahead = self.ages.iter().filter(|(_, theirs)| *theirs <= priority);
        let ahead = u32::try_from(ahead.count()).unwrap_or(u32::MAX);
        if self.next_turn(now) + self.interval.saturating_mul(ahead) > deadline {
            return None;
        }
        self.last += 1;
        let place = Place {
            priority,
            number: self.last,
        };
        self.waiting.insert(place, waker);
        self.ages.insert((place.number, priority));
        Some(place)
    }

    /// Lets the call go if it is its turn.
    pub(super) fn try_go(&mut self, place: Place, now: Instant) -> Turn {
        if self.first() != Some(place) {
            return Turn::AfterOthers;
        }
        let turn = self.next_turn(now);
        if turn > now {
            return Turn::At(turn);
        }
        self.due = Some(self.due.map_or(now, |due| due.max(now)) + self.interval);
        self.overtaken = if self.oldest() == Some(place) {
            0
        } else {
            self.overtaken + 1
        };
        self.leave(place);
        Turn::Now
    }

    /// Gives the place up; nothing happens where it was given up before.
    pub(super) fn leave(&mut self, place: Place) {
        self.waiting.remove(&place);
        self.ages.remove(&(place.number, place.priority));
    }

    /// What wakes whoever is first.
    pub(super) fn first_waker(&self) -> Option<&W> {
        self.waiting.get(&self.first()?)
    }

    fn first(&self) -> Option<Place> {
        if self.overtaken >= OVERTAKINGS {
            return self.oldest();
        }
        self.waiting.keys().next().copied()
    }

    fn oldest(&self) -> Option<Place> {
        let (number, priority) = *self.ages.first()?;
        Some(Place { priority, number })
    }

    fn next_turn(&self, now: Instant) -> Instant {
        let burst = self.interval * (BURST - 1);
        let earliest = self.due.and_then(|due| due.checked_sub(burst));
        earliest.map_or(now, |earliest| earliest.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_millis(50);

    fn priority() -> impl Strategy<Value = Priority> {
        prop_oneof![
            Just(Priority::Drain),
            Just(Priority::Young),
            Just(Priority::Rest)
        ]
    }

    /// What happens to a queue: a call joins, leaves, or time passes and whoever may go goes.
    #[derive(Clone, Debug)]
    enum Step {
        Join(Priority),
        Leave(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => priority().prop_map(Step::Join),
            1 => any::<usize>().prop_map(Step::Leave),
            4 => (0_u64..120).prop_map(Step::Pass),
        ]
    }

    /// Lets everybody go who may, and returns them in their order.
    fn run(queue: &mut Queue<Place>, now: Instant) -> Vec<Place> {
        let mut went = vec![];
        while let Some(first) = queue.first() {
            match queue.try_go(first, now) {
                Turn::Now => went.push(first),
                Turn::At(_) | Turn::AfterOthers => break,
            }
        }
        went
    }

    fn join(queue: &mut Queue<Place>, priority: Priority, now: Instant) -> Place {
        let unused = Place {
            priority,
            number: 0,
        };
        let far = now + Duration::from_hours(24);
        queue.join(priority, unused, (now, far)).unwrap()
    }

    proptest! {
        #[test]
        fn the_rate_the_order_and_the_fairness_hold(steps in prop::collection::vec(step(), 1..300)) {
            let (mut queue, mut now) = (Queue::new(INTERVAL), Instant::now());
            let (mut waiting, mut turns): (Vec<Place>, Vec<Instant>) = (vec![], vec![]);
            // How many turns went past each call since it asked, and how many older ones there were.
            let mut passed: BTreeMap<Place, (u32, u32)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Join(priority) => {
                        let place = join(&mut queue, priority, now);
                        passed.insert(place, (0, u32::try_from(waiting.len()).unwrap()));
                        waiting.push(place);
                    }
                    Step::Leave(index) if !waiting.is_empty() => {
                        let place = waiting.remove(index % waiting.len());
                        queue.leave(place);
                    }
                    Step::Leave(_) => {}
                    Step::Pass(millis) => now += Duration::from_millis(millis),
                }
                for place in run(&mut queue, now) {
                    let oldest = waiting[0];
                    let best = *waiting.iter().min().unwrap();
                    prop_assert!(place == best || place == oldest, "{place:?} of {waiting:?}");
                    waiting.retain(|one| *one != place);
                    for one in &waiting {
                        let (past, older) = passed.get_mut(one).unwrap();
                        *past += 1;
                        prop_assert!(*past < (OVERTAKINGS + 1) * (*older + 1), "{one:?} starves");
                    }
                    turns.push(now);
                }
            }
            for (i, start) in turns.iter().enumerate() {
                let second = |turn: &&Instant| **turn - *start < Duration::from_secs(1);
                let within = turns[i..].iter().filter(second).count();
                prop_assert!(within <= 24, "{within} calls in one second");
            }
        }

        #[test]
        fn a_drain_waits_for_at_most_one_turn_of_the_others(others in prop::collection::vec(priority(), 0..50), before in 0_usize..60) {
            let (mut queue, now) = (Queue::new(INTERVAL), Instant::now());
            for priority in others.iter().filter(|priority| **priority != Priority::Drain) {
                join(&mut queue, *priority, now);
            }
            let mut later = now;
            for _ in 0..before {
                later += INTERVAL;
                run(&mut queue, later);
            }
            run(&mut queue, later);
            let place = join(&mut queue, Priority::Drain, later);
            let mut went = run(&mut queue, later);
            went.extend(run(&mut queue, later + INTERVAL));
            went.extend(run(&mut queue, later + 2 * INTERVAL));
            let at = went.iter().position(|one| *one == place);
            prop_assert!(at.is_some_and(|at| at <= 1), "{went:?}");
        }
    }

    #[test]
    fn an_idle_queue_lets_a_burst_go_and_no_more() {
        let (mut queue, now) = (Queue::new(INTERVAL), Instant::now());
        let places: Vec<Place> = (0..6)
            .map(|_| join(&mut queue, Priority::Rest, now))
            .collect();
        assert_eq!(run(&mut queue, now), places[..4]);
        assert_eq!(queue.try_go(places[4], now), Turn::At(now + INTERVAL));
        assert_eq!(queue.try_go(places[5], now), Turn::AfterOthers);
        assert_eq!(run(&mut queue, now + INTERVAL), places[4..5]);
    }
}
