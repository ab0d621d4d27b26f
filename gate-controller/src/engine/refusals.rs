//! What the API refused, so that one bad listener or target does not keep the others waiting. Pure.
//!
//! A refused batch does not say which of its targets is the culprit, so the next ones are halved until
//! it is alone; it is then left out for a while, and told.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use direct_access::Slot;
use direct_access::listener::ListenerParameters;
use tokio::time::Instant;

use crate::desired::RuleKey;
use crate::plan::{Batches, Holder, Limits, Operation, Part, Place, Refused};

/// How long a refused thing is left out. A person mends it; asking more often helps nobody.
const LEFT_OUT: Duration = Duration::from_secs(15);

/// Everything that was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    slots: HashMap<Slot, (String, Instant)>,
    rules: HashMap<(String, RuleKey), (String, Instant)>,
    places: HashMap<Place, (String, Instant)>,
    full: HashMap<Holder, (usize, Instant)>,
    changes: HashMap<(String, Part), (Tried, Instant)>,
    suspects: Option<usize>,
    suspected_rules: Option<usize>,
}

/// A change that was tried, and what came of it.
type Tried = (ListenerParameters, String);

/// A refusal in the API's words.
pub(super) struct Refusal {
    /// The whole message.
    pub(super) why: String,
    /// It was the quota: how many targets the listener or rule of the (first) target has.
    pub(super) full_at: Option<usize>,
}

impl Refusals {
    /// What must not be asked for now.
    pub(super) fn limits(&mut self, targets: Option<usize>, now: Instant) -> Limits {
        self.slots.retain(|_, (_, until)| *until > now);
        self.rules.retain(|_, (_, until)| *until > now);
        self.places.retain(|_, (_, until)| *until > now);
        self.full.retain(|_, (_, until)| *until > now);
        self.changes.retain(|_, (_, until)| *until > now);
        Limits {
            targets,
            full: left_out(&self.full),
            refused: Refused {
                slots: left_out(&self.slots),
                rules: left_out(&self.rules),
                places: left_out(&self.places),
                changes: left_out(&self.changes),
            },
        }
    }

    /// How much to ask for at once.
    pub(super) fn batches(&self, draining: bool) -> Batches {
        let all = Batches::default();
        Batches {
            draining,
            register: self.suspects.unwrap_or(all.register),
            rules: self.suspected_rules.unwrap_or(all.rules),
        }
    }

    /// When something left out is asked for again.
    pub(super) fn next(&self) -> Option<Instant> {
        let slots = self.slots.values().map(|(_, until)| *until);
        let rules = self.rules.values().map(|(_, until)| *until);
        let places = self.places.values().map(|(_, until)| *until);
        let full = self.full.values().map(|(_, until)| *until);
        let changes = self.changes.values().map(|(_, until)| *until);
        let all = slots.chain(rules).chain(places).chain(full);
        all.chain(changes).min()
    }

    /// Nothing is waiting to be registered or made: there are no suspects.
    pub(super) fn nobody_waits(&mut self) {
        self.suspects = None;
        self.suspected_rules = None;
    }

    /// A change that was accepted must show: the same again at once would not help.
    pub(super) fn done(&mut self, operation: &Operation, now: Instant) {
        if let Operation::Modify(modification) = operation {
            let why = "the CLB accepted the change and does not show it".to_owned();
            let tried = (modification.change.clone(), why);
            self.changes
                .insert(modification.place(), (tried, now + LEFT_OUT));
        }
    }

