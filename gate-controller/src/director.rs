//! Hands every load balancer's writer what it should hold, and tells Services of their problems.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use direct_access::{Exposure, Kind, Owner, Problem};
use runtime::{BoxError, News};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::desired::{Desired, Exposed, RuleKey, Wanted};
use crate::engine::{self, Context, Inbox, Shared, quotas, reference_to};
use crate::pace;
use crate::plan::Held;
use crate::view::View;

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
    pub exposures: watch::Sender<Arc<Exposed>>,
}

/// A problem that stands: on which object, the Event's reason and what is news about it.
type Standing = (Owner, &'static str, String);
/// Problems that stand, with their Events' notes.
type AllStanding = BTreeMap<Standing, String>;

#[derive(Default)]
struct Term {
    number: u64,
    told: HashMap<Standing, Instant>,
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
            let begun = Instant::now();
            let wanted = self.shared.cluster.wanted(&ledger);
            self.hand_out(&wanted, &mut inboxes, |id, inbox| {
                let writer = engine::run(id, inbox, context.clone(), draining.clone());
                writers.spawn(writer);
            });
            self.tell(&wanted, &mut term.told);
            drop(wanted);
            let gather = pace::gather(GATHER, begun.elapsed());
            tokio::select! {
                () = draining.cancelled() => break,
                _ = changes.changed() => tokio::time::sleep(gather).await,
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
                inbox.put(desired);
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
                inbox.put(&Desired {
                    others: Arc::clone(&wanted.others),
                    ..Desired::default()
                });
            }
        }
        self.exposures.send_if_modified(|known| {
            let other = known.lists != wanted.lists || known.exposures != wanted.exposures;
            if other {
                *known = Arc::new(Exposed {
                    exposures: wanted.exposures.clone(),
                    lists: wanted.lists,
                });
            }
            other
        });
    }

    /// Every standing problem is an Event on its Service, told once and again from time to time.
    fn tell(&self, wanted: &Wanted, told: &mut HashMap<Standing, Instant>) {
        let now = Instant::now();
        let standing = self.standing(wanted);
        told.retain(|key, at| standing.contains_key(key) && now - *at < TELL_AGAIN);
        for (key, note) in standing {
            if told.contains_key(&key) {
                continue;
            }
            let (owner, reason, _) = key.clone();
            let Some(uid) = self.shared.cluster.uid(&owner) else {
                continue;
            };
            tracing::warn!(object = %owner, problem = note, "an object has a problem");
            let regarding = reference_to(&owner, &uid);
            self.shared
                .recorder
                .publish(regarding, News::warning(reason, "Serve", note));
            told.insert(key, now);
        }
    }

    fn standing(&self, wanted: &Wanted) -> AllStanding {
        let noted = self.noted(wanted).into_iter();
        let mut all: AllStanding = noted.map(|one| (one.clone(), one.2)).collect();
        all.extend(wanted.mixed.iter().map(|(service, mixture)| {
            let sorts = mixture.sorts.iter().map(|kind| kind.as_str());
            let sorts: Vec<_> = sorts.collect();
            let owner = Owner::service(service.clone());
            let key = (owner, "MixedNetworks", sorts.join(" "));
            (key, mixture.problem.to_string())
        }));
        all
    }

    /// Problems of which every word is news.
    fn noted(&self, wanted: &Wanted) -> BTreeSet<Standing> {
        let told = |reason: &'static str| {
            move |(owner, problems): (&Owner, &Vec<Problem>)| {
                let notes = problems.iter().map(ToString::to_string);
                let all: Vec<Standing> = notes.map(|note| (owner.clone(), reason, note)).collect();
                all
            }
        };
        let conflicts = wanted.conflicts.iter().flat_map(told("PortConflict"));
        let problems = wanted.problems.iter().flat_map(told("NotServed"));
        let mut standing: BTreeSet<_> = problems.chain(conflicts).collect();
        let made = self.shared.cluster.made();
        let of_made = made.problems();
        standing.extend(
            of_made.map(|(owner, note)| (owner.clone(), "LoadBalancerProblem", note.to_owned())),
        );
        for exposure in &wanted.exposures {
            let Some(id) = exposure.load_balancer.id() else {
                continue;
            };
            if let Some(view) = self.shared.views.get(id) {
                standing.extend(seen(exposure, id, &view));
            }
        }
        standing
    }
}

/// What the load balancer's writer says of an exposure.
fn seen(exposure: &Exposure, load_balancer: &str, view: &View) -> Vec<Standing> {
    let owner = &exposure.owner;
    let problem = view.problem.as_ref();
    let whole = problem.map(|problem| format!("{owner}: {problem}"));
    let on_slot = |note: String| {
        format!(
            "{owner}: {} on CLB {load_balancer}: {note}",
            place(exposure)
        )
    };
    let held = view.held.get(&exposure.slot()).into_iter().flatten();
    let rule = exposure.rule.as_ref().map(RuleKey::of);
    let told_here = |held: &&Held| match held {
        Held::Rule(key, _) => rule.as_ref() == Some(key),
        Held::NoSuccessor(key, _) => rule.as_ref() == key.as_ref(),
        // The object is told what is wrong with its certificate.
        Held::Uncertified(..) => false,
        Held::OtherProtocol(..)
        | Held::NoListener(_)
        | Held::Foreign(_)
        | Held::Quota(..)
        | Held::Refused(_)
        | Held::RefusedTargets(..) => true,
    };
    let held = held.filter(told_here);
    let held = held.map(|held| on_slot(held.to_string()));
    let problems = whole.into_iter().chain(held);
    let warned = view.warnings.get(&exposure.slot()).cloned().map(on_slot);
    let unchanged = view.unchanged.get(&exposure.slot()).into_iter().flatten();
    let unchanged = unchanged.cloned().map(on_slot);
    problems
        .map(|note| (owner.clone(), "NotServed", note))
        .chain(unchanged.map(|note| (owner.clone(), "ListenerNotChanged", note)))
        .chain(warned.map(|note| (owner.clone(), "QuotaAhead", note)))
        .collect()
}

/// In the words of the object that asks.
fn place(exposure: &Exposure) -> String {
    match exposure.owner.kind {
        Kind::Service => format!("spec.ports[].port {}", exposure.port),
        Kind::Ingress => format!("listener {}:{}", exposure.protocol, exposure.port),
    }
}
