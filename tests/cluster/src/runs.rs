//! One folder a run, with a lock that its process holds: a folder whose lock nobody holds belongs to
//! a run that was killed, and the next run removes it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::progress::note;
use crate::{cgroups, random};

/// The lock's name, in the folder of all runs and in each run's own.
const LOCK: &str = "lock";

/// A run's folder, held by this process.
#[derive(Debug)]
pub(crate) struct Run {
    /// Six hexadecimal digits, also part of its cgroups' names.
    pub(crate) id: String,
    /// The folder.
    pub(crate) folder: PathBuf,
    _lock: Flock<File>,
}

impl Run {
    /// Makes a new run's folder below `runs`.
    pub(crate) fn create(runs: &Path) -> Result<Self> {
        fs::create_dir_all(runs).with_context(|| format!("creating {}", runs.display()))?;
        let _all = wait_for(&runs.join(LOCK))?;
        let id: String = random()?.chars().take(6).collect();
        let folder = runs.join(&id);
        for part in ["logs", "work"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("creating {}", folder.display()))?;
        }
        let lock = try_lock(&folder.join(LOCK))?.context("a new run is locked already")?;
        Ok(Self {
            id,
            folder,
            _lock: lock,
        })
    }

    /// The folder of the components' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// Keeps the logs of a failed run in `kept`, instead of those of the one before.
    pub(crate) fn keep_logs(&self, kept: &Path) -> Result<()> {
        if kept.exists() {
            fs::remove_dir_all(kept).with_context(|| format!("emptying {}", kept.display()))?;
        }
        copy(&self.logs(), kept)
    }

    /// Removes everything of the run.
    pub(crate) async fn remove(self, runs: &Path) -> Result<()> {
        remove(&self.id, &self.folder).await?;
        close(runs)
    }
}

/// Removes what runs that are dead have left, and nothing is left where none is alive.
pub(crate) async fn clean(runs: &Path) -> Result<()> {
    remove_dead(runs).await?;
    close(runs)
}

/// Removes what runs that are dead have left. Their number.
pub(crate) async fn remove_dead(runs: &Path) -> Result<usize> {
    if !runs.is_dir() {
        return Ok(0);
    }
    let _all = wait_for(&runs.join(LOCK))?;
    let mut number = 0;
    for folder in dead_and_alive(runs)? {
        let Some(id) = folder.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if let Some(_lock) = try_lock(&folder.join(LOCK))? {
            note(&format!("removing what the killed run {id} has left"));
            remove(id, &folder).await?;
            number += 1;
        }
    }
    Ok(number)
}

/// Holds the file's lock, waiting for it.
pub(crate) fn wait_for(path: &Path) -> Result<Flock<File>> {
    loop {
        let lock = Flock::lock(open(path)?, FlockArg::LockExclusive)
            .map_err(|(_, error)| error)
            .with_context(|| format!("locking {}", path.display()))?;
        if still_there(path, &lock) {
            return Ok(lock);
        }
    }
}

/// Holds the file's lock, or `None` where another process holds it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Flock<File>>> {
    match Flock::lock(open(path)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// A lock on a file that its last holder has removed meanwhile locks nothing.
fn still_there(path: &Path, lock: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs::metadata(path), lock.metadata()) {
        (Ok(now), Ok(locked)) => now.ino() == locked.ino(),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn open(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("opening {}", path.display()))
}

fn dead_and_alive(runs: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(runs).with_context(|| format!("listing {}", runs.display()))? {
        let path = entry.context("listing the runs")?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    Ok(folders)
}

/// The last one closes the door.
fn close(runs: &Path) -> Result<()> {
    if runs.is_dir() {
        let _all = wait_for(&runs.join(LOCK))?;
        if dead_and_alive(runs)?.is_empty() {
            fs::remove_file(runs.join(LOCK)).context("removing a lock")?;
            let _ = fs::remove_dir(runs); // another file of the user's may be in it
        }
    }
    Ok(())
}

async fn remove(id: &str, folder: &Path) -> Result<()> {
    cgroups::remove(id).await?;
    fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("listing {}", from.display()))? {
        let entry = entry.context("listing the logs")?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type().context("reading an entry's type")?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_runs_whose_lock_nobody_holds_are_removed() {
        let runs = tempfile::tempdir().unwrap();
        let alive = Run::create(runs.path()).unwrap();
        let dead = Run::create(runs.path()).unwrap();
        let dead_folder = dead.folder.clone();
        drop(dead); // its lock is gone, its folder is not: as after kill -9
        assert!(dead_folder.is_dir());

        assert_eq!(remove_dead(runs.path()).await.unwrap(), 1);

        assert!(!dead_folder.exists());
        assert!(alive.folder.is_dir());
    }

    #[tokio::test]
    async fn the_last_run_leaves_no_folder() {
        let temporary = tempfile::tempdir().unwrap();
        let runs = temporary.path().join("runs");
        let first = Run::create(&runs).unwrap();
        let second = Run::create(&runs).unwrap();
        first.remove(&runs).await.unwrap();
        assert!(runs.is_dir());
        second.remove(&runs).await.unwrap();
        assert!(!runs.exists());
    }

    #[test]
    fn logs_of_a_failure_replace_those_of_the_one_before() {
        let temporary = tempfile::tempdir().unwrap();
        let run = Run::create(&temporary.path().join("runs")).unwrap();
        let kept = temporary.path().join("logs/last-failure");
        let old = kept.join("old.log");
        fs::create_dir_all(&kept).unwrap();
        fs::write(&old, "old").unwrap();
        fs::create_dir(run.logs().join("pods")).unwrap();
        fs::write(run.logs().join("pods/a.log"), "new").unwrap();

        run.keep_logs(&kept).unwrap();

        assert!(!old.exists());
        assert_eq!(fs::read_to_string(kept.join("pods/a.log")).unwrap(), "new");
    }
}
