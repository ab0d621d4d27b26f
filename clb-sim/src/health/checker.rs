//! Probes every target of every checked listener, whatever its weight.

use super::probe::probe;
use crate::shared::Shared;
use crate::state::Model;
use crate::state::health_check::{CheckKind, HealthCheck};
use crate::state::ids;
use crate::state::parts::TargetKey;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Probes in flight: what a burst may cost in file descriptors.
const IN_FLIGHT: usize = 1000;

/// Follows the model until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut changes = shared.follow();
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<Id, AbortHandle> = BTreeMap::new();
    let mut seen = None;
    loop {
        let structure = changes.borrow_and_update().structure;
        if seen != Some(structure) {
            seen = Some(structure);
            let wanted = shared.with(|model, _| jobs(model));
            stop_others(&mut running, &wanted);
            for (id, job) in wanted {
                running.entry(id).or_insert_with(|| {
                    let (shared, room) = (Arc::clone(&shared), Arc::clone(&room));
                    tasks.spawn(async move { check(&job, &shared, &room).await })
                });
            }
        }
        while tasks.try_join_next().is_some() {}
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The binding that is probed; bound anew, it is another.
type Id = (u64, TargetKey);

/// One target's probing.
struct Job {
    load_balancer: String,
    key: TargetKey,
    generation: u64,
    check: HealthCheck,
}

fn jobs(model: &Model) -> BTreeMap<Id, Job> {
    let mut jobs = BTreeMap::new();
    for load_balancer in model.load_balancers.values() {
        for listener in &load_balancer.listeners {
            let Some(check) = listener
                .check
                .as_ref()
                .filter(|check| check.on && check.kind != CheckKind::Ping)
            else {
                continue;
            };
            for (address, target) in &listener.targets {
                let key = TargetKey {
                    listener_id: listener.id.clone(),
                    address: *address,
                };
                let job = Job {
                    load_balancer: load_balancer.id.clone(),
                    key: key.clone(),
                    generation: target.generation,
                    check: check.clone(),
                };
                jobs.insert((target.generation, key), job);
            }
        }
    }
    jobs
}

fn stop_others(running: &mut BTreeMap<Id, AbortHandle>, wanted: &BTreeMap<Id, Job>) {
    running.retain(|id, task| {
        let stays = wanted.contains_key(id);
        if !stays {
            task.abort();
        }
        stays
    });
}

async fn check(job: &Job, shared: &Shared, room: &Semaphore) {
    let every = Duration::from_secs(job.check.interval_s.into());
    let mut turns = interval_at(Instant::now() + first_wait(&job.key, every), every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let Ok(_permit) = room.acquire().await else {
            return;
        };
        let good = probe(&job.check, job.key.address).await;
        shared.with(|model, _| {
            model.record_probe(&job.load_balancer, &job.key, job.generation, good);
        });
    }
}

/// A new target is probed soon, within a quarter of the interval, so that it is judged after about
/// `HealthNum - 1` intervals as on the real CLB; and not at once, so that five hundred targets of
/// one call are not probed in one instant.
fn first_wait(key: &TargetKey, every: Duration) -> Duration {
    const STEPS: u32 = 1000;
    let text = ids::derived("probe", &key.to_string());
    let step = text
        .bytes()
        .fold(0_u32, |sum, byte| (sum * 31 + u32::from(byte)) % STEPS);
    every / 4 * step / STEPS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_probes_are_soon_and_spread() {
        let every = Duration::from_secs(4);
        let waits: Vec<Duration> = (0..100)
            .map(|port| {
                let key = TargetKey {
                    listener_id: "lbl-a".to_owned(),
                    address: ([10, 0, 0, 1], 8000 + port).into(),
                };
                first_wait(&key, every)
            })
            .collect();
        assert!(waits.iter().all(|wait| *wait < Duration::from_secs(1)));
        let early = waits
            .iter()
            .filter(|wait| **wait < Duration::from_millis(500))
            .count();
        assert!((20..=80).contains(&early), "{early}");
    }
}
