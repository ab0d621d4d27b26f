//! How one binding of a pod stands.

use direct_access::Exposure;
use direct_access::gate::{Binding, BindingState};
use direct_access::network::{Conclusion, Reach};

use crate::desired::RuleKey;
use crate::pod::PodRecord;
use crate::view::{Sought, Views};

/// `None`: the pod has no address yet, so there is nothing to bind.
pub(super) fn binding(
    pod: &PodRecord,
    exposure: &Exposure,
    views: &Views,
    waiting: &mut Vec<(String, String)>,
) -> Option<Binding> {
    let (service, slot) = (&exposure.service, exposure.slot());
    let rule = exposure.rule.as_ref().map(RuleKey::of);
    let Some(load_balancer) = exposure.load_balancer.id() else {
        return Some(Binding {
            place: format!("{slot} of the CLB that is being made for Service {service}"),
            state: BindingState::Missing,
            overdue: None,
        });
    };
    let mut listener = format!("{load_balancer} {}:{}", exposure.protocol, exposure.port);
    if let Some(rule) = &rule {
        listener = format!("{listener} {rule}");
    }
    let Some(port) = pod.port(&exposure.target) else {
        let why = format!(
            "Service {} has the target port {}, and no container port of the pod has that name",
            service, exposure.target
        );
        return Some(Binding {
            place: listener,
            state: BindingState::Held(why),
            overdue: None,
        });
    };
    let family = views.family(load_balancer);
    if let Some(why) = pod.lacks(family) {
        return Some(Binding {
            place: listener,
            state: BindingState::Held(why),
            overdue: None,
        });
    }
    let ip = pod.ip_of(family)?;
    let sought = Sought {
        load_balancer,
        slot,
        rule: rule.as_ref(),
        owner: &exposure.owner,
        address: (ip, port),
        pod_uid: &pod.uid,
    };
    let (state, poll) = views.state(&sought);
    if let Some(id) = poll {
        waiting.push((load_balancer.to_owned(), id));
    }
    Some(Binding {
        place: format!("{listener} -> {ip}:{port}"),
        state,
        overdue: None,
    })
}

/// How one exposure's binding of a pod stands, for whoever explains it; `None`: the pod has no address yet.
pub(crate) fn stand(
    pod: &PodRecord,
    exposure: &Exposure,
    views: &Views,
    network: Conclusion,
) -> Option<Binding> {
    let binding = binding(pod, exposure, views, &mut Vec::new())?;
    Some(held_by_network(binding, pod.network.reach(network)))
}

/// What will not be bound does not wait for a binding: it says why.
pub(super) fn held_by_network(binding: Binding, reach: Reach) -> Binding {
    match (&binding.state, reach.refusal()) {
        (BindingState::Missing, Some(refusal)) => Binding {
            state: BindingState::Held(format!("the CLB cannot reach this pod: {}", refusal.why())),
            ..binding
        },
        _ => binding,
    }
}
