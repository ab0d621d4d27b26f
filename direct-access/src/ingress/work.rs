//! From the rules of an Ingress to exposures: one for each listener, host and path.

use std::collections::BTreeSet;
use std::time::Duration;

use super::facts::{IngressFacts, RouteFacts};
use super::judge::IngressServed;
use super::mix::Mix;
use super::route;
use super::tls::Certificates;
use crate::certificate::CertificateRef;
use crate::deadline::deadline;
use crate::drain::Drain;
use crate::exposure::{Exposure, Rule, RulePath};
use crate::listener::{HealthCheck, ListenerParameters};
use crate::problem::{Code, Problem};
use crate::service::{PortFacts, ServiceFacts};
use crate::slot::{Protocol, Slot};
use crate::tke_service_config::Configured;

/// Finds a Service of the Ingress's namespace by name.
type Services<'f, 's> = &'f dyn Fn(&str) -> Option<&'s ServiceFacts>;

/// A listener's protocol and port.
type Place = (Protocol, u16);

/// What is read of an Ingress, and what has become of it so far.
pub(super) struct Work<'a> {
    pub(super) ingress: &'a IngressFacts,
    pub(super) mix: Mix,
    pub(super) certificates: Certificates,
    pub(super) listeners: Vec<Place>,
    pub(super) served: IngressServed,
    pub(super) taken: BTreeSet<(Slot, RulePath)>,
    pub(super) configured: Configured<'a>,
    pub(super) drain: Drain,
    /// Every rule, also of backends that cannot be read.
    pub(super) places: Vec<(Place, RulePath)>,
}

/// Where a route leads.
struct Lead<'r> {
    route: &'r RouteFacts,
    /// It is for requests that no rule matches.
    default: bool,
    path: RulePath,
    service: &'r ServiceFacts,
    port: &'r PortFacts,
    deadline: Option<Duration>,
}

impl Work<'_> {
    /// Every rule, and then what is for everything else.
    pub(super) fn done(mut self, services: Services<'_, '_>) -> IngressServed {
        let ingress = self.ingress;
        for route in &ingress.routes {
            self.route(route, false, services);
        }
        if let Some(backend) = &ingress.default_backend {
            let route = RouteFacts {
                field: "spec.defaultBackend".to_owned(),
                backend: backend.clone(),
                ..RouteFacts::default()
            };
            self.route(&route, true, services);
        }
        self.tell_configured();
        self.served
    }

    fn route(&mut self, route: &RouteFacts, default: bool, services: Services<'_, '_>) {
        let (path, (service, port)) = match self.read(route, default, services) {
            Ok(read) => read,
            Err(problem) => return self.unread(*problem),
        };
        let deadline = deadline(service).unwrap_or_else(|problem| {
            self.tell(*problem);
            None
        });
        let lead = Lead {
            route,
            default,
            path,
            service,
            port,
            deadline,
        };
        for at in self.of_route(route, default) {
            self.expose(&lead, at);
        }
    }

    /// Its host and path, which count as a rule even where its backend cannot be read.
    fn read<'s>(
        &mut self,
        route: &RouteFacts,
        default: bool,
        services: Services<'_, 's>,
    ) -> Result<(RulePath, (&'s ServiceFacts, &'s PortFacts)), Box<Problem>> {
        let path = route::path(self.ingress, route)?;
        let here = self.of_route(route, default).into_iter();
        self.places.extend(here.map(|at| (at, path.clone())));
        let backend = route::backend(self.ingress, route, services)?;
        Ok((path, backend))
    }

    /// The listeners that have the route.
    fn of_route(&self, route: &RouteFacts, default: bool) -> Vec<Place> {
        let all = self.listeners.iter().copied();
        all.filter(|(protocol, _)| default || self.mix.has(*protocol, route))
            .collect()
    }

    /// What serves stays on every listener until it can be read.
    fn unread(&mut self, problem: Problem) {
        self.served.problems.push(problem);
        let all = self.listeners.iter();
        let slots = all.map(|(protocol, port)| protocol.at(*port));
        self.served.incomplete.extend(slots);
    }

    fn expose(&mut self, lead: &Lead<'_>, (protocol, port): Place) {
        let slot = protocol.at(port);
        if !self.taken.insert((slot, lead.path.clone())) {
            return self.twice(lead);
        }
        let parameters = self.configured.of_rule((protocol, port), &lead.path);
        if let Some(host) = wildcard(&lead.path)
            && !asks(&parameters)
        {
            self.tell(route::unasked(self.ingress, lead.route, host));
            self.served.incomplete.insert(slot);
            return;
        }
        let rule = Rule {
            path: lead.path.clone(),
            default: lead.default,
            certificate: self.certificate(lead, protocol),
        };
        self.served.exposures.push(Exposure {
            owner: self.ingress.owner(),
            service: lead.service.object(),
            load_balancer: self.served.load_balancer.clone(),
            protocol,
            port,
            rule: Some(rule),
            target: lead.port.target.clone(),
            selector: lead.service.selector.clone(),
            parameters,
            deadline: lead.deadline,
            drain: self.drain,
        });
    }

    /// What clients are shown; told where HTTPS has none to show.
    fn certificate(&mut self, lead: &Lead<'_>, protocol: Protocol) -> Option<CertificateRef> {
        if protocol != Protocol::Https {
            return None;
        }
        let shown = self.certificates.of(lead.path.domain.as_deref()).cloned();
        if shown.is_none() {
            self.uncertified(lead);
        }
        shown
    }

    /// What of its `TkeServiceConfig` is not applied.
    fn tell_configured(&mut self) {
        let Self {
            configured,
            listeners,
            places,
            ..
        } = self;
        let not_applied = configured.rules_not_applied(listeners, places);
        let told = configured.told(not_applied, &self.served.load_balancer);
        self.served.problems.extend(told);
    }

    /// The default backend is for what no rule has: there is nothing to tell.
    fn twice(&mut self, lead: &Lead<'_>) {
        if lead.default {
            return;
        }
        let accepted =
            "an earlier rule of this Ingress has this host and path and keeps it; name each once";
        let (field, path) = (&lead.route.field, lead.path.to_string());
        self.tell(self.ingress.problem(field, &path, accepted));
    }

    fn uncertified(&mut self, lead: &Lead<'_>) {
        let accepted = "HTTPS needs a certificate: name a Secret with the key qcloud_cert_id in spec.tls, or the \
                        certificate's id in the annotation ingress.cloud.tencent.com/certificate";
        let domain = lead.path.domain.as_deref().unwrap_or_default();
        let field = format!("{}, its host", lead.route.field);
        let problem = self.ingress.problem(&field, domain, accepted);
        self.tell(problem.coded(Code::NoCertificate));
    }

    /// Once, however many listeners have it.
    fn tell(&mut self, problem: Problem) {
        if !self.served.problems.contains(&problem) {
            self.served.problems.push(problem);
        }
    }
}

fn wildcard(path: &RulePath) -> Option<&str> {
    path.domain.as_deref().filter(|host| host.starts_with('*'))
}

/// Whether its check knows whom to ask for where the host is a wildcard.
fn asks(parameters: &ListenerParameters) -> bool {
    let check = parameters.health_check.as_ref();
    check.is_some_and(HealthCheck::fits_a_wildcard)
}
