//! Everything that a check-up can find, with what it is and what to do about it.

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Well.
    #[default]
    Ok,
    /// It could not be found out from here.
    Unknown,
    /// Somebody must do something.
    Problem,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Well: what was seen.
    Ok(String),
    /// Not known: why, and how it could be.
    Unknown(String, Option<String>),
    /// The API server is too old, in the words of who decides it.
    KubernetesTooOld(String),
    /// A kubelet is too old: version and node.
    KubeletTooOld(String, String),
    /// There is no pod of this Deployment.
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
    Certificates(String, Vec<String>),
    /// The leaf or the CA has expired: which, and when.
    CertificateExpired(&'static str, String),
    /// No webhook pod is ready.
    NoWebhook(String),
    /// These webhook pods are not ready, though others are.
    WebhookNotReady(Vec<String>),
    /// The canary gets no gate: what the API server said.
    CanaryBroken(String),
    /// Caches are not filled: pod and parts.
    CachesNotFilled(Vec<String>, String),
    /// Nobody leads: who did last, and where.
    NobodyLeads(Option<String>, String),
    /// There are no credentials, or they are refused.
    Credentials(String),
    /// The region is unknown or wrong.
    Region(String),
    /// The CLB API cannot be reached, or refused.
    ClbApi(String),
    /// Load balancers that do not exist, cannot be used or cannot be read.
    LoadBalancers(Vec<String>),
    /// Quotas are used up, or soon will be.
    Quotas(Vec<String>),
    /// Services and Ingresses that somebody must mend.
    Objects(Vec<String>),
    /// Services that select no pod.
    SelectNothing(Vec<String>),
    /// Exposed pods without the gate.
    Ungated(usize, Vec<String>),
    /// Exposed pods that the CLB cannot reach.
    Unreachable(usize, Vec<String>),
    /// Gates that do not open: how many, and why.
    Stuck(usize, Vec<String>),
}

/// As many as a line names.
const NAMED: usize = 5;

