//! The registration as somebody sees it who breaks it, and waits for its repair on a watch.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{DeleteParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::{Instant, timeout};

/// Its name.
pub const NAME: &str = "clb-gate";

/// What of it is clb-gate's: what self-heal must bring back.
#[derive(Clone, Debug, PartialEq)]
pub struct Essence {
    webhooks: Value,
    owners: Value,
    labels: BTreeMap<String, String>,
}

impl Essence {
    /// Of a registration.
    pub fn of(registration: &MutatingWebhookConfiguration) -> Result<Self> {
        let mut labels = registration.metadata.labels.clone().unwrap_or_default();
        labels.retain(|key, _| key.starts_with("app.kubernetes.io/"));
        Ok(Self {
            webhooks: serde_json::to_value(&registration.webhooks)?,
            owners: serde_json::to_value(&registration.metadata.owner_references)?,
            labels,
        })
    }
}

/// Reads and breaks it.
#[derive(Clone)]
pub struct Registration {
    api: Api<MutatingWebhookConfiguration>,
}

impl Registration {
    /// Of the cluster.
    pub fn new(client: &Client) -> Self {
        Self {
            api: Api::all(client.clone()),
        }
    }

    /// Reads it.
    pub async fn get(&self) -> Result<Option<MutatingWebhookConfiguration>> {
        Ok(self.api.get_opt(NAME).await?)
    }

    /// Reads it where it must be.
    pub async fn there(&self) -> Result<MutatingWebhookConfiguration> {
        self.get().await?.context("there is no registration")
    }

    /// Deletes it.
    pub async fn delete(&self) -> Result<()> {
        self.api.delete(NAME, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Changes it by one write; again while others write it.
    pub async fn change(&self, how: impl Fn(&mut MutatingWebhookConfiguration)) -> Result<()> {
        loop {
            let mut changed = self.there().await?;
            how(&mut changed);
            match self
                .api
                .replace(NAME, &PostParams::default(), &changed)
                .await
            {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Breaks it, and how long after that write's answer a watch showed it whole again.
    pub async fn repaired<F: Future<Output = Result<()>>>(
        &self,
        whole: &Essence,
        within: Duration,
        broken: impl FnOnce() -> F,
    ) -> Result<Duration> {
        let version = self.there().await?.metadata.resource_version;
        let only_it = WatchParams::default().fields(&format!("metadata.name={NAME}"));
        let version = version.context("a resourceVersion")?;
        let mut events = self.api.watch(&only_it, &version).await?.boxed();
        broken().await?;
        let since = Instant::now();
        let watching = async {
            let mut was_broken = false;
            while let Some(event) = events.try_next().await? {
                match event {
                    WatchEvent::Added(seen) | WatchEvent::Modified(seen) => {
                        let is_whole = Essence::of(&seen)? == *whole;
                        if is_whole && was_broken {
                            return Ok(());
                        }
                        was_broken |= !is_whole;
                    }
                    WatchEvent::Deleted(_) => was_broken = true,
                    WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(error) => bail!("the watch ended: {error:?}"),
                }
            }
            bail!("the watch ended")
        };
        timeout(within, watching)
            .await
            .with_context(|| format!("not repaired within {within:?}"))??;
        Ok(since.elapsed())
    }
}
