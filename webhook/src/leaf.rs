//! The serving certificate, taken from its Secret through the API: a mounted file lags by up to 100 s.
//! A leaf is verified before it is served; a bad one is refused and the good one kept.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use certs::{
    Problem,
    layout::{
        KeyPem, LEAF_BUNDLE_KEY, LEAF_CERT_KEY, LEAF_PRIVATE_KEY, LEAF_SECRET, LeafMaterial,
        ServiceNames,
    },
    resolver::LeafResolver,
    served::{self, RefusedLeaf, ServedLeaf},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use parking_lot::Mutex;
use runtime::{BoxError, Change, Readiness, ReadyHandle, Supervisor, Watch, clock, watch};

use crate::{SECOND, metrics::Metrics};

/// How often a leaf that was refused is tried again, and the served one's dates are looked at: both
/// may change by the wall clock alone.
const TICK: std::time::Duration = SECOND.saturating_mul(15);

/// Keeps the resolver loaded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leaf {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    resolver: Arc<LeafResolver>,
    names: ServiceNames,
    metrics: Metrics,
    ready: ReadyHandle,
    state: Mutex<State>,
}

/// What a version of the Secret holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    material: LeafMaterial,
    resource_version: String,
}

/// What became of the candidates so far. Locked for as long as one is tried, so that an older one never
/// overtakes a newer.
#[derive(Debug, Default)]
struct State {
    /// The version that what is served was read from.
    serving: Option<String>,
    refused: Option<(Candidate, RefusedLeaf)>,
}

impl Leaf {
    /// `ready` reports while a leaf within its dates is being served.
    pub fn new(
        resolver: Arc<LeafResolver>,
        names: ServiceNames,
        metrics: Metrics,
        ready: ReadyHandle,
    ) -> Self {
        let state = Mutex::default();
        Self {
            shared: Arc::new(Shared {
                resolver,
                names,
                metrics,
                ready,
                state,
            }),
        }
    }

    /// The route on the admin port that tells what is served.
    pub fn router(&self) -> Router {
        let own = self.clone();
        Router::new().route(served::PATH, get(async move || Json(own.served())))
    }

    /// What is served, and what is not although the Secret holds it.
    pub fn served(&self) -> ServedLeaf {
        let state = self.shared.state.lock();
        let certificate = self.shared.resolver.certificate();
        ServedLeaf {
            serving: certificate.as_ref().map(|leaf| leaf.facts().clone()),
            certificate: certificate.map(|leaf| leaf.to_pem()),
            resource_version: state.serving.clone(),
            refused: state.refused.as_ref().map(|(_, why)| why.clone()),
        }
    }

    /// Starts watching the Secret.
    pub fn watch(
        &self,
        supervisor: &Supervisor,
        client: &Client,
        namespace: &str,
        readiness: &Readiness,
    ) {
        let secret = Watch::<Secret>::namespaced("leaf-secret", client.clone(), namespace)
            .named(LEAF_SECRET);
        let own = self.clone();
        let on_change = move |change| own.on_change(change, clock::now());
        let ready = readiness.handle("leaf-secret");
        watch::spawn(supervisor, secret, candidate, on_change, ready);
        supervisor.spawn_support("leaf-dates", self.clone().look_at_dates());
    }

    /// Takes in a change of the Secret.
    pub fn on_change(&self, change: Change<Candidate>, now: Timestamp) {
        let mut state = self.shared.state.lock();
        if let Some(candidate) = change.only() {
            self.load(&mut state, candidate, now);
        } else {
            tracing::warn!(
                secret = LEAF_SECRET,
                "the leaf's Secret is gone; what is served stays"
            );
        }
        self.report(&state, now);
    }

    /// Tries a refused leaf again and reports whether what is served is within its dates.
    pub fn on_tick(&self, now: Timestamp) {
        let mut state = self.shared.state.lock();
        if let Some((candidate, _)) = state.refused.clone() {
            self.load(&mut state, candidate, now);
        }
        self.report(&state, now);
    }

    fn load(&self, state: &mut State, candidate: Candidate, now: Timestamp) {
        let shared = &self.shared;
        let before = shared.resolver.generation();
        match shared
            .resolver
            .load(&candidate.material, &shared.names, now)
        {
            Ok(facts) => {
                shared.metrics.leaf_load("ok");
                shared
                    .metrics
                    .leaf_not_after
                    .set(facts.not_after.as_second());
                if shared.resolver.generation() != before {
                    tracing::info!(
                        fingerprint = facts.fingerprint, not_after = %facts.not_after, "serving a new leaf"
                    );
                }
                *state = State {
                    serving: Some(candidate.resource_version),
                    refused: None,
                };
            }
            Err(problems) => self.refuse(state, candidate, &problems, now),
        }
    }

    /// A refused leaf is counted and logged once, however often it is tried.
    fn refuse(
        &self,
        state: &mut State,
        candidate: Candidate,
        problems: &[Problem],
        now: Timestamp,
    ) {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let known = state
            .refused
            .take()
            .filter(|(old, _)| old.material == candidate.material);
        if known.is_none() {
            self.shared.metrics.leaf_load("refused");
            tracing::warn!(
                secret = LEAF_SECRET,
                ?problems,
                "refused a leaf; what is served stays"
            );
        }
        let why = RefusedLeaf {
            resource_version: candidate.resource_version.clone(),
            problems,
            since: known.map_or(now, |(_, why)| why.since),
        };
        state.refused = Some((candidate, why));
    }

    fn report(&self, state: &State, now: Timestamp) {
        let ready = &self.shared.ready;
        ready.remark(state.refused.as_ref().map(|(_, why)| remark(why)));
        match self.shared.resolver.serving() {
            None => ready.not_ready("no leaf has been loaded"),
            Some(leaf) if leaf.not_after < now => {
                ready.not_ready(format!("the served leaf expired at {}", leaf.not_after));
            }
            Some(_) => ready.ready(),
        }
    }

    async fn look_at_dates(self) -> Result<(), BoxError> {
        loop {
            tokio::time::sleep(TICK).await;
            self.on_tick(clock::now());
        }
    }
}

fn remark(refused: &RefusedLeaf) -> String {
    format!(
        "Secret {LEAF_SECRET} at resourceVersion {} was refused and what was served before stays: {}",
        refused.resource_version,
        refused.problems.join("; ")
    )
}

/// What of the Secret is a leaf.
fn candidate(secret: Secret) -> Candidate {
    let resource_version = secret.metadata.resource_version.unwrap_or_default();
    let mut data = secret.data.unwrap_or_default();
    let mut take = |key: &str| data.remove(key).map(|bytes| bytes.0).unwrap_or_default();
    let material = LeafMaterial {
        cert_pem: take(LEAF_CERT_KEY),
        key_pem: KeyPem::new(take(LEAF_PRIVATE_KEY)),
        bundle_pem: take(LEAF_BUNDLE_KEY),
    };
    Candidate {
        material,
        resource_version,
    }
}

#[cfg(test)]
mod tests;
