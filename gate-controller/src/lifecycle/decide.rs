//! What to do next for the load balancer of one Service or Ingress. Pure.
//!
//! The order is the safety: the finalizer and the token are on record before a CLB is ordered, its id is
//! on record before it is used, and the finalizer goes last. So a crash between any two steps leaves
//! enough behind for the next leader to go on from.

use std::collections::BTreeMap;
use std::time::Duration;

use direct_access::service::Ingress;
use direct_access::{Kind, Owner, Word};

use super::adjust::{Adjustment, Traits, adjustment};
use super::holder::Holder;

/// How long nothing must have been seen before it is believed that nothing is there: a CLB that was
/// ordered may show late, by its tags or at all. Tencent names no bound; a CLB shows within seconds.
pub const SETTLED: Duration = Duration::from_secs(15);

/// What is known of one object and of the load balancers that bear its tags.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The object: a Service or an Ingress.
    pub holder: &'a Holder,
    /// What it asks for.
    pub wish: Wish,
    /// Whether the level allows a new load balancer.
    pub may_create: bool,
    /// Whether we have led for long enough that no call of an earlier leader is on its way.
    pub may_remove: bool,
    /// The load balancers with the tags of this cluster and this object, oldest first.
    pub ours: &'a [Seen],
    /// The load balancer that the object names by either annotation, unless it is one of `ours`.
    pub named: Option<&'a Seen>,
    /// Objects by the existing load balancer they name.
    pub users: &'a BTreeMap<String, Owner>,
    /// What is on load balancers that may have to go, as it was read a moment ago.
    pub contents: &'a BTreeMap<String, Contents>,
    /// What this leader remembers.
    pub memory: Memory,
    /// A token that was never used.
    pub fresh_token: &'a str,
}

/// What a leader remembers of an object's load balancer; nothing of it has to survive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// How long nothing made for it has been seen.
    pub unseen: Duration,
    /// How long ago an order was accepted without telling an id.
    pub ordered: Option<Duration>,
    /// Whether we deleted it ourselves, so that nothing can show late.
    pub deleted: bool,
    /// How long ago it was changed: what does not show then is not asked for again at once.
    pub adjusted: Option<Duration>,
}

/// What an object asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// One of its own, made by us.
    Made,
    /// One that exists.
    Existing {
        /// Its id.
        id: String,
        /// Whether its address is shown on it: a Service's, at level loadbalancers.
        show: bool,
    },
    /// Something that cannot be read: whatever is there stays as it is.
    AsIs,
    /// Nothing, any more.
    Nothing,
}

/// A load balancer as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// Whether it is ready to be used.
    pub normal: bool,
    /// Its IP, or its domain where it only has that.
    pub address: Option<String>,
    /// When it was made, as the API writes it: comparable as text.
    pub created: String,
    /// What it is like.
    pub traits: Traits,
}

/// What is on a load balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Listeners that this cluster made.
    pub ours: usize,
    /// Listeners that somebody else made.
    pub foreign: usize,
}

/// What to do next, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: all is as it should be.
    Rest,
    /// Nothing yet.
    Wait(Waiting),
    /// Put the finalizer on the object, and the token for the first or the next order.
    Claim(Claim),
    /// Order a load balancer with the token on record, and record its id at once.
    Create,
    /// Write the id of the one that is there into the annotation.
    Record(String),
    /// Read what is on it.
    Inspect(String),
    /// Delete it: it is ours, and nothing is on it.
    Delete(String, Unneeded),
    /// Change it in place.
    Adjust(String, Box<Adjustment>),
    /// Show the address on the Service.
    Show(Ingress),
    /// Take the address away that we showed.
    Clear,
    /// Forget that an address was shown: somebody else has written the status since.
    Unmark,
    /// Remove finalizer and annotations: nothing of ours is left, but for what a stranger keeps.
    Release(Vec<String>),
}

/// Why nothing is done yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The CLB is being made.
    BeingMade,
    /// Its listeners are being taken away.
    Emptying,
    /// A call of an earlier leader may be on its way.
    NewTerm,
    /// Something that was ordered may show late.
    Unsure,
    /// A person must act; see the problem.
    Person,
}

/// What is written when an object is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The token for the order, where a new one is needed.
    pub token: Option<String>,
    /// The load balancer that is not there any more, whose id is taken out of the annotation.
    pub lost: Option<String>,
}

/// Why a load balancer is not needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unneeded {
    /// The object is going, or asks for another or none.
    Unwanted,
    /// There is an older one.
    Surplus,
}

/// What a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The annotation names a CLB that exists and does not bear our tags for this object.
    NotMadeForIt(String),
    /// There are several; this one is kept in addition, because something is on it.
    Surplus(String, Contents),
    /// Unneeded, but another object names it as its existing one.
    Used(String, Owner),
    /// Unneeded, and somebody else's listeners are on it.
    KeptForStranger(String, usize),
    /// It is gone, and this level may not make another.
    Gone(String),
}

