//! Every task of the process, by name. None dies unseen: a task that ends early, fails or panics stops
//! the whole process, which Kubernetes then starts anew in a known state.
//!
//! A stop has two stages. **Draining** begins at the first signal: tasks started with
//! [`Supervisor::spawn`] finish what they do and end. Meanwhile everything they lean on (watches, the
//! admin port) goes on, because a server that drains for a minute must still judge by fresh facts.
//! **Stopping** begins when the last of them has ended: supporting tasks are dropped, and tail tasks
//! get a moment to say goodbye (the lease is released, the last Events are written).

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Any error a task may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How long tail tasks may take: one API call each.
const STOPPING_GRACE: Duration = Duration::from_secs(5);

/// Starts and watches tasks. Cheap to clone; every clone is the same supervisor.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    draining: CancellationToken,
    stopping: CancellationToken,
    aborted: CancellationToken,
    essential: TaskTracker,
    tail: TaskTracker,
    children: TaskTracker,
    failure: OnceLock<Failure>,
}

/// Why the process stopped, if nobody asked it to.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{task} {cause}")]
pub struct Failure {
    /// The task.
    pub task: &'static str,
    /// What happened to it.
    pub cause: Cause,
}

/// What can happen to a task.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// It returned although nobody asked it to stop.
    #[error("ended early")]
    EndedEarly,
    /// It returned an error.
    #[error("failed: {0}")]
    Failed(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// It panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// It did not end within the grace period.
    #[error("did not end within {0:?}")]
    Overdue(Duration),
    /// A second signal came before the drain was over.
    #[error("was cut short by a second signal")]
    Aborted,
}

impl Supervisor {
    /// A supervisor with no tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when the process should finish its work.
    pub fn draining(&self) -> CancellationToken {
        self.shared.draining.clone()
    }

    /// Begins the drain, as a first signal does.
    pub fn drain(&self) {
        self.shared.draining.cancel();
    }

    /// Starts an essential task: it runs until [`Supervisor::draining`] and the stop waits for it.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let supervisor = self.clone();
        self.shared.essential.spawn(async move {
            let outcome = AssertUnwindSafe(task).catch_unwind().await;
            let draining = supervisor.shared.draining.is_cancelled();
            supervisor.judge(name, outcome, draining);
        });
    }

    /// Starts a supporting task: it never ends by itself and is dropped once the essential ones ended.
    pub fn spawn_support<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let stopping = self.shared.stopping.clone();
        self.spawn_tail(name, |_| async move {
            match stopping.run_until_cancelled(task).await {
                Some(outcome) => outcome,
                None => Ok(()),
            }
        });
    }

    /// Starts a task that is told when the essential ones have ended, and then has a moment to finish.
    pub fn spawn_tail<F>(&self, name: &'static str, make: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let supervisor = self.clone();
        let task = make(self.shared.stopping.clone());
        self.shared.tail.spawn(async move {
            let outcome = AssertUnwindSafe(task).catch_unwind().await;
            let stopping = supervisor.shared.stopping.is_cancelled();
            supervisor.judge(name, outcome, stopping);
        });
    }

    /// Starts a short task, such as one connection, that may end whenever it likes. A panic in it is
    /// logged and ends only that task. Nobody waits for it: whoever starts children counts them.
    pub fn spawn_child<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.shared.children.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                tracing::error!(
                    task = name,
                    panic = panic_text(panic.as_ref()),
                    "a child task panicked"
                );
            }
        });
    }

    /// Drains at the first SIGTERM or SIGINT, aborts at the second.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shared = self.shared.clone();
        self.spawn_support("signals", async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                shared.on_signal(name);
            }
        });
        Ok(())
    }

    /// Runs until something ends it: a signal, [`Supervisor::drain`], or a task that failed.
    ///
    /// `grace` is how long essential tasks may take to drain.
    pub async fn run(self, grace: Duration) -> Result<(), Failure> {
        let shared = &self.shared;
        shared.draining.cancelled().await;
        shared.essential.close();
        tokio::select! {
            () = shared.essential.wait() => {}
            () = shared.aborted.cancelled() => self.fail("the drain", Cause::Aborted),
            () = tokio::time::sleep(grace) => self.fail("the drain", Cause::Overdue(grace)),
        }
        shared.stopping.cancel();
        shared.tail.close();
        if tokio::time::timeout(STOPPING_GRACE, shared.tail.wait())
            .await
            .is_err()
        {
            tracing::warn!(after = ?STOPPING_GRACE, "tail tasks did not end in time");
        }
        shared.failure.get().cloned().map_or(Ok(()), Err)
    }

    /// `expected` tells whether the task was free to end.
    fn judge(&self, name: &'static str, outcome: Outcome, expected: bool) {
        match outcome {
            Ok(Ok(())) if expected => tracing::debug!(task = name, "task ended"),
            Ok(Ok(())) => self.fail(name, Cause::EndedEarly),
            Ok(Err(error)) => self.fail(name, Cause::Failed(error.into())),
            Err(panic) => self.fail(name, Cause::Panicked(panic_text(panic.as_ref()))),
        }
    }

    /// Keeps the first failure, logs every one, and begins the drain.
    fn fail(&self, task: &'static str, cause: Cause) {
        let failure = Failure { task, cause };
        tracing::error!(task, error = %failure, "a task of this process failed");
        self.shared.failure.set(failure).ok();
        self.drain();
    }
}

