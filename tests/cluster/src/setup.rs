//! The tools of the machine that the host needs: installed where that is possible, named exactly
//! where it is not.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::geteuid;
use tokio::process::Command;

use crate::process::capture;
use crate::progress::Step;

/// What is looked for, and the Debian package that brings it.
const NEEDED: &[(Need, &str)] = &[
    (Need::Program("conntrack"), "conntrack"),
    (Need::Program("curl"), "curl"),
    (Need::Program("dnsmasq"), "dnsmasq-base"),
    (Need::Program("gcc"), "gcc"),
    (Need::Program("ip"), "iproute2"),
    (Need::Program("nft"), "nftables"),
    (Need::Program("nsenter"), "util-linux"),
    (Need::Program("pkg-config"), "pkg-config"),
    (Need::Program("setpriv"), "util-linux"),
    (Need::Program("unshare"), "util-linux"),
    (
        Need::File("/etc/ssl/certs/ca-certificates.crt"),
        "ca-certificates",
    ),
    (Need::File("/usr/include/seccomp.h"), "libseccomp-dev"),
    (Need::File("/usr/include/stdio.h"), "libc6-dev"),
];

/// Where administration tools lie that a user's PATH may lack.
pub(crate) const SYSTEM_FOLDERS: &str = "/usr/local/sbin:/usr/sbin:/sbin";

#[derive(Clone, Copy, Debug)]
enum Need {
    Program(&'static str),
    File(&'static str),
}

impl Need {
    fn is_met(self) -> bool {
        match self {
            Self::Program(name) => program(name).is_some(),
            Self::File(path) => Path::new(path).exists(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Program(name) | Self::File(name) => name,
        }
    }
}

/// Something the user has to do before the host can run.
#[derive(Debug)]
pub(crate) struct Unmet(pub(crate) String);

impl std::fmt::Display for Unmet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unmet {}

/// Sees to it that every tool is there, and that this process may make namespaces.
pub(crate) async fn ensure() -> Result<()> {
    ensure_toolchains()?;
    let missing: Vec<Need> = missing();
    if !missing.is_empty() {
        install(&missing).await?;
    }
    if !geteuid().is_root() {
        return Err(Unmet(
            "the test host makes network namespaces and cgroups and needs root: run it with \
             `sudo -E env PATH=\"$PATH\" make ...`, or use a cluster you have with \
             `CLUSTER=existing KUBECONFIG=/path make ...`"
                .into(),
        )
        .into());
    }
    Ok(())
}

/// The path of a program.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(SYSTEM_FOLDERS.split(':'))
        .map(|folder| Path::new(folder).join(name))
        .find(|candidate| candidate.is_file())
}

fn ensure_toolchains() -> Result<()> {
    for (name, hint) in [
        (
            "cargo",
            "Rust (https://rustup.rs; the version is in rust-toolchain.toml)",
        ),
        (
            "go",
            "Go 1.26 or newer (https://go.dev/dl), which builds the cluster's own programs",
        ),
    ] {
        if program(name).is_none() {
            return Err(Unmet(format!("`{name}` is not on PATH: install {hint}")).into());
        }
    }
    Ok(())
}

fn missing() -> Vec<Need> {
    NEEDED
        .iter()
        .filter(|(need, _)| !need.is_met())
        .map(|(need, _)| *need)
        .collect()
}

async fn install(missing: &[Need]) -> Result<()> {
    let packages = packages(missing);
    let list = packages.iter().copied().collect::<Vec<_>>().join(" ");
    let names = missing.iter().map(|need| need.name()).collect::<Vec<_>>();
    if !geteuid().is_root() || program("apt-get").is_none() {
        return Err(Unmet(format!(
            "missing: {}. On Debian or Ubuntu: `sudo apt-get install --no-install-recommends \
             {list}`; elsewhere install the packages that bring them",
            names.join(", ")
        ))
        .into());
    }
    let step = Step::announce(format!("installing Debian packages: {list}"));
    if apt(&packages).await.is_err() {
        apt_update().await?;
        apt(&packages).await?;
    }
    step.done();
    let still: Vec<&str> = self::missing().iter().map(|need| need.name()).collect();
    if !still.is_empty() {
        bail!("installed {list}, and still missing: {}", still.join(", "));
    }
    Ok(())
}

fn packages(missing: &[Need]) -> BTreeSet<&'static str> {
    NEEDED
        .iter()
        .filter(|(need, _)| missing.iter().any(|gone| gone.name() == need.name()))
        .map(|(_, package)| *package)
        .collect()
}

async fn apt(packages: &BTreeSet<&'static str>) -> Result<()> {
    let mut command = apt_get();
    command
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages);
    capture(command, None)
        .await
        .map(drop)
        .context("installing Debian packages")
}

async fn apt_update() -> Result<()> {
    let mut command = apt_get();
    command.arg("update");
    capture(command, None)
        .await
        .map(drop)
        .context("updating the list of Debian packages")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_brings_several_tools_is_named_once() {
        let missing = [Need::Program("unshare"), Need::Program("nsenter")];
        assert_eq!(packages(&missing), BTreeSet::from(["util-linux"]));
    }

    #[test]
    fn programs_are_found_in_the_path() {
        assert!(program("sh").is_some());
        assert!(program("no-such-program-anywhere").is_none());
    }
}