/// The step, and what a person should know besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub step: Step,
    /// What to tell for as long as it holds.
    pub notice: Option<Notice>,
}

/// Decides what to do next for one object.
pub fn decide(facts: &Facts<'_>) -> Decision {
    let mut notice = None;
    let step = match &facts.wish {
        Wish::AsIs => Step::Rest,
        Wish::Made => facts.made(&mut notice),
        Wish::Existing { id, show } => facts.let_go(facts.existing(id, *show), &mut notice),
        Wish::Nothing => facts.let_go(None, &mut notice),
    };
    Decision { step, notice }
}

/// The load balancer that is the object's own: the one on record, if it bears the object's tags.
pub fn confirmed<'a>(holder: &Holder, ours: &'a [Seen]) -> Option<&'a Seen> {
    let id = holder.says(Word::Id)?;
    ours.iter().find(|seen| seen.id == id)
}

impl Facts<'_> {
    fn made(&self, notice: &mut Option<Notice>) -> Step {
        let id = self.holder.says(Word::Id);
        let nothing = self.ours.is_empty();
        if nothing && id.is_none() && !self.may_create {
            // Claimed before the level was lowered, and never made.
            return self.let_go(None, notice);
        }
        if !self.holder.finalizer {
            let token = (id.is_none() && self.token().is_none()).then(|| self.fresh());
            return Step::Claim(Claim { token, lost: None });
        }
        if let Some(own) = confirmed(self.holder, self.ours) {
            return self.keep(own, notice);
        }
        if let Some(oldest) = self.ours.first() {
            return Step::Record(oldest.id.clone());
        }
        match id {
            None => self.order(),
            Some(id) => self.replace(id, notice),
        }
    }

    fn order(&self) -> Step {
        match self.token() {
            // Claimed with a token that somebody has removed since: it may have been used.
            None if self.unsure() => Step::Wait(Waiting::Unsure),
            None => Step::Claim(Claim {
                token: Some(self.fresh()),
                lost: None,
            }),
            Some(_) if self.memory.ordered.is_some_and(|ago| ago < SETTLED) => {
                Step::Wait(Waiting::BeingMade)
            }
            Some(_) => Step::Create,
        }
    }

    /// The annotation names one that we do not find among ours.
    fn replace(&self, id: &str, notice: &mut Option<Notice>) -> Step {
        if self.named.is_some() {
            *notice = Some(Notice::NotMadeForIt(id.to_owned()));
            return Step::Wait(Waiting::Person);
        }
        if self.unsure() {
            return Step::Wait(Waiting::Unsure);
        }
        if !self.may_create {
            *notice = Some(Notice::Gone(id.to_owned()));
            return Step::Wait(Waiting::Person);
        }
        Step::Claim(Claim {
            token: Some(self.fresh()),
            lost: Some(id.to_owned()),
        })
    }

    fn keep(&self, own: &Seen, notice: &mut Option<Notice>) -> Step {
        let surplus = self.ours.iter().filter(|seen| seen.id != own.id);
        for seen in surplus {
            match self.contents.get(&seen.id) {
                None => return Step::Inspect(seen.id.clone()),
                Some(contents) if *contents != Contents::default() => {
                    *notice = Some(Notice::Surplus(seen.id.clone(), *contents));
                }
                Some(_) if !self.may_remove => return Step::Wait(Waiting::NewTerm),
                Some(_) => return Step::Delete(seen.id.clone(), Unneeded::Surplus),
            }
        }
        if !own.normal {
            return Step::Wait(Waiting::BeingMade);
        }
        let step = self.show(own).or_else(|| self.adjust(own));
        step.unwrap_or(Step::Rest)
    }

    fn adjust(&self, own: &Seen) -> Option<Step> {
        if !self.may_create || self.memory.adjusted.is_some_and(|ago| ago < SETTLED) {
            return None;
        }
        let change = adjustment(self.holder, &own.traits)?;
        Some(Step::Adjust(own.id.clone(), Box::new(change)))
    }

    /// The existing one whose address is to be shown. It may be one that we made: a user who names it
    /// has taken it over.
    fn existing(&self, id: &str, show: bool) -> Option<&Seen> {
        let mut all = self.ours.iter().chain(self.named);
        all.find(|seen| seen.id == id && seen.normal && show)
    }

    /// Nothing of our making is wanted; `shown` is what a Service's status should say instead.
    fn let_go(&self, shown: Option<&Seen>, notice: &mut Option<Notice>) -> Step {
        let mut left = Vec::new();
        let taken_over = match &self.wish {
            Wish::Existing { id, .. } => Some(id),
            Wish::Made | Wish::AsIs | Wish::Nothing => None,
        };
        let all = self.ours.iter();
        for seen in all.filter(|seen| Some(&seen.id) != taken_over) {
            if let Some(user) = self.users.get(&seen.id) {
                *notice = Some(Notice::Used(seen.id.clone(), user.clone()));
                return Step::Wait(Waiting::Person);
            }
            match self.contents.get(&seen.id) {
                None => return Step::Inspect(seen.id.clone()),
                Some(contents) if contents.foreign > 0 => {
                    let kept = Notice::KeptForStranger(seen.id.clone(), contents.foreign);
                    left.push(seen.id.clone());
                    *notice = Some(kept);
                    if contents.ours > 0 {
                        return Step::Wait(Waiting::Emptying);
                    }
                }
                Some(contents) if contents.ours > 0 => return Step::Wait(Waiting::Emptying),
                Some(_) if !self.may_remove => return Step::Wait(Waiting::NewTerm),
                Some(_) => return Step::Delete(seen.id.clone(), Unneeded::Unwanted),
            }
        }
        if self.holder.finalizer && self.ours.is_empty() && self.unsure() {
            return Step::Wait(Waiting::Unsure);
        }
        let status = match shown {
            Some(seen) => self.show(seen),
            None => self.hide(),
        };
        match status {
            Some(step) => step,
            None if self.holder.finalizer => Step::Release(left),
            None => Step::Rest,
        }
    }

    /// Something may have been ordered that does not show yet.
    fn unsure(&self) -> bool {
        !self.memory.deleted && self.memory.unseen < SETTLED
    }

    fn show(&self, seen: &Seen) -> Option<Step> {
        if self.holder.owner.kind == Kind::Ingress {
            return None;
        }
        let ingress = ingress(seen.address.as_deref()?);
        let marked = self.holder.marked() == Some(ingress.address.as_str());
        let shown = self.holder.shown.as_slice() == std::slice::from_ref(&ingress);
        (!marked || !shown).then_some(Step::Show(ingress))
    }

    fn hide(&self) -> Option<Step> {
        let marked = self.holder.marked()?;
        let shown = self.holder.shown.as_slice() == [ingress(marked)];
        Some(if shown { Step::Clear } else { Step::Unmark })
    }

    /// The token on record. A copied object carries its original's, which is none.
    fn token(&self) -> Option<&str> {
        let token = self.holder.says(Word::ClientToken)?;
        token.starts_with(&self.holder.uid).then_some(token)
    }

    fn fresh(&self) -> String {
        self.fresh_token.to_owned()
    }
}

