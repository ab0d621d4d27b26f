//! Ten virtual hours in which three calls in ten fail in every way the simulator knows, pods come and
//! go, people and neighbours change things, and leaders die in the middle of calls: nobody's target is
//! touched meanwhile, and once the API is well again exactly what is wanted is there.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gate_controller::desired::Desired;
use gate_controller::pod::Fate;
use parking_lot::Mutex;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::town::{SERVICES, Town, holder, listeners, lose_target};
use super::world::{LOAD_BALANCER, World, every_call_takes, wanted};

/// How many histories `make test` follows; `SYNC_CASES` says another number.
const CASES: u32 = 3;
/// How long a request is under way at most.
const TRANSIT: Duration = Duration::from_secs(1);
/// Within this everything must be as wanted once the API is well: a re-read, a drain, a back-off.
const HEALED: Duration = Duration::from_mins(4);
/// A call that was decided on before a change may still arrive this much later: its deadline, and its
/// way.
const LATE: Duration = Duration::from_secs(15);

#[derive(Clone, Debug)]
enum Event {
    Come {
        service: usize,
        address: u32,
    },
    Go(usize),
    Vanish(usize),
    Reuse(usize),
    Weigh(usize, u8),
    /// A Service is deleted, or created again.
    Toggle(usize),
    Quota(usize),
    Foreign(usize),
    LoseListener(usize),
    LoseTarget(usize),
    /// The leader dies; the next begins so many milliseconds later.
    Leader(u64),
    /// The cache loses everything for a while.
    Amnesia(u64),
}

/// A history: what happens after how many seconds.
#[derive(Clone, Debug)]
pub(crate) struct History {
    seed: u64,
    events: Vec<(u64, Event)>,
}

fn event() -> impl Strategy<Value = Event> {
    let service = 0..SERVICES.len();
    prop_oneof![
        12 => (service.clone(), 0..12_u32)
            .prop_map(|(service, address)| Event::Come { service, address }),
        4 => (0..16_usize).prop_map(Event::Go),
        3 => (0..16_usize).prop_map(Event::Vanish),
        4 => (0..16_usize).prop_map(Event::Reuse),
        3 => (0..16_usize, 1..20_u8).prop_map(|(pod, weight)| Event::Weigh(pod, weight)),
        2 => service.clone().prop_map(Event::Toggle),
        1 => (2..30_usize).prop_map(Event::Quota),
        3 => service.clone().prop_map(Event::Foreign),
        1 => service.clone().prop_map(Event::LoseListener),
        2 => service.prop_map(Event::LoseTarget),
        3 => (0..9000_u64).prop_map(Event::Leader),
        1 => (1000..20_000_u64).prop_map(Event::Amnesia),
    ]
}

/// About a hundred events: most follow each other closely, some after half an hour: ten hours in all.
fn history() -> impl Strategy<Value = History> {
    let pause = prop_oneof![6 => 0..15_u64, 2 => 15..120_u64, 2 => 600..2400_u64];
    let events = prop::collection::vec((pause, event()), 60..130);
    (any::<u64>(), events).prop_map(|(seed, events)| History { seed, events })
}

/// What was seen to go wrong, and what the watch needs to know.
#[derive(Default)]
struct Watch {
    wrong: Vec<String>,
    /// Where, target and pod -> since when it has been wanted.
    since: HashMap<(String, String, String), Instant>,
    /// When the present leader began.
    leader: Option<Instant>,
}

type Writer = Pin<Box<dyn Future<Output = ()>>>;

struct Story {
    world: Arc<World>,
    town: Town,
    writer: Writer,
    watch: Arc<Mutex<Watch>>,
}

impl Story {
    fn new(seed: u64) -> Self {
        let world = World::of(
            clb_sim::Config {
                delays: clb_sim::Delays {
                    task_ms: 300,
                    ..every_call_takes(200)
                },
                ..clb_sim::Config::default()
            },
            &[LOAD_BALANCER.to_owned()],
            TRANSIT,
        );
        let fault = json!({ "action": "*", "chance": 0.3, "seed": seed >> 1 });
        world.clb.add_fault(&fault).unwrap();
        let town = Town::new(&world);
        let writer = Box::pin(world.all_writers());
        let world = Arc::new(world);
        let watch = Arc::new(Mutex::new(Watch::default()));
        observe(&world, &watch);
        Self {
            world,
            town,
            writer,
            watch,
        }
    }

    /// Time passes while the writer works.
    async fn pass(&mut self, time: Duration) {
        tokio::select! {
            () = &mut self.writer => panic!("the writer ended"),
            () = sleep(time) => {}
        }
    }

