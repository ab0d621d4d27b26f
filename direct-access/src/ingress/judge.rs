//! The judgement of one Ingress.

use std::collections::BTreeSet;

use super::annotations;
use super::facts::{IngressFacts, RouteFacts};
use super::listen::{listeners, possible};
use super::mix::{Mix, mix, switch};
use super::route;
use super::tls::{Certificates, certificates};
use crate::attributes::attributes;
use crate::deadline::deadline;
use crate::drain::{Drain, drain};
use crate::exposure::{Exposure, Rule, RulePath};
use crate::listener::{HealthCheck, ListenerParameters};
use crate::load_balancer::{self, LoadBalancer};
use crate::names::ingress as own;
use crate::problem::{Code, Problem};
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
    let mut work = Work {
        ingress,
        mix,
        certificates,
        listeners,
        served: IngressServed {
            load_balancer,
            exposures: Vec::new(),
            problems,
            incomplete: BTreeSet::new(),
        },
        taken: BTreeSet::new(),
        configured: Configured::of_ingress(ingress),
        drain,
        places: Vec::new(),
    };
    work.served.problems.extend(annotations::problems(ingress));
    work.served.problems.extend(work.mix.unmatched(ingress));
    for route in &ingress.routes {
        work.route(route, false, services);
    }
    if let Some(backend) = &ingress.default_backend {
        let route = RouteFacts {
            field: "spec.defaultBackend".to_owned(),
            backend: backend.clone(),
            ..RouteFacts::default()
        };
        work.route(&route, true, services);
    }
    work.tell_configured();
    Ok(work.served)
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

struct Work<'a> {
    ingress: &'a IngressFacts,
    mix: Mix,
    certificates: Certificates,
    listeners: Vec<(Protocol, u16)>,
    served: IngressServed,
    taken: BTreeSet<(Slot, RulePath)>,
    configured: Configured<'a>,
    drain: Drain,
    /// Every rule, also of backends that cannot be read.
    places: Vec<((Protocol, u16), RulePath)>,
}

fn wildcard(path: &RulePath) -> Option<&str> {
    path.domain.as_deref().filter(|host| host.starts_with('*'))
}

/// Whether its check knows whom to ask for where the host is a wildcard.
fn asks(parameters: &ListenerParameters) -> bool {
    let check = parameters.health_check.as_ref();
    check.is_some_and(HealthCheck::fits_a_wildcard)
}

impl Work<'_> {
    fn route<'s>(
        &mut self,
        route: &RouteFacts,
        default: bool,
        services: &dyn Fn(&str) -> Option<&'s ServiceFacts>,
    ) {
        let ingress = self.ingress;
        let found = route::path(ingress, route).and_then(|path| {
            let backend = route::backend(ingress, route, services);
            let here = self.listeners.iter().copied();
            let here = here.filter(|(protocol, _)| default || self.mix.has(*protocol, route));
            self.places.extend(here.map(|at| (at, path.clone())));
            Ok((path, backend?))
        });
        let (path, (service, port)) = match found {
            Ok(found) => found,
            Err(problem) => {
                self.served.problems.push(*problem);
                let slots = self
                    .listeners
                    .iter()
                    .map(|(protocol, port)| protocol.at(*port));
                self.served.incomplete.extend(slots);
                return;
            }
        };
        let deadline = deadline(service).unwrap_or_else(|problem| {
            self.tell(*problem);
            None
        });
        for (protocol, at) in self.listeners.clone() {
            if !default && !self.mix.has(protocol, route) {
                continue;
            }
            if !self.taken.insert((protocol.at(at), path.clone())) {
                // The default backend is for what no rule has.
                if !default {
                    self.twice(route, &path);
                }
                continue;
            }
            let parameters = self.configured.of_rule((protocol, at), &path);
            if let Some(host) = wildcard(&path)
                && !asks(&parameters)
            {
                self.tell(route::unasked(ingress, route, host));
                self.served.incomplete.insert(protocol.at(at));
                continue;
            }
            let certificate = (protocol == Protocol::Https)
                .then(|| self.certificates.of(path.domain.as_deref()).cloned())
                .flatten();
            if protocol == Protocol::Https && certificate.is_none() {
                self.uncertified(route, &path);
            }
            self.served.exposures.push(Exposure {
                owner: ingress.owner(),
                service: service.object(),
                load_balancer: self.served.load_balancer.clone(),
                protocol,
                port: at,
                rule: Some(Rule {
                    path: path.clone(),
                    default,
                    certificate,
                }),
                target: port.target.clone(),
                selector: service.selector.clone(),
                parameters,
                deadline,
                drain: self.drain,
            });
        }
    }

    /// What of its `TkeServiceConfig` is not applied.
    fn tell_configured(&mut self) {
        let not_applied = self
            .configured
            .rules_not_applied(&self.listeners, &self.places);
        let told = self
            .configured
            .told(not_applied, &self.served.load_balancer);
        self.served.problems.extend(told);
    }

    fn twice(&mut self, route: &RouteFacts, path: &RulePath) {
        let accepted =
            "an earlier rule of this Ingress has this host and path and keeps it; name each once";
        let problem = self
            .ingress
            .problem(&route.field, &path.to_string(), accepted);
        self.tell(problem);
    }

    fn uncertified(&mut self, route: &RouteFacts, path: &RulePath) {
        let accepted = "HTTPS needs a certificate: name a Secret with the key qcloud_cert_id in spec.tls, or the \
                        certificate's id in the annotation ingress.cloud.tencent.com/certificate";
        let domain = path.domain.as_deref().unwrap_or_default();
        let problem = self
            .ingress
            .problem(&format!("{}, its host", route.field), domain, accepted);
        self.tell(problem.coded(Code::NoCertificate));
    }

    /// Once, however many listeners have it.
    fn tell(&mut self, problem: Problem) {
        if !self.served.problems.contains(&problem) {
            self.served.problems.push(problem);
        }
    }
}
