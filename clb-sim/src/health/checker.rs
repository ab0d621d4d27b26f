//! Probes every target of every checked listener, whatever its weight.

use super::probe::{Outcome, Probe, place};
use crate::outgoing::{Outgoing, probe_source};
use crate::shared::Shared;
use crate::state::Model;
use crate::state::health_check::{CheckKind, HealthCheck};
use crate::state::ids;
use crate::state::parts::{Listener, LoadBalancer, TargetKey};
use crate::state::security::{Layer4, Packet};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{debug, warn};

/// Probes in flight: what a burst may cost in file descriptors.
const IN_FLIGHT: usize = 1000;

/// Follows the model until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, outgoing: Outgoing) {
    let mut changes = shared.follow();
    let prober = Arc::new(Prober {
        shared: Arc::clone(&shared),
        outgoing,
        room: Semaphore::new(IN_FLIGHT),
    });
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<Id, (Arc<Job>, AbortHandle)> = BTreeMap::new();
    let mut seen = None;
    loop {
        let structure = changes.borrow_and_update().structure;
        if seen != Some(structure) {
            seen = Some(structure);
            let wanted = shared.with(|model, _| jobs(model));
            stop_others(&mut running, &wanted);
            for (id, job) in wanted {
                running.entry(id).or_insert_with(|| {
                    let (job, prober) = (Arc::new(job), Arc::clone(&prober));
                    let probing = Arc::clone(&job);
                    let task = tasks.spawn(async move { prober.check(&probing).await });
                    (job, task)
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
#[derive(PartialEq, Eq)]
struct Job {
    load_balancer: String,
    vip: Ipv4Addr,
    key: TargetKey,
    generation: u64,
    check: HealthCheck,
    datagram: bool,
}

fn jobs(model: &Model) -> BTreeMap<Id, Job> {
    let mut jobs = BTreeMap::new();
    for load_balancer in model.load_balancers.values() {
        for listener in &load_balancer.listeners {
            let all = jobs_of(load_balancer, listener);
            jobs.extend(all.filter(|((_, key), _)| !model.forecast.covers(&key.address)));
        }
    }
    jobs
}

fn jobs_of(load_balancer: &LoadBalancer, listener: &Listener) -> impl Iterator<Item = (Id, Job)> {
    listener.places().flat_map(move |place| {
        let check = place.check.filter(|check| check.on);
        let targets = check.map(|check| place.targets.iter().zip(std::iter::repeat(check)));
        let targets = targets.into_iter().flatten();
        targets.map(move |((address, target), check)| {
            let key = TargetKey {
                listener_id: listener.id.clone(),
                location_id: place.location_id.map(str::to_owned),
                address: *address,
            };
            let job = Job {
                load_balancer: load_balancer.id.clone(),
                vip: load_balancer.vip,
                key: key.clone(),
                generation: target.generation,
                check: check.clone(),
                datagram: listener.protocol.is_datagram(),
            };
            ((target.generation, key), job)
        })
    })
}

/// Ends what is not wanted any more, or differently: a check that was modified.
fn stop_others(running: &mut BTreeMap<Id, (Arc<Job>, AbortHandle)>, wanted: &BTreeMap<Id, Job>) {
    running.retain(|id, (job, task)| {
        let stays = wanted.get(id).is_some_and(|wanted| *wanted == **job);
        if !stays {
            task.abort();
        }
        stays
    });
}

/// What all probing shares.
struct Prober {
    shared: Arc<Shared>,
    outgoing: Outgoing,
    room: Semaphore,
}

impl Prober {
    async fn check(&self, job: &Job) {
        let every = Duration::from_secs(job.check.interval_s.into());
        let mut turns = interval_at(Instant::now() + first_wait(&job.key, every), every);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            turns.tick().await;
            let outcome = self.probe(job).await;
            if let Outcome::Impossible(why) = &outcome {
                if told.as_ref() != Some(why) {
                    warn!("{} cannot be probed: {why}", job.key);
                    told = Some(why.clone());
                }
                continue;
            }
            let good = outcome == Outcome::Good;
            self.shared.with(|model, _| {
                model.record_probe(&job.load_balancer, &job.key, job.generation, good);
            });
        }
    }

    async fn probe(&self, job: &Job) -> Outcome {
        let probe = Probe {
            check: &job.check,
            target: place(&job.check, job.key.address),
            from: probe_source(job.vip, job.check.source_ip_type).into(),
            datagram: job.datagram,
        };
        if !self.arrives(job, &probe) {
            // What a security group drops is not answered: the probe waits in vain.
            tokio::time::sleep(Duration::from_secs(job.check.timeout_s.into())).await;
            return Outcome::Bad;
        }
        let Ok(_permit) = self.room.acquire().await else {
            return Outcome::Bad;
        };
        probe.run(self.outgoing).await
    }

    fn arrives(&self, job: &Job, probe: &Probe<'_>) -> bool {
        let packet = Packet::Probe {
            from: probe.from,
            protocol: protocol(&job.check, job.datagram),
            target: probe.target,
        };
        let dropped = self.shared.with(|model, _| {
            let load_balancer = model.load_balancers.get(&job.load_balancer)?;
            model.security.allows(load_balancer, packet).dropped()
        });
        if let Some(reason) = dropped {
            debug!(
                "{} a probe from {} is dropped: {reason}",
                job.key, probe.from
            );
        }
        dropped.is_none()
    }
}

fn protocol(check: &HealthCheck, datagram: bool) -> Layer4 {
    match check.kind {
        CheckKind::Ping => Layer4::Icmp,
        CheckKind::Custom(_) if datagram => Layer4::Udp,
        CheckKind::Custom(_) | CheckKind::Http(_) | CheckKind::Tcp => Layer4::Tcp,
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
                let key = TargetKey::layer4("lbl-a", ([10, 0, 0, 1], 8000 + port).into());
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
