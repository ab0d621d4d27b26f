//! The calls: four reads and a few writes by name, each with a deadline, each write only over what was
//! read. No cache: a look is four reads, and nothing is decided on stale facts.

use std::{fmt::Debug, time::Duration};

use certs::layout::{CA_SECRET, LEAF_SECRET};
use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{Namespace, Secret},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, PostParams, Preconditions},
    core::PartialObjectMeta,
    runtime::watcher,
};
use runtime::{CallError, call};
use serde::{Serialize, de::DeserializeOwned};

use super::{facts::Seen, registration};

/// Enough for a healthy API server; a slower one is asked again.
const DEADLINE: Duration = Duration::from_secs(5);

/// What became of a Secret that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stands as written.
    Written,
    /// It stood in the way and is gone.
    Deleted,
}

/// Handles on what is looked at and written.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    namespace: String,
    namespaces: Api<Namespace>,
    registrations: Api<MutatingWebhookConfiguration>,
    secrets: Api<Secret>,
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self {
            namespaces: Api::all(client.clone()),
            registrations: Api::all(client.clone()),
            secrets: Api::namespaced(client.clone(), namespace),
            namespace: namespace.to_owned(),
            client,
        }
    }

    /// One look at everything.
    pub(super) async fn look(&self) -> Result<Seen, CallError> {
        let namespace = format!("get Namespace {}", self.namespace);
        let (namespace, registration, ca, leaf) = futures::try_join!(
            call(DEADLINE, namespace, self.namespaces.get(&self.namespace)),
            call(
                DEADLINE,
                attempt("get", "MutatingWebhookConfiguration", registration::NAME),
                self.registrations.get_opt(registration::NAME),
            ),
            call(
                DEADLINE,
                attempt("get", "Secret", CA_SECRET),
                self.secrets.get_opt(CA_SECRET)
            ),
            call(
                DEADLINE,
                attempt("get", "Secret", LEAF_SECRET),
                self.secrets.get_opt(LEAF_SECRET)
            ),
        )?;
        Ok(Seen {
            namespace,
            registration,
            ca,
            leaf,
            serving: None,
        })
    }

    pub(super) async fn write_registration(
        &self,
        object: &MutatingWebhookConfiguration,
    ) -> Result<(), CallError> {
        write(&self.registrations, "MutatingWebhookConfiguration", object).await
    }

    pub(super) async fn delete_registration(
        &self,
        resource_version: Option<String>,
        uid: Option<String>,
    ) -> Result<(), CallError> {
        let exactly = DeleteParams {
            preconditions: Some(Preconditions {
                resource_version,
                uid,
            }),
            ..DeleteParams::default()
        };
        let request = self.registrations.delete(registration::NAME, &exactly);
        let attempt = attempt("delete", "MutatingWebhookConfiguration", registration::NAME);
        match call(DEADLINE, attempt, request).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a Secret. One that cannot be written (someone made it immutable) is deleted, exactly as
    /// it was read; the next look makes it anew.
    pub(super) async fn write_secret(&self, secret: &Secret) -> Result<Outcome, CallError> {
        match write(&self.secrets, "Secret", secret).await {
            Err(error) if error.is_invalid() && secret.metadata.resource_version.is_some() => {
                tracing::warn!(%error, "the Secret cannot be replaced, deleting it");
                self.delete_secret(secret).await.map(|()| Outcome::Deleted)
            }
            result => result.map(|()| Outcome::Written),
        }
    }

    async fn delete_secret(&self, secret: &Secret) -> Result<(), CallError> {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let exactly = DeleteParams {
            preconditions: Some(Preconditions {
                resource_version: secret.metadata.resource_version.clone(),
                uid: secret.metadata.uid.clone(),
            }),
            ..DeleteParams::default()
        };
        let request = self.secrets.delete(name, &exactly);
        call(DEADLINE, attempt("delete", "Secret", name), request).await?;
        Ok(())
    }

    /// Says that something happened to one of the four objects, not what: whoever hears it looks.
    pub(super) fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let registrations = Api::all(self.client.clone());
        let secrets = Api::namespaced(self.client.clone(), &self.namespace);
        let namespaces = Api::all(self.client.clone());
        stream::select_all([
            watch::<Namespace>(namespaces, &self.namespace).boxed(),
            watch::<MutatingWebhookConfiguration>(registrations, registration::NAME).boxed(),
            watch::<Secret>(secrets.clone(), CA_SECRET).boxed(),
            watch::<Secret>(secrets, LEAF_SECRET).boxed(),
        ])
    }
}

/// Only metadata is watched: no private key travels for a wake-up call.
fn watch<K>(api: Api<PartialObjectMeta<K>>, name: &str) -> impl Stream<Item = ()> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let (name, mut failing) = (name.to_owned(), false);
    let events = runtime::watch::events(api, config);
    events.filter_map(move |event| {
        note(&name, &mut failing, event.as_ref().err());
        std::future::ready(event.is_ok().then_some(()))
    })
}

/// One line when a watch begins to fail and one when it works again.
fn note(name: &str, failing: &mut bool, error: Option<&watcher::Error>) {
    match error {
        Some(error) if !*failing => {
            tracing::warn!(object = name, %error, "watch is failing, retrying with back-off");
        }
        None if *failing => tracing::info!(object = name, "watch works again"),
        _ => {}
    }
    *failing = error.is_some();
}

/// Creates what was not there, replaces what was: in both cases only if that is still so.
async fn write<K>(api: &Api<K>, kind: &str, object: &K) -> Result<(), CallError>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    let parameters = PostParams::default();
    if object.meta().resource_version.is_none() {
        let request = api.create(&parameters, object);
        call(DEADLINE, attempt("create", kind, name), request).await?;
    } else {
        let request = api.replace(name, &parameters, object);
        call(DEADLINE, attempt("replace", kind, name), request).await?;
    }
    Ok(())
}

fn attempt(verb: &str, kind: &str, name: &str) -> String {
    format!("{verb} {kind} {name}")
}
