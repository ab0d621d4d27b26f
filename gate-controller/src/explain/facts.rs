//! What an explanation is made from: the cluster, what of the CLB could be read, and who leads.

use std::collections::BTreeMap;

use clb::{About, HealthState};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::certificates::Held;
use crate::plan::Place;
use crate::preview::{Look, Sighting, World};

/// What an explanation is made from.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The namespace clb-gate is installed in.
    pub namespace: String,
    /// The cluster.
    pub world: World,
    /// The CLB.
    pub clb: Clb,
    /// Who leads; or why that is not known.
    pub lease: Result<Option<Held>, String>,
    /// When this was read.
    pub now: Timestamp,
}

/// What of the CLB could be read.
#[derive(Clone, Debug)]
pub enum Clb {
    /// It was asked, and this is what it said.
    Seen(Box<Looked>),
    /// There is no client of the CLB API: region, endpoint or credentials cannot be read.
    NoClient(String),
    /// The API refused, or could not be reached.
    Refused(Asked),
}

/// What became of a question that the API did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What the failure says to look at, where it says.
    pub about: Option<About>,
    /// The whole message.
    pub told: String,
}

/// One look at the CLB.
#[derive(Clone, Debug)]
pub struct Looked {
    /// Load balancers and what they hold.
    pub sighting: Sighting,
    /// What the health checks say, by load balancer.
    pub health: BTreeMap<String, Vec<(Place, HealthState)>>,
    /// When a target was registered, in the API's words, by load balancer.
    pub since: BTreeMap<String, Vec<(Place, String)>>,
    /// When.
    pub at: Instant,
}

impl Facts {
    /// Whether somebody leads, as far as the clocks of holder and reader agree; `None`: not known.
    pub fn leads(&self) -> Option<bool> {
        let held = self.lease.as_ref().ok()?;
        Some(held.as_ref().is_some_and(|held| held.looks_alive(self.now)))
    }

    /// What was seen of the CLB.
    pub fn looked(&self) -> Option<&Looked> {
        match &self.clb {
            Clb::Seen(looked) => Some(looked),
            Clb::NoClient(_) | Clb::Refused(_) => None,
        }
    }
}

impl Clb {
    /// Why it is not known what the CLB says.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Seen(_) => None,
            Self::NoClient(why) => Some(why),
            Self::Refused(asked) => Some(&asked.told),
        }
    }
}

impl Looked {
    /// What was seen of a load balancer.
    pub(super) fn look(&self, load_balancer: &str) -> Option<&Look> {
        self.sighting.load_balancers.get(load_balancer)
    }

    /// What the health check says of a target.
    pub(super) fn health_of(&self, load_balancer: &str, place: &Place) -> Option<HealthState> {
        let all = self.health.get(load_balancer)?;
        all.iter()
            .find(|(there, _)| there == place)
            .map(|(_, state)| *state)
    }

    /// When a target was registered.
    pub(super) fn since(&self, load_balancer: &str, place: &Place) -> Option<&str> {
        let all = self.since.get(load_balancer)?;
        let found = all.iter().find(|(there, _)| there == place);
        found.map(|(_, since)| since.as_str())
    }
}
