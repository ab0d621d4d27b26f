//! Why a Service is left alone, in words.

use direct_access::{Reason, ServiceFacts, names};

use super::model::NotOurs;

/// The Service with its reason, where somebody could think it is served.
pub(super) fn not_ours(service: &ServiceFacts, reason: &Reason) -> Option<NotOurs> {
    let meant = service.load_balancer_type
        || service.load_balancer_class.is_some()
        || !service.annotations.is_empty();
    meant.then(|| NotOurs {
        service: service.object().to_string(),
        reason: reason.label(),
        why: why(service, reason),
    })
}

/// In words.
pub(crate) fn why(service: &ServiceFacts, reason: &Reason) -> String {
    if let Some(problem) = reason.problem(service) {
        return problem.to_string();
    }
    match reason {
        Reason::NotDirectAccess => match service.annotation(names::DIRECT_ACCESS) {
            None => format!("annotation {} is absent", names::DIRECT_ACCESS),
            Some(value) => format!("annotation {} is {value:?}", names::DIRECT_ACCESS),
        },
        Reason::Going => "it is being deleted".to_owned(),
        Reason::OtherLoadBalancerClass(class) => {
            format!("spec.loadBalancerClass is {class:?}, another controller's")
        }
        Reason::ServedByTke => format!(
            "TKE's own controller serves it: annotation {} is not \"skip\", and the setting objects is tke-skipped",
            names::MODE
        ),
        // They have a problem of their own, which was told above.
        Reason::NotLoadBalancer
        | Reason::NoSelector
        | Reason::NoLoadBalancer
        | Reason::NoServablePort(_)
        | Reason::Unreadable(_) => reason.label().to_owned(),
    }
}
