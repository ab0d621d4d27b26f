//! Where everything lies: the repository, the binaries cargo built, the cache that outlives a clone
//! and the folder that holds one subfolder a run. Read once at start and handed on.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folders a run works with.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// The root of the clone: manifests, Go modules.
    pub(crate) repository: PathBuf,
    /// Where this program lies, and beside it clb-gate, clb-sim, sample and pause.
    pub(crate) binaries: PathBuf,
    /// Go binaries and the logs of the last failure; outlives runs and clones.
    pub(crate) cache: PathBuf,
    /// One subfolder a run, removed with it.
    pub(crate) runs: PathBuf,
}

impl Paths {
    /// Finds the folders from this program's own place, `CLB_GATE_CACHE` and `CLB_GATE_RUN`.
    pub(crate) fn find() -> Result<Self> {
        let program = env::current_exe().context("finding the path of this program")?;
        let binaries = program
            .parent()
            .context("this program has no folder")?
            .to_path_buf();
        let here = env::current_dir().context("finding the working folder")?;
        let repository = above(&binaries)
            .or_else(|| above(&here))
            .context("no clb-gate clone above this program or the working folder")?;
        Ok(Self {
            repository,
            binaries,
            cache: folder("CLB_GATE_CACHE").map_or_else(default_cache, Ok)?,
            runs: folder("CLB_GATE_RUN").unwrap_or_else(|| PathBuf::from("/tmp/clb-gate-host")),
        })
    }

    /// Where the logs of a failed run lie, until the next one fails.
    pub(crate) fn failure_logs(&self) -> PathBuf {
        self.cache.join("logs/last-failure")
    }

    /// What is installed in the cluster.
    pub(crate) fn overlay(&self) -> PathBuf {
        self.repository.join("manifests/overlays/demo")
    }

    /// The binary `name` that cargo built, or what to do where it is missing.
    pub(crate) fn binary(&self, name: &str) -> Result<PathBuf> {
        let path = self.binaries.join(name);
        anyhow::ensure!(
            path.is_file(),
            "{} does not exist: run `make build` first",
            path.display()
        );
        Ok(path)
    }
}

/// The clone that holds `start`: the first folder upwards with our Go modules in it.
fn above(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .find(|folder| folder.join("tests/cluster/kubernetes/go.mod").is_file())
        .map(Path::to_path_buf)
}

fn folder(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn default_cache() -> Result<PathBuf> {
    let home = folder("HOME").context("HOME is not set: set CLB_GATE_CACHE to a folder")?;
    Ok(home.join(".cache/clb-gate"))
}
