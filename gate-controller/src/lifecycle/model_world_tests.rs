//! The API server and the CLB API of the model: what is there, and what each step does to it.

use std::collections::BTreeMap;

use direct_access::ownership::ClusterId;
use direct_access::{Kind, Word, names};

use super::super::*;
use crate::lifecycle::Holder;
use crate::lifecycle::decide::Claim;

/// A load balancer of the model's API.
#[derive(Clone, Debug)]
pub(super) struct Clb {
    pub(super) uid: Option<String>,
    pub(super) made: u64,
    pub(super) shows: u64,
    pub(super) contents: Contents,
    pub(super) pass_to_target: bool,
}

/// What is there, and what the controller knows of it.
pub(super) struct World {
    pub(super) cluster: ClusterId,
    pub(super) start: Instant,
    pub(super) seconds: u64,
    pub(super) lag: u64,
    pub(super) api: BTreeMap<String, Clb>,
    pub(super) tokens: BTreeMap<String, String>,
    /// Kept for a stranger when their object was released: a person deletes them.
    pub(super) left: BTreeSet<String>,
    /// A Service or an Ingress.
    pub(super) kind: Kind,
    /// The object in the API server and in the controller's cache.
    pub(super) holder: Option<Holder>,
    pub(super) cache: Option<Holder>,
    pub(super) births: u64,
    pub(super) versions: u64,
    pub(super) memory: Memory,
}

/// The controller died, or its write was refused: it looks again.
pub(super) struct Ended;

impl World {
    /// The API server takes in an object; one that is going and has no finalizer is gone.
    pub(super) fn put(&mut self, mut holder: Holder) {
        self.versions += 1;
        holder.version = self.versions;
        self.holder = (!holder.going || holder.finalizer).then_some(holder);
    }

    pub(super) fn sight(&self, named: &BTreeSet<String>) -> Sight {
        let shown = self.api.iter().filter(|(id, clb)| {
            // By its id it shows at once in the model; by its tags late.
            clb.shows <= self.seconds || named.contains(*id)
        });
        let found: Vec<_> = shown
            .map(|(id, clb)| {
                let own = match self.kind {
                    Kind::Service => names::SERVICE_TAG,
                    Kind::Ingress => names::INGRESS_TAG,
                };
                let tags: Vec<_> = [
                    (names::CLUSTER_TAG, clb.uid.as_ref().map(|_| "us")),
                    (own, clb.uid.as_deref()),
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

    /// As the actor does it, effect by effect.
    pub(super) fn perform(
        &mut self,
        seen: &Holder,
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
                let same = self.holder.as_ref().map(|one| one.version) == Some(seen.version);
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
                    one.shown = vec![shown.clone()];
                })?;
            }
            Step::Clear => {
                self.effect(seen, false, effects, |one| one.shown.clear())?;
                self.effect(seen, false, effects, unmarked)?;
            }
            Step::Unmark => self.effect(seen, false, effects, unmarked)?,
            Step::Release(left) => {
                self.effect(seen, true, effects, |one| {
                    one.finalizer = false;
                    for word in [Word::Id, Word::ClientToken] {
                        let key = one.key(word);
                        one.annotations.remove(key);
                    }
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

    fn order(&mut self, seen: &Holder, effects: &mut usize) -> Result<String, Ended> {
        Self::dies(effects)?;
        let token = seen.says(Word::ClientToken).unwrap().to_owned();
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
            pass_to_target: seen.says(Word::PassToTarget) == Some("true"),
        };
        self.api.insert(id.clone(), made);
        Ok(id)
    }

    /// A write with its preconditions: the UID always, the version where it decides who owns what.
    fn effect(
        &mut self,
        seen: &Holder,
        versioned: bool,
        effects: &mut usize,
        change: impl FnOnce(&mut Holder),
    ) -> Result<(), Ended> {
        Self::dies(effects)?;
        let there = self
            .holder
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
        self.cache.clone_from(&self.holder);
        Ok(())
    }
}

fn claimed(holder: &mut Holder, claim: &Claim) {
    holder.finalizer = true;
    let token = claim.token.clone();
    let token = token.map(|token| (holder.key(Word::ClientToken).to_owned(), token));
    holder.annotations.extend(token);
    if claim.lost.is_some() {
        let key = holder.key(Word::Id);
        holder.annotations.remove(key);
    }
}

fn recorded(holder: &mut Holder, id: &str) {
    let pair = (holder.key(Word::Id).to_owned(), id.to_owned());
    holder.annotations.extend([pair]);
}

fn unmarked(holder: &mut Holder) {
    holder.annotations.remove(names::SHOWN_ADDRESS);
}
