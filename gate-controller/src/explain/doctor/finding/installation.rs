//! What can be wrong with the installation itself.

use super::listed;

/// What is wrong with the installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installation {
    /// The API server is too old, in the words of who decides it.
    KubernetesTooOld(String),
    /// A kubelet is too old: version and node.
    KubeletTooOld(String, String),
    /// There is no pod of this Deployment in this namespace.
    NoPods(&'static str, String),
    /// Pods are of several versions.
    SeveralVersions(Vec<String>),
    /// Settings cannot be read and keep their default.
    Settings(Vec<String>),
    /// `GlobalRouter`, and direct access to its pods is off.
    GlobalRouteOff,
    /// There is no registration.
    NoRegistration,
    /// The registration was changed: the fields.
    RegistrationChanged(Vec<String>),
    /// Certificates or what replicas serve: what is wrong, and what to do.
    Certificates(String, Option<String>),
    /// The leaf or the CA has expired: which, and when.
    CertificateExpired(&'static str, String),
    /// No webhook pod is ready.
    NoWebhook(String),
    /// These webhook pods are not ready, though others are.
    WebhookNotReady(Vec<String>),
    /// The canary gets no gate: what the API server said.
    CanaryBroken(String),
    /// Caches are not filled: parts and pod.
    CachesNotFilled(Vec<String>, String),
    /// Nobody leads: who did last, and where.
    NobodyLeads(Option<String>, String),
}

impl Installation {
    /// Its name, which does not change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KubernetesTooOld(_) => "kubernetesTooOld",
            Self::KubeletTooOld(..) => "kubeletTooOld",
            Self::NoPods(..) => "noPods",
            Self::SeveralVersions(_) => "severalVersions",
            Self::Settings(_) => "settings",
            Self::GlobalRouteOff => "globalRouteOff",
            Self::NoRegistration => "noRegistration",
            Self::RegistrationChanged(_) => "registrationChanged",
            Self::Certificates(..) => "certificates",
            Self::CertificateExpired(..) => "certificateExpired",
            Self::NoWebhook(_) => "noWebhook",
            Self::WebhookNotReady(_) => "webhookNotReady",
            Self::CanaryBroken(_) => "canaryBroken",
            Self::CachesNotFilled(..) => "cachesNotFilled",
            Self::NobodyLeads(..) => "nobodyLeads",
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::KubernetesTooOld(what) | Self::Certificates(what, _) => what.clone(),
            Self::KubeletTooOld(version, node) => format!(
                "the kubelet of node {node} is {version}; from 1.30 on a pod may sleep before it stops"
            ),
            Self::NoPods(component, namespace) => {
                format!("no pod of the {component} is there in namespace {namespace}")
            }
            Self::SeveralVersions(versions) => {
                format!("pods of several versions run: {}", versions.join(", "))
            }
            Self::Settings(problems) | Self::WebhookNotReady(problems) => listed(problems),
            Self::GlobalRouteOff => "the cluster's network is GlobalRouter, and direct access to its pods is off: no pod is \
                                     bound"
                .to_owned(),
            Self::NoRegistration => {
                "there is no MutatingWebhookConfiguration clb-gate: new pods get no gate".to_owned()
            }
            Self::RegistrationChanged(fields) => format!(
                "MutatingWebhookConfiguration clb-gate was changed: {}",
                listed(fields)
            ),
            Self::CertificateExpired(which, when) => {
                format!("the {which} expired on {when}: the API server cannot call the webhook")
            }
            Self::NoWebhook(why) => format!("no webhook pod is ready: {why}"),
            Self::CanaryBroken(said) => format!("a test pod got no gate: {said}"),
            Self::CachesNotFilled(parts, pod) => format!("{pod} is not ready: {}", listed(parts)),
            Self::NobodyLeads(Some(holder), namespace) => format!(
                "nobody leads: {holder} has not renewed the lease {namespace}/clb-gate-controller"
            ),
            Self::NobodyLeads(None, namespace) => format!(
                "nobody leads: no controller holds the lease {namespace}/clb-gate-controller"
            ),
        }
    }

    /// What to do about it, where there is something.
    pub fn cure(&self) -> Option<String> {
        let cure = match self {
            Self::Certificates(_, cure) => return cure.clone(),
            Self::NoPods(component, namespace) => {
                return Some(format!(
                    "kubectl get deploy,rs,events -n {namespace} says why deploy/clb-gate-{component} has none"
                ));
            }
            Self::NobodyLeads(_, namespace) => {
                return Some(format!(
                    "kubectl get pods -n {namespace} -l app.kubernetes.io/component=controller: is one there and ready?"
                ));
            }
            Self::KubernetesTooOld(_) => "upgrade the cluster",
            Self::KubeletTooOld(..) => "upgrade that node",
            Self::SeveralVersions(_) => {
                "wait for the rollout, or apply the manifests of one version to both Deployments"
            }
            Self::Settings(_) => "correct ConfigMap clb-gate-settings",
            Self::GlobalRouteOff => {
                "set GlobalRouteDirectAccess: \"true\" in ConfigMap kube-system/tke-service-controller-config, after the \
                 account is prepared (docs/guides/global-router.md), or name the mode in the setting network"
            }
            Self::NoRegistration | Self::RegistrationChanged(_) => {
                "the controller that leads repairs it within seconds; if this stays, see who changes it (kubectl get \
                 mutatingwebhookconfiguration clb-gate -o yaml --show-managed-fields) and whether somebody leads"
            }
            Self::CertificateExpired(..) => {
                "start the controller, which renews it; or clb-gate certs rotate --ca --wait from here"
            }
            Self::NoWebhook(_) | Self::WebhookNotReady(_) => {
                "kubectl describe pods -n clb-gate -l app.kubernetes.io/component=webhook says why"
            }
            Self::CanaryBroken(_) => {
                "see what stands between the API server and port 8443 of the webhook's pods (NetworkPolicies, security \
                 groups), and clb-gate certs status"
            }
            Self::CachesNotFilled(..) => {
                "see its log: a right that is missing, or an API server that does not answer"
            }
        };
        Some(cure.to_owned())
    }
}
