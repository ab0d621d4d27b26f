//! Whether anybody leads, judged by one clock: ours. Pure, the time is a parameter.

use std::time::Duration;

use direct_access::names;
use runtime::lease::{LeaseConfig, Record, Seen, Step, next, observe};
use tokio::time::Instant;

/// A lease that was given back is taken by the next controller within a second or two; only one that
/// stays free for longer has nobody who wants it.
const VACANT: Duration = Duration::from_secs(4);

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leads {
    /// Somebody holds the lease, and was not silent for too long.
    Somebody(String),
    /// Too early to say.
    Perhaps,
    /// Nobody, and how that was seen.
    Nobody(String),
}

/// Watches a lease.
#[derive(Clone, Debug)]
pub struct LeaseWatch {
    config: LeaseConfig,
    seen: Option<Seen>,
    vacant_since: Option<Instant>,
}

impl LeaseWatch {
    /// For whoever would take it as `identity`.
    pub fn new(namespace: &str, identity: &str) -> Self {
        Self {
            config: LeaseConfig::new(namespace, names::LEASE, identity),
            seen: None,
            vacant_since: None,
        }
    }

    /// Takes in one look at the lease; `None` if there is none.
    pub fn look(&mut self, record: Option<&Record>, now: Instant) -> Leads {
        let before = self.seen.take();
        self.seen = record.map(|record| observe(before, record.clone(), now));
        let step = next(self.seen.as_ref(), &self.config, false, now);
        let holder = record.and_then(|record| record.holder.clone());
        if let (Step::Wait { .. }, Some(holder)) = (step, &holder) {
            self.vacant_since = None;
            return Leads::Somebody(holder.clone());
        }
        if let Some(holder) = holder {
            let silent = self.seen.as_ref().map_or(now, |seen| seen.since);
            let seconds = now.duration_since(silent).as_secs();
            return Leads::Nobody(format!(
                "{holder} holds the lease but has not renewed it for {seconds} s"
            ));
        }
        let since = *self.vacant_since.get_or_insert(now);
        if now < since + VACANT {
            return Leads::Perhaps;
        }
        Leads::Nobody(match record {
            Some(_) => "the lease is free and nobody takes it".to_owned(),
            None => "there is no lease and nobody makes one".to_owned(),
        })
    }

    /// What was seen of it, for an election in which it counts.
    pub fn seen(&self) -> Option<Seen> {
        self.seen.clone()
    }

    /// How the election would be entered.
    pub fn config(&self) -> LeaseConfig {
        self.config.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn record(holder: Option<&str>, version: &str) -> Record {
        Record {
            holder: holder.map(str::to_owned),
            transitions: 1,
            duration: 15 * SECOND,
            resource_version: Some(version.to_owned()),
        }
    }

    #[test]
    fn a_lease_that_is_renewed_is_somebodys_for_ever() {
        let (mut watch, start) = (LeaseWatch::new("clb-gate", "us"), Instant::now());
        for turn in 0..20_u32 {
            let seen = record(Some("a"), &turn.to_string());
            let leads = watch.look(Some(&seen), start + 3 * SECOND * turn);
            assert_eq!(leads, Leads::Somebody("a".to_owned()));
        }
    }

    #[test]
    fn a_silent_holder_leads_until_its_time_is_over_by_our_clock() {
        let (mut watch, start) = (LeaseWatch::new("clb-gate", "us"), Instant::now());
        let seen = record(Some("a"), "1");
        let mut at = |seconds| watch.look(Some(&seen), start + SECOND * seconds);
        assert_eq!(at(0), Leads::Somebody("a".to_owned()));
        assert_eq!(at(14), Leads::Somebody("a".to_owned()));
        let Leads::Nobody(why) = at(15) else {
            panic!("silent for 15 s")
        };
        assert_eq!(why, "a holds the lease but has not renewed it for 15 s");
    }

    #[test]
    fn a_free_lease_is_left_to_the_controllers_for_a_moment() {
        let (mut watch, start) = (LeaseWatch::new("clb-gate", "us"), Instant::now());
        let free = record(None, "1");
        assert_eq!(watch.look(Some(&free), start), Leads::Perhaps);
        assert_eq!(watch.look(Some(&free), start + 3 * SECOND), Leads::Perhaps);
        let taken = record(Some("b"), "2");
        assert_eq!(
            watch.look(Some(&taken), start + 4 * SECOND),
            Leads::Somebody("b".to_owned())
        );
        assert_eq!(
            watch.look(None, start + 5 * SECOND),
            Leads::Perhaps,
            "counted anew"
        );
        assert!(matches!(
            watch.look(None, start + 9 * SECOND),
            Leads::Nobody(_)
        ));
    }
}
