//! How far a renewal is: the marks it has passed, seen from outside. Pure, so that whoever joins half-way,
//! or looks seldom, is told the same story in the same order.

use std::fmt;

use certs::plan::{Standing, Step};
use jiff::Timestamp;

use super::gather::Gathered;
use super::report::{View, is_current};
use super::request::{Goal, What};
use super::spell::short;
use crate::heal::registration::Heal;

/// Something that has been reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The new CA is in its Secret.
    CaMade {
        /// Its number, if it has one.
        generation: Option<u64>,
    },
    /// The API server trusts it.
    BundlePublished,
    /// The new leaf is in its Secret.
    LeafIssued {
        /// Short fingerprint.
        fingerprint: String,
    },
    /// Replicas that serve it.
    Serving {
        /// How many.
        now: usize,
        /// Of how many.
        of: usize,
    },
    /// Nobody trusts or remembers older CAs.
    OlderCasDropped,
    /// Nothing is left to do.
    Done,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaMade {
                generation: Some(number),
            } => write!(f, "new CA made: generation {number}"),
            Self::CaMade { generation: None } => f.write_str("new CA made"),
            Self::BundlePublished => f.write_str("published: the API server is told to trust it"),
            Self::LeafIssued { fingerprint } => write!(f, "new leaf issued: {fingerprint}"),
            Self::Serving { now, of } => write!(f, "{now} of {of} replicas serve it"),
            Self::OlderCasDropped => f.write_str("older CAs dropped"),
            Self::Done => f.write_str("done"),
        }
    }
}

/// What one look shows of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Marks passed, in order.
    pub marks: Vec<Mark>,
    /// What is awaited; `None` once all is done.
    pub awaits: Option<String>,
    /// Whether the replicas must be asked to see more.
    pub needs_replicas: bool,
}

/// Reads the progress towards `goal` from what was gathered.
pub fn progress(goal: &Goal, gathered: &Gathered, now: Timestamp) -> Progress {
    let view = View::new(gathered, now);
    let mut progress = Progress {
        marks: vec![],
        awaits: None,
        needs_replicas: false,
    };
    progress.awaits = follow(goal, &view, &mut progress).err();
    progress
}

/// Passes mark after mark; ends with what is awaited.
fn follow(goal: &Goal, view: &View<'_>, progress: &mut Progress) -> Result<(), String> {
    let made = goal.is_made(&view.gathered.seen);
    if goal.what == What::Ca {
        ca(made, view, progress)?;
    }
    leaf(goal.what, made, view, progress)?;
    replicas(view, progress)?;
    if goal.what == What::Ca {
        older_gone(view)?;
        progress.marks.push(Mark::OlderCasDropped);
    }
    settled(view)?;
    progress.marks.push(Mark::Done);
    Ok(())
}

fn ca(made: bool, view: &View<'_>, progress: &mut Progress) -> Result<(), String> {
    let newest = view.chain.newest().filter(|_| made);
    let newest = newest.ok_or("a new CA in Secret clb-gate-ca")?;
    progress.marks.push(Mark::CaMade {
        generation: newest.facts().generation,
    });
    // Without a registration the leaf comes first: nobody calls yet.
    let published = match view.chain.published() {
        Some(bundle) => bundle.contains(newest),
        None => view.gathered.seen.registration.is_none() && view.chain.leaf_is_newest_cas(),
    };
    if !published {
        return Err("the new CA in the registration's bundle".to_owned());
    }
    progress.marks.push(Mark::BundlePublished);
    Ok(())
}

fn leaf(what: What, made: bool, view: &View<'_>, progress: &mut Progress) -> Result<(), String> {
    let issued = match what {
        What::Ca => view.chain.leaf_is_newest_cas(),
        What::Leaf => made,
    };
    let leaf = view.chain.leaf.as_ref().filter(|_| issued);
    let leaf = leaf.ok_or("a new leaf in Secret clb-gate-leaf")?;
    progress.marks.push(Mark::LeafIssued {
        fingerprint: short(&leaf.facts().fingerprint),
    });
    Ok(())
}

/// Pods that cannot serve yet are awaited by nobody: only Ready ones, and those that answer.
fn replicas(view: &View<'_>, progress: &mut Progress) -> Result<(), String> {
    progress.needs_replicas = true;
    if view.gathered.replicas.is_none() {
        return Err("the replicas, which are to be asked".to_owned());
    }
    let serving = view.replicas.iter();
    let serving = serving.filter(|one| one.ready || one.serves != Standing::Unseen);
    let (current, others): (Vec<_>, Vec<_>) = serving.partition(|one| is_current(one));
    progress.marks.push(Mark::Serving {
        now: current.len(),
        of: current.len() + others.len(),
    });
    if others.is_empty() {
        return Ok(());
    }
    let told: Vec<_> = others
        .iter()
        .map(|one| {
            let why = match (one.serves, one.why.as_deref()) {
                (Standing::Older, _) => "serves an older leaf",
                (_, Some(why)) => why,
                (_, None) => "does not serve it",
            };
            let refused = one.refused.join("; ");
            let refused = if refused.is_empty() {
                refused
            } else {
                format!(", and refuses the new one: {refused}")
            };
            format!("{} ({why}{refused})", one.pod)
        })
        .collect();
    Err(format!("replicas: {}", told.join(", ")))
}

fn older_gone(view: &View<'_>) -> Result<(), String> {
    match view.chain.published() {
        Some(bundle) if bundle.len() == 1 && view.chain.cas.len() == 1 => Ok(()),
        None if view.gathered.seen.registration.is_none() => {
            Err("the registration, which is to be made".to_owned())
        }
        _ => Err(match view.step() {
            Some(step) => format!("the older CAs to be dropped: {step}"),
            None => "the older CAs to be dropped".to_owned(),
        }),
    }
}

fn settled(view: &View<'_>) -> Result<(), String> {
    match (view.step(), &view.decision.registration) {
        (Some(Step::Keep { .. }), Heal::Keep) => Ok(()),
        (Some(Step::Keep { .. }), _) => Err(format!(
            "the registration: {}",
            view.differences().join(", ")
        )),
        (Some(step), _) => Err(step.to_string()),
        (None, _) => Err("nothing more: the Namespace is being deleted".to_owned()),
    }
}

/// What of `marks` is new to somebody who was told `told`. Counts of replicas may go up and down, as pods
/// come and go; everything else is told once.
pub fn news<'a>(told: &[Mark], marks: &'a [Mark]) -> Vec<&'a Mark> {
    let last_count = told
        .iter()
        .rev()
        .find(|mark| matches!(mark, Mark::Serving { .. }));
    let is_new = |mark: &&Mark| match mark {
        Mark::Serving { .. } => last_count != Some(*mark),
        Mark::LeafIssued { .. } => !told.contains(mark),
        Mark::CaMade { .. } | Mark::BundlePublished | Mark::OlderCasDropped | Mark::Done => {
            !told.contains(mark)
        }
    };
    marks.iter().filter(is_new).collect()
}
