//! The serving certificate, taken from its Secret through the API: a mounted file lags by up to 100 s.
//! A leaf is verified before it is served; a bad one is refused and the good one kept.

use std::sync::Arc;

use certs::{
    layout::{
        KeyPem, LEAF_BUNDLE_KEY, LEAF_CERT_KEY, LEAF_PRIVATE_KEY, LEAF_SECRET, LeafMaterial,
        ServiceNames,
    },
    resolver::LeafResolver,
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
    refused: Mutex<Option<LeafMaterial>>,
}

impl Leaf {
    /// `ready` reports while a leaf within its dates is being served.
    pub fn new(
        resolver: Arc<LeafResolver>,
        names: ServiceNames,
        metrics: Metrics,
        ready: ReadyHandle,
    ) -> Self {
        let refused = Mutex::default();
        Self {
            shared: Arc::new(Shared {
                resolver,
                names,
                metrics,
                ready,
                refused,
            }),
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
        watch::spawn(supervisor, secret, material, on_change, ready);
        supervisor.spawn_support("leaf-dates", self.clone().look_at_dates());
    }

    /// Takes in a change of the Secret.
    pub fn on_change(&self, change: Change<LeafMaterial>, now: Timestamp) {
        let material = match change {
            Change::Applied(_, material) => Some(material),
            Change::Deleted(_) => None,
            Change::Restarted(all) => all.into_iter().next().map(|(_, material)| material),
        };
        if let Some(material) = material {
            self.load(material, now, Attempt::First);
        } else {
            tracing::warn!(
                secret = LEAF_SECRET,
                "the leaf's Secret is gone; what is served stays"
            );
        }
    }

    /// Tries a refused leaf again and reports whether what is served is within its dates.
    pub fn on_tick(&self, now: Timestamp) {
        let refused = self.shared.refused.lock().take();
        if let Some(material) = refused {
            self.load(material, now, Attempt::Again);
        }
        self.report(now);
    }

    fn load(&self, material: LeafMaterial, now: Timestamp, attempt: Attempt) {
        let shared = &self.shared;
        match shared.resolver.load(&material, &shared.names, now) {
            Ok(facts) => {
                shared.metrics.leaf_load("ok");
                shared
                    .metrics
                    .leaf_not_after
                    .set(facts.not_after.as_second());
                tracing::info!(
                    fingerprint = facts.fingerprint, not_after = %facts.not_after, "serving a new leaf"
                );
                *shared.refused.lock() = None;
            }
            Err(problems) => {
                if attempt == Attempt::First {
                    shared.metrics.leaf_load("refused");
                    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                    tracing::warn!(
                        secret = LEAF_SECRET,
                        ?problems,
                        "refused a leaf; what is served stays"
                    );
                }
                *shared.refused.lock() = Some(material);
            }
        }
        self.report(now);
    }

    fn report(&self, now: Timestamp) {
        match self.shared.resolver.serving() {
            None => self.shared.ready.not_ready("no leaf has been loaded"),
            Some(leaf) if leaf.not_after < now => {
                self.shared
                    .ready
                    .not_ready(format!("the served leaf expired at {}", leaf.not_after));
            }
            Some(_) => self.shared.ready.ready(),
        }
    }

    async fn look_at_dates(self) -> Result<(), BoxError> {
        loop {
            tokio::time::sleep(TICK).await;
            self.on_tick(clock::now());
        }
    }
}

/// A refused leaf is counted and logged once, however often it is tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Again,
}

/// What of the Secret is a leaf.
fn material(secret: Secret) -> LeafMaterial {
    let mut data = secret.data.unwrap_or_default();
    let mut take = |key: &str| data.remove(key).map(|bytes| bytes.0).unwrap_or_default();
    LeafMaterial {
        cert_pem: take(LEAF_CERT_KEY),
        key_pem: KeyPem::new(take(LEAF_PRIVATE_KEY)),
        bundle_pem: take(LEAF_BUNDLE_KEY),
    }
}

#[cfg(test)]
mod tests;
