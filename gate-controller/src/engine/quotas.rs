//! The account's quotas, read for all writers together and now and then: people raise them.

use std::sync::Arc;
use std::time::Duration;

use clb::{Client, QuotaId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::Context;

/// How often they are read.
const EVERY: Duration = Duration::from_mins(2);
/// How soon again after a failure.
const AGAIN: Duration = Duration::from_secs(15);

/// Cheap to clone; every clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Quotas(Arc<Mutex<Option<usize>>>);

impl Quotas {
    /// Targets that a listener or rule may have; `None` as long as the API has not said.
    pub fn targets(&self) -> Option<usize> {
        *self.0.lock()
    }

    async fn read(&self, client: &Client) -> Result<(), clb::Error> {
        let targets = targets(client).await?;
        *self.0.lock() = targets;
        Ok(())
    }
}

/// Targets that a listener or rule may have, where the API says so.
pub(crate) async fn targets(client: &Client) -> Result<Option<usize>, clb::Error> {
    let all = client.describe_quota().await?;
    let quota = all
        .into_iter()
        .find(|quota| quota.quota_id == QuotaId::Targets);
    Ok(quota.and_then(|quota| usize::try_from(quota.quota_limit?).ok()))
}

/// Keeps them known for as long as we lead and until `draining`. Whoever may not ask for them
/// (`clb:DescribeQuota`) is told of a full listener when the API refuses, and not before.
pub async fn run(context: Context, draining: CancellationToken) {
    let work = async {
        let mut leadership = context.leadership.clone();
        let mut told = false;
        loop {
            leadership.gained().await;
            // Without a client the writers tell why.
            let Ok(client) = context.cloud.client() else {
                tokio::time::sleep(AGAIN).await;
                continue;
            };
            match context.quotas.read(&client).await {
                Ok(()) => {
                    told = false;
                    tokio::time::sleep(EVERY).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "quotas are not known");
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    };
    draining.run_until_cancelled(work).await;
}
