//! Talking to the cluster, through the kubectl that belongs to it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tokio::process::Command;

use crate::process::capture;

/// kubectl and the cluster it speaks to.
#[derive(Debug)]
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// Where it keeps what it learns about the cluster; else in the user's home.
    cache: Option<PathBuf>,
}

impl Kubectl {
    /// `program` for the cluster of `kubeconfig`.
    pub(crate) fn new(program: PathBuf, kubeconfig: PathBuf) -> Self {
        Self {
            program,
            kubeconfig,
            cache: None,
        }
    }

    /// With its cache in `folder`: a cluster of this run leaves nothing in the user's home.
    pub(crate) fn caching_in(self, folder: PathBuf) -> Self {
        Self {
            cache: Some(folder),
            ..self
        }
    }

    /// The cluster's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// What `kubectl args...` prints.
    pub(crate) async fn run(&self, args: &[&str]) -> Result<String> {
        capture(self.command(args), None).await
    }

    /// Applies objects. Their text is never shown, it may hold credentials.
    pub(crate) async fn apply(&self, objects: &serde_json::Value) -> Result<()> {
        let command = self.command(&["apply", "-f", "-"]);
        capture(command, Some(&objects.to_string())).await?;
        Ok(())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).args(args);
        if let Some(cache) = &self.cache {
            command.env("KUBECACHEDIR", cache);
        }
        command
    }
}