    async fn happen(&mut self, event: Event) {
        match event {
            Event::Come { service, address } => self.town.come(service, address),
            Event::Vanish(pod) => self.town.vanish(pod),
            Event::Reuse(pod) => self.town.reuse(pod),
            Event::Go(pod) => {
                if let Some(pod) = self.town.pod(pod) {
                    pod.fate = if pod.fate == Fate::Live {
                        Fate::Going
                    } else {
                        Fate::Ended
                    };
                }
            }
            Event::Weigh(pod, weight) => {
                if let Some(pod) = self.town.pod(pod) {
                    pod.weight = weight;
                }
            }
            Event::Toggle(service) => {
                let there = &mut self.town.services[service];
                *there = there.is_none().then(Instant::now);
            }
            Event::Quota(targets) => self.world.clb.set_quotas(clb_sim::Quotas {
                targets,
                ..clb_sim::Quotas::default()
            }),
            Event::Foreign(service) => self.town.toggle_foreign(&self.world, service),
            Event::LoseListener(service) => self.town.lose_listener(&self.world, service),
            Event::LoseTarget(service) => lose_target(&self.world, service),
            Event::Leader(gap) => self.change_leader(Duration::from_millis(gap)).await,
            Event::Amnesia(millis) => self.forget_for(Duration::from_millis(millis)).await,
        }
        self.tell();
    }

    /// Says what should be there now.
    fn tell(&self) {
        self.note();
        self.world.want(self.town.desired());
    }

    fn note(&self) {
        let mut watch = self.watch.lock();
        let now = Instant::now();
        let wanted = wanted(LOAD_BALANCER, &self.town.desired());
        let key = |((holder, target), (_, tag)): (_, (u64, Option<String>))| {
            (holder, target, tag.unwrap())
        };
        let known = std::mem::take(&mut watch.since);
        watch.since = wanted
            .into_iter()
            .map(key)
            .map(|key| {
                let since = known.get(&key).copied().unwrap_or(now);
                (key, since)
            })
            .collect();
    }

    async fn change_leader(&mut self, gap: Duration) {
        self.writer = Box::pin(std::future::pending());
        self.pass(gap).await;
        let world = self.world.successor();
        self.watch.lock().leader = Some(Instant::now());
        self.world = Arc::new(world);
        self.writer = Box::pin(self.world.all_writers());
    }

    async fn forget_for(&mut self, time: Duration) {
        // A single pod that is gone is believed; half of all are not.
        if self.town.pods.len() > 4 {
            self.world.inboxes[LOAD_BALANCER].put(&Desired::default());
            self.pass(time).await;
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let wrong = self.watch.lock().wrong.clone();
        prop_assert!(wrong.is_empty(), "{wrong:#?}");
        let neighbours = self.town.check_neighbours(&self.world);
        prop_assert_eq!(neighbours, Ok(()));
        Ok(())
    }

    /// The API is well again: what is wanted must come about, and then nothing more be written.
    async fn heal(&mut self) -> Result<(), TestCaseError> {
        self.world.clb.clear_faults();
        self.world.clb.set_quotas(clb_sim::Quotas::default());
        for pod in self
            .town
            .pods
            .iter_mut()
            .filter(|pod| pod.fate == Fate::Going)
        {
            pod.fate = Fate::Ended;
        }
        self.tell();
        let healed = Instant::now();
        while self.world.bound() != self.town.wanted() {
            let (bound, wanted) = (self.world.bound(), self.town.wanted());
            let view = self.world.view();
            prop_assert!(
                healed.elapsed() < HEALED,
                "bound {bound:#?}\nwanted {wanted:#?}\n{:?} {:?}",
                view.problem,
                view.held
            );
            self.pass(Duration::from_secs(1)).await;
        }
        self.pass(HEALED).await;
        let rested = Instant::now();
        self.pass(HEALED).await;
        self.check()?;
        prop_assert_eq!(self.world.bound(), self.town.wanted());
        let slots = |number: &usize| self.town.services[*number].is_some();
        let services = (0..SERVICES.len()).filter(slots).count();
        prop_assert_eq!(
            listeners(&self.world).len(),
            services + kept(&self.town) + 1
        );
        let calls = self.world.wire.since(rested);
        let writes: Vec<_> = calls.iter().filter(|call| call.writes()).collect();
        prop_assert!(writes.is_empty(), "{writes:?}");
        Ok(())
    }
}

/// Listeners of Services that are gone, kept because a neighbour's target hangs there.
fn kept(town: &Town) -> usize {
    let gone = (0..SERVICES.len()).filter(|number| town.services[*number].is_none());
    let used = |number: &usize| {
        let (protocol, port) = SERVICES[*number];
        let slot = format!("{LOAD_BALANCER} {protocol}:{port}");
        town.foreign
            .keys()
            .any(|(holder, _)| holder.starts_with(&slot))
    };
    gone.filter(used).count()
}

/// Looks at every write in the moment it arrives.
fn observe(world: &Arc<World>, watch: &Arc<Mutex<Watch>>) {
    let (clb, watch) = (Arc::clone(&world.clb), Arc::clone(watch));
    world.wire.inspect(Box::new(move |action, body, sent| {
        let state = clb.state();
        let mut watch = watch.lock();
        let found = match action {
            "BatchRegisterTargets" => over_another(&state, body, (&watch, sent)),
            "BatchDeregisterTargets" => lost(&state, body["Targets"].as_array(), &watch),
            "BatchModifyTargetWeight" => {
                let drained = drained(body);
                lost(&state, Some(&drained), &watch)
            }
            "DeleteListener" | "DeleteRule" => with_targets(&state, body),
            _ => vec![],
        };
        watch
            .wrong
            .extend(found.into_iter().map(|what| format!("{action}: {what}")));
    }));
}

/// The targets of a call, each with what hangs at its place.
fn places<'a>(
    state: &'a Value,
    targets: Option<&'a Vec<Value>>,
) -> impl Iterator<Item = (String, String, &'a Value, Option<&'a Value>)> {
    let all = state["load_balancers"][0]["listeners"].as_array().unwrap();
    targets.into_iter().flatten().filter_map(move |target| {
        let listener = all.iter().find(|one| one["id"] == target["ListenerId"])?;
        let mut rules = listener["rules"].as_array()?.iter();
        let id = target["LocationId"].as_str();
        let rule = match id {
            None => None,
            Some(id) => Some(rules.find(|rule| rule["id"] == id)?),
        };
        let there = rule.unwrap_or(listener)["targets"].as_array()?;
        let same = |one: &&Value| one["ip"] == target["EniIp"] && one["port"] == target["Port"];
        let address = format!("{}:{}", target["EniIp"].as_str()?, target["Port"]);
        Some((
            holder(listener, rule),
            address,
            target,
            there.iter().find(same),
        ))
    })
}

