//! What was told, so that nothing is told twice. Pure.

use std::collections::{HashMap, HashSet};

/// What was last told of each topic, by the UID of the pod or of what made it.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<String, HashMap<&'static str, String>>);

impl Told {
    /// Whether this is news; it is none from now on, until something else was told of the topic.
    pub(super) fn news(&mut self, uid: &str, topic: &'static str, what: &str) -> bool {
        let of_uid = self.0.entry(uid.to_owned()).or_default();
        if of_uid.get(topic).is_some_and(|last| last == what) {
            return false;
        }
        of_uid.insert(topic, what.to_owned());
        true
    }

    /// Forgets all but these: pods come and go for as long as we lead.
    pub(super) fn keep(&mut self, uids: &HashSet<&str>) {
        self.0.retain(|uid, _| uids.contains(uid.as_str()));
    }

    /// Whether nothing was told of anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_news_once_until_something_else_was_told() {
        let mut told = Told::default();
        assert!(told.news("uid-a", "weight", "101"));
        assert!(!told.news("uid-a", "weight", "101"));
        assert!(told.news("uid-a", "held", "") && told.news("uid-b", "weight", "101"));
        assert!(told.news("uid-a", "weight", "102"));
        assert!(!told.news("uid-a", "weight", "102"));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let mut told = Told::default();
        told.news("uid-a", "held", "");
        told.news("uid-b", "held", "");
        told.keep(&["uid-b"].into());
        assert!(!told.news("uid-b", "held", ""));
        assert!(told.news("uid-a", "held", ""));
        told.keep(&HashSet::new());
        assert!(told.is_empty());
    }
}