    /// Learns from a refusal. False: nothing can be left out, the whole load balancer must wait.
    pub(super) fn learn(&mut self, operation: &Operation, refusal: &Refusal, now: Instant) -> bool {
        let why = &refusal.why;
        let until = now + LEFT_OUT;
        match operation {
            Operation::Register(all) => match &all[..] {
                [one] => {
                    self.suspects = None;
                    if let Some(there) = refusal.full_at {
                        self.full.insert(one.place.holder(), (there, until));
                    } else {
                        let place = one.place.clone();
                        self.places.insert(place, (why.clone(), until));
                    }
                }
                more => self.suspects = Some(more.len().div_ceil(2)),
            },
            Operation::CreateListeners(new) => {
                for port in &new.ports {
                    let slot = new.protocol.at(*port);
                    self.slots.insert(slot, (why.clone(), until));
                }
            }
            Operation::Modify(modification) => {
                let tried = (modification.change.clone(), why.clone());
                self.changes.insert(modification.place(), (tried, until));
            }
            Operation::CreateRules(listener, new) => match &new[..] {
                [one] => {
                    self.suspected_rules = None;
                    let rule = (listener.clone(), one.key.clone());
                    self.rules.insert(rule, (why.clone(), until));
                }
                more => self.suspected_rules = Some(more.len().div_ceil(2)),
            },
            Operation::Weigh(_)
            | Operation::Deregister(_)
            | Operation::DeleteRules(..)
            | Operation::DeleteListener(..) => return false,
        }
        true
    }
}

fn left_out<K: Clone + Eq + Hash, V: Clone>(all: &HashMap<K, (V, Instant)>) -> HashMap<K, V> {
    let one = |(key, (value, _)): (&K, &(V, Instant))| (key.clone(), value.clone());
    all.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{NewRule, Weighted};

    fn targets(numbers: std::ops::Range<u8>) -> Vec<Weighted> {
        let one = |number| Weighted {
            place: Place {
                listener: "lbl-1".to_owned(),
                rule: None,
                address: ([198, 18, 1, number].into(), 80),
            },
            weight: 10,
            pod_uid: String::new(),
        };
        numbers.map(one).collect()
    }

    #[test]
    fn a_bad_rule_is_found_and_left_out_for_a_while() {
        let now = Instant::now();
        let rule = |number: usize| NewRule {
            key: RuleKey {
                domain: "a.example".to_owned(),
                url: format!("/{number}"),
            },
            parameters: ListenerParameters::default(),
            default: false,
        };
        let no = Refusal {
            why: "no".to_owned(),
            full_at: None,
        };
        let mut refusals = Refusals::default();
        let all = Operation::CreateRules("lbl-1".to_owned(), (0..8).map(rule).collect());
        for expected in [8, 4, 2, 1] {
            let first = refusals.batches(false).first(&all);
            assert_eq!(first.count(), expected);
            assert!(refusals.learn(&first, &no, now));
        }
        let left_out = refusals.limits(None, now).refused.rules;
        assert!(left_out.contains_key(&("lbl-1".to_owned(), rule(0).key)));
        assert_eq!(refusals.batches(false), Batches::default());
        assert_eq!(
            refusals.limits(None, now + LEFT_OUT).refused,
            Refused::default()
        );
    }

    /// The API refuses every batch with the bad target in it.
    #[test]
    fn the_culprit_is_found_and_the_others_are_served() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        let (mut waiting, bad) = (targets(0..200), targets(137..138).remove(0));
        let no = Refusal {
            why: "no".to_owned(),
            full_at: None,
        };
        let mut calls = 0;
        while !refusals
            .limits(None, now)
            .refused
            .places
            .contains_key(&bad.place)
        {
            let batch = refusals
                .batches(false)
                .first(&Operation::Register(waiting.clone()));
            let Operation::Register(asked) = &batch else {
                panic!()
            };
            if asked.contains(&bad) {
                assert!(refusals.learn(&batch, &no, now));
            } else {
                waiting.retain(|target| !asked.contains(target));
            }
            calls += 1;
        }
        assert!(calls <= 16, "{calls} calls");
        assert_eq!(refusals.batches(false), Batches::default());
        assert_eq!(
            refusals.limits(None, now + LEFT_OUT).refused,
            Refused::default()
        );
    }
}
