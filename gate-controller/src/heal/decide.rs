//! What one look at the cluster calls for. Pure: [`decide`] sees what exists and says what to write.

use certs::{
    ServiceNames,
    plan::{Observed, Step, plan},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;

use super::{
    facts::{Seen, Wanted},
    registration::{Heal, Hold, Inputs, bundle_of, desired, judge},
    secrets::{ca_material, leaf_material, renewal},
};

/// What to do, in this order: trust is repaired before certificates change.
#[derive(Clone, Debug)]
pub struct Decision {
    /// About the registration.
    pub registration: Heal,
    /// About the certificates; [`Step::PublishBundle`] is done by `registration`. `None` while nothing
    /// may be written.
    pub certificates: Option<Step>,
}

/// Decides.
pub fn decide(seen: &Seen, wanted: &Wanted, now: Timestamp) -> Decision {
    if terminating(&seen.namespace) {
        return Decision {
            registration: farewell(seen),
            certificates: None,
        };
    }
    let observed = Observed {
        ca: seen.ca.as_ref().map(ca_material),
        leaf: seen.leaf.as_ref().map(leaf_material),
        published: seen.registration.as_ref().map(bundle_of),
        serving: seen.serving.clone(),
        ca_renewal: renewal(seen.ca.as_ref()),
        leaf_renewal: renewal(seen.leaf.as_ref()),
    };
    let names = ServiceNames::new(&wanted.service_name, &wanted.namespace);
    let step = plan(&observed, &names, now);
    Decision {
        registration: registration(seen, wanted, &step),
        certificates: Some(step),
    }
}

/// While the Namespace terminates nothing is repaired. A registration would outlive the webhook, so it
/// goes first.
fn farewell(seen: &Seen) -> Heal {
    match &seen.registration {
        Some(left) if left.metadata.deletion_timestamp.is_none() => Heal::Delete {
            resource_version: left.metadata.resource_version.clone(),
            uid: left.metadata.uid.clone(),
        },
        _ => Heal::Hold(Hold::NamespaceTerminating),
    }
}

/// The registration is repaired whatever the certificates need, but made only when they say so, and
/// never published with a bundle that trusts nobody.
fn registration(seen: &Seen, wanted: &Wanted, step: &Step) -> Heal {
    let bundle = step.bundle();
    let may_create = matches!(step, Step::PublishBundle { .. });
    if bundle.is_empty() || (seen.registration.is_none() && !may_create) {
        return Heal::Keep;
    }
    let inputs = Inputs {
        namespace: &wanted.namespace,
        namespace_uid: seen.namespace.metadata.uid.as_deref().unwrap_or_default(),
        service_name: &wanted.service_name,
        bundle_pem: bundle.to_pem(),
        failure_policy: wanted.failure_policy,
    };
    judge(seen.registration.as_ref(), desired(&inputs))
}

fn terminating(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|s| s.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_some() || phase == Some("Terminating")
}
