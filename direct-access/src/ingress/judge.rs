//! The judgement of one Ingress.

use std::collections::BTreeSet;

use super::annotations;
use super::facts::IngressFacts;
use super::listen::{listeners, possible};
use super::mix::{mix, switch};
use super::tls::certificates;
use super::work::Work;
use crate::attributes::attributes;
use crate::drain::drain;
use crate::exposure::Exposure;
use crate::load_balancer::{self, LoadBalancer};
use crate::names::ingress as own;
use crate::problem::Problem;
use crate::service::ServiceFacts;
use crate::settings::{Ownership, Settings};
use crate::slot::{Protocol, Slot};
use crate::tke_service_config::Configured;

/// What [`ingress_exposures()`] says of an Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressJudgement {
    /// Ours.
    Served(IngressServed),
    /// Not ours, or not readable as ours.
    NotOurs(IngressReason),
}

/// An Ingress that is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressServed {
    /// The load balancer it is on.
    pub load_balancer: LoadBalancer,
    /// One for each listener, host and path that leads to pods. May be empty.
    pub exposures: Vec<Exposure>,
    /// What of it could not be served, for its Events.
    pub problems: Vec<Problem>,
    /// Listeners of which a part could not be read: what is there of running pods stays until it can.
    pub incomplete: BTreeSet<Slot>,
}

/// Why an Ingress is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressReason {
    /// No `direct-access` annotation, or `"false"`.
    NotDirectAccess,
    /// It is being deleted.
    Going,
    /// Its class is another controller's.
    OtherClass(String),
    /// TKE's own controller serves it: `mode: skip` is absent.
    ServedByTke,
    /// It names no load balancer, and this level may not make one.
    NoLoadBalancer,
    /// It asks for direct access, but what all of it depends on cannot be read.
    Unreadable(Box<Problem>),
}

impl IngressReason {
    /// What the user should be told on the Ingress, if anything.
    pub fn problem(&self, ingress: &IngressFacts) -> Option<Problem> {
        match self {
            Self::Unreadable(problem) => Some(Problem::clone(problem)),
            Self::NoLoadBalancer => Some(ingress.annotation_problem(
                own::EXISTING_LOAD_BALANCER,
                "",
                "name the existing CLB, e.g. lb-abcd1234; this installation does not create CLBs \
                 (setting manage: loadbalancers does)",
            )),
            Self::NotDirectAccess | Self::Going | Self::OtherClass(_) | Self::ServedByTke => None,
        }
    }

    /// Whether what this Ingress already has in the CLB stays as it is until the user mends it.
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Unreadable(_))
    }

    /// The reason's name in logs and metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::NotDirectAccess => "not_direct_access",
            Self::Going => "going",
            Self::OtherClass(_) => "other_class",
            Self::ServedByTke => "served_by_tke",
            Self::NoLoadBalancer => "no_load_balancer",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

impl IngressFacts {
    /// Where it may have listeners, for as long as it cannot be read.
    pub fn possible_slots(&self) -> Vec<Slot> {
        possible(self)
    }

    /// Its class; the annotation counts first. None is ours too, as with TKE: where a cluster has a default
    /// class, Kubernetes writes it into every new Ingress that names none.
    fn other_class(&self) -> Option<&str> {
        let by_annotation = self.annotation(own::CLASS_ANNOTATION);
        let class = by_annotation.or(self.class_name.as_deref());
        class.filter(|class| !class.is_empty() && *class != own::CLASS)
    }
}

/// Judges one Ingress. `services` finds a Service of its namespace by name.
pub fn ingress_exposures<'s>(
    ingress: &IngressFacts,
    services: &dyn Fn(&str) -> Option<&'s ServiceFacts>,
    settings: &Settings,
) -> IngressJudgement {
    match judge(ingress, services, settings) {
        Ok(served) => IngressJudgement::Served(served),
        Err(reason) => IngressJudgement::NotOurs(reason),
    }
}

fn judge<'s>(
    ingress: &IngressFacts,
    services: &dyn Fn(&str) -> Option<&'s ServiceFacts>,
    settings: &Settings,
) -> Result<IngressServed, IngressReason> {
    let unreadable = IngressReason::Unreadable;
    let load_balancer = ours(ingress, settings)?;
    let mix = mix(ingress).map_err(unreadable)?;
    let (certificates, mut problems) = certificates(ingress);
    let mut listeners = listeners(ingress, &mix, certificates.asked()).map_err(unreadable)?;
    redirected(ingress, &mut listeners).map_err(unreadable)?;
    problems.extend(attributes(&ingress.words(), &load_balancer).1);
    let (drain, bad_drain) = drain(&ingress.words(), settings);
    problems.extend(bad_drain);
    problems.extend(annotations::problems(ingress));
    problems.extend(mix.unmatched(ingress));
    let served = IngressServed {
        load_balancer,
        exposures: Vec::new(),
        problems,
        incomplete: BTreeSet::new(),
    };
    let work = Work {
        ingress,
        mix,
        certificates,
        listeners,
        served,
        taken: BTreeSet::new(),
        configured: Configured::of_ingress(ingress),
        drain,
        places: Vec::new(),
    };
    Ok(work.done(services))
}

/// The load balancer of an Ingress that is ours.
fn ours(ingress: &IngressFacts, settings: &Settings) -> Result<LoadBalancer, IngressReason> {
    if ingress.going {
        return Err(IngressReason::Going);
    }
    let switched = switch(ingress, own::DIRECT_ACCESS);
    if switched == Ok(false) {
        return Err(IngressReason::NotDirectAccess);
    }
    if let Some(class) = ingress.other_class() {
        return Err(IngressReason::OtherClass(class.to_owned()));
    }
    let skipped = ingress.annotation(own::MODE) == Some("skip");
    if settings.ownership == Ownership::SkippedByTke && !skipped {
        return Err(IngressReason::ServedByTke);
    }
    switched.map_err(IngressReason::Unreadable)?;
    load_balancer::said(&ingress.words(), ingress.finalizer, settings)
        .map_err(IngressReason::Unreadable)?
        .ok_or(IngressReason::NoLoadBalancer)
}

/// Where a redirect is asked for, nothing is forwarded unencrypted; that none is made is told with everything
/// else that is declined.
fn redirected(
    ingress: &IngressFacts,
    listeners: &mut Vec<(Protocol, u16)>,
) -> Result<(), Box<Problem>> {
    if switch(ingress, own::AUTO_REWRITE)? {
        listeners.retain(|(protocol, _)| *protocol != Protocol::Http);
    }
    Ok(())
}
