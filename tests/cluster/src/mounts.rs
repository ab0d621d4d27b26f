//! What the cluster's programs write to fixed places of the machine, kept off the machine: inside
//! the mount namespace those places are in memory.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

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
