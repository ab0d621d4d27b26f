//! Asking for a renewal. The request is an annotation on the Secret, under an id: it stands there whatever
//! becomes of whoever asked, and the leader answers it by writing the id as done together with what it made.
//! Whoever finds a renewal pending or half-way joins it instead of asking for another.

use std::hash::{BuildHasher, RandomState};

use certs::layout::{CA_SECRET, LEAF_SECRET, RENEW_REQUESTED};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};

use super::facts::{Chain, chain};
use crate::ask::{AskError, Right, ask};
use crate::heal::facts::Seen;
use crate::heal::secrets::renewal;

/// A conflict means that somebody wrote: read again and decide anew, this often.
const TRIES: usize = 5;

/// What is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The CA, and with it the leaf.
    Ca,
    /// The leaf alone.
    Leaf,
}

impl What {
    /// The Secret that carries the request.
    pub const fn secret(self) -> &'static str {
        match self {
            Self::Ca => CA_SECRET,
            Self::Leaf => LEAF_SECRET,
        }
    }

    /// As in "a new CA".
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Ca => "CA",
            Self::Leaf => "leaf",
        }
    }
}

/// What is followed to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// What is renewed.
    pub what: What,
    /// The request, where there is one.
    pub id: Option<String>,
    /// Fingerprint of what was there before: if it is another, and nobody knows of the request any more,
    /// the Secret was made anew meanwhile, which is as good.
    pub before: Option<String>,
}

/// What to do about a wish for a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Write the request.
    Ask,
    /// Somebody asked already.
    JoinRequest(Goal),
    /// A rotation is half-way, and brings what is wished for.
    JoinRotation(Goal),
    /// There is no Secret: whoever leads makes it.
    Missing(Goal),
}

/// Decides what a wish for `what` calls for.
pub fn decide(seen: &Seen, what: What) -> Wish {
    let chain = chain(seen);
    let goal = |what, id: Option<&str>| Goal {
        what,
        id: id.map(str::to_owned),
        before: before(&chain, what),
    };
    // A new CA brings a new leaf; a new leaf brings no new CA.
    let relevant: &[What] = match what {
        What::Ca => &[What::Ca],
        What::Leaf => &[What::Ca, What::Leaf],
    };
    for one in relevant {
        let asked = renewal(secret(seen, *one));
        if let Some(id) = asked.pending() {
            return Wish::JoinRequest(goal(*one, Some(id)));
        }
    }
    if relevant.iter().any(|one| secret(seen, *one).is_none()) {
        return Wish::Missing(goal(what, None));
    }
    if chain.is_half_way() {
        let before = None;
        return Wish::JoinRotation(Goal {
            before,
            ..goal(What::Ca, None)
        });
    }
    Wish::Ask
}

impl Goal {
    /// Whether what was wished for has been made.
    pub fn is_made(&self, seen: &Seen) -> bool {
        let now = before(&chain(seen), self.what);
        let asked = renewal(secret(seen, self.what));
        match &self.id {
            Some(id) if asked.done.as_ref() == Some(id) => true,
            Some(id) if asked.requested.as_ref() == Some(id) => false,
            _ => now.is_some() && now != self.before,
        }
    }
}

/// A new id: readable, and never the same twice.
pub fn new_id(now: Timestamp) -> String {
    let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let random = RandomState::new().hash_one(now.as_nanosecond());
    format!("{second}-{:08x}", random & 0xffff_ffff)
}

/// Writes requests.
#[derive(Clone)]
pub struct Requester {
    secrets: Api<Secret>,
    namespace: String,
}

impl Requester {
    /// For the Secrets in `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            secrets: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
        }
    }

    /// Does what the wish for `what` calls for; `look` reads the Secrets.
    pub async fn ask<F, E>(
        &self,
        what: What,
        now: Timestamp,
        mut look: impl FnMut() -> F,
    ) -> Result<(Wish, Goal), E>
    where
        F: Future<Output = Result<Seen, E>>,
        E: From<AskError>,
    {
        let mut tries = 0;
        loop {
            let seen = look().await?;
            let wish = decide(&seen, what);
            let goal = match &wish {
                Wish::JoinRequest(goal) | Wish::JoinRotation(goal) | Wish::Missing(goal) => {
                    return Ok((wish.clone(), goal.clone()));
                }
                Wish::Ask => Goal {
                    what,
                    id: Some(new_id(now)),
                    before: before(&chain(&seen), what),
                },
            };
            match self.write(&seen, &goal).await {
                Ok(()) => return Ok((wish, goal)),
                Err(error) if (error.is_conflict() || error.is_not_found()) && tries < TRIES => {
                    tries += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A PUT of what was read: it fails if anybody wrote meanwhile, and the controller's own rights are
    /// enough for it, so that this works in its pod too.
    async fn write(&self, seen: &Seen, goal: &Goal) -> Result<(), AskError> {
        let name = goal.what.secret();
        let Some(mut secret) = secret(seen, goal.what).cloned() else {
            return Ok(());
        };
        secret.metadata.managed_fields = None;
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(
            RENEW_REQUESTED.to_owned(),
            goal.id.clone().unwrap_or_default(),
        );
        let right = Right::core("update", "secrets", (&self.namespace, name));
        let how = PostParams::default();
        ask(right, self.secrets.replace(name, &how, &secret)).await?;
        Ok(())
    }
}

pub(super) fn secret(seen: &Seen, what: What) -> Option<&Secret> {
    match what {
        What::Ca => seen.ca.as_ref(),
        What::Leaf => seen.leaf.as_ref(),
    }
}

/// What is pending on either Secret.
pub(super) fn pending(seen: &Seen) -> Vec<(What, String)> {
    let asked = |what| {
        let asked = renewal(secret(seen, what));
        asked.pending().map(|id| (what, id.to_owned()))
    };
    [What::Ca, What::Leaf]
        .into_iter()
        .filter_map(asked)
        .collect()
}

fn before(chain: &Chain, what: What) -> Option<String> {
    let certificate = match what {
        What::Ca => chain.newest(),
        What::Leaf => chain.leaf.as_ref(),
    };
    certificate.map(|found| found.facts().fingerprint.clone())
}
