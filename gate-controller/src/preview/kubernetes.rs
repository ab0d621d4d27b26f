//! What the cluster says: the Kubernetes side of a preview, which only offers reads.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use direct_access::network::{ClusterFacts, NodeFacts};
use direct_access::ownership::ClusterId;
use direct_access::settings::SettingsProblem;
use direct_access::{IngressFacts, ObjectRef, ServiceFacts, Settings, names};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ListParams;
use kube::{Api, Client};
use runtime::CallError;
use serde::de::DeserializeOwned;

use super::get_only;
use crate::cloud::{TkeConfig, chain};
use crate::configs::{Configs, TkeServiceConfig};
use crate::pod::PodRecord;

/// A page of a list, or one object.
const DEADLINE: Duration = Duration::from_secs(30);
/// Objects a page: from a laptop, round trips are what takes time.
const PAGE: u32 = 500;

/// The cluster as it was read.
#[derive(Clone, Debug)]
pub struct World {
    /// Us.
    pub cluster: ClusterId,
    /// All Services.
    pub services: Vec<ServiceFacts>,
    /// All Ingresses.
    pub ingresses: Vec<IngressFacts>,
    /// All pods.
    pub pods: Vec<PodRecord>,
    /// The settings that hold for this preview.
    pub settings: Settings,
    /// Settings that cannot be read and keep their default.
    pub settings_problems: Vec<String>,
    /// Load balancers that clb-gate has written to, with what its writers noted.
    pub ledger: BTreeMap<String, String>,
    /// What TKE says.
    pub tke: TkeConfig,
    /// What to know about this look.
    pub notes: Vec<String>,
}

/// Why it could not be found out what would be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// RBAC says no.
    #[error(
        "{attempt}: forbidden; whoever runs this needs the rule {rule}; docs/read-only-rbac.yaml has the whole role"
    )]
    Forbidden {
        /// What was attempted.
        attempt: String,
        /// The rule that is missing.
        rule: String,
    },
    /// The API server does not know us.
    #[error(
        "{0}: the API server does not accept these credentials; log in to the cluster again, or choose another context"
    )]
    Unauthorized(String),
    /// The API server did not answer.
    #[error(
        "{0}; check that KUBECONFIG and its current context name the right cluster, and that it can be reached from here"
    )]
    Unreachable(String),
    /// The API server answered something else.
    #[error("{0}")]
    Call(String),
    /// kube-system has no UID.
    #[error("Namespace kube-system has no metadata.uid, which is the cluster's identity")]
    NoClusterId,
    /// A setting of the command line cannot be read.
    #[error("--settings {key}={value}: not accepted; {accepted}", key = .0.key, value = .0.value, accepted = .0.accepted)]
    Setting(SettingsProblem),
    /// There is no such Service.
    #[error("there is no Service {0} in this cluster")]
    NoSuchService(ObjectRef),
    /// There is no client of the CLB API, or it gets no answer.
    #[error("{0}")]
    Cloud(String),
}

/// Reads the cluster.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    namespace: String,
}

