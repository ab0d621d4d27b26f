//! Readiness as a set of named handles: `/readyz` says yes when every handle has reported, and else
//! which are missing and why.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// The set. Cheap to clone; every clone is the same set.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

/// One part of the process that must report before it is ready.
#[derive(Clone, Debug)]
#[must_use = "a handle that never reports keeps the process unready"]
pub struct ReadyHandle {
    name: &'static str,
    set: Readiness,
}

/// A part that is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The part.
    pub name: &'static str,
    /// Why.
    pub reason: String,
}

impl Readiness {
    /// An empty set, which is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a part. The set is unready until the handle reports.
    pub fn handle(&self, name: &'static str) -> ReadyHandle {
        self.parts
            .lock()
            .insert(name, Some("not yet reported".into()));
        ReadyHandle {
            name,
            set: self.clone(),
        }
    }

    /// Makes the whole set unready for good, e.g. because the process is shutting down.
    pub fn fail(&self, reason: &str) {
        self.parts.lock().insert("process", Some(reason.into()));
    }

    /// What is missing; empty means ready.
    pub fn missing(&self) -> Vec<Missing> {
        let parts = self.parts.lock();
        let missing = |(name, reason): (&&'static str, &Option<String>)| {
            reason.clone().map(|reason| Missing { name, reason })
        };
        parts.iter().filter_map(missing).collect()
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.parts.lock().values().all(Option::is_none)
    }
}

impl ReadyHandle {
    /// Reports this part ready.
    pub fn ready(&self) {
        self.set.parts.lock().insert(self.name, None);
    }

    /// Takes the report back.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set.parts.lock().insert(self.name, Some(reason.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_every_handle_has_reported() {
        let set = Readiness::new();
        assert!(set.is_ready());
        let (a, b) = (set.handle("a"), set.handle("b"));
        a.ready();
        assert_eq!(
            set.missing(),
            [Missing {
                name: "b",
                reason: "not yet reported".into()
            }]
        );
        b.ready();
        assert!(set.is_ready());
        a.not_ready("no leaf");
        assert_eq!(
            set.missing(),
            [Missing {
                name: "a",
                reason: "no leaf".into()
            }]
        );
    }

    #[test]
    fn a_failed_set_stays_failed() {
        let set = Readiness::new();
        let a = set.handle("a");
        set.fail("shutting down");
        a.ready();
        assert_eq!(
            set.missing(),
            [Missing {
                name: "process",
                reason: "shutting down".into()
            }]
        );
    }
}
