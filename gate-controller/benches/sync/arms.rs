//! The three arms. The first two are what a controller without our engine does, written here with the
//! same client, limits and simulator; the third is the engine.

use std::collections::BTreeMap;
use std::time::Duration;

use clb::{
    BatchTarget, Client, Created, Listener, ListenerId, ListenerQuery, LoadBalancerId, LocationId,
    ModifyWeight, NewRule, NonEmpty, Target, Task, TaskStatus,
};
use gate_controller::desired::{Desired, DesiredTarget, RuleKey};
use tokio::time::Instant;

use super::rows::{RULES, Row, TARGETS};
use super::wire::{by_action, waited_for_tasks};
use super::world::{LOAD_BALANCER, World, tag, wanted};

/// Between two looks at a task that is not done: what public controllers use.
const POLL: Duration = Duration::from_millis(100);
/// The engine takes no longer than this.
const PATIENCE: Duration = Duration::from_mins(20);
/// How long the engine has been at rest when the change comes.
const REST: Duration = Duration::from_mins(2);

/// What became of one arm in one row.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// From the change until exactly what is wanted is bound.
    pub(crate) bound: Duration,
    /// Until the last of the calls that it caused was answered.
    pub(crate) rested: Duration,
    pub(crate) waited_for_tasks: Duration,
    pub(crate) calls: BTreeMap<String, usize>,
}

/// Runs an arm in virtual time.
pub(crate) fn in_virtual_time<T>(story: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(story)
}

/// One call a rule and one a target (`RegisterTargets`), each task polled to its end before the next.
/// What there is is queried once, before the first: no more, which flatters this arm.
pub(crate) async fn one_by_one(row: &Row, delays: clb_sim::Delays) -> Outcome {
    let world = row.world(delays);
    let naive = Naive::new(&world).await;
    let start = Instant::now();
    let (known, missing) = naive.difference(row).await;
    let mut rules = known;
    for key in missing.rules {
        let made = naive.create(std::slice::from_ref(&key)).await;
        naive.wait(&made.task).await;
        rules.insert(key, made.ids[0].clone());
    }
    for (key, target) in missing.targets {
        let change = ModifyWeight {
            listener_id: naive.listener.clone(),
            location_id: Some(rules[&key].clone()),
            targets: vec![to_api(&target)],
            weight: None,
        };
        let task = naive.client.register_targets(&naive.id, &change).await;
        naive.wait(&task.unwrap()).await;
    }
    done(&world, &row.after(), start)
}

/// Batches of 50 rules and 500 targets, one after the other. Before each batch the listener and its
/// targets are queried to see what is missing, after it again to see what was done; a `CreateRule`'s
/// task is polled (a `BatchRegisterTargets` has none: it answers when it is done).
pub(crate) async fn batched(row: &Row, delays: clb_sim::Delays) -> Outcome {
    let world = row.world(delays);
    let naive = Naive::new(&world).await;
    let start = Instant::now();
    loop {
        let (rules, missing) = naive.difference(row).await;
        if !missing.rules.is_empty() {
            let some = &missing.rules[..missing.rules.len().min(small(RULES))];
            let made = naive.create(some).await;
            naive.wait(&made.task).await;
        } else if missing.targets.is_empty() {
            return done(&world, &row.after(), start);
        } else {
            naive.register(&rules, &missing.targets).await;
        }
        // What the write has done is read before the next is thought of.
        naive.difference(row).await;
    }
}

/// The engine.
pub(crate) async fn ours(row: &Row, delays: clb_sim::Delays) -> Outcome {
    let world = row.world(delays);
    world.want(row.before());
    let after = row.after();
    let story = async {
        tokio::time::sleep(REST).await;
        let start = Instant::now();
        world.want(after.clone());
        let bound = until_bound(&world, delays, || wanted(LOAD_BALANCER, &after)).await - start;
        tokio::time::sleep(rest_after(delays)).await;
        Outcome {
            bound,
            ..done(&world, &after, start)
        }
    };
    beside(&world, story).await
}

/// The story, while all writers work.
pub(crate) async fn beside<T>(world: &World, story: impl Future<Output = T>) -> T {
    tokio::select! {
        () = world.all_writers() => panic!("the writers ended"),
        told = tokio::time::timeout(PATIENCE, story) => told.unwrap_or_else(|_| {
            panic!("not done within {PATIENCE:?}: {}", world.clb.calls()["calls"])
        }),
    }
}

/// When the simulator first has exactly this; looked at when a write has taken effect.
pub(crate) async fn until_bound(
    world: &World,
    delays: clb_sim::Delays,
    wanted: impl FnOnce() -> super::world::Bound,
) -> Instant {
    let wanted = wanted();
    let mut seen = world.wire.writes();
    loop {
        world.wire.answered.notified().await;
        let writes = world.wire.writes();
        if std::mem::replace(&mut seen, writes) == writes {
            continue;
        }
        if delays.task_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delays.task_ms.into())).await;
        }
        let now = Instant::now();
        if world.bound() == wanted {
            return now;
        }
    }
}

