//! The tasks that a connection of layer 7 needs besides itself. They end with it: hyper spawns them,
//! and a detached task would outlive its listener.

use hyper::rt::Executor;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};
use tokio::task::JoinSet;

/// A connection's tasks; dropped, it drops them.
pub(super) struct Helpers {
    tasks: Arc<Mutex<JoinSet<()>>>,
}

/// Gives tasks to a connection while it lives. It does not keep the tasks alive, because tasks have
/// it too.
#[derive(Clone)]
pub(super) struct Helper(Weak<Mutex<JoinSet<()>>>);

impl Helpers {
    pub(super) fn new() -> Self {
        Self {
            tasks: Arc::new(Mutex::new(JoinSet::new())),
        }
    }

    pub(super) fn helper(&self) -> Helper {
        Helper(Arc::downgrade(&self.tasks))
    }

    /// Waits until all tasks given so far have ended.
    pub(super) async fn finish(self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while tasks.join_next().await.is_some() {}
    }
}

impl<F> Executor<F> for Helper
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        if let Some(tasks) = self.0.upgrade() {
            let mut tasks = tasks.lock();
            tasks.spawn(async move {
                task.await;
            });
            while tasks.try_join_next().is_some() {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn tasks_end_with_their_connection() {
        let (held, ended) = oneshot::channel::<()>();
        let helpers = Helpers::new();
        let helper = helpers.helper();
        helper.execute(async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        drop(helpers);
        assert!(ended.await.is_err());
        helper.execute(async { unreachable!("nobody is there to do it") });
    }

    #[tokio::test]
    async fn finishing_waits_for_what_was_given() {
        let (done, is_done) = oneshot::channel();
        let helpers = Helpers::new();
        helpers.helper().execute(async move {
            tokio::task::yield_now().await;
            let _ = done.send(7);
        });
        helpers.finish().await;
        assert_eq!(is_done.await, Ok(7));
    }
}
