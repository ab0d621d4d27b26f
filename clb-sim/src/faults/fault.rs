//! A fault as an operator writes it, and while it waits.

use super::draw::{ALL, Lots, What};
use super::fits;
use super::plan::{Lost, Plan};
use crate::api::{Kind, kind_of, throttled};
use crate::clock::Millis;
use crate::refusal::{Refusal, code};
use crate::state::Fate;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A random fault makes an answer late by up to this much.
const LATEST_MS: u64 = 5000;
/// Every action.
const ANY: &str = "*";

/// A fault for the next `count` calls of an action, or for all within `for_ms`. Exactly one kind
/// is given, or `chance` alone, which draws among `kinds`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "fields as operators write them"
)]
pub(crate) struct Fault {
    /// `*` is every action that the kind fits.
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<FaultError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<u64>,
    /// Refused as over the rate limit.
    #[serde(default)]
    throttle: bool,
    /// Done, but the answer is lost.
    #[serde(default)]
    drop_answer: bool,
    /// Not done, and no answer.
    #[serde(default)]
    drop_request: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_failure: Option<TaskFailure>,
    /// These listeners of a batch fail; the first if none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    partial: Option<Vec<String>>,
    /// Answered like a success, but nothing is done.
    #[serde(default)]
    silent: bool,
    /// How many calls; 1 without `for_ms` and `chance`, all with.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    /// Begins that much later.
    #[serde(default)]
    after_ms: u32,
    /// Ends that long after it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    for_ms: Option<u32>,
    /// How likely it hits a call, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    chance: Option<f64>,
    /// What is drawn among; all kinds without.
    #[serde(default)]
    kinds: Vec<What>,
    #[serde(default)]
    seed: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultError {
    code: String,
    message: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFailure {
    /// What `DescribeTaskStatus` says; null is possible.
    message: Option<String>,
}

impl Fault {
    /// Refuses what makes no sense.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let given = self.given();
        if self.action != ANY {
            let Some(kind) = kind_of(&self.action) else {
                return bad(format!("action {:?} is not served here", self.action));
            };
            if let Some(what) = given.iter().find(|what| !fits(**what, &self.action, kind)) {
                return bad(format!("{} cannot suffer {what:?}", self.action));
            }
        }
        match (given.len(), self.chance) {
            (1, _) if self.kinds.is_empty() => {}
            (0, Some(_)) => {}
            _ => {
                return bad("a fault has exactly one of error, latency_ms, throttle, drop_answer, drop_request, task_failure, partial and silent; or chance, maybe with kinds".to_owned());
            }
        }
        if self
            .chance
            .is_some_and(|chance| !(0.0..=1.0).contains(&chance))
        {
            return bad("chance is not between 0 and 1".to_owned());
        }
        Ok(())
    }

    fn given(&self) -> Vec<What> {
        let given = |what: &What| match what {
            What::Error => self.error.is_some(),
            What::Latency => self.latency_ms.is_some(),
            What::Throttle => self.throttle,
            What::DropAnswer => self.drop_answer,
            What::DropRequest => self.drop_request,
            What::TaskFailure => self.task_failure.is_some(),
            What::Partial => self.partial.is_some(),
            What::Silent => self.silent,
        };
        ALL.into_iter().filter(given).collect()
    }

    /// What one hit of this kind does.
    fn plan(&self, what: What, lots: &mut Lots) -> Plan {
        let mut plan = Plan::default();
        match what {
            What::Error => plan.refusal = Some(self.refusal()),
            What::Throttle => plan.refusal = Some(throttled()),
            What::Latency => {
                plan.late_ms = self.latency_ms.unwrap_or_else(|| lots.below(LATEST_MS));
            }
            What::DropAnswer => plan.lost = Lost::Answer,
            What::DropRequest => plan.lost = Lost::Request,
            What::TaskFailure => plan.fate = Fate::TaskFails(self.message(lots)),
            What::Partial => plan.fate = Fate::Partly(self.partial.clone().unwrap_or_default()),
            What::Silent => plan.fate = Fate::Silent,
        }
        plan
    }

    fn refusal(&self) -> Refusal {
        match &self.error {
            Some(error) => Refusal::new(&error.code, error.message.clone()),
            None => Refusal::new(code::INTERNAL, "InternalError, by lot"),
        }
    }

    /// Drawn failures have a message half of the time.
    fn message(&self, lots: &mut Lots) -> Option<String> {
        match &self.task_failure {
            Some(failure) => failure.message.clone(),
            None => lots
                .happens(0.5)
                .then(|| "the task failed, by lot".to_owned()),
        }
    }
}

fn bad(message: String) -> Result<(), Refusal> {
    Err(Refusal::new(code::INVALID_PARAMETER, message))
}

/// A fault that waits.
#[derive(Debug)]
pub(super) struct Live {
    fault: Fault,
    left: u64,
    from: Millis,
    until: Option<Millis>,
    lots: Lots,
}

impl Live {
    pub(super) fn new(fault: Fault, now: Millis) -> Self {
        let from = now + Millis::from(fault.after_ms);
        let unlimited = fault.for_ms.is_some() || fault.chance.is_some();
        let default = if unlimited { u64::MAX } else { 1 };
        Self {
            left: fault.count.unwrap_or(default),
            from,
            until: fault.for_ms.map(|millis| from + Millis::from(millis)),
            lots: Lots::new(fault.seed),
            fault,
        }
    }

    pub(super) fn is_over(&self, now: Millis) -> bool {
        self.left == 0 || self.until.is_some_and(|until| now >= until)
    }

    /// What it does to this call; none if it does not hit.
    pub(super) fn hit(&mut self, action: &str, kind: Kind, now: Millis) -> Option<Plan> {
        let named = self.fault.action == ANY || self.fault.action == action;
        if now < self.from || !named {
            return None;
        }
        let given = self.fault.given();
        let kinds = match (given.as_slice(), self.fault.kinds.as_slice()) {
            ([], []) => ALL.as_slice(),
            ([], kinds) => kinds,
            (given, _) => given,
        };
        let fitting: Vec<What> = kinds
            .iter()
            .copied()
            .filter(|what| fits(*what, action, kind))
            .collect();
        if fitting.is_empty() {
            return None;
        }
        if let Some(chance) = self.fault.chance
            && !self.lots.happens(chance)
        {
            return None;
        }
        let what = self.lots.pick(&fitting)?;
        self.left = self.left.saturating_sub(1);
        Some(self.fault.plan(what, &mut self.lots))
    }

    pub(super) fn show(&self) -> Value {
        let mut shown = json!(self.fault);
        if let (Value::Object(fields), true) = (&mut shown, self.left < u64::MAX) {
            fields.insert("count".to_owned(), json!(self.left));
        }
        shown
    }
}
