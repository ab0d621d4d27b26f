//! What pods that wait have been seen behind. Pure.
//!
//! A pod behind two Services waits for both. Where one of them is not listed for a moment (a watch was cut,
//! a Service is deleted and made again), the other alone must not open the gate: it would stay open, for a
//! gate that is True is not looked at again. So who was seen behind more than now waits until that has
//! been so for a while and a fresh read agrees, like a pod behind nothing at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use direct_access::condition::{Condition, ConditionReason, Status};
use direct_access::gate::ORPHAN_AFTER;
use direct_access::{Exposure, Owner, Slot};
use tokio::time::Instant;

use crate::desired::RuleKey;

/// What exposes a pod: who asks, for which listener, and which rule of it.
pub(crate) type Stand = (Owner, Slot, Option<RuleKey>);

/// What a pod is behind; pods behind the same share it.
pub(crate) type Stands = Arc<BTreeSet<Stand>>;

/// What each pod that waits is behind now, by UID.
pub(crate) type Behind = BTreeMap<String, Stands>;

/// What exposes the pods that it selects.
pub(crate) fn stand(exposure: &Exposure) -> Stand {
    let rule = exposure.rule.as_ref().map(RuleKey::of);
    (exposure.owner.clone(), exposure.slot(), rule)
}

/// How long a pod that is not seen waiting is remembered: a restarted API server's first list may lack both
/// the pod and one of its Services.
const REMEMBERED: Duration = Duration::from_mins(2);

/// What each pod was seen behind, by UID.
#[derive(Debug, Default)]
pub(crate) struct Met(HashMap<String, Known>);

#[derive(Debug, Default)]
struct Known {
    /// What it is behind.
    there: Stands,
    /// What it was behind besides, and since when that has not been seen.
    missing: BTreeMap<Stand, Instant>,
    /// Since when the pod itself has not been seen waiting.
    absent: Option<Instant>,
}

/// Whether a gate may open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Nothing is missing.
    Free,
    /// It waits, and says so.
    Held(Condition),
    /// These have been missing for long: a fresh read decides.
    Ripe(BTreeSet<Stand>),
}

impl Met {
    /// Takes in what pods are behind now.
    pub(crate) fn update(&mut self, behind: &Behind, now: Instant) {
        self.0.retain(|uid, known| {
            if behind.contains_key(uid) {
                known.absent = None;
                return true;
            }
            now - *known.absent.get_or_insert(now) < REMEMBERED
        });
        for (uid, stands) in behind {
            if let Some(known) = self.0.get_mut(uid) {
                known.meet(stands, now);
            } else {
                let known = Known {
                    there: Arc::clone(stands),
                    ..Known::default()
                };
                self.0.insert(uid.clone(), known);
            }
        }
    }

    /// Whether the gate of this pod may open.
    pub(crate) fn opening(&self, uid: &str, now: Instant) -> Opening {
        let Some(known) = self.0.get(uid) else {
            return Opening::Free;
        };
        let Some((first, _)) = known.missing.first_key_value() else {
            return Opening::Free;
        };
        let mut since = known.missing.values();
        if since.all(|since| now - *since >= ORPHAN_AFTER) {
            return Opening::Ripe(known.missing.keys().cloned().collect());
        }
        let there = known.there.len();
        Opening::Held(held(first, there, there + known.missing.len()))
    }

    /// These are gone for certain.
    pub(crate) fn forget(&mut self, uid: &str, gone: &BTreeSet<Stand>) {
        if let Some(known) = self.0.get_mut(uid) {
            known.missing.retain(|stand, _| !gone.contains(stand));
        }
    }

    /// A fresh read did not agree, or there was none: the time begins anew.
    pub(crate) fn restart(&mut self, uid: &str, now: Instant) {
        let known = self.0.get_mut(uid).into_iter();
        for since in known.flat_map(|known| known.missing.values_mut()) {
            *since = now;
        }
    }
}

impl Known {
    /// Takes in what it is behind now.
    fn meet(&mut self, stands: &Stands, now: Instant) {
        for stand in self.there.difference(stands) {
            self.missing.entry(stand.clone()).or_insert(now);
        }
        self.missing.retain(|stand, _| !stands.contains(stand));
        self.there = Arc::clone(stands);
    }
}

fn held((owner, slot, rule): &Stand, there: usize, all: usize) -> Condition {
    let rule = rule.as_ref().map(|rule| format!(" {rule}"));
    let place = format!("{slot}{}", rule.unwrap_or_default());
    Condition {
        status: Status::False,
        reason: ConditionReason::WaitingForBinding,
        message: format!(
            "{there}/{all} bindings healthy; {place} of {owner} is not seen any more, which is not certain yet"
        ),
    }
}

#[cfg(test)]
mod tests {
    use direct_access::{ObjectRef, Protocol};

    use super::*;

    fn stand(name: &str) -> Stand {
        let service = ObjectRef {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        };
        (Owner::service(service), Protocol::Tcp.at(80), None)
    }

    fn behind(names: &[&str]) -> Behind {
        let stands = names.iter().map(|name| stand(name));
        [("uid-a".to_owned(), Arc::new(stands.collect()))].into()
    }

    #[test]
    fn a_pod_that_was_behind_more_waits_for_it() {
        let (mut met, now) = (Met::default(), Instant::now());
        met.update(&behind(&["one", "two"]), now);
        assert_eq!(met.opening("uid-a", now), Opening::Free);
        met.update(&behind(&["one"]), now);
        let Opening::Held(condition) = met.opening("uid-a", now) else {
            panic!()
        };
        assert_eq!(condition.status, Status::False);
        for part in ["1/2", "Service shop/two", "TCP:80"] {
            assert!(condition.message.contains(part), "{}", condition.message);
        }
        met.update(&behind(&["one", "two"]), now);
        assert_eq!(met.opening("uid-a", now), Opening::Free, "it is back");
    }

    #[test]
    fn what_is_missing_for_long_is_looked_for_and_then_forgotten() {
        let (mut met, start) = (Met::default(), Instant::now());
        met.update(&behind(&["one", "two"]), start);
        met.update(&behind(&["one"]), start);
        let later = start + ORPHAN_AFTER;
        let gone = BTreeSet::from([stand("two")]);
        assert_eq!(met.opening("uid-a", later), Opening::Ripe(gone.clone()));
        met.restart("uid-a", later);
        let soon = later + Duration::from_secs(1);
        assert!(matches!(met.opening("uid-a", soon), Opening::Held(_)));
        met.forget("uid-a", &gone);
        assert_eq!(met.opening("uid-a", soon), Opening::Free);
    }

    #[test]
    fn a_pod_that_is_briefly_unlisted_is_remembered() {
        let (mut met, now) = (Met::default(), Instant::now());
        met.update(&behind(&["one", "two"]), now);
        met.update(&Behind::new(), now);
        met.update(&behind(&["one"]), now);
        assert!(matches!(met.opening("uid-a", now), Opening::Held(_)));
    }

    #[test]
    fn who_waits_no_more_is_forgotten_in_time() {
        let (mut met, start) = (Met::default(), Instant::now());
        met.update(&behind(&["one", "two"]), start);
        met.update(&Behind::new(), start);
        let later = start + REMEMBERED;
        met.update(&Behind::new(), later);
        met.update(&behind(&["one"]), later);
        assert_eq!(met.opening("uid-a", later), Opening::Free);
    }
}
