//! What one look at the cluster calls for. Pure: [`decide`] sees what exists and says what to write.

use certs::{
    Bundle, Certificate, ServiceNames,
    plan::{Observed, Replica, Standing, Step, plan},
};
use direct_access::settings::FailurePolicy;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};

use super::{
    facts::{Seen, Wanted},
    registration::{Heal, Hold, Inputs, bundle_of, desired, judge, policy_of},
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
    /// About `failurePolicy`.
    pub guard: Guard,
}

impl Decision {
    /// Whether there is nothing to do.
    pub fn is_settled(&self) -> bool {
        matches!(self.certificates, Some(Step::Keep { .. }))
            && self.registration == Heal::Keep
            && self.guard == Guard::Open
    }
}

/// Whether the registration may refuse pods. `Fail` begins only once a replica is known to answer; from
/// then on it stays, also while the whole cluster starts anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// `failurePolicy` is as the settings say.
    Open,
    /// It stays `Ignore` until somebody has looked at the replicas.
    Unseen,
    /// It stays `Ignore`: a look showed why.
    Held(String),
}

/// Decides.
pub fn decide(seen: &Seen, wanted: &Wanted, now: Timestamp) -> Decision {
    if terminating(&seen.namespace) {
        return Decision {
            registration: farewell(seen),
            certificates: None,
            guard: Guard::Open,
        };
    }
    let names = ServiceNames::new(&wanted.service_name, &wanted.namespace);
    let step = plan(&observed(seen), &names, now);
    let guard = guard(seen, wanted, |replica| {
        replica.standing(leaf_of(seen).as_ref(), step.bundle(), &names, now)
    });
    Decision {
        registration: registration(seen, wanted, &step, &guard),
        certificates: Some(step),
        guard,
    }
}

/// How each replica stands to what is in the Secret and in the registration, and what it is called.
pub fn standings(seen: &Seen, wanted: &Wanted, now: Timestamp) -> Option<Vec<Standing>> {
    let names = ServiceNames::new(&wanted.service_name, &wanted.namespace);
    let published = seen.registration.as_ref().map(bundle_of);
    let bundle = Bundle::parse_lossy(&published.unwrap_or_default()).0;
    let leaf = leaf_of(seen);
    let standing = |replica: &Replica| replica.standing(leaf.as_ref(), &bundle, &names, now);
    Some(seen.serving.as_ref()?.iter().map(standing).collect())
}

fn observed(seen: &Seen) -> Observed {
    Observed {
        ca: seen.ca.as_ref().map(ca_material),
        leaf: seen.leaf.as_ref().map(leaf_material),
        published: seen.registration.as_ref().map(bundle_of),
        serving: seen.serving.clone(),
        ca_renewal: renewal(seen.ca.as_ref()),
        leaf_renewal: renewal(seen.leaf.as_ref()),
    }
}

/// The leaf of the Secret, if it can be read.
pub(super) fn leaf_of(seen: &Seen) -> Option<Certificate> {
    leaf_of_secret(seen.leaf.as_ref()?)
}

pub(super) fn leaf_of_secret(secret: &Secret) -> Option<Certificate> {
    Certificate::from_pem(&leaf_material(secret).cert_pem).ok()
}

/// A Ready replica whose leaf is not trusted would have its share of all pods refused.
fn guard(seen: &Seen, wanted: &Wanted, standing: impl Fn(&Replica) -> Standing) -> Guard {
    let already = seen.registration.as_ref().and_then(policy_of);
    if wanted.failure_policy != FailurePolicy::Fail || already == Some(FailurePolicy::Fail) {
        return Guard::Open;
    }
    let Some(serving) = &seen.serving else {
        return Guard::Unseen;
    };
    let is_untrusted = |replica: &&Replica| standing(replica) == Standing::Untrusted;
    let trusted = |replica| matches!(standing(replica), Standing::Current | Standing::Older);
    if let Some(replica) = serving.iter().find(is_untrusted) {
        let name = &replica.name;
        return Guard::Held(format!(
            "{name} presents a leaf that the bundle does not trust"
        ));
    }
    if serving.iter().any(trusted) {
        return Guard::Open;
    }
    Guard::Held("no replica is seen to serve a leaf that the bundle trusts".to_owned())
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
fn registration(seen: &Seen, wanted: &Wanted, step: &Step, guard: &Guard) -> Heal {
    let bundle = step.bundle();
    let may_create = matches!(step, Step::PublishBundle { .. });
    if bundle.is_empty() || (seen.registration.is_none() && !may_create) {
        return Heal::Keep;
    }
    let failure_policy = match guard {
        Guard::Open => wanted.failure_policy,
        Guard::Unseen | Guard::Held(_) => FailurePolicy::Ignore,
    };
    let inputs = Inputs {
        namespace: &wanted.namespace,
        namespace_uid: seen.namespace.metadata.uid.as_deref().unwrap_or_default(),
        service_name: &wanted.service_name,
        bundle_pem: bundle.to_pem(),
        failure_policy,
    };
    judge(seen.registration.as_ref(), desired(&inputs))
}

fn terminating(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|s| s.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_some() || phase == Some("Terminating")
}
