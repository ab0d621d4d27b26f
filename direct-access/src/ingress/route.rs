//! From a path of an Ingress to a rule of the CLB, and from its backend to the pods.

use super::facts::{Backend, IngressFacts, RouteFacts};
use crate::exposure::RulePath;
use crate::host;
use crate::problem::{Code, Problem};
use crate::service::{PortFacts, ServiceFacts};

/// Characters of a path (TKE's documentation; the API takes 200).
const LONGEST_PATH: usize = 120;

/// The rule that a route is on the CLB.
pub(super) fn path(ingress: &IngressFacts, route: &RouteFacts) -> Result<RulePath, Box<Problem>> {
    let domain = route.host.clone();
    if let Some(host) = &domain {
        check_host(ingress, route, host)?;
    }
    let path = route.path.as_deref().filter(|path| !path.is_empty());
    let path = path.unwrap_or("/");
    let fits = path.starts_with('/')
        && path.len() <= LONGEST_PATH
        && path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
    if !fits {
        let field = format!("{}.path", route.field);
        let accepted = "accepted are 1 to 120 visible ASCII characters, the first of which is /";
        return Err(Box::new(
            ingress.problem(&field, path, accepted).coded(Code::Path),
        ));
    }
    let url = match route.path_type.as_str() {
        // As the CLB writes an exact match.
        "Exact" => format!("={path}"),
        _ => path.to_owned(),
    };
    Ok(RulePath { domain, url })
}

/// What is wrong with a wildcard whose check does not say whom to ask for.
pub(super) fn unasked(ingress: &IngressFacts, route: &RouteFacts, host: &str) -> Problem {
    let accepted = "a health check asks for one host and cannot ask for a wildcard; name one with httpCheckDomain (or \
                    checkType: TCP) for this domain and path in the TkeServiceConfig of the annotation \
                    ingress.cloud.tencent.com/tke-service-config, or name the hosts one by one";
    ingress.problem(&host_field(route), host, accepted)
}

fn host_field(route: &RouteFacts) -> String {
    let rule = route.field.split(".http").next().unwrap_or_default();
    format!("{rule}.host")
}

/// A wildcard passes here: whether its check knows whom to ask for depends on the rule's own set-up.
fn check_host(ingress: &IngressFacts, route: &RouteFacts, host: &str) -> Result<(), Box<Problem>> {
    match host::check(host) {
        Ok(()) | Err(host::Fault::Wildcard) => Ok(()),
        Err(fault) => {
            let problem = ingress.problem(&host_field(route), host, fault.accepted());
            Err(Box::new(fault.coded(problem)))
        }
    }
}

/// The Service and the port that a route leads to.
pub(super) fn backend<'s>(
    ingress: &IngressFacts,
    route: &RouteFacts,
    services: &dyn Fn(&str) -> Option<&'s ServiceFacts>,
) -> Result<(&'s ServiceFacts, &'s PortFacts), Box<Problem>> {
    let field = |rest: &str| format!("{}{rest}", route.field);
    let (name, port) = match &route.backend {
        Backend::Service { name, port } => (name, port),
        Backend::Resource(what) => {
            let accepted = "only a Service is accepted: a CLB forwards to pods";
            return Err(Box::new(ingress.problem(
                &field(".backend.resource"),
                what,
                accepted,
            )));
        }
        Backend::None => {
            let accepted = "name at least one path with a Service as its backend";
            let problem = ingress.problem(&route.field, "", accepted);
            return Err(Box::new(problem.coded(Code::NoPaths)));
        }
    };
    let name_field = field(".backend.service.name");
    let Some(service) = services(name) else {
        let accepted =
            "there is no such Service in the Ingress's namespace; create it, or name another";
        let problem = ingress.problem(&name_field, name, accepted);
        return Err(Box::new(problem.coded(Code::ServiceNotFound)));
    };
    if service.selector.is_empty() {
        let accepted = "direct access needs a Service with a selector; one without selects no pods";
        return Err(Box::new(ingress.problem(&name_field, name, accepted)));
    }
    let port_field = field(".backend.service.port");
    let Some(found) = port.of(service) else {
        let known: Vec<_> = service.ports.iter().map(shown).collect();
        let accepted = format!(
            "Service {} has the ports {}",
            service.object(),
            known.join(", ")
        );
        let problem = ingress.problem(&port_field, &port.to_string(), &accepted);
        return Err(Box::new(problem.coded(Code::ServicePortNotFound)));
    };
    if found.protocol != "TCP" {
        let accepted = "HTTP needs a port whose protocol is TCP";
        return Err(Box::new(ingress.problem(
            &port_field,
            &port.to_string(),
            accepted,
        )));
    }
    Ok((service, found))
}

fn shown(port: &PortFacts) -> String {
    match &port.name {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    }
}