impl Kubernetes {
    /// Reads through `client` for an installation in `namespace`.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            client: get_only(client),
            namespace: namespace.to_owned(),
        }
    }

    /// Reads everything that the controller's caches hold. The settings in `instead` replace those of
    /// the ConfigMap.
    pub async fn world(&self, instead: &BTreeMap<String, String>) -> Result<World, LookError> {
        let cluster = self.cluster().await?;
        let mut notes = Vec::new();
        let (mut settings, settings_problems) = self.settings(instead, &mut notes).await?;
        settings.conclude(&self.network(&mut notes).await?);
        let mut services = self
            .all("services", |one: Service| ServiceFacts::prune(one))
            .await?;
        let mut ingresses = self
            .all("ingresses", |one: Ingress| IngressFacts::prune(one))
            .await?;
        self.join((&mut services, &mut ingresses), &mut notes)
            .await?;
        Ok(World {
            cluster,
            services,
            ingresses,
            pods: self.all("pods", |one: Pod| PodRecord::prune(one)).await?,
            settings,
            settings_problems,
            ledger: self.ledger().await?,
            tke: self.tke(&mut notes).await?,
            notes,
        })
    }

    async fn cluster(&self) -> Result<ClusterId, LookError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let attempt = "get Namespace kube-system";
        let found = runtime::call(DEADLINE, attempt, api.get("kube-system")).await;
        let found =
            found.map_err(|error| told(&error, "get", "namespaces", Some("kube-system")))?;
        let uid = found.metadata.uid.filter(|uid| !uid.is_empty());
        uid.map(ClusterId::new).ok_or(LookError::NoClusterId)
    }

    async fn settings(
        &self,
        instead: &BTreeMap<String, String>,
        notes: &mut Vec<String>,
    ) -> Result<(Settings, Vec<String>), LookError> {
        let found = self.config_map(&self.namespace, names::SETTINGS).await?;
        if found.is_none() {
            notes.push(format!(
                "ConfigMap {}/{} does not exist: the defaults hold",
                self.namespace,
                names::SETTINGS
            ));
        }
        let mut data = found.unwrap_or_default();
        for (key, value) in instead {
            let before = data.insert(key.clone(), value.clone());
            let before =
                before.map_or_else(|| "its default".to_owned(), |before| format!("{before:?}"));
            notes.push(format!(
                "what if: setting {key} is {value:?} instead of {before}"
            ));
        }
        let (settings, problems) = Settings::parse(&data);
        let (bad, standing): (Vec<_>, Vec<_>) = problems
            .into_iter()
            .partition(|problem| instead.contains_key(&problem.key));
        if let Some(bad) = bad.into_iter().next() {
            return Err(LookError::Setting(bad));
        }
        let standing = standing.iter().map(ToString::to_string).collect();
        Ok((settings, standing))
    }

    /// Reads the record of the load balancers that clb-gate has written to.
    pub async fn ledger(&self) -> Result<BTreeMap<String, String>, LookError> {
        let found = self.config_map(&self.namespace, names::LEDGER).await?;
        Ok(found.unwrap_or_default())
    }

    /// Who may not read TKE's ConfigMap may still say region and VPC in the settings.
    async fn tke(&self, notes: &mut Vec<String>) -> Result<TkeConfig, LookError> {
        let mut data = match self.config_map("kube-system", names::TKE_CONFIG).await {
            Ok(found) => found.unwrap_or_default(),
            Err(error @ LookError::Forbidden { .. }) => {
                notes.push(format!("TKE's region and VPC are not known: {error}"));
                BTreeMap::new()
            }
            Err(error) => return Err(error),
        };
        Ok(TkeConfig {
            region: data.remove(names::TKE_REGION),
            vpc: data.remove(names::TKE_VPC_ID),
        })
    }

    /// What the network mode is concluded from. Who may not read it may still name the mode in the settings.
    async fn network(&self, notes: &mut Vec<String>) -> Result<ClusterFacts, LookError> {
        let switches = self.config_map(names::KUBE_SYSTEM, names::TKE_SERVICE_CONTROLLER);
        let tke = known(switches.await, notes)?.flatten();
        let all: Vec<_> = match tke {
            None => vec![],
            Some(_) => known(self.all("nodes", NodeFacts::prune).await, notes)?.unwrap_or_default(),
        };
        Ok(ClusterFacts {
            tke,
            nodes: all.iter().collect(),
        })
    }

    /// Joins Services and Ingresses with the `TkeServiceConfig`s they name, where the cluster has that kind.
    async fn join(
        &self,
        (services, ingresses): (&mut [ServiceFacts], &mut [IngressFacts]),
        notes: &mut Vec<String>,
    ) -> Result<(), LookError> {
        let api: Api<TkeServiceConfig> = Api::all(self.client.clone());
        let attempt = "list TkeServiceConfigs of all namespaces";
        let all = ListParams::default();
        let configs = match runtime::call(DEADLINE, attempt, api.list(&all)).await {
            Ok(found) => Configs::of(found.items),
            Err(error) if error.is_not_found() => Configs::default(),
            Err(error) if error.is_forbidden() => {
                notes.push(format!(
                    "what TkeServiceConfigs declare of listeners is not known: {attempt}: forbidden"
                ));
                return Ok(());
            }
            Err(error) => return Err(told(&error, "list", "tkeserviceconfigs", None)),
        };
        for service in services {
            configs.join(service);
        }
        for ingress in ingresses {
            configs.join_ingress(ingress);
        }
        Ok(())
    }

    async fn config_map(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<BTreeMap<String, String>>, LookError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let attempt = format!("get ConfigMap {namespace}/{name}");
        let found = runtime::call(DEADLINE, attempt, api.get_opt(name)).await;
        let found = found.map_err(|error| told(&error, "get", "configmaps", Some(name)))?;
        Ok(found.map(|map| map.data.unwrap_or_default()))
    }

    async fn all<K, P>(&self, what: &str, prune: impl Fn(K) -> P) -> Result<Vec<P>, LookError>
    where
        K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::all(self.client.clone());
        let mut all = Vec::new();
        let mut next = ListParams::default().limit(PAGE);
        loop {
            let attempt = format!("list {what} of all namespaces");
            let page = runtime::call(DEADLINE, attempt, api.list(&next)).await;
            let page = page.map_err(|error| told(&error, "list", what, None))?;
            all.extend(page.items.into_iter().map(&prune));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                None => return Ok(all),
                Some(token) => next = ListParams::default().limit(PAGE).continue_token(&token),
            }
        }
    }
}

/// What may not be read is noted and taken for absent.
fn known<T>(read: Result<T, LookError>, notes: &mut Vec<String>) -> Result<Option<T>, LookError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(error @ LookError::Forbidden { .. }) => {
            notes.push(format!(
                "the network mode may be another, unless the setting network names it: {error}"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The error in the words of somebody who can do something about it.
fn told(error: &CallError, verb: &str, resource: &str, name: Option<&str>) -> LookError {
    let text = chain(error);
    match error.code() {
        Some(403) => {
            let group = match resource {
                "ingresses" => "networking.k8s.io",
                _ => "",
            };
            let name = name.map(|name| format!(r#", resourceNames: ["{name}"]"#));
            let name = name.unwrap_or_default();
            LookError::Forbidden {
                attempt: attempt(error).to_owned(),
                rule: format!(
                    r#"{{apiGroups: ["{group}"], resources: ["{resource}"]{name}, verbs: ["{verb}"]}}"#
                ),
            }
        }
        Some(401) => LookError::Unauthorized(attempt(error).to_owned()),
        None => LookError::Unreachable(text),
        Some(_) => LookError::Call(text),
    }
}

fn attempt(error: &CallError) -> &str {
    match error {
        CallError::Timeout { attempt, .. } | CallError::Api { attempt, .. } => attempt,
        _ => "a call to the API server",
    }
}
