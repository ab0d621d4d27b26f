//! What an operator may do to the next calls, and the count of what was answered.

use crate::refusal::{Refusal, code};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A fault for the next `count` calls of an action. Exactly one kind is given.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    action: String,
    error: Option<FaultError>,
    latency_ms: Option<u64>,
    #[serde(default)]
    drop_answer: bool,
    #[serde(default = "once")]
    count: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultError {
    code: String,
    message: String,
}

fn once() -> u64 {
    1
}

/// What happens to one call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Plan {
    #[default]
    Normal,
    /// Refused before anything is done.
    Error(Refusal),
    /// Done, then answered late.
    Late(u64),
    /// Done, then the connection is closed without an answer.
    Silent,
}

/// The most faults kept at a time.
const FAULTS: usize = 1000;

/// The faults still to come, oldest first.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault, known: bool) -> Result<(), Refusal> {
        let bad = |message: String| Err(Refusal::new(code::INVALID_PARAMETER, message));
        if !known {
            return bad(format!("action {:?} is not served here", fault.action));
        }
        let kinds = u8::from(fault.error.is_some())
            + u8::from(fault.latency_ms.is_some())
            + u8::from(fault.drop_answer);
        if kinds != 1 {
            return bad("a fault has exactly one of error, latency_ms and drop_answer".to_owned());
        }
        if self.0.len() >= FAULTS {
            return bad(format!("{FAULTS} faults are waiting already"));
        }
        self.0.push(fault);
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The plan for this call; uses up one count of the oldest fault for its action.
    pub(crate) fn next(&mut self, action: &str) -> Plan {
        self.0.retain(|fault| fault.count > 0);
        let Some(fault) = self.0.iter_mut().find(|fault| fault.action == action) else {
            return Plan::Normal;
        };
        fault.count -= 1;
        match (&fault.error, fault.latency_ms) {
            (Some(error), _) => Plan::Error(Refusal::new(&error.code, error.message.clone())),
            (None, Some(millis)) => Plan::Late(millis),
            (None, None) => Plan::Silent,
        }
    }
}

impl Fault {
    pub(crate) fn action(&self) -> &str {
        &self.action
    }
}

/// Calls answered since the start or the last reset.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Calls {
    /// Action -> "ok" or error code -> how many.
    calls: BTreeMap<&'static str, BTreeMap<String, u64>>,
    by_listener: Doors,
}

#[derive(Debug, Default, Serialize)]
struct Doors {
    http: u64,
    https: u64,
}

impl Calls {
    pub(crate) fn count(&mut self, action: &'static str, outcome: &str, listener: &'static str) {
        let outcomes = self.calls.entry(action).or_default();
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
        match listener {
            "https" => self.by_listener.https += 1,
            _ => self.by_listener.http += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_fault_hits_its_action_and_no_more_than_its_count() {
        let mut faults = Faults::default();
        faults
            .add(fault(r#"{"action":"A","latency_ms":5,"count":2}"#), true)
            .unwrap();
        faults
            .add(fault(r#"{"action":"A","drop_answer":true}"#), true)
            .unwrap();
        assert_eq!(faults.next("B"), Plan::Normal);
        let plans: Vec<Plan> = (0..4).map(|_| faults.next("A")).collect();
        assert_eq!(
            plans,
            [Plan::Late(5), Plan::Late(5), Plan::Silent, Plan::Normal]
        );
    }

    #[test]
    fn a_fault_needs_one_kind_and_a_known_action() {
        let mut faults = Faults::default();
        assert!(faults.add(fault(r#"{"action":"A"}"#), true).is_err());
        let both = r#"{"action":"A","latency_ms":1,"drop_answer":true}"#;
        assert!(faults.add(fault(both), true).is_err());
        assert!(
            faults
                .add(fault(r#"{"action":"A","latency_ms":1}"#), false)
                .is_err()
        );
    }
}
