//! What a writer does next: a call, a look, or a rest.

use std::time::Duration;

use tokio::time::Instant;

use super::window::{Go, Waiting, go};
use super::writer::Writer;
use crate::cloud::CALL_TIMEOUT;
use crate::plan::{Batches, Operation, Plan, Weighted};

/// What is deleted takes along what hangs there: it was looked at this recently, not when somebody else
/// may long have bound something to it. A read takes no longer.
const LOOKED: Duration = CALL_TIMEOUT.saturating_add(Duration::from_secs(1));

/// What to do next.
pub(super) enum Next {
    /// Make this call.
    Call(Operation),
    /// Read back what was written.
    ReadBack,
    /// Nothing for this long, unless there is news.
    Rest(Duration),
}

impl Writer {
    /// From a plan to the next step.
    pub(super) fn next(&mut self, plan: &Plan) -> Next {
        let batches = self.memory.refusals.batches(self.drains(plan));
        let must_wait = self.must_wait();
        let may = |operation: &&Operation| must_wait.is_none() || !operation.removes();
        let first = plan.operations.iter().find(may);
        let Some(first) = first.and_then(|first| self.verified(first)) else {
            if !self.memory.unread.is_empty() {
                return Next::ReadBack;
            }
            self.memory.refusals.nobody_waits();
            return Next::Rest(self.rest(plan, must_wait));
        };
        if first.deletes() && !self.read_within(LOOKED) {
            self.memory.unread.listeners = true;
            return Next::ReadBack;
        }
        match self.gather(&first, plan, &batches) {
            Go::Now => Next::Call(batches.first(&first)),
            Go::Gather(_) if !self.memory.unread.is_empty() => Next::ReadBack,
            Go::Gather(pause) => Next::Rest(pause),
        }
    }

    /// Without the targets whose address was freed and not yet seen to be free.
    fn verified(&self, operation: &Operation) -> Option<Operation> {
        let Operation::Register(all) = operation else {
            return Some(operation.clone());
        };
        let removed = &self.memory.unread.removed;
        let free = |target: &&Weighted| !removed.contains(&target.place);
        let free: Vec<_> = all.iter().filter(free).cloned().collect();
        (!free.is_empty()).then_some(Operation::Register(free))
    }

    /// Whether more additions are worth waiting for.
    fn gather(&mut self, first: &Operation, plan: &Plan, batches: &Batches) -> Go {
        if !matches!(
            first,
            Operation::Register(_) | Operation::CreateListeners(_)
        ) {
            return Go::Now;
        }
        let now = Instant::now();
        let since_first = now - *self.memory.waiting_since.get_or_insert(now);
        go(&Waiting {
            additions: plan.operations.iter().map(Operation::count).sum(),
            full: batches.register,
            since_first,
            since_news: now - self.inbox.changed(),
            since_write: self.memory.registered_at.map(|at| now - at),
        })
    }

    fn drains(&self, plan: &Plan) -> bool {
        // Who awaits a successor drains nobody yet.
        let ripens = plan.again.is_some() && plan.awaited.is_empty();
        ripens || !self.memory.drained.is_empty() || plan.operations.iter().any(Operation::removes)
    }

    /// A new leader waits for the longest call of the old one before it takes anything away.
    fn must_wait(&self) -> Option<Duration> {
        let (_, since) = self.memory.term?;
        let rest = CALL_TIMEOUT.saturating_sub(since.elapsed());
        (!rest.is_zero()).then_some(rest)
    }

    fn rest(&self, plan: &Plan, must_wait: Option<Duration>) -> Duration {
        let removes = plan.operations.iter().any(Operation::removes);
        let now = Instant::now();
        [
            plan.again,
            must_wait.filter(|_| removes),
            self.memory.refusals.next().map(|at| at - now),
            self.confirmed.as_ref().map(|known| known.until - now),
        ]
        .into_iter()
        .flatten()
        .fold(self.reread(), Duration::min)
    }
}