impl Finding {
    /// Its name, which does not change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Unknown(..) => "unknown",
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
            Self::Credentials(_) => "credentials",
            Self::Region(_) => "region",
            Self::ClbApi(_) => "clbApi",
            Self::LoadBalancers(_) => "loadBalancers",
            Self::Quotas(_) => "quotas",
            Self::Objects(_) => "objects",
            Self::SelectNothing(_) => "selectNothing",
            Self::Ungated(..) => "ungated",
            Self::Unreachable(..) => "unreachable",
            Self::Stuck(..) => "stuck",
        }
    }

    /// How the check ended.
    pub const fn health(&self) -> Health {
        match self {
            Self::Ok(_) => Health::Ok,
            Self::Unknown(..) => Health::Unknown,
            _ => Health::Problem,
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::Ok(what)
            | Self::Unknown(what, _)
            | Self::KubernetesTooOld(what)
            | Self::Certificates(what, _)
            | Self::Credentials(what)
            | Self::Region(what)
            | Self::ClbApi(what) => what.clone(),
            Self::KubeletTooOld(version, node) => format!(
                "the kubelet of node {node} is {version}; from 1.30 on a pod may sleep before it stops"
            ),
            Self::NoPods(component, namespace) => {
                format!("no pod of the {component} is there in namespace {namespace}")
            }
            Self::SeveralVersions(versions) => {
                format!("pods of several versions run: {}", versions.join(", "))
            }
            Self::Settings(problems)
            | Self::LoadBalancers(problems)
            | Self::Quotas(problems)
            | Self::Objects(problems)
            | Self::SelectNothing(problems)
            | Self::WebhookNotReady(problems) => listed(problems),
            Self::GlobalRouteOff => {
                "the cluster's network is GlobalRouter, and direct access to its pods is off: no pod is bound".to_owned()
            }
            Self::NoRegistration => {
                "there is no MutatingWebhookConfiguration clb-gate: new pods get no gate".to_owned()
            }
            Self::RegistrationChanged(fields) => {
                format!("MutatingWebhookConfiguration clb-gate was changed: {}", listed(fields))
            }
            Self::CertificateExpired(which, when) => format!(
                "the {which} expired on {when}: the API server cannot call the webhook"
            ),
            Self::NoWebhook(why) => format!("no webhook pod is ready: {why}"),
            Self::CanaryBroken(said) => format!("a test pod got no gate: {said}"),
            Self::CachesNotFilled(parts, pod) => format!("{pod} is not ready: {}", listed(parts)),
            Self::NobodyLeads(Some(holder), namespace) => format!(
                "nobody leads: {holder} has not renewed the lease {namespace}/clb-gate-controller"
            ),
            Self::NobodyLeads(None, namespace) => {
                format!("nobody leads: no controller holds the lease {namespace}/clb-gate-controller")
            }
            Self::Ungated(count, names) => format!(
                "{} behind direct-access objects without the gate: {}",
                plural(*count, "pod"),
                named(*count, names)
            ),
            Self::Unreachable(count, names) => format!(
                "{} that the CLB cannot reach: {}",
                plural(*count, "exposed pod"),
                named(*count, names)
            ),
            Self::Stuck(count, reasons) => format!(
                "{} for longer than a health check takes: {}",
                if *count == 1 { "1 pod waits".to_owned() } else { format!("{count} pods wait") },
                listed(reasons)
            ),
        }
    }

    /// What to do about it, where there is something.
    pub fn cure(&self) -> Option<String> {
        Some(match self {
            Self::Ok(_) => return None,
            Self::Unknown(_, cure) => return cure.clone(),
            Self::KubernetesTooOld(_) => "upgrade the cluster".to_owned(),
            Self::KubeletTooOld(..) => "upgrade that node".to_owned(),
            Self::NoPods(component, namespace) => format!(
                "kubectl get deploy,rs,events -n {namespace} says why; kubectl rollout restart -n {namespace} \
                 deploy/clb-gate-{component} begins anew"
            ),
            Self::SeveralVersions(_) => {
                "wait for the rollout, or apply the manifests of one version to both Deployments".to_owned()
            }
            Self::Settings(_) => "correct ConfigMap clb-gate-settings".to_owned(),
            Self::GlobalRouteOff => {
                "set GlobalRouteDirectAccess: \"true\" in ConfigMap kube-system/tke-service-controller-config, after the \
                 account is prepared (docs/guides/global-router.md), or name the mode in the setting network"
                    .to_owned()
            }
            Self::NoRegistration | Self::RegistrationChanged(_) => {
                "the controller that leads repairs it within seconds; if this stays, see who changes it (kubectl get \
                 mutatingwebhookconfiguration clb-gate --show-managed-fields) and whether somebody leads"
                    .to_owned()
            }
            Self::Certificates(_, advice) => return advice.first().cloned(),
            Self::CertificateExpired(..) => {
                "start the controller, which renews it; or clb-gate certs rotate --ca --wait from here".to_owned()
            }
            Self::NoWebhook(_) | Self::WebhookNotReady(_) => {
                "kubectl describe pods -n clb-gate -l app.kubernetes.io/component=webhook says why".to_owned()
            }
            Self::CanaryBroken(_) => {
                "see what stands between the API server and port 8443 of the webhook's pods (NetworkPolicies, security \
                 groups), and clb-gate certs status"
                    .to_owned()
            }
            Self::CachesNotFilled(..) => {
                "see its log: a right that is missing, or an API server that does not answer".to_owned()
            }
            Self::NobodyLeads(_, namespace) => format!(
                "kubectl get pods -n {namespace} -l app.kubernetes.io/component=controller: is one there and ready?"
            ),
            Self::Credentials(_) => {
                "correct Secret clb-gate-credentials, or what gives the pod its identity; docs/cam has the least policy"
                    .to_owned()
            }
            Self::Region(_) => "set the key region in ConfigMap clb-gate-settings, e.g. ap-guangzhou".to_owned(),
            Self::ClbApi(_) => {
                "see whether the endpoint can be reached from here and the setting endpoint is right".to_owned()
            }
            Self::LoadBalancers(_) => {
                "name load balancers that exist in this region and VPC, or correct the settings region and vpcId".to_owned()
            }
            Self::Quotas(_) => {
                "have the quota raised by Tencent Cloud, spread the pods over more listeners, or scale in".to_owned()
            }
            Self::Objects(_) => "clb-gate explain service NAME (or ingress NAME) says more".to_owned(),
            Self::SelectNothing(_) => {
                "let them select labels that the pod templates have, or scale the workload up".to_owned()
            }
            Self::Ungated(..) => {
                "kubectl rollout restart their workloads: the pods that come instead have the gate".to_owned()
            }
            Self::Unreachable(..) => "clb-gate explain pod NAME says what each needs".to_owned(),
            Self::Stuck(..) => "clb-gate explain pod NAME says what to do".to_owned(),
        })
    }
}

fn listed(all: &[String]) -> String {
    let shown: Vec<_> = all.iter().take(NAMED).map(String::as_str).collect();
    let more = all.len().saturating_sub(NAMED);
    let more = (more > 0).then(|| format!("; and {more} more"));
    format!("{}{}", shown.join("; "), more.unwrap_or_default())
}

fn named(count: usize, names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = count.saturating_sub(shown.len());
    let more = (more > 0).then(|| format!(" and {more} more"));
    format!("{}{}", shown.join(", "), more.unwrap_or_default())
}

fn plural(count: usize, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{s}")
}