type Outcome = Result<Result<(), BoxError>, Box<dyn Any + Send>>;

impl Shared {
    fn on_signal(&self, name: &str) {
        if self.draining.is_cancelled() {
            tracing::warn!(signal = name, "second signal: aborting");
            self.aborted.cancel();
        } else {
            tracing::info!(signal = name, "draining");
            self.draining.cancel();
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let owned = || panic.downcast_ref::<String>().cloned();
    text.or_else(owned).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const GRACE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_early_stops_the_process_and_is_named() {
        let supervisor = Supervisor::new();
        supervisor.spawn("watch", async { Ok(()) });
        let failure = supervisor.run(GRACE).await.unwrap_err();
        assert_eq!(failure.to_string(), "watch ended early");
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_stops_the_process_and_its_message_survives() {
        let supervisor = Supervisor::new();
        supervisor.spawn("plan", async { panic!("no {}", "plan") });
        let failure = supervisor.run(GRACE).await.unwrap_err();
        assert_eq!(failure.to_string(), "plan panicked: no plan");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_stops_the_process_even_from_a_supporting_task() {
        let supervisor = Supervisor::new();
        supervisor.spawn_support("admin", async { Err("port taken".into()) });
        let failure = supervisor.run(GRACE).await.unwrap_err();
        assert_eq!(failure.to_string(), "admin failed: port taken");
    }

    #[tokio::test(start_paused = true)]
    async fn support_outlives_the_drain_and_tails_come_last() {
        let supervisor = Supervisor::new();
        let supported = Arc::new(AtomicBool::new(false));
        let said_goodbye = Arc::new(AtomicBool::new(false));
        let draining = supervisor.draining();
        let (facts, tail) = (supported.clone(), said_goodbye.clone());
        supervisor.spawn_support("facts", async move {
            draining.cancelled().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            facts.store(true, Ordering::SeqCst);
            std::future::pending().await
        });
        let draining = supervisor.draining();
        supervisor.spawn("server", async move {
            draining.cancelled().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
            Ok(())
        });
        supervisor.spawn_tail("lease", |stopping| async move {
            stopping.cancelled().await;
            tail.store(true, Ordering::SeqCst);
            Ok(())
        });
        supervisor.drain();
        supervisor.run(GRACE).await.unwrap();
        assert!(
            supported.load(Ordering::SeqCst),
            "the supporting task ran on during the drain"
        );
        assert!(said_goodbye.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_will_not_drain_is_overdue() {
        let supervisor = Supervisor::new();
        supervisor.spawn("stubborn", std::future::pending());
        supervisor.drain();
        let failure = supervisor.run(GRACE).await.unwrap_err();
        assert!(matches!(failure.cause, Cause::Overdue(GRACE)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_signal_aborts() {
        let supervisor = Supervisor::new();
        supervisor.spawn("stubborn", std::future::pending());
        supervisor.shared.on_signal("SIGTERM");
        assert!(!supervisor.shared.aborted.is_cancelled());
        supervisor.shared.on_signal("SIGTERM");
        let failure = supervisor.run(GRACE).await.unwrap_err();
        assert!(matches!(failure.cause, Cause::Aborted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_may_end_or_panic_alone() {
        let supervisor = Supervisor::new();
        supervisor.spawn_child("connection", async { panic!("bad bytes") });
        supervisor.spawn_child("connection", async {});
        supervisor.shared.children.close();
        supervisor.shared.children.wait().await;
        assert!(!supervisor.draining().is_cancelled());
        supervisor.drain();
        supervisor.run(GRACE).await.unwrap();
    }
}
