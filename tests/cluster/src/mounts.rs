//! What the cluster's programs write to fixed places of the machine, kept off the machine: inside
//! the mount namespace those places are in memory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Folders in which containerd, its shims, the network plugins, `ip netns` and the kubelet make
/// subfolders whatever they are told, with the subfolders that must not be shared with the machine.
const SHADOWED: &[(&str, &[&str])] = &[
    (
        "/run",
        &["cni", "containerd", "netns", "nri", "runc", "xtables.lock"],
    ),
    ("/var/lib", &["cni", "containerd", "kubelet"]),
    ("/var/log", &["containers", "pods"]),
];

/// Puts the run's work folder and the shadowed folders into memory.
pub(crate) fn prepare(work: &Path) -> Result<()> {
    tmpfs(work)?;
    for (number, (folder, hidden)) in SHADOWED.iter().enumerate() {
        let original = work.join(format!("machine/{number}"));
        shadow(Path::new(folder), hidden, &original)
            .with_context(|| format!("keeping the machine's {folder} clean"))?;
    }
    fs::create_dir_all("/run/netns").context("creating /run/netns")
}

/// Takes away every mount below `folder`, the last one first.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("reading the mounts")?;
    for place in below(&table, folder).into_iter().rev() {
        umount2(&place, MntFlags::MNT_DETACH)
            .with_context(|| format!("unmounting {}", place.display()))?;
    }
    Ok(())
}

/// The mount points below a folder, in the order in which they were mounted (`proc_pid_mountinfo(5)`).
fn below(table: &str, folder: &Path) -> Vec<PathBuf> {
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    let places = places.map(|place| PathBuf::from(place.replace("\\040", " ")));
    places
        .filter(|place| place.starts_with(folder) && place != folder)
        .collect()
}

/// Makes names resolve through the cluster's DNS server, for this namespace only.
pub(crate) fn resolve_through(server: &str, work: &Path) -> Result<()> {
    let ours = work.join("resolv.conf");
    fs::write(&ours, format!("nameserver {server}\noptions timeout:1\n"))
        .context("writing resolv.conf")?;
    let theirs = fs::canonicalize("/etc/resolv.conf").context("finding /etc/resolv.conf")?;
    bind(&ours, &theirs)
}

/// Lays memory over `folder` and puts back what was in it, so that old entries stay usable and new
/// ones never reach the machine.
fn shadow(folder: &Path, hidden: &[&str], original: &Path) -> Result<()> {
    fs::create_dir_all(original).context("creating a mount point")?;
    bind(folder, original)?;
    tmpfs(folder)?;
    for entry in fs::read_dir(original).context("listing a folder")? {
        let entry = entry.context("listing a folder")?;
        let name = entry.file_name();
        if hidden.iter().any(|hidden| name == *hidden) {
            continue;
        }
        let target = folder.join(&name);
        let kind = entry.file_type().context("reading an entry's type")?;
        if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else if kind.is_dir() {
            fs::create_dir(&target)?;
            bind(&entry.path(), &target)?;
        } else {
            fs::write(&target, "")?;
            bind(&entry.path(), &target)?;
        }
    }
    Ok(())
}

fn tmpfs(folder: &Path) -> Result<()> {
    mount(
        Some("clb-gate-host"),
        folder,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=0755"),
    )
    .with_context(|| format!("mounting memory on {}", folder.display()))
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(
        Some(from),
        to,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .with_context(|| format!("binding {} to {}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_below_a_folder_are_found_without_its_own() {
        let table = "22 1 0:1 / /run/x rw - tmpfs t rw\n\
                     23 1 0:1 / /run/x/a\\040b rw - tmpfs t rw\n\
                     24 1 0:1 / /run/xy rw - tmpfs t rw\n";
        assert_eq!(below(table, Path::new("/run/x")), [Path::new("/run/x/a b")]);
    }
}
