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
/// Ids in one call (`DescribeLoadBalancers`).
const IDS: usize = 20;
/// Who has not asked for this long is not asked about any more.
const INTERESTED: Duration = Duration::from_mins(3);

/// Cheap to clone; every clone is the same.
#[derive(Clone, Default)]
pub struct Roster {
    /// Who is asked about. Apart from the answers, so that those who wait for a call are in the next one.
    asked: Arc<parking_lot::Mutex<HashMap<LoadBalancerId, Instant>>>,
    // An async lock: whoever comes while a call is under way waits for its answer instead of calling.
    known: Arc<Mutex<HashMap<LoadBalancerId, Answer>>>,
}

/// When it was said, and what: `None` where there is no such load balancer.
type Answer = (Instant, Option<LoadBalancer>);

impl Roster {
    /// The load balancer, or `None` where there is none, as it was a moment ago.
    pub async fn get(
        &self,
        client: &Client,
        id: &LoadBalancerId,
    ) -> Result<Option<LoadBalancer>, Error> {
        self.asked.lock().insert(id.clone(), Instant::now());
        let mut known = self.known.lock().await;
        if let Some((at, found)) = known.get(id)
            && at.elapsed() < FRESH
        {
            return Ok(found.clone());
        }
        *known = read(client, self.interesting(id)).await?;
        Ok(known.get(id).and_then(|(_, found)| found.clone()))
    }

    fn interesting(&self, id: &LoadBalancerId) -> Vec<LoadBalancerId> {
        let mut asked = self.asked.lock();
        asked.insert(id.clone(), Instant::now());
        asked.retain(|_, at| at.elapsed() < INTERESTED);
        asked.keys().cloned().collect()
    }

    /// The next question is asked of the API: something was not as it was told.
    pub async fn doubt(&self, id: &LoadBalancerId) {
        self.known.lock().await.remove(id);
    }
}

/// All calls side by side: one after another, a hundred load balancers would be told about too late.
async fn read(
    client: &Client,
    ids: Vec<LoadBalancerId>,
) -> Result<HashMap<LoadBalancerId, Answer>, Error> {
    let parts = ids
        .chunks(IDS)
        .map(|ids| client.describe_load_balancers(ids));
    let found = futures::future::try_join_all(parts).await?;
    let mut found: HashMap<_, _> = found
        .into_iter()
        .flatten()
        .map(|found| (found.load_balancer_id.clone(), found))
        .collect();
    let now = Instant::now();
    let answer = |id: LoadBalancerId| {
        let found = found.remove(&id);
        (id, (now, found))
    };
    Ok(ids.into_iter().map(answer).collect())
}
