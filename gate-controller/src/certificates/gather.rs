//! Everything that is read for a report, and nothing is written: the client lets only GET through.

use std::sync::Arc;

use certs::layout::{CA_SECRET, LEAF_SECRET};
use direct_access::{Settings, names};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{Api, Client};
use runtime::lease::{Record, record_of};

use super::replicas::{Replicas, Sighted, serving};
use crate::ask::{AskError, Right, ask};
use crate::heal::facts::{Seen, Wanted};
use crate::heal::{Sight, registration};
use crate::preview::get_only;

/// What there is.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// What self-heal looks at too.
    pub seen: Seen,
    /// What is configured.
    pub wanted: Wanted,
    /// The webhook's pods, if they were asked.
    pub replicas: Option<Vec<Sighted>>,
    /// Who leads.
    pub lease: Option<Held>,
}

/// The lease as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// What an election looks at.
    pub record: Record,
    /// When it was last renewed, by its holder's clock.
    pub renewed: Option<Timestamp>,
}

impl Held {
    /// Whether it was renewed lately, as far as the clocks of holder and reader agree: a hint for people.
    /// Who acts on it watches the lease by one clock.
    pub fn looks_alive(&self, now: Timestamp) -> bool {
        let patience = SignedDuration::try_from(self.record.duration).unwrap_or_default();
        let renewed = self.renewed.and_then(|at| at.checked_add(patience).ok());
        self.record.holder.is_some() && renewed.is_some_and(|until| now <= until)
    }
}

/// Why nothing could be found out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatherError {
    /// A call failed.
    #[error("{0}")]
    Ask(#[from] AskError),
    /// Nothing is installed there.
    #[error(
        "there is no Namespace {0}: clb-gate is not installed here, or --namespace must name where it is"
    )]
    NoNamespace(String),
}

/// Reads.
#[derive(Clone)]
pub struct Gatherer {
    client: Client,
    namespace: String,
    replicas: Replicas,
}

impl Gatherer {
    /// Reads an installation in `namespace`. `inside` says that this runs in the cluster's network, from
    /// where pods can be dialled.
    pub fn new(client: Client, namespace: &str, inside: bool) -> Self {
        let client = get_only(client);
        Self {
            replicas: Replicas::new(client.clone(), namespace, inside),
            namespace: namespace.to_owned(),
            client,
        }
    }

    /// Reads everything, and asks every replica.
    pub async fn all(&self) -> Result<Gathered, GatherError> {
        let mut gathered = Box::pin(self.objects()).await?;
        self.ask_replicas(&mut gathered).await?;
        Ok(gathered)
    }

    /// Asks every replica.
    pub async fn ask_replicas(&self, gathered: &mut Gathered) -> Result<(), AskError> {
        let sighted = self.replicas.ask().await?;
        gathered.seen.serving = Some(serving(&sighted));
        gathered.replicas = Some(sighted);
        Ok(())
    }

    /// Reads the objects and asks no replica.
    pub async fn objects(&self) -> Result<Gathered, GatherError> {
        let (namespace, registration, ca, leaf) = futures::try_join!(
            self.namespace(),
            self.registration(),
            self.secret(CA_SECRET),
            self.secret(LEAF_SECRET),
        )?;
        let (settings, lease) = futures::try_join!(self.settings(), self.lease())?;
        let namespace =
            namespace.ok_or_else(|| GatherError::NoNamespace(self.namespace.clone()))?;
        Ok(Gathered {
            seen: Seen {
                namespace,
                registration,
                ca,
                leaf,
                serving: None,
            },
            wanted: Wanted {
                namespace: self.namespace.clone(),
                service_name: names::WEBHOOK_SERVICE.to_owned(),
                failure_policy: settings.failure_policy,
            },
            replicas: None,
            lease,
        })
    }

    /// For a healer that runs here.
    pub(super) fn sight(&self) -> Arc<dyn Sight> {
        Arc::new(self.replicas.clone())
    }

    /// Reads who leads.
    pub async fn lease(&self) -> Result<Option<Held>, AskError> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let right = Right {
            verb: "get",
            group: "coordination.k8s.io",
            resource: "leases",
            namespace: &self.namespace,
            name: names::LEASE,
        };
        let found = ask(right, api.get_opt(names::LEASE)).await?;
        Ok(found.map(|lease| {
            let spec = lease.spec.as_ref();
            let renewed = spec.and_then(|spec| spec.renew_time.as_ref());
            Held {
                renewed: renewed.map(|time| time.0),
                record: record_of(&lease),
            }
        }))
    }

    /// Reads the settings; what cannot be read keeps its default, as in the controller.
    pub async fn settings(&self) -> Result<Settings, AskError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let right = Right::core("get", "configmaps", (&self.namespace, names::SETTINGS));
        let found = ask(right, api.get_opt(names::SETTINGS)).await?;
        let data = found.and_then(|map| map.data).unwrap_or_default();
        Ok(Settings::parse(&data).0)
    }

    async fn namespace(&self) -> Result<Option<Namespace>, AskError> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        let right = Right::core("get", "namespaces", ("", &self.namespace));
        ask(right, api.get_opt(&self.namespace)).await
    }

    async fn registration(&self) -> Result<Option<MutatingWebhookConfiguration>, AskError> {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let right = Right {
            verb: "get",
            group: "admissionregistration.k8s.io",
            resource: "mutatingwebhookconfigurations",
            namespace: "",
            name: registration::NAME,
        };
        ask(right, api.get_opt(registration::NAME)).await
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, AskError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let right = Right::core("get", "secrets", (&self.namespace, name));
        ask(right, api.get_opt(name)).await
    }
}
