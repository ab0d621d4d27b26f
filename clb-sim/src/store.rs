//! The state file: the model as JSON, replaced as a whole, so that a crash leaves the old one.

use crate::shared::Shared;
use crate::state::Model;
use parking_lot::Mutex;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Changes that come together are written together.
const GATHER: Duration = Duration::from_millis(50);

/// Why the state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file exists but cannot be read.
    #[error("state file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The file is not a state of this program.
    #[error("state file {path} is not a saved state: {source}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: serde_json::Error,
    },
}

/// The saved model; none if there is no file yet.
pub(crate) fn load(path: &Path) -> Result<Option<Model>, StoreError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(path, source)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|source| StoreError::Content {
            path: path.to_owned(),
            source,
        })
}

/// Writes the model to its file.
pub(crate) struct Store {
    path: PathBuf,
    shared: Arc<Shared>,
    /// One writer at a time, so that an older state never replaces a newer one.
    turn: Mutex<()>,
}

impl Store {
    pub(crate) fn new(path: PathBuf, shared: Arc<Shared>) -> Self {
        Self {
            path,
            shared,
            turn: Mutex::new(()),
        }
    }

    /// Saves the model as it is now.
    pub(crate) fn save(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock();
        let text = self.shared.with(|model, _| serde_json::to_vec(model));
        let text = text.map_err(|source| StoreError::Content {
            path: self.path.clone(),
            source,
        })?;
        replace(&self.path, &text).map_err(|source| io(&self.path, source))
    }

    /// Saves after every change of structure; verdicts are not kept.
    pub(crate) async fn save_on_change(self: Arc<Self>) {
        let mut changes = self.shared.follow();
        let mut saved = None;
        loop {
            let structure = changes.borrow_and_update().structure;
            if saved != Some(structure) {
                let store = Arc::clone(&self);
                // Writing and syncing a file blocks.
                let written = tokio::task::spawn_blocking(move || store.save()).await;
                if let Ok(Err(error)) = written {
                    warn!(%error, "state not saved");
                }
                saved = Some(structure);
            }
            if changes.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(GATHER).await;
        }
    }
}

/// The file as a whole or not at all.
fn replace(path: &Path, text: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

fn io(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io {
        path: path.to_owned(),
        source,
    }
}
