//! When to write a gate again that could not be written. Pure.
//!
//! A patch that the API server does not take would otherwise be made again with every look at the pods, as
//! fast as the answers come.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use runtime::CallError;
use tokio::time::Instant;

use crate::pod::PodRecord;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// The longest while the API server is in trouble, or somebody else is faster: it may be over any moment.
const SOON: Duration = Duration::from_secs(5);
/// The longest where it says no: a person must change something.
const LATE: Duration = Duration::from_mins(1);

/// Why a patch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The pod is another one by now, or gone: the watch brings what it is.
    Overtaken,
    /// The API server did not answer, or is in trouble.
    Passing,
    /// It was refused.
    Refused,
}

/// Pods that were not written, by UID.
#[derive(Debug, Default)]
pub(crate) struct Pauses(HashMap<String, Pause>);

#[derive(Debug)]
struct Pause {
    why: Why,
    /// The version that was known then.
    version: u64,
    until: Instant,
    times: u32,
}

impl Why {
    /// By the API server's answer.
    pub(crate) fn of(error: &CallError) -> Self {
        if error.is_conflict() || error.is_not_found() {
            Self::Overtaken
        } else if error.is_transient() {
            Self::Passing
        } else {
            Self::Refused
        }
    }

    fn longest(self) -> Duration {
        match self {
            Self::Overtaken | Self::Passing => SOON,
            Self::Refused => LATE,
        }
    }
}

impl Pauses {
    /// Takes in that a patch was not taken; whether that is news of this pod.
    pub(crate) fn failed(&mut self, pod: &PodRecord, why: Why, now: Instant) -> bool {
        let before = self.0.get(&pod.uid).filter(|pause| pause.why == why);
        let times = before.map_or(0, |pause| pause.times);
        let pause = FIRST.saturating_mul(1 << times.min(10)).min(why.longest());
        let news = before.is_none();
        let pause = Pause {
            why,
            version: pod.version,
            until: now + pause,
            times: times.saturating_add(1),
        };
        self.0.insert(pod.uid.clone(), pause);
        news
    }

    /// Whether the pod may be written. Who was overtaken need not wait once the watch has caught up.
    pub(crate) fn over(&self, pod: &PodRecord, now: Instant) -> bool {
        self.0.get(&pod.uid).is_none_or(|pause| {
            let caught_up = pause.why == Why::Overtaken && pause.version != pod.version;
            caught_up || pause.until <= now
        })
    }

    /// It was written.
    pub(crate) fn written(&mut self, uid: &str) {
        self.0.remove(uid);
    }

    /// Forgets all but those that wait.
    pub(crate) fn keep<T>(&mut self, waiting: &BTreeMap<String, T>) {
        self.0.retain(|uid, _| waiting.contains_key(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::tests::pod;

    /// How long the pod pauses after so many failures.
    fn pause(why: Why, failures: u32) -> Duration {
        let (mut pauses, pod, mut now) = (Pauses::default(), pod("a", 1), Instant::now());
        for _ in 1..failures {
            pauses.failed(&pod, why, now);
            now += LATE;
        }
        pauses.failed(&pod, why, now);
        let step = FIRST / 2;
        let waits = (1..1000).find(|steps| pauses.over(&pod, now + step * *steps));
        step * waits.unwrap()
    }

    #[test]
    fn a_refused_patch_is_made_again_after_a_growing_pause() {
        assert_eq!(pause(Why::Refused, 1), FIRST);
        assert_eq!(pause(Why::Refused, 3), FIRST * 4);
        assert_eq!(pause(Why::Refused, 40), LATE);
        assert_eq!(pause(Why::Passing, 40), SOON);
    }

    #[test]
    fn a_refusal_is_news_once_until_the_gate_was_written() {
        let (mut pauses, pod, now) = (Pauses::default(), pod("a", 1), Instant::now());
        assert!(pauses.failed(&pod, Why::Refused, now));
        assert!(!pauses.failed(&pod, Why::Refused, now));
        pauses.written(&pod.uid);
        assert!(pauses.over(&pod, now) && pauses.failed(&pod, Why::Refused, now));
    }

    #[test]
    fn who_was_overtaken_waits_no_longer_than_the_watch() {
        let (mut pauses, old, now) = (Pauses::default(), pod("a", 1), Instant::now());
        let new = PodRecord {
            version: old.version + 1,
            ..old.clone()
        };
        pauses.failed(&old, Why::Overtaken, now);
        assert!(!pauses.over(&old, now) && pauses.over(&new, now));
        pauses.failed(&old, Why::Refused, now);
        assert!(!pauses.over(&new, now), "another version is refused alike");
    }
}
