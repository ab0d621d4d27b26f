//! Load balancers of clb-gate's own: what its lifecycle would do, step by step, until it rests.

use std::collections::{BTreeMap, BTreeSet};

use direct_access::attributes::attributes;
use direct_access::{IngressFacts, Kind, LoadBalancer, ServiceFacts, Word, names};

use super::model::{Action, Change, Told};
use super::reader::{Look, Sighting};
use super::{Scope, World};
use crate::lifecycle::decide::{
    Claim, Contents, Facts, Memory, SETTLED, Seen, Step, Unneeded, Waiting, Wish, confirmed, decide,
};
use crate::lifecycle::order::order;
use crate::lifecycle::{Holder, Made, Sight, Subject, Subjects};

/// A load balancer is claimed, ordered, recorded, emptied, deleted, shown and released; surplus ones
/// take two steps each.
const STEPS: usize = 64;

/// What would become of clb-gate's own load balancers.
#[derive(Debug, Default)]
pub(super) struct Lives {
    /// All Services, as they would be once their load balancers are there.
    pub(super) services: Vec<ServiceFacts>,
    /// All Ingresses, likewise.
    pub(super) ingresses: Vec<IngressFacts>,
    /// Which load balancer is whose then.
    pub(super) made: Made,
    /// By load balancer; those without one by their object.
    pub(super) all: BTreeMap<String, Life>,
    /// What a person should know.
    pub(super) told: Vec<Told>,
    /// The same where no object is left to be told.
    pub(super) notes: Vec<String>,
}

/// What would become of one.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// Whether it does not exist yet, or not any more.
    pub(super) new: bool,
    /// The Service, or the Ingress by kind and name.
    pub(super) service: String,
    /// Whether it is of clb-gate's making.
    pub(super) made: bool,
    /// Before its listeners are looked after.
    pub(super) before: Vec<Change>,
    /// And afterwards.
    pub(super) after: Vec<Change>,
}

/// Whether any object has a load balancer of ours, or should have.
pub(super) fn asked_for(world: &World) -> bool {
    !subjects(world).all.is_empty()
}

/// The load balancers to read for it.
pub(super) fn to_read(
    world: &World,
    tagged: &[clb::LoadBalancer],
    scope: &Scope,
) -> BTreeSet<String> {
    let subjects = subjects(world);
    let asked = subjects
        .all
        .iter()
        .filter(|one| scope.has(&one.holder.owner));
    let mut ids: BTreeSet<_> = asked
        .filter_map(|one| one.named().map(str::to_owned))
        .collect();
    if scope.service.is_none() {
        ids.extend(
            tagged
                .iter()
                .map(|one| one.load_balancer_id.as_str().to_owned()),
        );
    }
    if let Some(only) = &scope.load_balancer {
        ids.retain(|id| id == only);
    }
    ids
}

/// Follows every load balancer to its rest.
pub(super) fn follow(world: &World, sighting: &Sighting) -> Lives {
    let subjects = subjects(world);
    let mut lives = Lives {
        services: world.services.clone(),
        ingresses: world.ingresses.clone(),
        ..Lives::default()
    };
    if subjects.all.is_empty() {
        return lives;
    }
    let seen = sighting
        .load_balancers
        .values()
        .filter_map(|look| match look {
            Look::There(seen) => Some(&seen.found),
            Look::Missing | Look::Unknown(_) => None,
        });
    let found: BTreeMap<_, _> = sighting
        .tagged
        .iter()
        .chain(seen)
        .map(|one| (one.load_balancer_id.as_str().to_owned(), one.clone()))
        .collect();
    let found: Vec<_> = found.into_values().collect();
    let sight = Sight::of(&world.cluster, &found);
    for (number, subject) in subjects.all.iter().enumerate() {
        let mut story = Story::begin(subject, &sight, number);
        story.tell(&subjects, (world, sighting));
        lives.take(story);
    }
    lives.orphans(&subjects, &sight);
    lives
}

fn subjects(world: &World) -> Subjects {
    let find = |namespace: &str, name: &str| {
        let mut all = world.services.iter();
        all.find(|one| one.namespace == namespace && one.name == name)
    };
    let (services, ingresses) = (world.services.iter(), world.ingresses.iter());
    Subjects::of(services, ingresses, &find, &world.settings)
}

/// One object's load balancer, as it would be after every step.
struct Story<'a> {
    subject: &'a Subject,
    holder: Holder,
    ours: Vec<Seen>,
    named: Option<Seen>,
    contents: BTreeMap<String, Contents>,
    /// The id of one that would be ordered.
    new_id: String,
    lives: BTreeMap<String, Life>,
    notice: Option<String>,
}