/// As the API server takes it: the mode belongs to an IP.
pub fn ingress(address: &str) -> Ingress {
    let ip = address.parse::<std::net::IpAddr>().is_ok();
    Ingress {
        address: address.to_owned(),
        mode: ip.then(|| "Proxy".to_owned()),
    }
}

impl Step {
    /// Its name in logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Wait(_) => "wait",
            Self::Claim(_) => "claim",
            Self::Create => "create",
            Self::Record(_) => "record",
            Self::Inspect(_) => "inspect",
            Self::Delete(..) => "delete",
            Self::Adjust(..) => "adjust",
            Self::Show(_) => "show",
            Self::Clear => "clear",
            Self::Unmark => "unmark",
            Self::Release(_) => "release",
        }
    }

    /// Whether there is something to do.
    pub fn acts(&self) -> bool {
        !matches!(self, Self::Rest | Self::Wait(_))
    }
}

impl Notice {
    /// What it says on an object of this kind.
    pub fn told(&self, kind: Kind) -> String {
        let (annotation, existing) = (Word::Id.key(kind), Word::Existing.key(kind));
        let kind = kind.as_str();
        match self {
            Self::NotMadeForIt(id) => format!(
                "metadata.annotations[{annotation}] is {id:?}, and that CLB does not bear clb-gate's tags for this \
                 {kind}, so it is not touched; remove the annotation to have a CLB made, or name the CLB in {existing}"
            ),
            Self::Surplus(id, contents) => format!(
                "CLB {id} was made for this {kind} too and has {} listeners, so it is not deleted; move what is on \
                 it and delete it in Tencent's console",
                contents.ours + contents.foreign
            ),
            Self::Used(id, user) => format!(
                "CLB {id}, made for this {kind}, is not needed here any more, but {user} names it in {} (TKE \
                 refuses that as E4019); it is deleted once that {} names another",
                Word::Existing.key(user.kind),
                user.kind.as_str()
            ),
            Self::KeptForStranger(id, foreign) => format!(
                "CLB {id}, made for this {kind}, is kept: somebody else has {foreign} listeners on it; delete it in \
                 Tencent's console when they are not needed any more"
            ),
            Self::Gone(id) => format!(
                "metadata.annotations[{annotation}] is {id:?}, and that CLB does not exist any more; set manage: \
                 loadbalancers to have another made, or name an existing one in {existing}"
            ),
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
