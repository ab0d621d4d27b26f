//! Asynchronous writes: their answer only names a task, whose end must be watched.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

use crate::actions::DESCRIBE_TASK_STATUS as DESCRIBE;
use crate::client::Answered;
use crate::wire::{Empty, null_default};
use crate::{Client, Error, Kind, LoadBalancerId};

/// The first wait between two looks at a task; most tasks take 0.1 to 3 s.
const POLL_FIRST: Duration = Duration::from_millis(100);
/// The longest.
const POLL_MOST: Duration = Duration::from_millis(500);
/// How often a task may be unknown before it counts as ended: the API may need a moment to know a
/// new task, and forgets old ones.
const UNKNOWN_LOOKS: u32 = 3;

/// The id of an asynchronous write, by which its end is watched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Task(String);

impl Task {
    /// Takes the request id of an asynchronous write.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as the API writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Answered<Empty>> for Task {
    fn from(answered: Answered<Empty>) -> Self {
        Self(answered.request_id)
    }
}

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskStatus {
    /// It failed, for the reason given, if one is.
    Failed(Option<String>),
    /// It is in progress.
    Running,
    /// It is done.
    Succeeded,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Query<'a> {
    task_id: &'a Task,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    status: u8,
    #[serde(default, deserialize_with = "null_default")]
    message: String,
    #[serde(default, deserialize_with = "null_default")]
    load_balancer_ids: Vec<LoadBalancerId>,
}

impl From<Found> for TaskStatus {
    fn from(found: Found) -> Self {
        match found.status {
            0 => Self::Succeeded,
            1 => Self::Failed(Some(found.message).filter(|text| !text.is_empty())),
            // 2; a number of next year is no end either.
            _ => Self::Running,
        }
    }
}

impl Client {
    /// How a task stands.
    pub async fn describe_task_status(&self, task: &Task) -> Result<TaskStatus, Error> {
        let answered: Answered<Found> = self.call(DESCRIBE, None, &Query { task_id: task }).await?;
        Ok(answered.value.into())
    }

    /// The load balancers a task is about: those that were ordered, where the order's own answer did
    /// not name them.
    pub async fn load_balancers_of_task(&self, task: &Task) -> Result<Vec<LoadBalancerId>, Error> {
        let answered: Answered<Found> = self.call(DESCRIBE, None, &Query { task_id: task }).await?;
        Ok(answered.value.load_balancer_ids)
    }

    /// Waits until a task has ended, for at most `within`.
    ///
    /// A task the API does not know counts as ended: success is judged by reading what the load
    /// balancer has, which the caller does anyway.
    pub async fn wait_task(&self, task: &Task, within: Duration) -> Result<(), Error> {
        let end = Instant::now() + within;
        let client = self.until(end);
        let (mut pause, mut unknown) = (POLL_FIRST, 0);
        loop {
            let site = || Box::new(self.site(DESCRIBE, None));
            match client.describe_task_status(task).await {
                Ok(TaskStatus::Succeeded) => return Ok(()),
                Ok(TaskStatus::Failed(message)) => {
                    return Err(Error::TaskFailed {
                        site: site(),
                        task: task.clone(),
                        message,
                    });
                }
                Ok(TaskStatus::Running) => {}
                Err(error) if says_unknown(&error) && unknown + 1 == UNKNOWN_LOOKS => return Ok(()),
                Err(error) if says_unknown(&error) => unknown += 1,
                Err(error) if matches!(error.kind(), Kind::Transient | Kind::Throttled) => {}
                Err(error) => return Err(error),
            }
            let next = Instant::now() + pause;
            if next >= end {
                return Err(Error::TaskUnfinished {
                    site: site(),
                    task: task.clone(),
                });
            }
            sleep_until(next).await;
            pause = (pause * 3 / 2).min(POLL_MOST);
        }
    }
}

/// How the API says that it does not know a task is not documented; that it says so in one of the
/// ways it has for other things is the least to assume.
fn says_unknown(error: &Error) -> bool {
    let Error::Api { message, .. } = error else {
        return false;
    };
    let text = message.to_lowercase();
    error.kind() == Kind::Gone || text.contains("not exist") || text.contains("not found")
}