impl<'a> Story<'a> {
    fn begin(subject: &'a Subject, sight: &Sight, number: usize) -> Self {
        let holder = subject.holder.clone();
        let ours = sight.ours(&holder.uid).to_vec();
        let named = subject.named().and_then(|id| sight.get(id)).cloned();
        Self {
            subject,
            named: named.filter(|seen| ours.iter().all(|own| own.id != seen.id)),
            holder,
            ours,
            contents: BTreeMap::new(),
            new_id: format!("lb-new{number}"),
            lives: BTreeMap::new(),
            notice: None,
        }
    }

    fn tell(&mut self, subjects: &Subjects, (world, sighting): (&World, &Sighting)) {
        for _ in 0..STEPS {
            let token = format!("{}-preview", self.holder.uid);
            let decision = decide(&Facts {
                holder: &self.holder,
                wish: self.subject.wish.clone(),
                may_create: subjects.may_create,
                may_remove: true,
                ours: &self.ours,
                named: self.named.as_ref(),
                users: &subjects.users,
                contents: &self.contents,
                memory: Memory {
                    unseen: SETTLED,
                    ordered: None,
                    deleted: false,
                    adjusted: None,
                },
                fresh_token: &token,
            });
            let owner = &self.holder.owner;
            let notice = decision.notice.as_ref();
            self.notice = notice.map(|notice| format!("{owner}: {}", notice.told(owner.kind)));
            match decision.step {
                // Its listeners will be gone: the planner sees to it.
                Step::Wait(Waiting::Emptying) => {
                    for contents in self.contents.values_mut() {
                        contents.ours = 0;
                    }
                }
                Step::Rest | Step::Wait(_) => return,
                Step::Inspect(id) => {
                    let contents = contents(&id, (world, sighting));
                    self.contents.insert(id, contents);
                }
                Step::Create => {
                    let vpc = sighting.vpc.clone();
                    if let Err(problem) = order(&self.holder, &world.cluster, vpc) {
                        self.notice = Some(problem.to_string());
                        return;
                    }
                    self.take(&Step::Create);
                }
                step @ (Step::Claim(_)
                | Step::Record(_)
                | Step::Delete(..)
                | Step::Adjust(..)
                | Step::Show(_)
                | Step::Clear
                | Step::Unmark
                | Step::Release(_)) => self.take(&step),
            }
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Claim(claim) => self.claim(claim),
            Step::Create => {
                let reason = "it asks for a CLB of its own, and has none".to_owned();
                let id = self.new_id.clone();
                self.before(&id, Action::CreateLoadBalancer, reason);
                let mut new = Seen {
                    id,
                    normal: true,
                    ..Seen::default()
                };
                // That is part of the order.
                let (asked, _) = attributes(&self.holder.words(), &LoadBalancer::Made(None));
                new.traits.pass_to_target = asked.pass_to_target.unwrap_or_default();
                self.ours.push(new);
            }
            Step::Record(id) => {
                let key = self.holder.key(Word::Id);
                self.holder.annotations.insert(key.to_owned(), id.clone());
                let reason = format!("its CLB goes on record in annotation {key}");
                self.before(id, self.update(), reason);
            }
            Step::Delete(id, why) => {
                let reason = match why {
                    Unneeded::Unwanted => "does not ask for it any more",
                    Unneeded::Surplus => "has an older one",
                };
                let kind = self.holder.owner.kind.as_str();
                let reason = format!("clb-gate made it, and its {kind} {reason}");
                self.after(id, Action::DeleteLoadBalancer, reason);
                self.ours.retain(|seen| seen.id != *id);
                self.lives.entry(id.clone()).or_default().made = true;
            }
            Step::Adjust(id, change) => {
                let reason = format!("its {} asks for {change}", self.holder.owner.kind.as_str());
                self.after(id, Action::ModifyLoadBalancer, reason);
                for seen in self.ours.iter_mut().filter(|seen| seen.id == *id) {
                    seen.traits = seen.traits.adjusted(change);
                }
            }
            Step::Show(ingress) => {
                let reason = format!("{} is shown in status.loadBalancer", ingress.address);
                let id = self.id();
                self.after(&id, self.update(), reason);
                let address = ingress.address.clone();
                self.holder.shown = vec![ingress.clone()];
                let shown = names::SHOWN_ADDRESS.to_owned();
                self.holder.annotations.insert(shown, address);
            }
            Step::Clear | Step::Unmark => {
                let id = self.id();
                let reason = "its address is not shown any more".to_owned();
                self.after(&id, self.update(), reason);
                self.holder.shown.clear();
                self.holder.annotations.remove(names::SHOWN_ADDRESS);
            }
            Step::Release(_) => {
                let id = self.id();
                let reason =
                    "nothing of clb-gate's is left for it: finalizer and annotations go".to_owned();
                self.after(&id, self.update(), reason);
                self.holder.finalizer = false;
            }
            Step::Rest | Step::Wait(_) | Step::Inspect(_) => {}
        }
    }