/// Long enough for the reads that a write causes, too short for the next regular one.
pub(crate) fn rest_after(delays: clb_sim::Delays) -> Duration {
    Duration::from_secs(5) + Duration::from_millis(delays.call_ms.into()) * 4
}

fn done(world: &World, wanted_now: &Desired, start: Instant) -> Outcome {
    assert_eq!(world.bound(), wanted(LOAD_BALANCER, wanted_now));
    let calls = world.wire.since(start);
    let last = calls.iter().filter_map(|call| call.ended).max();
    let took = last.map_or(Duration::ZERO, |last| last - start);
    let counted = by_action(&calls).into_iter();
    Outcome {
        bound: took,
        rested: took,
        waited_for_tasks: waited_for_tasks(&calls),
        calls: counted
            .map(|(action, count)| (action.to_owned(), count))
            .collect(),
    }
}

/// A controller without an engine.
struct Naive {
    client: Client,
    id: LoadBalancerId,
    listener: ListenerId,
}

struct Missing {
    rules: Vec<RuleKey>,
    targets: Vec<(RuleKey, DesiredTarget)>,
}

impl Naive {
    async fn new(world: &World) -> Self {
        let client = world.context.cloud.client().unwrap();
        let id = LoadBalancerId::new(LOAD_BALANCER);
        let listener = listeners(&client, &id).await.remove(0).listener_id;
        Self {
            client,
            id,
            listener,
        }
    }

    /// The rules there are, and what is missing.
    async fn difference(&self, row: &Row) -> (BTreeMap<RuleKey, LocationId>, Missing) {
        let listener = listeners(&self.client, &self.id).await.remove(0);
        let rules: BTreeMap<_, _> = listener
            .rules
            .into_iter()
            .map(|rule| {
                let (domain, url) = (rule.domain.unwrap(), rule.url.unwrap());
                (RuleKey { domain, url }, rule.location_id)
            })
            .collect();
        let there = self.client.describe_targets(&self.id, &[]).await.unwrap();
        let bound: std::collections::HashSet<_> = there
            .iter()
            .flat_map(|listener| &listener.rules)
            .flat_map(|rule| {
                let targets = rule.targets.iter().filter_map(clb::Backend::address);
                targets.map(|at| (rule.location_id.clone(), at))
            })
            .collect();
        let mut missing = Missing {
            rules: vec![],
            targets: vec![],
        };
        for (key, rule) in row
            .after()
            .listeners
            .into_values()
            .flat_map(|one| one.rules)
        {
            let id = rules.get(&key);
            if id.is_none() {
                missing.rules.push(key.clone());
            }
            let absent = |target: &DesiredTarget| {
                id.is_none_or(|id| !bound.contains(&(id.clone(), target.address.into())))
            };
            let absent = rule.targets.into_iter().filter(absent);
            missing.targets.extend(absent.map(|one| (key.clone(), one)));
        }
        (rules, missing)
    }

    async fn create(&self, rules: &[RuleKey]) -> Created<LocationId> {
        let new = |key: &RuleKey| NewRule::new(&key.domain, &key.url);
        let new: Vec<_> = rules.iter().map(new).collect();
        let rules = NonEmpty::new(&new).unwrap();
        let made = self.client.create_rules(&self.id, &self.listener, rules);
        made.await.unwrap()
    }

    async fn register(
        &self,
        rules: &BTreeMap<RuleKey, LocationId>,
        missing: &[(RuleKey, DesiredTarget)],
    ) {
        let one = |(key, target): &(RuleKey, DesiredTarget)| {
            BatchTarget::new(self.listener.clone(), to_api(target)).location(rules[key].clone())
        };
        let batch: Vec<_> = missing.iter().take(small(TARGETS)).map(one).collect();
        let outcome = self.client.batch_register_targets(&self.id, &batch).await;
        assert!(outcome.unwrap().failed_listeners.is_empty());
    }

    async fn wait(&self, task: &Task) {
        while self.client.describe_task_status(task).await.unwrap() != TaskStatus::Succeeded {
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn listeners(client: &Client, id: &LoadBalancerId) -> Vec<Listener> {
    let query = ListenerQuery::default();
    client.describe_listeners(id, &query).await.unwrap()
}

fn to_api(target: &DesiredTarget) -> Target {
    let (ip, port) = target.address;
    Target::new(ip, port)
        .weight(target.weight)
        .tag(tag(&target.pod_uid))
}

fn small(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
