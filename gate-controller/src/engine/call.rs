//! One call of a writer, from its record to its end, and what a refusal teaches.

use clb::{Client, Priority};
use direct_access::problem::Code;
use tokio::time::Instant;

use super::act::{ActError, Actor};
use super::prerequisites;
use super::refusals::Refusal;
use super::trouble::{Trouble, lease_left};
use super::writer::Writer;
use crate::cloud::CALL_TIMEOUT;
use crate::plan::{ObservedListener, Operation, Plan};

impl Writer {
    /// Makes one call, and reads back the one before it meanwhile.
    pub(super) async fn call(
        &mut self,
        client: &Client,
        operation: Operation,
        plan: &Plan,
    ) -> Result<(), Trouble> {
        self.memory.claims.before(&operation);
        self.record().await?;
        lease_left(&self.context.leadership).await?;
        tracing::info!(load_balancer = %self.id, operation = operation.label(), count = operation.count(),
            held = plan.held.len(), "writing");
        let priority = if operation.removes() {
            Priority::Drain
        } else {
            Priority::Young
        };
        let address = self.memory.address.clone();
        let actor = Actor {
            client: &client.with_priority(priority),
            load_balancer: &self.id,
            cluster: &self.context.cluster_id,
            address: address.as_deref(),
        };
        let (done, back) = tokio::join!(actor.perform(&operation), self.look(client));
        let back = back.map_err(|error| Trouble::of(&error));
        let read = match back {
            Ok(Some(sighting)) => {
                self.take_in(sighting);
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(trouble) => Err(trouble),
        };
        match done {
            Ok(done) => {
                self.context.metrics.wrote(&operation);
                self.count_undrained(&operation);
                self.memory
                    .wrote(&operation, &done.created, &self.context.cluster_id);
                self.memory.unread.task = done.task;
                self.memory.refusals.done(&operation, Instant::now());
                self.publish();
            }
            // Deleted before, by a call whose task a read overtook, or by somebody else.
            Err(error) if operation.deletes() && error.is_gone() => {
                self.memory.wrote(&operation, &[], &self.context.cluster_id);
            }
            Err(error) => self.refused(&operation, &error)?,
        }
        read?;
        self.await_task(client).await
    }

    async fn record(&self) -> Result<(), Trouble> {
        let note = self.memory.claims.record();
        let recorded = self.context.home.record(self.id.as_str(), note).await;
        recorded.map_err(|error| {
            Trouble::soon(format!(
                "nothing is written before it is on record: {error}"
            ))
        })
    }

    /// A refusal that concerns one listener or target leaves that one out; everything else goes on.
    fn refused(&mut self, operation: &Operation, error: &ActError) -> Result<(), Trouble> {
        let mut trouble = Trouble::of_act(error);
        if let Some(missing) = self.missing(operation, error, &trouble) {
            trouble.problem = format!("{}; needed: {missing}", trouble.problem);
        }
        let refusal = Refusal {
            why: coded(&trouble.problem, operation, error.is_quota()),
            full_at: error.is_quota().then(|| self.beside(operation)),
        };
        let refusals = &mut self.memory.refusals;
        if !error.is_refusal() || !refusals.learn(operation, &refusal, Instant::now()) {
            return Err(trouble);
        }
        tracing::warn!(load_balancer = %self.id, operation = operation.label(), count = operation.count(),
            problem = trouble.problem, "refused");
        // Part of it may have been done.
        self.memory.unread.listeners = true;
        self.memory.registered_at = None;
        Ok(())
    }

    /// What the account or the load balancer must have first, where a target was refused for that.
    fn missing(
        &self,
        operation: &Operation,
        error: &ActError,
        trouble: &Trouble,
    ) -> Option<&'static str> {
        let registers = matches!(operation, Operation::Register(_));
        let network = self.inbox.desired().others.network;
        let prerequisite = prerequisites::of_target(error.kind(), &trouble.problem, network);
        prerequisite.filter(|_| registers)
    }

    /// How many targets are where the operation's first one should be.
    fn beside(&self, operation: &Operation) -> usize {
        let holder = operation.places().first().map(|place| place.holder());
        let all = self
            .memory
            .expected
            .iter()
            .flat_map(ObservedListener::places);
        all.filter(|(place, _)| Some(place.holder()) == holder)
            .count()
    }

    /// A write's end is waited for, unless tasks were done by their answers lately; then it is looked at
    /// with the read-back.
    async fn await_task(&mut self, client: &Client) -> Result<(), Trouble> {
        if self.memory.quick_tasks {
            return Ok(());
        }
        let Some(task) = self.memory.unread.task.take() else {
            return Ok(());
        };
        let started = Instant::now();
        let looked = client.describe_task_status(&task).await;
        self.memory.quick_tasks = matches!(looked, Ok(clb::TaskStatus::Succeeded));
        if !self.memory.quick_tasks {
            let patience = CALL_TIMEOUT.saturating_sub(started.elapsed());
            let waited = client.wait_task(&task, patience).await;
            waited.map_err(|error| Trouble::of(&error))?;
        }
        Ok(())
    }
}

/// The problem with TKE's code for it, where TKE has one.
fn coded(problem: &str, operation: &Operation, quota: bool) -> String {
    let code = match operation {
        Operation::CreateListeners(_) if quota => Code::ListenerQuota,
        Operation::CreateRules(..) if quota => Code::RuleQuota,
        Operation::Register(_) => Code::BatchTarget,
        Operation::Weigh(_)
        | Operation::Deregister(_)
        | Operation::CreateListeners(_)
        | Operation::CreateRules(..)
        | Operation::Modify(_)
        | Operation::DeleteRules(..)
        | Operation::DeleteListener(..) => return problem.to_owned(),
    };
    format!("{problem} ({})", code.as_str())
}
