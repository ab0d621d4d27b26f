//! What the API takes in one call, and what it does not take now.

use std::collections::HashMap;

use direct_access::Slot;
use direct_access::listener::ListenerParameters;

use super::{Operation, Part, Place, Weighted};
use crate::desired::RuleKey;

/// Targets in one call (`BatchRegisterTargets`, `BatchDeregisterTargets`, `BatchModifyTargetWeight`).
const TARGETS: usize = 500;
/// The same while anything drains, so that no drain waits behind a long call.
const TARGETS_WHILE_DRAINING: usize = 100;
/// Entries of one listener or rule in a `BatchModifyTargetWeight`, and targets in each.
const WEIGHT_ENTRIES: usize = 100;
const WEIGHT_ENTRY_TARGETS: usize = 50;
/// Listeners in one `CreateListener`.
const LISTENERS: usize = 50;
/// Rules in one `CreateRule` or `DeleteRule`. The API names no limit; 50 is what an account's default
/// quota allows a listener to have.
const RULES: usize = 50;

/// What the API does not take now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Targets a listener or rule may have; unknown where the API has not said.
    pub targets: Option<usize>,
    /// Listeners and rules that turned out to be full, and how many targets they had.
    pub full: HashMap<Holder, usize>,
    /// What was refused, and is not asked for again for a while.
    pub refused: Refused,
}

/// What targets hang on: a listener's id and, at layer 7, a rule's.
pub type Holder = (String, Option<String>);

/// What was refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refused {
    /// Listeners that could not be made or changed, and why.
    pub slots: HashMap<Slot, String>,
    /// Rules that could not be made, by listener, and why.
    pub rules: HashMap<(String, RuleKey), String>,
    /// Targets that could not be bound, and why.
    pub places: HashMap<Place, String>,
    /// Changes that were refused or had no effect, and why.
    pub changes: HashMap<(String, Part), (ListenerParameters, String)>,
}

/// How much goes into one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batches {
    /// Something drains: calls stay short.
    pub draining: bool,
    /// After a refusal, fewer and fewer are registered at once, until the culprit is alone.
    pub register: usize,
    /// The same with rules.
    pub rules: usize,
}

impl Limits {
    /// How many targets a listener or rule may have, where that is known.
    pub fn most(&self, holder: &Holder) -> Option<usize> {
        let full = self.full.get(holder).copied();
        self.targets.into_iter().chain(full).min()
    }
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            draining: false,
            register: TARGETS,
            rules: RULES,
        }
    }
}

impl Batches {
    /// As much of the operation as one call takes.
    pub fn first(&self, operation: &Operation) -> Operation {
        let most = if self.draining {
            TARGETS_WHILE_DRAINING
        } else {
            TARGETS
        };
        match operation {
            Operation::Weigh(all) => Operation::Weigh(take(all, weights(all, most))),
            Operation::Deregister(all) => Operation::Deregister(take(all, most)),
            Operation::Register(all) => {
                Operation::Register(take(all, most.min(self.register).max(1)))
            }
            Operation::CreateListeners(new) => {
                let mut first = new.clone();
                first.ports.truncate(LISTENERS);
                Operation::CreateListeners(first)
            }
            Operation::CreateRules(listener, all) => {
                Operation::CreateRules(listener.clone(), take(all, RULES.min(self.rules).max(1)))
            }
            Operation::DeleteRules(listener, all) => {
                Operation::DeleteRules(listener.clone(), take(all, RULES))
            }
            Operation::Modify(_) | Operation::DeleteListener(..) => operation.clone(),
        }
    }
}

fn take<T: Clone>(all: &[T], most: usize) -> Vec<T> {
    all.iter().take(most).cloned().collect()
}

/// How many of the weights fit into one call: at most `most`, and at most 100 entries of 50.
fn weights(all: &[Weighted], most: usize) -> usize {
    let mut counts: HashMap<(&str, Option<&str>), usize> = HashMap::new();
    let mut entries = 0;
    for (index, target) in all.iter().take(most).enumerate() {
        let place = &target.place;
        let key = (place.listener.as_str(), place.rule.as_deref());
        let count = counts.entry(key).or_default();
        if count.is_multiple_of(WEIGHT_ENTRY_TARGETS) {
            entries += 1;
        }
        *count += 1;
        if entries > WEIGHT_ENTRIES {
            return index;
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn weighted(listener: usize, number: usize) -> Weighted {
        let ip = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        Weighted {
            place: Place {
                listener: format!("lbl-{listener}"),
                rule: None,
                address: (ip, 80),
            },
            weight: 10,
            pod_uid: String::new(),
        }
    }

    #[test]
    fn one_call_takes_500_and_100_while_something_drains() {
        let all: Vec<_> = (0..700).map(|n| weighted(0, n)).collect();
        let register = Operation::Register(all);
        let count = |draining| {
            Batches {
                draining,
                ..Batches::default()
            }
            .first(&register)
            .count()
        };
        assert_eq!((count(false), count(true)), (500, 100));
    }

    #[test]
    fn weights_fit_into_100_entries() {
        let spread: Vec<_> = (0..300).map(|n| weighted(n, n)).collect();
        let first = Batches::default().first(&Operation::Weigh(spread));
        assert_eq!(first.count(), 100);
        let one: Vec<_> = (0..600).map(|n| weighted(0, n)).collect();
        assert_eq!(
            Batches::default().first(&Operation::Weigh(one)).count(),
            500
        );
    }
}
