//! Whatever happens in whatever order, and wherever the controller dies: in the end every living Service
//! that asks for a load balancer has exactly one, a dead one has none, and strangers' are untouched.

use std::collections::BTreeMap;

use direct_access::ownership::ClusterId;
use direct_access::settings::Manage;
use direct_access::{Settings, names};
use proptest::prelude::*;

use super::decide::{Claim, Contents, Step, Wish, ingress};
use super::*;
use crate::desired::tests::service;
use direct_access::ServiceFacts;

const STRANGERS: &str = "lb-stranger";

/// A load balancer of the model's API.
#[derive(Clone, Debug)]
struct Clb {
    uid: Option<String>,
    made: u64,
    shows: u64,
    contents: Contents,
    pass_to_target: bool,
}

/// What happens.
#[derive(Clone, Debug)]
enum Happening {
    /// The controller looks and does one step; it dies after so many effects.
    Pass(usize),
    /// It dies.
    Crash,
    /// The watch catches up.
    Watch,
    /// The writer makes or takes away our listeners.
    Write,
    Seconds(u64),
    /// The annotation direct-access is set or removed.
    Switch(bool),
    /// The annotation pass-to-target is set.
    Open(bool),
    /// An existing load balancer is named, or none any more.
    Name(bool),
    /// The Service is deleted, or a copy of what is left of it is created.
    Delete,
    Recreate,
    /// Somebody deletes our load balancer.
    Lose,
    /// Somebody removes our annotations.
    Strip,
    /// Somebody types the id of a load balancer that is not ours.
    Type,
    /// A stranger makes or deletes a listener on ours.
    Stranger(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => (0..4_usize).prop_map(Happening::Pass),
        2 => Just(Happening::Crash),
        6 => Just(Happening::Watch),
        4 => Just(Happening::Write),
        4 => (1..20_u64).prop_map(Happening::Seconds),
        2 => any::<bool>().prop_map(Happening::Switch),
        1 => any::<bool>().prop_map(Happening::Open),
        1 => any::<bool>().prop_map(Happening::Name),
        1 => Just(Happening::Delete),
        1 => Just(Happening::Recreate),
        1 => Just(Happening::Lose),
        1 => Just(Happening::Strip),
        1 => Just(Happening::Type),
        1 => any::<bool>().prop_map(Happening::Stranger),
    ]
}

struct World {
    cluster: ClusterId,
    start: Instant,
    seconds: u64,
    lag: u64,
    api: BTreeMap<String, Clb>,
    tokens: BTreeMap<String, String>,
    /// Kept for a stranger when their Service was released: a person deletes them.
    left: BTreeSet<String>,
    /// The Service in the API server and in the controller's cache.
    service: Option<ServiceFacts>,
    cache: Option<ServiceFacts>,
    births: u64,
    versions: u64,
    memory: Memory,
}

/// The controller died, or its write was refused: it looks again.
struct Ended;

