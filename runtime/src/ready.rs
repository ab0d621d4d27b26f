//! Readiness as a set of named handles: `/readyz` says yes when every handle has reported, and else
//! which are missing and why. A part may add a remark: something to look at that takes nobody out of
//! service.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// The set. Cheap to clone; every clone is the same set.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<&'static str, Part>>>,
}

#[derive(Debug, Default)]
struct Part {
    missing: Option<String>,
    remark: Option<String>,
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
        self.change(name, |part| part.missing = Some("not yet reported".into()));
        ReadyHandle {
            name,
            set: self.clone(),
        }
    }

    /// Makes the whole set unready for good, e.g. because the process is shutting down.
    pub fn fail(&self, reason: &str) {
        self.change("process", |part| part.missing = Some(reason.into()));
    }

    /// What is missing; empty means ready.
    pub fn missing(&self) -> Vec<Missing> {
        let parts = self.parts.lock();
        let missing = |(name, part): (&&'static str, &Part)| {
            let reason = part.missing.clone()?;
            Some(Missing { name, reason })
        };
        parts.iter().filter_map(missing).collect()
    }

    /// What is worth a look, ready or not: parts and their remarks.
    pub fn remarks(&self) -> Vec<(&'static str, String)> {
        let parts = self.parts.lock();
        let remarks = parts
            .iter()
            .filter_map(|(name, part)| Some((*name, part.remark.clone()?)));
        remarks.collect()
    }

    /// Whether nothing is missing.
    pub fn is_ready(&self) -> bool {
        self.parts
            .lock()
            .values()
            .all(|part| part.missing.is_none())
    }

    fn change(&self, name: &'static str, change: impl FnOnce(&mut Part)) {
        change(self.parts.lock().entry(name).or_default());
    }
}

impl ReadyHandle {
    /// Reports this part ready.
    pub fn ready(&self) {
        self.set.change(self.name, |part| part.missing = None);
    }

    /// Takes the report back.
    pub fn not_ready(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.set
            .change(self.name, |part| part.missing = Some(reason));
    }

    /// Sets or clears this part's remark, which leaves its readiness as it is.
    pub fn remark(&self, remark: Option<String>) {
        self.set.change(self.name, |part| part.remark = remark);
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

    #[test]
    fn a_remark_changes_no_readiness() {
        let set = Readiness::new();
        let a = set.handle("a");
        a.remark(Some("look".into()));
        assert!(!set.is_ready());
        a.ready();
        assert!(set.is_ready());
        assert_eq!(set.remarks(), [("a", "look".to_owned())]);
        a.remark(None);
        assert!(set.remarks().is_empty() && set.is_ready());
    }
}
