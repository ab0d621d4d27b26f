//! The nodes' control groups: the one thing that outlives the namespaces, so it carries the run's
//! name and is removed from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::network::{NODES, Node};

/// Where Linux systems mount the control groups.
const ROOT: &str = "/sys/fs/cgroup";

/// How long the kernel may take to finish the processes of a cgroup that is to be removed.
const REMOVAL: Duration = Duration::from_secs(10);

/// The name of a node's cgroup: the kubelet's `cgroupRoot` without the slash.
pub(crate) fn name(node: Node, run: &str) -> String {
    format!("node{}-{run}", node.number())
}

/// Makes the nodes' cgroups.
pub(crate) fn prepare(run: &str) -> Result<()> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").is_file() {
        return prepare_v2(root, run);
    }
    for controller in controllers(root)? {
        for node in NODES {
            let group = controller.join(name(node, run));
            fs::create_dir(&group).with_context(|| format!("creating {}", group.display()))?;
            inherit_cpus(&controller, &group)?;
        }
    }
    Ok(())
}

/// Removes what a run has left, killing what still runs in it.
pub(crate) async fn remove(run: &str) -> Result<()> {
    let root = Path::new(ROOT);
    let mut parents = controllers(root)?;
    parents.push(root.to_path_buf());
    let groups: Vec<PathBuf> = parents
        .iter()
        .flat_map(|parent| NODES.map(|node| parent.join(name(node, run))))
        .filter(|group| group.is_dir())
        .collect();
    let since = Instant::now();
    loop {
        let left: Vec<&PathBuf> = groups.iter().filter(|group| !removed(group)).collect();
        let Some(first) = left.first() else {
            return Ok(());
        };
        if since.elapsed() > REMOVAL {
            bail!("{} cannot be removed: still in use", first.display());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Version 1: one hierarchy a controller. Symbolic links are second names of the same.
fn controllers(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).with_context(|| format!("listing {}", root.display()))? {
        let entry = entry.context("listing the control groups")?;
        let is_hierarchy = entry.path().join("cgroup.procs").is_file();
        if is_hierarchy && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// In version 1 a new cpuset is empty and takes no process before it has processors and memory.
fn inherit_cpus(controller: &Path, group: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let Ok(value) = fs::read_to_string(controller.join(file)) else {
            continue;
        };
        fs::write(group.join(file), value.trim())
            .with_context(|| format!("writing {file} of {}", group.display()))?;
    }
    Ok(())
}

/// Version 2: one hierarchy; controllers are handed down level by level.
fn prepare_v2(root: &Path, run: &str) -> Result<()> {
    let available = fs::read_to_string(root.join("cgroup.controllers"))
        .context("reading the available cgroup controllers")?;
    hand_down(root, &available).context(
        "enabling cgroup controllers for the nodes (inside a container, start the host in a \
         cgroup of its own, e.g. docker run --cgroupns=host)",
    )?;
    for node in NODES {
        let group = root.join(name(node, run));
        fs::create_dir(&group).with_context(|| format!("creating {}", group.display()))?;
        hand_down(&group, &available)?;
    }
    Ok(())
}

fn hand_down(group: &Path, available: &str) -> Result<()> {
    let file = group.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    for controller in wanted(available, &enabled) {
        fs::write(&file, format!("+{controller}"))
            .with_context(|| format!("writing +{controller} to {}", file.display()))?;
    }
    Ok(())
}

/// The controllers the kubelet uses that this kernel has and that are not handed down yet.
fn wanted(available: &str, enabled: &str) -> Vec<&'static str> {
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"]
        .into_iter()
        .filter(|name| has(available, name) && !has(enabled, name))
        .collect()
}

/// Kills what runs in a cgroup and below and removes it, deepest first. Whether it is gone.
fn removed(group: &Path) -> bool {
    let Ok(entries) = fs::read_dir(group) else {
        return !group.exists();
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            removed(&entry.path());
        }
    }
    kill_all(group);
    fs::remove_dir(group).is_ok()
}

fn kill_all(group: &Path) {
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for process in processes.lines().filter_map(|line| line.parse().ok()) {
        // 0 stands for a process of a namespace we cannot see.
        if process > 0 {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_present_controllers_that_are_not_enabled_yet_are_handed_down() {
        assert_eq!(
            wanted("cpuset cpu io memory rdma pids", "cpu pids\n"),
            ["cpuset", "io", "memory"]
        );
        assert!(wanted("cpu", "cpu").is_empty());
    }

    #[test]
    fn hierarchies_are_folders_with_processes_and_no_links() {
        let root = tempfile::tempdir().unwrap();
        for controller in ["cpu", "memory"] {
            fs::create_dir(root.path().join(controller)).unwrap();
            fs::write(root.path().join(controller).join("cgroup.procs"), "").unwrap();
        }
        fs::create_dir(root.path().join("other")).unwrap();
        std::os::unix::fs::symlink("cpu", root.path().join("cpuacct")).unwrap();
        let mut found = controllers(root.path()).unwrap();
        found.sort();
        assert_eq!(found, [root.path().join("cpu"), root.path().join("memory")]);
    }

    #[test]
    fn a_new_cpuset_gets_the_processors_of_its_parent() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("node1-x");
        fs::create_dir(&group).unwrap();
        fs::write(root.path().join("cpuset.cpus"), "0-1\n").unwrap();
        inherit_cpus(root.path(), &group).unwrap();
        assert_eq!(
            fs::read_to_string(group.join("cpuset.cpus")).unwrap(),
            "0-1"
        );
        assert!(!group.join("cpuset.mems").exists());
    }
}
