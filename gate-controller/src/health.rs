//! Asks for the health of the listeners that pods wait for: one call for up to 30 load balancers, about
//! once a second, and none while nothing waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clb::{HealthState, ListenerId, LoadBalancerHealth, LoadBalancerId, Priority};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::engine::Shared;
use crate::plan::Place;
use crate::view::Seen;

/// Between two polls. A pod's gate turns on average half of this after the CLB's own verdict.
const EVERY: Duration = Duration::from_secs(1);
/// Load balancers in one `DescribeTargetHealth` (the API's limit).
const LOAD_BALANCERS: usize = 30;

/// Listeners whose health is awaited, by load balancer.
pub type Waiting = BTreeMap<String, BTreeSet<String>>;

/// Polls for as long as something waits.
pub async fn run(
    shared: Shared,
    mut waiting: watch::Receiver<Waiting>,
    draining: CancellationToken,
) {
    let work = async {
        let mut leadership = shared.leadership.clone();
        loop {
            leadership.gained().await;
            let now = waiting.borrow_and_update().clone();
            if now.is_empty() {
                if waiting.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let next = Instant::now() + EVERY;
            poll(&shared, &now).await;
            tokio::time::sleep_until(next).await;
        }
    };
    draining.run_until_cancelled(work).await;
}

async fn poll(shared: &Shared, waiting: &Waiting) {
    // Without a client the writers tell why; nobody waits for the poller's word.
    let Ok(client) = shared.cloud.client() else {
        return;
    };
    // Gates wait for the answer.
    let client = client.with_priority(Priority::Young);
    let all: Vec<_> = waiting.iter().collect();
    for chunk in all.chunks(LOAD_BALANCERS) {
        let ids: Vec<_> = chunk
            .iter()
            .map(|(id, _)| LoadBalancerId::new(id.as_str()))
            .collect();
        let listeners: Vec<_> = chunk
            .iter()
            .flat_map(|(_, l)| l.iter())
            .map(|id| ListenerId::new(id.as_str()))
            .collect();
        let polled = Instant::now();
        match client.describe_target_health(&ids, &listeners).await {
            Ok(answer) => take_in(shared, &answer, polled),
            Err(error) => tracing::warn!(%error, "health not known"),
        }
    }
    shared.seen.notify_one();
}

fn take_in(shared: &Shared, answer: &[LoadBalancerHealth], polled: Instant) {
    for health in answer {
        let targets = places(health).map(|(place, state)| (place, Seen { state, polled }));
        shared.views.saw(health.load_balancer_id.as_str(), targets);
    }
}

/// The health of every target, by its place.
pub(crate) fn places(
    health: &LoadBalancerHealth,
) -> impl Iterator<Item = (Place, HealthState)> + '_ {
    health.listeners.iter().flat_map(|listener| {
        // At layer 4 there is one rule too, which is none of ours.
        let layer7 = listener.protocol.has_rules();
        let of_rules = listener
            .rules
            .iter()
            .flat_map(|rule| rule.targets.iter().map(move |target| (rule, target)));
        of_rules.filter_map(move |(rule, target)| {
            let address = target.address()?;
            let listener = listener.listener_id.as_str().to_owned();
            let id = rule.location_id.as_ref().map(|id| id.as_str().to_owned());
            let place = Place {
                listener,
                rule: id.filter(|_| layer7),
                address: (address.ip(), address.port()),
            };
            Some((place, target.state()))
        })
    })
}