/// Registrations over a target of another pod, by a leader who should know.
fn over_another(state: &Value, body: &Value, (watch, sent): (&Watch, Instant)) -> Vec<String> {
    // What a dead leader still had under way, the next one cannot have seen at first.
    let settled = watch.leader.is_none_or(|since| sent > since + LATE);
    places(state, body["Targets"].as_array())
        .filter(|(_, _, new, there)| there.is_some_and(|there| there["tag"] != new["Tag"]))
        .filter(|(_, _, _, there)| settled || there.is_some_and(|one| one["tag"] == "neighbour"))
        .map(|(holder, target, new, there)| format!("{holder} {target}: {new} over {there:?}"))
        .collect()
}

/// Targets taken out of service although they have been wanted for a while, or are a neighbour's.
fn lost(state: &Value, targets: Option<&Vec<Value>>, watch: &Watch) -> Vec<String> {
    let now = Instant::now();
    places(state, targets)
        .filter_map(|(holder, target, _, there)| {
            let tag = there?["tag"].as_str().unwrap_or_default().to_owned();
            let since = watch
                .since
                .get(&(holder.clone(), target.clone(), tag.clone()));
            let wanted = since.is_some_and(|since| now - *since > LATE);
            (wanted || tag == "neighbour").then(|| format!("{holder} {target} {tag} is wanted"))
        })
        .collect()
}

/// The targets that a call gives weight 0, as the other calls write them.
fn drained(body: &Value) -> Vec<Value> {
    let entries = body["ModifyList"].as_array().into_iter().flatten();
    let targets = entries.flat_map(|entry| {
        let targets = entry["Targets"].as_array().into_iter().flatten();
        targets
            .filter(|target| target["Weight"] == 0)
            .map(|target| {
                json!({
                    "ListenerId": entry["ListenerId"], "LocationId": entry["LocationId"],
                    "EniIp": target["EniIp"], "Port": target["Port"],
                })
            })
    });
    targets.collect()
}

/// Deletions of what is not empty, or not ours.
fn with_targets(state: &Value, body: &Value) -> Vec<String> {
    let all = state["load_balancers"][0]["listeners"].as_array().unwrap();
    let Some(listener) = all.iter().find(|one| one["id"] == body["ListenerId"]) else {
        return vec![];
    };
    let rules = listener["rules"].as_array().unwrap().iter();
    let ids = body["LocationIds"].as_array();
    let gone = |rule: &&Value| ids.is_none_or(|ids| ids.contains(&rule["id"]));
    let in_rules = rules
        .filter(gone)
        .filter_map(|rule| rule["targets"].as_array());
    let own = listener["targets"].as_array().filter(|_| ids.is_none());
    let hanging: Vec<_> = in_rules.chain(own).flatten().collect();
    let foreign = hanging.iter().any(|target| target["tag"] == "neighbour");
    let named = listener["name"] == "neighbour";
    if foreign || named {
        return vec![format!("{listener}")];
    }
    vec![]
}

fn follow(history: &History) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(async {
        let mut story = Story::new(history.seed);
        story.tell();
        for (pause, event) in history.events.clone() {
            story.pass(Duration::from_secs(pause)).await;
            story.happen(event).await;
            story.check()?;
        }
        story.heal().await
    })
}

#[test]
fn whatever_fails_the_load_balancer_ends_up_as_wanted() {
    let cases = std::env::var("SYNC_CASES").ok();
    let config = ProptestConfig {
        cases: cases.as_ref().map_or(CASES, |cases| cases.parse().unwrap()),
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    // The same histories at every `make test`; others at every `make soak-sync`.
    let mut runner = match cases {
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
        Some(_) => TestRunner::new(config),
    };
    let outcome = runner.run(&history(), |history| follow(&history));
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
}
