//! Pods that were seen to be deleted, the youngest few thousand of them.
//!
//! A pod that is not in the cache may be gone, or so new that the cache does not know it yet. Whose deletion
//! the watch has told is gone for certain; of everybody else a fresh read must tell.

use std::collections::{HashSet, VecDeque};

/// More than are deleted while their targets are still being taken away, and under half a megabyte.
const MOST: usize = 4096;

/// UIDs, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Departed {
    order: VecDeque<String>,
    known: HashSet<String>,
}

impl Departed {
    /// The watch told that this pod was deleted.
    pub(crate) fn insert(&mut self, uid: String) {
        if !self.known.insert(uid.clone()) {
            return;
        }
        self.order.push_back(uid);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether it was seen to be deleted.
    pub(crate) fn contains(&self, uid: &str) -> bool {
        self.known.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_departures_are_forgotten_first() {
        let mut departed = Departed::default();
        for number in 0..=MOST {
            departed.insert(number.to_string());
            departed.insert(number.to_string());
        }
        assert!(!departed.contains("0") && departed.contains("1"));
        assert!(departed.contains(&MOST.to_string()));
    }
}
