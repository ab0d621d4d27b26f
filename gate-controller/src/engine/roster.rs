//! What the account's load balancers are, read for all writers together: one `DescribeLoadBalancers`
//! for twenty of them, not one each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clb::{Client, Error, LoadBalancer, LoadBalancerId};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Whoever asks soon after another gets the same answer.
const FRESH: Duration = Duration::from_secs(10);
/// Who has not asked for this long is not asked about any more.
const INTERESTED: Duration = Duration::from_mins(3);

/// Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Roster {
    // An async lock: whoever comes while a call is under way waits for its answer instead of calling.
    known: Arc<Mutex<HashMap<LoadBalancerId, Entry>>>,
}

#[derive(Clone)]
struct Entry {
    asked: Instant,
    read: Option<(Instant, Option<LoadBalancer>)>,
}

impl Roster {
    /// The load balancer, or `None` where there is none, not older than `since` allows.
    pub async fn get(
        &self,
        client: &Client,
        id: &LoadBalancerId,
    ) -> Result<Option<LoadBalancer>, Error> {
        let mut known = self.known.lock().await;
        let now = Instant::now();
        let entry = known.entry(id.clone()).or_insert(Entry {
            asked: now,
            read: None,
        });
        entry.asked = now;
        if let Some((at, found)) = &entry.read
            && now - *at < FRESH
        {
            return Ok(found.clone());
        }
        known.retain(|_, entry| now - entry.asked < INTERESTED);
        let ids: Vec<_> = known.keys().cloned().collect();
        let mut found: HashMap<_, _> = client
            .describe_load_balancers(&ids)
            .await?
            .into_iter()
            .map(|found| (found.load_balancer_id.clone(), found))
            .collect();
        for (id, entry) in known.iter_mut() {
            entry.read = Some((now, found.remove(id)));
        }
        Ok(known
            .get(id)
            .and_then(|entry| entry.read.clone())
            .and_then(|(_, found)| found))
    }

    /// The next question is asked of the API: something was not as it was told.
    pub async fn doubt(&self, id: &LoadBalancerId) {
        if let Some(entry) = self.known.lock().await.get_mut(id) {
            entry.read = None;
        }
    }
}
