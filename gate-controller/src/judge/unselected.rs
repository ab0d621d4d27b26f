//! Since when pods have been selected by nothing.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::Durations;

/// Keeps since when pods have been unselected.
#[derive(Debug, Default)]
pub struct Unselected(HashMap<String, Instant>);

impl Unselected {
    /// Takes in who is unselected now.
    pub fn update(&mut self, now_unselected: &BTreeSet<String>, now: Instant) {
        self.0.retain(|uid, _| now_unselected.contains(uid));
        for uid in now_unselected {
            self.0.entry(uid.clone()).or_insert(now);
        }
    }

    /// Starts the count of everybody anew: a fresh read did not agree.
    pub fn restart(&mut self) {
        self.0.clear();
    }

    /// How long each has been unselected.
    pub fn durations(&self, now: Instant) -> Durations {
        self.0
            .iter()
            .map(|(uid, since)| (uid.clone(), now - *since))
            .collect()
    }

    /// Whether somebody has been unselected for that long.
    pub fn ripe(&self, after: Duration, now: Instant) -> bool {
        self.0.values().any(|since| now - *since >= after)
    }
}
