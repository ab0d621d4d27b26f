//! Hands every load balancer's writer what it should hold, and tells Services of their problems.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use direct_access::Exposure;
use direct_access::service::ObjectRef;
use runtime::{BoxError, News};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::desired::{Desired, Wanted};
use crate::engine::{self, Context, Inbox, Shared, quotas, reference};

/// Changes that come this close together are taken in once: a Deployment's new pods come in bursts.
const GATHER: Duration = Duration::from_millis(30);
/// Problems of load balancers are looked for this often.
const TICK: Duration = Duration::from_secs(1);
/// A problem that stands is told again this often, so that its Event does not expire.
const TELL_AGAIN: Duration = Duration::from_mins(10);

/// The director.
pub struct Director {
    /// What all tasks share.
    pub shared: Shared,
    /// What is exposed, for the gates.
    pub exposures: watch::Sender<Arc<Vec<Exposure>>>,
}

#[derive(Default)]
struct Term {
    number: u64,
    told: HashMap<(ObjectRef, String), Instant>,
}

impl Director {
    /// Works for as long as we lead and until `draining`; ends early only when a writer fails.
    pub async fn run(self, draining: CancellationToken) -> Result<(), BoxError> {
        let mut inboxes: HashMap<String, Inbox> = HashMap::new();
        let mut writers = JoinSet::new();
        let context = Context::of(&self.shared);
        writers.spawn(quotas::run(context.clone(), draining.clone()));
        let mut changes = self.shared.cluster.changes();
        let mut leadership = self.shared.leadership.clone();
        let mut term = Term::default();
        while let Some(now) = draining.run_until_cancelled(leadership.gained()).await {
            if term.number != now.number {
                term = Term {
                    number: self.begin(now.number).await,
                    ..Term::default()
                };
            }
            let ledger = self.shared.ledger.ids().await;
            let wanted = self.shared.cluster.wanted(&ledger);
            self.hand_out(&wanted, &mut inboxes, |id, inbox| {
                let writer = engine::run(id, inbox, context.clone(), draining.clone());
                writers.spawn(writer);
            });
            self.tell(&wanted, &mut term.told);
            tokio::select! {
                () = draining.cancelled() => break,
                _ = changes.changed() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(TICK) => {}
                Some(ended) = writers.join_next() => ended?,
            }
        }
        while let Some(ended) = writers.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// A new term begins with the record of what was written to. 0: it could not be read, try again.
    async fn begin(&self, number: u64) -> u64 {
        match self.shared.ledger.load().await {
            Ok(ids) => {
                tracing::info!(load_balancers = ids.len(), "term begins");
                self.shared.views.clear();
                number
            }
            Err(error) => {
                tracing::warn!(%error, "the ledger cannot be read");
                0
            }
        }
    }

    fn hand_out(
        &self,
        wanted: &Wanted,
        inboxes: &mut HashMap<String, Inbox>,
        mut start: impl FnMut(String, Inbox),
    ) {
        for (id, desired) in &wanted.load_balancers {
            if let Some(inbox) = inboxes.get(id) {
                inbox.put(desired.clone());
            } else {
                let inbox = Inbox::new(desired.clone());
                inboxes.insert(id.clone(), inbox.clone());
                start(id.clone(), inbox);
            }
        }
        let gone: BTreeSet<_> = inboxes
            .keys()
            .filter(|id| !wanted.load_balancers.contains_key(*id))
            .cloned()
            .collect();
        for id in gone {
            if let Some(inbox) = inboxes.get(&id) {
                inbox.put(Desired {
                    others: Arc::clone(&wanted.others),
                    ..Desired::default()
                });
            }
        }
        self.exposures.send_if_modified(|known| {
            let other = **known != wanted.exposures;
            if other {
                *known = Arc::new(wanted.exposures.clone());
            }
            other
        });
    }

    /// Every standing problem is an Event on its Service, told once and again from time to time.
    fn tell(&self, wanted: &Wanted, told: &mut HashMap<(ObjectRef, String), Instant>) {
        let now = Instant::now();
        let standing = self.standing(wanted);
        told.retain(|key, at| standing.contains(key) && now - *at < TELL_AGAIN);
        for (service, note) in standing {
            let key = (service.clone(), note.clone());
            if told.contains_key(&key) {
                continue;
            }
            let Some(uid) = self
                .shared
                .cluster
                .service_uid(&service.namespace, &service.name)
            else {
                continue;
            };
            tracing::warn!(%service, problem = note, "a Service has a problem");
            let regarding = reference("Service", &service, &uid);
            self.shared
                .recorder
                .publish(regarding, News::warning("NotServed", "Serve", note));
            told.insert(key, now);
        }
    }

    fn standing(&self, wanted: &Wanted) -> BTreeSet<(ObjectRef, String)> {
        let of_services = wanted.problems.iter().flat_map(|(service, problems)| {
            problems
                .iter()
                .map(|problem| (service.clone(), problem.to_string()))
        });
        let mut standing: BTreeSet<_> = of_services.collect();
        for exposure in &wanted.exposures {
            let Some(view) = self.shared.views.get(&exposure.load_balancer) else {
                continue;
            };
            let service = &exposure.service;
            if let Some(problem) = &view.problem {
                standing.insert((service.clone(), format!("Service {service}: {problem}")));
            }
            for held in view.held.get(&exposure.slot()).into_iter().flatten() {
                let note = format!(
                    "Service {service}: spec.ports[].port {} on CLB {}: {held}",
                    exposure.port, exposure.load_balancer
                );
                standing.insert((service.clone(), note));
            }
            if let Some(warning) = view.warnings.get(&exposure.slot()) {
                let note = format!(
                    "Service {service}: spec.ports[].port {} on CLB {}: {warning}",
                    exposure.port, exposure.load_balancer
                );
                standing.insert((service.clone(), note));
            }
        }
        standing
    }
}
