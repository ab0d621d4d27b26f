//! In which namespaces the API server has confirmed that nothing is exposed that we do not know. Pure.
//!
//! A list may be older than what was known before it: of a restarted API server, or in a process that has just
//! begun to lead. A pod that it shows behind one of its two Services would get its gate opened too early, for
//! good. So after each list, the first gates of a namespace wait for a fresh read of it. What the watch tells
//! after that leaves nothing out.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

/// A namespace that was not confirmed is asked about again after this long: looks come far more often.
const AGAIN: Duration = Duration::from_secs(1);

/// Namespaces that were confirmed since the last list.
#[derive(Debug, Default)]
pub(super) struct Agreed {
    lists: u64,
    confirmed: HashSet<String>,
    /// When those were asked about that were not.
    unconfirmed: HashMap<String, Instant>,
}

impl Agreed {
    /// What is known rests on so many lists; a new one must be confirmed anew.
    pub(super) fn rests_on(&mut self, lists: u64) {
        if self.lists != lists {
            *self = Self {
                lists,
                ..Self::default()
            };
        }
    }

    /// Whether it was confirmed.
    pub(super) fn has(&self, namespace: &str) -> bool {
        self.confirmed.contains(namespace)
    }

    /// Whether to ask about it now.
    pub(super) fn is_due(&self, namespace: &str, now: Instant) -> bool {
        let asked = self.unconfirmed.get(namespace);
        !self.has(namespace) && asked.is_none_or(|asked| now - *asked >= AGAIN)
    }

    /// It was confirmed.
    pub(super) fn confirmed(&mut self, namespace: &str) {
        self.unconfirmed.remove(namespace);
        self.confirmed.insert(namespace.to_owned());
    }

    /// It was asked about and not confirmed; whether that is news.
    pub(super) fn unconfirmed(&mut self, namespace: &str, now: Instant) -> bool {
        self.unconfirmed.insert(namespace.to_owned(), now).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_list_must_be_confirmed_anew() {
        let (mut agreed, now) = (Agreed::default(), Instant::now());
        agreed.rests_on(2);
        assert!(!agreed.has("shop") && agreed.is_due("shop", now));
        agreed.confirmed("shop");
        assert!(!agreed.is_due("shop", now));
        agreed.rests_on(2);
        assert!(agreed.has("shop") && !agreed.has("other"));
        agreed.rests_on(3);
        assert!(!agreed.has("shop"));
    }

    #[test]
    fn what_was_not_confirmed_is_asked_about_again_after_a_pause() {
        let (mut agreed, now) = (Agreed::default(), Instant::now());
        assert!(agreed.unconfirmed("shop", now));
        assert!(!agreed.unconfirmed("shop", now), "told once");
        assert!(!agreed.is_due("shop", now) && agreed.is_due("other", now));
        assert!(!agreed.has("shop") && agreed.is_due("shop", now + AGAIN));
    }
}
