//! What a look at the cluster gathers and what is configured: the input of every decision here.

use certs::plan::Replica;
use direct_access::settings::FailurePolicy;
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{Namespace, Secret},
};

/// Everything read in one look.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Our namespace.
    pub namespace: Namespace,
    /// The registration, if there is one.
    pub registration: Option<MutatingWebhookConfiguration>,
    /// The CA Secret, if there is one.
    pub ca: Option<Secret>,
    /// The leaf Secret, if there is one.
    pub leaf: Option<Secret>,
    /// What the replicas serve, `None` if nobody has looked.
    pub serving: Option<Vec<Replica>>,
}

/// What is configured.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Our namespace's name.
    pub namespace: String,
    /// The webhook's Service.
    pub service_name: String,
    /// For the registration.
    pub failure_policy: FailurePolicy,
}
