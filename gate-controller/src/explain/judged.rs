//! The controller's own judgement of what was read: what is exposed, and how each load balancer stands. Pure.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use clb::HealthState;
use direct_access::{Exposure, Word};
use tokio::time::Instant;

use super::facts::{Facts, Looked};
use crate::desired::{Asked, Desired, RuleKey, Wanted, by_namespace, wanted};
use crate::engine::{owners, unusable};
use crate::family::Family;
use crate::lifecycle::{Made, Sight};
use crate::plan::{self, Limits, ObservedListener, Place, Successors, plan};
use crate::preview::Look;
use crate::secrets::Certificates;
use crate::view::{Seen, View, Views};

/// Longer than any health check takes to say Alive for good: how long a target has been there is not known
/// to the second, so an Alive is believed.
const LONG_AGO: Duration = Duration::from_hours(1);

/// What the controller would want and see.
pub(super) struct Judged {
    /// What every load balancer should hold.
    pub(super) wanted: Wanted,
    /// How those that were read stand.
    pub(super) views: Views,
}

/// Judges what was read.
pub(super) fn judged(facts: &Facts) -> Judged {
    let world = &facts.world;
    let certificates = Certificates::assumed();
    let asked = Asked {
        services: world.services.iter().collect(),
        ingresses: world.ingresses.iter().collect(),
        certificates: Some(&certificates),
    };
    let pods = by_namespace(&world.pods);
    let ledger = world.ledger.keys().cloned().collect();
    let wanted = wanted(&asked, &pods, &world.settings, &ledger, &made(facts));
    let views = facts
        .looked()
        .map(|looked| views(facts, &wanted, looked))
        .unwrap_or_default();
    Judged { wanted, views }
}

/// The load balancers of clb-gate's making: by their tags where they were read, else by what the
/// controller wrote to the object.
fn made(facts: &Facts) -> Made {
    let (services, ingresses) = (&facts.world.services, &facts.world.ingresses);
    let of_services = services.iter().map(|one| (&one.uid, one.words()));
    let of_ingresses = ingresses.iter().map(|one| (&one.uid, one.words()));
    let named = of_services.chain(of_ingresses);
    let named =
        named.filter_map(|(uid, words)| Some((uid.clone(), words.get(Word::Id)?.to_owned())));
    let Some(looked) = facts.looked() else {
        return Made::of(named);
    };
    let sighting = &looked.sighting;
    let there = sighting
        .load_balancers
        .values()
        .filter_map(|look| match look {
            Look::There(seen) => Some(seen.found.clone()),
            Look::Missing | Look::Unknown(_) => None,
        });
    let found: Vec<_> = sighting.tagged.iter().cloned().chain(there).collect();
    let sight = Sight::of(&facts.world.cluster, &found);
    Made::of(named.filter(|(uid, id)| sight.ours(uid).iter().any(|own| own.id == *id)))
}

fn views(facts: &Facts, wanted: &Wanted, looked: &Looked) -> Views {
    let views = Views::default();
    let none = Desired::default();
    for (id, look) in &looked.sighting.load_balancers {
        let desired = wanted.load_balancers.get(id).unwrap_or(&none);
        views.publish(id, view(facts, (id, desired), look, looked));
        let health = looked.health.get(id).into_iter().flatten();
        views.saw(
            id,
            health.map(|(place, state)| {
                let seen = Seen {
                    state: *state,
                    polled: looked.at + LONG_AGO,
                };
                (place.clone(), seen)
            }),
        );
    }
    views
}

fn view(facts: &Facts, (id, desired): (&str, &Desired), look: &Look, looked: &Looked) -> View {
    let owners = owners(desired);
    let found = match look {
        Look::There(seen) => Some(&seen.found),
        Look::Missing => None,
        Look::Unknown(why) => {
            return View {
                owners,
                problem: Some(why.clone()),
                ..View::default()
            };
        }
    };
    if let Some(problem) = unusable(id, found, looked.sighting.vpc.as_deref()) {
        return View {
            owners,
            problem: Some(problem),
            ..View::default()
        };
    }
    let listeners = match look {
        Look::There(seen) => seen.listeners.clone(),
        Look::Missing | Look::Unknown(_) => vec![],
    };
    let limits = Limits {
        targets: looked.sighting.quota,
        ..Limits::default()
    };
    let health = looked.health.get(id).into_iter().flatten();
    let alive = health.filter(|(_, state)| *state == HealthState::Alive);
    let alive: HashSet<&Place> = alive.map(|(place, _)| place).collect();
    let plan = plan(&plan::Facts {
        cluster: &facts.world.cluster,
        manage: facts.world.settings.manage,
        desired,
        observed: &listeners,
        drained: &HashMap::new(),
        limits: &limits,
        successors: &Successors::at_a_glance(&listeners, |place| alive.contains(place)),
    });
    View {
        registered: Arc::new(registered(facts, &listeners, looked)),
        listeners: Arc::new(listeners),
        address: None,
        owners,
        held: plan.held,
        warnings: plan.warnings,
        unchanged: plan.unchanged,
        awaited: BTreeSet::new(),
        family: found.and_then(Family::of),
        problem: None,
    }
}

fn registered(
    facts: &Facts,
    listeners: &[ObservedListener],
    looked: &Looked,
) -> HashMap<Place, (String, Instant)> {
    let all = listeners.iter().flat_map(ObservedListener::places);
    let ours = all.filter_map(|(place, target)| {
        let tag = target.tag.as_ref()?;
        (tag.cluster == facts.world.cluster).then(|| (place, (tag.pod_uid.clone(), looked.at)))
    });
    ours.collect()
}

/// The place of a binding on a load balancer that was read.
pub(super) fn place(
    views: &Views,
    exposure: &Exposure,
    address: (IpAddr, u16),
) -> Option<(Place, ObservedListener)> {
    let view = views.get(exposure.load_balancer.id()?)?;
    let slot = exposure.slot();
    let listener = view.listeners.iter().find(|one| one.slot() == slot)?;
    let key = exposure.rule.as_ref().map(RuleKey::of);
    let rule = match key {
        None => None,
        Some(key) => {
            let mut rules = listener.rules.iter();
            Some(rules.find(|rule| rule.key == key)?.id.clone())
        }
    };
    let place = Place {
        listener: listener.id.clone(),
        rule,
        address,
    };
    Some((place, listener.clone()))
}

/// The load balancers that these are on.
pub(super) fn ids<'a>(exposures: impl IntoIterator<Item = &'a Exposure>) -> BTreeSet<String> {
    let all = exposures.into_iter();
    all.filter_map(|one| one.load_balancer.id().map(str::to_owned))
        .collect()
}
