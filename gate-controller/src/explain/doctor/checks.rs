//! Every check, in the order in which things should be mended: what others rest on comes first. Pure.

mod chain;
mod cloud;
mod installation;
mod work;

use super::facts::Patient;
use super::finding::Finding;
use super::report::{Line, Report};
use crate::explain::pod::notes;

pub(super) use installation::minor;

/// A check, and its name.
type Check = (&'static str, fn(&Patient) -> Finding);

/// All of them.
const CHECKS: [Check; 17] = [
    ("kubernetes", installation::kubernetes),
    ("versions", installation::versions),
    ("settings", installation::settings),
    ("network", installation::network),
    ("registration", chain::registration),
    ("certificates", chain::certificates),
    ("webhook", chain::webhook),
    ("canary", chain::canary),
    ("caches", installation::caches),
    ("leader", installation::leader),
    ("credentials", cloud::credentials),
    ("region", cloud::region),
    ("load balancers", cloud::load_balancers),
    ("quotas", cloud::quotas),
    ("objects", work::objects),
    ("pods", work::pods),
    ("gates", work::gates),
];

/// Examines an installation.
pub fn examine(patient: &Patient) -> Report {
    let checks = CHECKS.into_iter();
    let checks: Vec<_> = checks
        .map(|(name, check)| Line::of(name, &check(patient)))
        .collect();
    let worst = checks.iter().map(|one| one.health).max();
    Report {
        health: worst.unwrap_or_default(),
        at: patient.facts.now,
        checks,
        notes: notes(&patient.facts),
    }
}