impl World {
    fn new(lag: u64) -> Self {
        let start = Instant::now();
        let stranger = Clb {
            uid: None,
            made: 0,
            shows: 0,
            contents: Contents {
                ours: 0,
                foreign: 1,
            },
            pass_to_target: false,
        };
        let mut world = Self {
            cluster: ClusterId::new("us"),
            start,
            seconds: 0,
            lag,
            api: [(STRANGERS.to_owned(), stranger)].into(),
            tokens: BTreeMap::new(),
            left: BTreeSet::new(),
            service: None,
            cache: None,
            births: 0,
            versions: 0,
            memory: Memory::default(),
        };
        world.crash();
        world.recreate();
        world
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.seconds)
    }

    fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Pass(effects) => self.pass(*effects),
            Happening::Crash => self.crash(),
            Happening::Watch => self.cache.clone_from(&self.service),
            Happening::Write => self.write(),
            Happening::Seconds(seconds) => self.seconds += seconds,
            Happening::Switch(on) => {
                let value = if *on { "true" } else { "false" };
                self.annotate(names::DIRECT_ACCESS, Some(value));
            }
            Happening::Open(on) => {
                let value = if *on { "true" } else { "false" };
                self.annotate(names::PASS_TO_TARGET, Some(value));
            }
            Happening::Name(named) => {
                self.annotate(
                    names::EXISTING_LOAD_BALANCER,
                    named.then_some("lb-existing"),
                );
            }
            Happening::Delete => self.delete(),
            Happening::Recreate => self.recreate(),
            Happening::Lose => self.api.retain(|_, clb| clb.uid.is_none()),
            Happening::Strip => {
                self.annotate(names::LOAD_BALANCER_ID, None);
                self.annotate(names::CLIENT_TOKEN, None);
            }
            Happening::Type => self.annotate(names::LOAD_BALANCER_ID, Some(STRANGERS)),
            Happening::Stranger(there) => {
                let ours = self.api.values_mut().filter(|clb| clb.uid.is_some());
                ours.for_each(|clb| clb.contents.foreign = usize::from(*there));
            }
        }
    }

    fn annotate(&mut self, key: &str, value: Option<&str>) {
        let Some(mut service) = self.service.take() else {
            return;
        };
        service.annotations.remove(key);
        let pair = value.map(|value| (key.to_owned(), value.to_owned()));
        service.annotations.extend(pair);
        self.put(service);
    }

    /// The API server takes in a Service; one that is going and has no finalizer is gone.
    fn put(&mut self, mut service: ServiceFacts) {
        self.versions += 1;
        service.version = self.versions;
        self.service = (!service.going || service.finalizer).then_some(service);
    }

    fn delete(&mut self) {
        if let Some(mut service) = self.service.take() {
            service.going = true;
            self.put(service);
        }
    }

    /// A new Service of the same name, made from the YAML of the last one.
    fn recreate(&mut self) {
        if self.service.is_some() {
            return;
        }
        self.births += 1;
        let copied = self.cache.clone().map(|old| old.annotations);
        let mut new = service("web");
        new.annotations = copied.unwrap_or(new.annotations);
        new.annotations.remove(names::EXISTING_LOAD_BALANCER);
        new.annotations
            .insert(names::DIRECT_ACCESS.to_owned(), "true".to_owned());
        new.uid = format!("uid-{}", self.births);
        self.put(new);
    }

    fn crash(&mut self) {
        self.memory = Memory {
            term: Some((1, self.now())),
            ..Memory::default()
        };
        self.cache.clone_from(&self.service);
    }

    fn subjects(service: Option<&ServiceFacts>) -> Subjects {
        let settings = Settings {
            manage: Manage::LoadBalancers,
            ..Settings::default()
        };
        Subjects::of(service.into_iter(), &settings)
    }

    fn wish(&self) -> Option<Wish> {
        let subjects = Self::subjects(self.service.as_ref());
        subjects.all.into_iter().next().map(|one| one.wish)
    }

    fn sight(&self, named: &BTreeSet<String>) -> Sight {
        let shown = self.api.iter().filter(|(id, clb)| {
            // By its id it shows at once in the model; by its tags late.
            clb.shows <= self.seconds || named.contains(*id)
        });
        let found: Vec<_> = shown
            .map(|(id, clb)| {
                let tags: Vec<_> = [
                    (names::CLUSTER_TAG, clb.uid.as_ref().map(|_| "us")),
                    (names::SERVICE_TAG, clb.uid.as_deref()),
                ]
                .into_iter()
                .filter_map(|(key, value)| {
                    Some(serde_json::json!({"TagKey": key, "TagValue": value?}))
                })
                .collect();
                serde_json::from_value(serde_json::json!({
                    "LoadBalancerId": id, "Status": u8::from(clb.made + 2 <= self.seconds),
                    "LoadBalancerVips": ["198.18.0.130"], "Tags": tags,
                    "CreateTime": format!("{:09}", clb.made), "LoadBalancerPassToTarget": clb.pass_to_target,
                }))
                .unwrap()
            })
            .collect();
        Sight::of(&self.cluster, &found)
    }

    fn pass(&mut self, mut effects: usize) {
        let subjects = Self::subjects(self.cache.as_ref());
        self.memory.forget(&subjects);
        let Some(subject) = subjects.all.first() else {
            return;
        };
        let sight = self.sight(&subjects.named());
        let (now, seconds) = (self.now(), i64::try_from(self.seconds).unwrap());
        let clock = Timestamp::from_second(seconds).unwrap();
        let decision = self.memory.decide(subject, (&subjects, &sight), now, clock);
        if !decision.step.acts() {
            return;
        }
        match self.perform(&subject.service, &decision.step, &mut effects) {
            Ok(done) => {
                let outcome = Outcome {
                    uid: subject.service.uid.clone(),
                    service: subject.service.object(),
                    step: decision.step,
                    result: Ok(done),
                };
                self.memory.done(outcome, now);
            }
            Err(Ended) if effects == 0 => self.crash(),
            Err(Ended) => self.cache.clone_from(&self.service),
        }
    }

    /// As the actor does it, effect by effect.
    fn perform(
        &mut self,
        seen: &ServiceFacts,
        step: &Step,
        effects: &mut usize,
    ) -> Result<Done, Ended> {
        match step {
            Step::Rest | Step::Wait(_) => {}
            Step::Claim(claim) => self.effect(seen, true, effects, |one| claimed(one, claim))?,
            Step::Create => {
                let id = self.order(seen, effects)?;
                self.effect(seen, false, effects, |one| recorded(one, &id))?;
            }
            Step::Record(id) => self.effect(seen, false, effects, |one| recorded(one, id))?,
            Step::Inspect(id) => {
                let contents = self.api.get(id).map(|clb| clb.contents);
                return Ok(Done::Contents(id.clone(), contents.unwrap_or_default()));
            }
            Step::Delete(id, _) => {
                let same = self.service.as_ref().map(|one| one.version) == Some(seen.version);
                let clb = self.api.get(id);
                let ours = clb.is_none_or(|clb| clb.uid.as_ref() == Some(&seen.uid));
                let empty = clb.is_none_or(|clb| clb.contents == Contents::default());
                if !same || !ours || !empty {
                    return Err(Ended);
                }
                Self::dies(effects)?;
                self.api.remove(id);
                return Ok(Done::Deleted);
            }
            Step::Adjust(id, change) => {
                Self::dies(effects)?;
                let clb = self
                    .api
                    .get_mut(id)
                    .filter(|clb| clb.uid.as_ref() == Some(&seen.uid));
                let clb = clb.ok_or(Ended)?;
                clb.pass_to_target = change.pass_to_target.unwrap_or(clb.pass_to_target);
            }
            Step::Show(shown) => {
                self.effect(seen, false, effects, |one| {
                    one.annotations
                        .insert(names::SHOWN_ADDRESS.to_owned(), shown.address.clone());
                })?;
                self.effect(seen, false, effects, |one| {
                    one.ingress = vec![shown.clone()];
                })?;
            }
            Step::Clear => {
                self.effect(seen, false, effects, |one| one.ingress.clear())?;
                self.effect(seen, false, effects, unmarked)?;
            }
            Step::Unmark => self.effect(seen, false, effects, unmarked)?,
            Step::Release(left) => {
                self.effect(seen, true, effects, |one| {
                    one.finalizer = false;
                    one.annotations.remove(names::LOAD_BALANCER_ID);
                    one.annotations.remove(names::CLIENT_TOKEN);
                })?;
                self.left.extend(left.iter().cloned());
            }
        }
        Ok(Done::Written)
    }

    fn dies(effects: &mut usize) -> Result<(), Ended> {
        *effects = effects.checked_sub(1).ok_or(Ended)?;
        Ok(())
    }

    fn order(&mut self, seen: &ServiceFacts, effects: &mut usize) -> Result<String, Ended> {
        Self::dies(effects)?;
        let token = seen.annotations[names::CLIENT_TOKEN].clone();
        if let Some(earlier) = self.tokens.get(&token) {
            return Ok(earlier.clone());
        }
        let id = format!("lb-{}", self.tokens.len());
        self.tokens.insert(token, id.clone());
        let made = Clb {
            uid: Some(seen.uid.clone()),
            made: self.seconds,
            shows: self.seconds + self.lag,
            contents: Contents::default(),
            pass_to_target: seen.annotation(names::PASS_TO_TARGET) == Some("true"),
        };
        self.api.insert(id.clone(), made);
        Ok(id)
    }

    /// A write with its preconditions: the UID always, the version where it decides who owns what.
    fn effect(
        &mut self,
        seen: &ServiceFacts,
        versioned: bool,
        effects: &mut usize,
        change: impl FnOnce(&mut ServiceFacts),
    ) -> Result<(), Ended> {
        Self::dies(effects)?;
        let there = self
            .service
            .clone()
            .filter(|there| there.uid == seen.uid && (!versioned || there.version == seen.version));
        let Some(mut there) = there else {
            *effects += 1;
            return Err(Ended);
        };
        let before = there.finalizer;
        change(&mut there);
        if there.going && there.finalizer && !before {
            // The API server takes no new finalizer on what is going.
            *effects += 1;
            return Err(Ended);
        }
        self.put(there);
        self.cache.clone_from(&self.service);
        Ok(())
    }

    fn write(&mut self) {
        let wanted = (self.wish() == Some(Wish::Made))
            .then(|| self.service.as_ref()?.annotation(names::LOAD_BALANCER_ID))
            .flatten()
            .map(str::to_owned);
        let uid = self.service.as_ref().map(|service| service.uid.clone());
        for (id, clb) in &mut self.api {
            let on = wanted.as_ref() == Some(id) && clb.uid == uid;
            clb.contents.ours = usize::from(on && clb.uid.is_some());
        }
    }

    /// A person mends what needs one; then time passes and nothing else happens.
    fn quiet(&mut self) {
        let typed = self.service.as_ref();
        let typed = typed.and_then(|one| one.annotation(names::LOAD_BALANCER_ID));
        if typed == Some(STRANGERS) {
            self.annotate(names::LOAD_BALANCER_ID, None);
        }
        for _ in 0..120 {
            for happening in [
                Happening::Watch,
                Happening::Write,
                Happening::Pass(9),
                Happening::Seconds(1),
            ] {
                self.happen(&happening);
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let stranger = self.api.get(STRANGERS);
        prop_assert_eq!(stranger.map(|clb| clb.contents.foreign), Some(1));
        prop_assert_eq!(stranger.map(|clb| clb.contents.ours), Some(0));
        // A stranger's listeners keep what would be deleted.
        let kept = |id: &String, clb: &Clb| clb.contents.foreign > 0 || self.left.contains(id);
        let wishes = self.wish() == Some(Wish::Made);
        let uid = self.service.as_ref().map(|service| service.uid.clone());
        let id = self.service.as_ref();
        let id = id.and_then(|service| service.annotation(names::LOAD_BALANCER_ID));
        let own = |id: &str, clb: &Clb, on: Option<&str>| clb.uid == uid && Some(id) == on;
        let made = self.api.iter().filter(|(_, clb)| clb.uid.is_some());
        let left: Vec<_> = made
            .filter(|(name, clb)| !(kept(name, clb) || wishes && own(name, clb, id)))
            .collect();
        prop_assert!(left.is_empty(), "left over: {left:?}");
        if let (true, Some(service)) = (wishes, &self.service) {
            let own = id.and_then(|id| self.api.get(id));
            prop_assert_eq!(own.map(|clb| &clb.uid), Some(&uid));
            let asked = service.annotation(names::PASS_TO_TARGET);
            let asked = asked.map(|value| value == "true");
            prop_assert_eq!(own.map(|clb| clb.pass_to_target), asked.or(Some(false)));
            prop_assert!(service.finalizer);
            prop_assert_eq!(&service.ingress, &vec![ingress("198.18.0.130")]);
        } else if let Some(service) = &self.service {
            prop_assert!(!service.finalizer && !service.going, "stuck: {service:?}");
            prop_assert!(service.ingress.is_empty());
        }
        Ok(())
    }
}

fn claimed(service: &mut ServiceFacts, claim: &Claim) {
    service.finalizer = true;
    let token = claim.token.clone();
    let token = token.map(|token| (names::CLIENT_TOKEN.to_owned(), token));
    service.annotations.extend(token);
    if claim.lost.is_some() {
        service.annotations.remove(names::LOAD_BALANCER_ID);
    }
}

fn recorded(service: &mut ServiceFacts, id: &str) {
    let pair = (names::LOAD_BALANCER_ID.to_owned(), id.to_owned());
    service.annotations.extend([pair]);
}

fn unmarked(service: &mut ServiceFacts) {
    service.annotations.remove(names::SHOWN_ADDRESS);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn one_for_each_living_service_and_none_for_the_dead(
        lag in 0..10_u64,
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut world = World::new(lag);
        for happening in &happenings {
            world.happen(happening);
        }
        world.quiet();
        world.check()?;
    }
}