    fn claim(&mut self, claim: &Claim) {
        let id = self
            .ours
            .first()
            .map_or_else(|| self.new_id.clone(), |seen| seen.id.clone());
        let reason = match &claim.lost {
            None => format!("finalizer {} comes before the CLB", names::FINALIZER),
            Some(lost) => format!("CLB {lost} of its annotation does not exist any more"),
        };
        self.before(&id, self.update(), reason);
        self.holder.finalizer = true;
        if claim.lost.is_some() {
            let key = self.holder.key(Word::Id);
            self.holder.annotations.remove(key);
        }
        if let Some(token) = &claim.token {
            let known = self.holder.key(Word::ClientToken).to_owned();
            self.holder.annotations.insert(known, token.clone());
        }
    }

    /// What the object has or names; itself where that is nothing.
    fn id(&self) -> String {
        let own = self.ours.first().map(|seen| seen.id.clone());
        let named = || self.subject.named().map(str::to_owned);
        own.or_else(named)
            .unwrap_or_else(|| self.holder.owner.short())
    }

    const fn update(&self) -> Action {
        match self.holder.owner.kind {
            Kind::Service => Action::UpdateService,
            Kind::Ingress => Action::UpdateIngress,
        }
    }

    fn before(&mut self, id: &str, action: Action, reason: String) {
        let change = self.change(action, reason);
        self.life(id).before.push(change);
    }

    fn after(&mut self, id: &str, action: Action, reason: String) {
        let change = self.change(action, reason);
        self.life(id).after.push(change);
    }

    fn life(&mut self, id: &str) -> &mut Life {
        let made = matches!(self.subject.wish, Wish::Made);
        let new = *id == self.new_id || !id.starts_with("lb-");
        let service = self.holder.owner.short();
        let life = self.lives.entry(id.to_owned()).or_default();
        life.service = service;
        life.new = new;
        life.made |= made;
        life
    }

    fn change(&self, action: Action, reason: String) -> Change {
        Change {
            action,
            service: Some(self.holder.owner.short()),
            reason,
            ..Change::default()
        }
    }
}

impl Lives {
    fn take(&mut self, story: Story<'_>) {
        let holder = story.holder;
        let short = holder.owner.short();
        if story.subject.wish == Wish::Made
            && let Some(own) = confirmed(&holder, &story.ours)
        {
            self.made.confirm(&holder.uid, &own.id);
            let life = self.all.entry(own.id.clone()).or_default();
            life.made = true;
            life.service.clone_from(&short);
        }
        if let Some(problem) = story.notice {
            self.told.push(Told {
                service: Some(short),
                problem,
            });
        }
        for (id, life) in story.lives {
            let known = self.all.entry(id).or_default();
            known.new = life.new;
            known.made |= life.made;
            known.service = life.service;
            known.before.extend(life.before);
            known.after.extend(life.after);
        }
        self.settle(holder);
    }

    /// The object is as it would be in the end.
    fn settle(&mut self, holder: Holder) {
        let uid = &holder.uid;
        match holder.owner.kind {
            Kind::Service => {
                if let Some(known) = self.services.iter_mut().find(|one| one.uid == *uid) {
                    known.annotations = holder.annotations;
                    known.finalizer = holder.finalizer;
                    known.ingress = holder.shown;
                }
            }
            Kind::Ingress => {
                if let Some(known) = self.ingresses.iter_mut().find(|one| one.uid == *uid) {
                    known.annotations = holder.annotations;
                    known.finalizer = holder.finalizer;
                }
            }
        }
    }

    fn orphans(&mut self, subjects: &Subjects, sight: &Sight) {
        let all = sight
            .made()
            .filter(|((_, uid), _)| !subjects.uids.contains(*uid));
        self.notes.extend(all.map(|((kind, uid), seen)| {
            format!(
                "CLB {} was made for {} (UID {uid}) that does not exist any more; nothing is done with it: delete \
                 it in Tencent's console",
                seen.id,
                match kind {
                    Kind::Service => "a Service",
                    Kind::Ingress => "an Ingress",
                }
            )
        }));
    }
}

fn contents(id: &str, (world, sighting): (&World, &Sighting)) -> Contents {
    let Some(Look::There(seen)) = sighting.load_balancers.get(id) else {
        return Contents::default();
    };
    let own =
        |one: &&crate::plan::ObservedListener| world.cluster.owns_listener(one.name.as_deref());
    let ours = seen.listeners.iter().filter(own).count();
    Contents {
        ours,
        foreign: seen.listeners.len() - ours,
    }
}
