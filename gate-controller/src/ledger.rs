//! The load balancers we have written to, in a ConfigMap, written before the first write: so that a
//! Service deleted while nobody led still has its targets taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use direct_access::names;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use runtime::CallError;
use tokio::sync::Mutex;

const DEADLINE: Duration = Duration::from_secs(5);

/// The record. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    api: Api<ConfigMap>,
    // An async lock: held across the write, so that two load balancers do not overwrite each other.
    known: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Ledger {
    /// The record of an installation.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            known: Arc::default(),
        }
    }

    /// Reads the record: a new term begins with it.
    pub async fn load(&self) -> Result<BTreeSet<String>, CallError> {
        let mut known = self.known.lock().await;
        *known = self.read().await?;
        Ok(known.keys().cloned().collect())
    }

    /// What is noted of a load balancer, read anew: empty where nothing is.
    pub async fn note(&self, id: &str) -> Result<String, CallError> {
        let mut known = self.known.lock().await;
        *known = self.read().await?;
        Ok(known.get(id).cloned().unwrap_or_default())
    }

    /// What is on record.
    pub async fn ids(&self) -> BTreeSet<String> {
        self.known.lock().await.keys().cloned().collect()
    }

    /// Puts a load balancer on record, with what its writer notes.
    pub async fn ensure(&self, id: &str, note: String) -> Result<(), CallError> {
        let mut known = self.known.lock().await;
        if known.get(id) == Some(&note) {
            return Ok(());
        }
        self.write(|ids| _ = ids.insert(id.to_owned(), note.clone()))
            .await?;
        known.insert(id.to_owned(), note);
        Ok(())
    }

    /// Takes a load balancer off the record once nothing of ours is wanted or left there.
    pub async fn settled(&self, id: &str, nothing_left: bool) {
        let mut known = self.known.lock().await;
        if !nothing_left || !known.contains_key(id) {
            return;
        }
        match self.write(|ids| _ = ids.remove(id)).await {
            Ok(()) => _ = known.remove(id),
            Err(error) => tracing::warn!(%error, id, "stays on record"),
        }
    }

    async fn read(&self) -> Result<BTreeMap<String, String>, CallError> {
        let found =
            runtime::call(DEADLINE, "get the ledger", self.api.get_opt(names::LEDGER)).await?;
        Ok(found.and_then(|map| map.data).unwrap_or_default())
    }

    async fn write(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, String>),
    ) -> Result<(), CallError> {
        let found =
            runtime::call(DEADLINE, "get the ledger", self.api.get_opt(names::LEDGER)).await?;
        let params = PostParams {
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match found {
            None => {
                let mut map = empty();
                change(map.data.get_or_insert_default());
                runtime::call(
                    DEADLINE,
                    "create the ledger",
                    self.api.create(&params, &map),
                )
                .await?;
            }
            Some(mut map) => {
                change(map.data.get_or_insert_default());
                let write = self.api.replace(names::LEDGER, &params, &map);
                runtime::call(DEADLINE, "write the ledger", write).await?;
            }
        }
        Ok(())
    }
}

fn empty() -> ConfigMap {
    let annotation = (
        "clb-gate.io/about".to_owned(),
        "load balancers that clb-gate has written to".to_owned(),
    );
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::LEDGER.to_owned()),
            annotations: Some([annotation].into()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}
