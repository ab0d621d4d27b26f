//! What `DescribeTaskStatus` remembers of past writes.

use crate::clock::Millis;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Enough for hours of a busy cluster; older tasks are forgotten.
const KEPT: usize = 10_000;

/// The last writes, oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tasks(VecDeque<Task>);

/// One asynchronous write; its id is the `RequestId` of the call that began it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    /// Only `CreateLoadBalancer` has one.
    pub(crate) deal: Option<String>,
    pub(crate) due: Millis,
    pub(crate) load_balancers: Vec<String>,
    #[serde(default)]
    pub(crate) ending: Ending,
}

/// What is said of a task when it is done.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) enum Ending {
    #[default]
    Success,
    /// It did nothing, and maybe says why.
    Failure(Option<String>),
}

impl Tasks {
    pub(crate) fn remember(&mut self, task: Task) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(task);
    }

    /// The task of the last write, if this is it, was none.
    pub(crate) fn forget(&mut self, id: &str) {
        if self.0.back().is_some_and(|task| task.id == id) {
            self.0.pop_back();
        }
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Task> {
        self.0.iter().rev().find(|task| task.id == id)
    }

    pub(crate) fn by_deal(&self, deal: &str) -> Option<&Task> {
        self.0
            .iter()
            .rev()
            .find(|task| task.deal.as_deref() == Some(deal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_tasks_are_forgotten() {
        let mut tasks = Tasks::default();
        for number in 0..=KEPT {
            tasks.remember(Task {
                id: number.to_string(),
                deal: Some(format!("deal-{number}")),
                due: 0,
                load_balancers: Vec::new(),
                ending: Ending::Success,
            });
        }
        assert!(tasks.by_id("0").is_none());
        assert!(tasks.by_id("1").is_some() && tasks.by_deal("deal-10000").is_some());
    }
}
