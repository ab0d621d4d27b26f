//! The calls-per-second limit, one for each action, as the API counts them, and who goes first when
//! there are more calls than turns.
//!
//! Who waits holds a place in the action's [`Queue`] and leaves it by going, by giving up at its
//! deadline or by being dropped. Only the first sleeps until the next turn; whoever leaves wakes the
//! first. A caller whose turn cannot come before its deadline is told so at once.

mod queue;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use queue::{Place, Queue, Turn};

/// Which calls go first when there are more than the limit allows. Of the same priority, the first
/// to ask goes first; and one turn in five is always the longest waiting call's, whatever its
/// priority, so that none waits for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// A target that is about to stop must get no new connection.
    Drain,
    /// Somebody waits for a target to be bound, as a readiness gate does.
    Young,
    /// Nobody waits.
    #[default]
    Rest,
}

pub(crate) struct Limiter {
    interval: Duration,
    queues: Mutex<HashMap<&'static str, Queue<Arc<Notify>>>>,
}

impl Limiter {
    pub(crate) fn new(calls_per_second: NonZeroU32) -> Self {
        Self {
            interval: Duration::from_secs(1) / calls_per_second.get(),
            queues: Mutex::default(),
        }
    }

    /// Waits until the call may be made; `false` when that would be after `deadline`.
    pub(crate) async fn turn(
        &self,
        action: &'static str,
        priority: Priority,
        deadline: Instant,
    ) -> bool {
        let bell = Arc::new(Notify::new());
        let joined = self.with(action, |queue| {
            queue.join(priority, Arc::clone(&bell), (Instant::now(), deadline))
        });
        let Some(place) = joined else { return false };
        // Leaves the queue however this ends.
        let waiting = Waiting {
            limiter: self,
            action,
            place,
        };
        loop {
            let wake = match waiting.try_go() {
                Turn::Now => return true,
                Turn::At(at) => at.min(deadline),
                Turn::AfterOthers => deadline,
            };
            let _ = timeout_at(wake, bell.notified()).await;
            // A turn at the very deadline is in time.
            if Instant::now() >= deadline {
                return matches!(waiting.try_go(), Turn::Now);
            }
        }
    }

    fn with<T>(&self, action: &'static str, act: impl FnOnce(&mut Queue<Arc<Notify>>) -> T) -> T {
        // A poisoned lock guards queues whose every change is a few moves that cannot panic.
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        act(queues
            .entry(action)
            .or_insert_with(|| Queue::new(self.interval)))
    }
}

struct Waiting<'a> {
    limiter: &'a Limiter,
    action: &'static str,
    place: Place,
}

impl Waiting<'_> {
    fn try_go(&self) -> Turn {
        let now = Instant::now();
        self.limiter
            .with(self.action, |queue| queue.try_go(self.place, now))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.limiter.with(self.action, |queue| {
            queue.leave(self.place);
            if let Some(bell) = queue.first_waker() {
                bell.notify_one();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex as Log;
    use tokio::task::JoinSet;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter() -> Arc<Limiter> {
        Arc::new(Limiter::new(NonZeroU32::new(20).unwrap()))
    }

    /// Uses up the burst.
    async fn busy(limiter: &Limiter) {
        for _ in 0..4 {
            assert!(limiter.turn("A", Priority::Rest, Instant::now()).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_burst_turns_come_at_the_rate() {
        let (limiter, start) = (limiter(), Instant::now());
        let mut waits = vec![];
        for _ in 0..8 {
            assert!(limiter.turn("A", Priority::Rest, start + SECOND).await);
            waits.push(start.elapsed().as_millis());
        }
        assert_eq!(waits, [0, 0, 0, 0, 50, 100, 150, 200]);
        let other = limiter.turn("B", Priority::Rest, Instant::now()).await;
        assert!(other, "each action has its own limit");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_later_with_a_higher_priority_goes_first() {
        let (limiter, start) = (limiter(), Instant::now());
        busy(&limiter).await;
        let order = Arc::new(Log::new(vec![]));
        let mut calls = JoinSet::new();
        let asked = [
            ("rest 1", Priority::Rest),
            ("rest 2", Priority::Rest),
            ("young", Priority::Young),
            ("drain", Priority::Drain),
        ];
        for (name, priority) in asked {
            let (limiter, order) = (limiter.clone(), order.clone());
            calls.spawn(async move {
                assert!(limiter.turn("A", priority, start + SECOND).await);
                order
                    .lock()
                    .unwrap()
                    .push((name, start.elapsed().as_millis()));
            });
            tokio::task::yield_now().await;
        }
        calls.join_all().await;
        let expected = [
            ("drain", 50),
            ("young", 100),
            ("rest 1", 150),
            ("rest 2", 200),
        ];
        assert_eq!(*order.lock().unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_after_the_deadline_is_refused_at_once_and_not_used_up() {
        let (limiter, start) = (limiter(), Instant::now());
        busy(&limiter).await;
        let wait = Duration::from_millis(50);
        assert!(!limiter.turn("A", Priority::Rest, start + wait / 2).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(limiter.turn("A", Priority::Rest, start + wait).await);
        assert_eq!(start.elapsed(), wait);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_or_is_too_late_leaves_its_place_to_the_next() {
        let (limiter, start) = (limiter(), Instant::now());
        busy(&limiter).await;
        let mut calls = JoinSet::new();
        // The first is dropped while it sleeps for its turn; the overtaken one is late.
        let (gone, late, next) = (limiter.clone(), limiter.clone(), limiter.clone());
        let first =
            calls.spawn(async move { gone.turn("A", Priority::Rest, start + SECOND).await });
        tokio::task::yield_now().await;
        let by = start + Duration::from_millis(100);
        calls.spawn(async move { late.turn("A", Priority::Rest, by).await });
        tokio::task::yield_now().await;
        for _ in 0..3 {
            let limiter = next.clone();
            calls.spawn(async move { limiter.turn("A", Priority::Drain, start + SECOND).await });
        }
        tokio::task::yield_now().await;
        first.abort();
        let mut went = vec![];
        while let Some(call) = calls.join_next().await {
            went.extend(call.ok().map(|go| (go, start.elapsed().as_millis())));
        }
        went.sort_unstable();
        assert_eq!(went, [(false, 100), (true, 50), (true, 100), (true, 150)]);
    }
}
