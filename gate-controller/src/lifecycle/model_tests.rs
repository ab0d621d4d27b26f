//! Whatever happens in whatever order, and wherever the controller dies: in the end every living Service
//! or Ingress that asks for a load balancer has exactly one, a dead one has none, and strangers' are untouched.

use std::collections::BTreeMap;

use direct_access::ownership::ClusterId;
use direct_access::settings::Manage;
use direct_access::{IngressFacts, Kind, ServiceFacts, Settings, Word, names};
use proptest::prelude::*;

use self::world::{Clb, Ended, World};
use super::decide::{Contents, Wish, ingress};
use super::*;
use crate::desired::tests::{front, service};
use crate::lifecycle::Holder;

#[path = "model_world_tests.rs"]
mod world;

const STRANGERS: &str = "lb-stranger";

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
    /// The object is deleted, or a copy of what is left of it is created.
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

impl World {
    fn new(kind: Kind, lag: u64) -> Self {
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
            kind,
            holder: None,
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
            Happening::Watch => self.cache.clone_from(&self.holder),
            Happening::Write => self.write(),
            Happening::Seconds(seconds) => self.seconds += seconds,
            Happening::Switch(on) => {
                let value = if *on { "true" } else { "false" };
                self.annotate(direct_access(self.kind), Some(value));
            }
            Happening::Open(on) => {
                let value = if *on { "true" } else { "false" };
                self.say(Word::PassToTarget, Some(value));
            }
            Happening::Name(named) => {
                self.say(Word::Existing, named.then_some("lb-existing"));
            }
            Happening::Delete => self.delete(),
            Happening::Recreate => self.recreate(),
            Happening::Lose => self.api.retain(|_, clb| clb.uid.is_none()),
            Happening::Strip => {
                self.say(Word::Id, None);
                self.say(Word::ClientToken, None);
            }
            Happening::Type => self.say(Word::Id, Some(STRANGERS)),
            Happening::Stranger(there) => {
                let ours = self.api.values_mut().filter(|clb| clb.uid.is_some());
                ours.for_each(|clb| clb.contents.foreign = usize::from(*there));
            }
        }
    }

    fn say(&mut self, word: Word, value: Option<&str>) {
        self.annotate(word.key(self.kind), value);
    }

    fn annotate(&mut self, key: &str, value: Option<&str>) {
        let Some(mut holder) = self.holder.take() else {
            return;
        };
        holder.annotations.remove(key);
        let pair = value.map(|value| (key.to_owned(), value.to_owned()));
        holder.annotations.extend(pair);
        self.put(holder);
    }

    fn delete(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            holder.going = true;
            self.put(holder);
        }
    }

    /// A new object of the same name, made from the YAML of the last one.
    fn recreate(&mut self) {
        if self.holder.is_some() {
            return;
        }
        self.births += 1;
        let copied = self.cache.clone().map(|old| old.annotations);
        let mut new = match self.kind {
            Kind::Service => Holder::from(&service("web")),
            Kind::Ingress => Holder::from(&front()),
        };
        new.annotations = copied.unwrap_or(new.annotations);
        new.annotations.remove(Word::Existing.key(self.kind));
        new.annotations
            .insert(direct_access(self.kind).to_owned(), "true".to_owned());
        new.uid = format!("uid-{}", self.births);
        self.put(new);
    }

    fn crash(&mut self) {
        self.memory = Memory {
            term: Some((1, self.now())),
            ..Memory::default()
        };
        self.cache.clone_from(&self.holder);
    }

    fn subjects(holder: Option<&Holder>) -> Subjects {
        let settings = Settings {
            manage: Manage::LoadBalancers,
            ..Settings::default()
        };
        // The Service that the Ingress leads to asks for nothing itself.
        let mut web = service("web");
        web.annotations.clear();
        let find = |_: &str, _: &str| Some(&web);
        let services: Vec<_> = holder.and_then(as_service).into_iter().collect();
        let ingresses: Vec<_> = holder.and_then(as_ingress).into_iter().collect();
        Subjects::of(services.iter(), ingresses.iter(), &find, &settings)
    }

    fn wish(&self) -> Option<Wish> {
        let subjects = Self::subjects(self.holder.as_ref());
        subjects.all.into_iter().next().map(|one| one.wish)
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
        match self.perform(&subject.holder, &decision.step, &mut effects) {
            Ok(done) => {
                let outcome = Outcome {
                    uid: subject.holder.uid.clone(),
                    owner: subject.holder.owner.clone(),
                    step: decision.step,
                    result: Ok(done),
                };
                self.memory.done(outcome, now);
            }
            Err(Ended) if effects == 0 => self.crash(),
            Err(Ended) => self.cache.clone_from(&self.holder),
        }
    }

    fn write(&mut self) {
        let wanted = (self.wish() == Some(Wish::Made))
            .then(|| self.holder.as_ref()?.says(Word::Id))
            .flatten()
            .map(str::to_owned);
        let uid = self.holder.as_ref().map(|holder| holder.uid.clone());
        for (id, clb) in &mut self.api {
            let on = wanted.as_ref() == Some(id) && clb.uid == uid;
            clb.contents.ours = usize::from(on && clb.uid.is_some());
        }
    }

    /// A person mends what needs one; then time passes and nothing else happens.
    fn quiet(&mut self) {
        let typed = self.holder.as_ref();
        let typed = typed.and_then(|one| one.says(Word::Id));
        if typed == Some(STRANGERS) {
            self.say(Word::Id, None);
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
        let uid = self.holder.as_ref().map(|holder| holder.uid.clone());
        let id = self.holder.as_ref();
        let id = id.and_then(|holder| holder.says(Word::Id));
        let own = |id: &str, clb: &Clb, on: Option<&str>| clb.uid == uid && Some(id) == on;
        let made = self.api.iter().filter(|(_, clb)| clb.uid.is_some());
        let left: Vec<_> = made
            .filter(|(name, clb)| !(kept(name, clb) || wishes && own(name, clb, id)))
            .collect();
        prop_assert!(left.is_empty(), "left over: {left:?}");
        if let (true, Some(holder)) = (wishes, &self.holder) {
            let own = id.and_then(|id| self.api.get(id));
            prop_assert_eq!(own.map(|clb| &clb.uid), Some(&uid));
            let asked = holder.says(Word::PassToTarget);
            let asked = asked.map(|value| value == "true");
            prop_assert_eq!(own.map(|clb| clb.pass_to_target), asked.or(Some(false)));
            prop_assert!(holder.finalizer);
            let shown = match self.kind {
                Kind::Service => vec![ingress("198.18.0.130")],
                Kind::Ingress => vec![],
            };
            prop_assert_eq!(&holder.shown, &shown);
        } else if let Some(holder) = &self.holder {
            prop_assert!(!holder.finalizer && !holder.going, "stuck: {holder:?}");
            prop_assert!(holder.shown.is_empty());
        }
        Ok(())
    }
}

const fn direct_access(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => names::DIRECT_ACCESS,
        Kind::Ingress => names::ingress::DIRECT_ACCESS,
    }
}

fn as_service(holder: &Holder) -> Option<ServiceFacts> {
    (holder.owner.kind == Kind::Service).then(|| ServiceFacts {
        uid: holder.uid.clone(),
        annotations: holder.annotations.clone(),
        finalizer: holder.finalizer,
        going: holder.going,
        version: holder.version,
        ingress: holder.shown.clone(),
        ..service("web")
    })
}

fn as_ingress(holder: &Holder) -> Option<IngressFacts> {
    (holder.owner.kind == Kind::Ingress).then(|| IngressFacts {
        uid: holder.uid.clone(),
        annotations: holder.annotations.clone(),
        finalizer: holder.finalizer,
        going: holder.going,
        version: holder.version,
        ..front()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn one_for_each_living_object_and_none_for_the_dead(
        kind in prop_oneof![Just(Kind::Service), Just(Kind::Ingress)],
        lag in 0..10_u64,
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut world = World::new(kind, lag);
        for happening in &happenings {
            world.happen(happening);
        }
        world.quiet();
        world.check()?;
    }
}
