//! The cluster's own programs (Kubernetes, etcd, containerd, runc, the network plugins), built from
//! the two pinned Go modules beside this program into a cache that outlives the clone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::paths::Paths;
use crate::process::capture;
use crate::progress::{Step, note};
use crate::runs::{try_lock, wait_for};

/// The version the binaries say they are; also `k8s.io/kubernetes` in kubernetes/go.mod.
const KUBERNETES: &str = "v1.36.3";

/// Stamped as Kubernetes' own build does, or `kubectl version` and the kubelet report v0.0.0.
const KUBERNETES_FLAGS: &str = "-s -w \
    -X k8s.io/component-base/version.gitVersion=v1.36.3 \
    -X k8s.io/component-base/version.gitMajor=1 \
    -X k8s.io/component-base/version.gitMinor=36";

/// How often a build's progress is shown.
const PROGRESS: Duration = Duration::from_secs(30);

/// One call of the Go compiler.
struct Build {
    module: &'static str,
    /// The output file's name, where it is not that of the package's folder.
    file: Option<&'static str>,
    /// C is linked in: libseccomp, for runc.
    cgo: bool,
    flags: &'static [&'static str],
    packages: &'static [&'static str],
}

const BUILDS: &[Build] = &[
    Build {
        module: "node",
        file: None,
        cgo: false,
        flags: &["-ldflags", "-s -w", "-tags", "no_btrfs no_zfs no_devmapper"],
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr",
            "github.com/containernetworking/plugins/plugins/ipam/host-local",
            "github.com/containernetworking/plugins/plugins/main/bridge",
            "github.com/containernetworking/plugins/plugins/main/loopback",
        ],
    },
    Build {
        module: "node",
        file: Some("runc"),
        cgo: true,
        // Without the tag every sandbox fails with "seccomp not supported".
        flags: &["-ldflags", "-s -w", "-tags", "seccomp"],
        packages: &["github.com/opencontainers/runc"],
    },
    Build {
        module: "kubernetes",
        file: None,
        cgo: false,
        flags: &["-ldflags", KUBERNETES_FLAGS],
        packages: &[
            "k8s.io/kubernetes/cmd/kube-apiserver",
            "k8s.io/kubernetes/cmd/kube-controller-manager",
            "k8s.io/kubernetes/cmd/kube-proxy",
            "k8s.io/kubernetes/cmd/kube-scheduler",
            "k8s.io/kubernetes/cmd/kubectl",
            "k8s.io/kubernetes/cmd/kubelet",
        ],
    },
    Build {
        module: "kubernetes",
        file: Some("etcd"),
        cgo: false,
        flags: &["-ldflags", KUBERNETES_FLAGS],
        packages: &["go.etcd.io/etcd/server/v3"],
    },
];

/// The folder with all binaries, built now if it is not there yet.
pub(crate) async fn ensure(paths: &Paths) -> Result<PathBuf> {
    let modules = paths.repository.join("tests/cluster");
    let folder = paths.cache.join(format!("go-{}", key(&modules)?));
    if folder.is_dir() {
        return Ok(folder);
    }
    let lock = paths.cache.join("go-build.lock");
    let _lock = if let Some(lock) = try_lock(&lock)? {
        lock
    } else {
        note("another process builds Kubernetes: waiting for it");
        wait_for(&lock)?
    };
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = paths.cache.join("go-partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).context("removing an unfinished build")?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("creating {}", partial.display()))?;
    build_all(&modules, &partial).await?;
    fs::rename(&partial, &folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(folder)
}

/// The cache key: everything that decides what comes out.
fn key(modules: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    for module in ["kubernetes", "node"] {
        for file in ["go.mod", "go.sum"] {
            let path = modules.join(module).join(file);
            let content = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            hash.update(content);
            hash.update([0]);
        }
    }
    for build in BUILDS {
        let words = build.flags.iter().chain(build.packages);
        for word in words.chain(build.file.iter()) {
            hash.update(word);
            hash.update([0]);
        }
        hash.update([u8::from(build.cgo)]);
    }
    hash.update(std::env::consts::ARCH);
    Ok(crate::hex(&hash.finalize()).chars().take(16).collect())
}

async fn build_all(modules: &Path, target: &Path) -> Result<()> {
    let step = Step::announce(format!(
        "building Kubernetes {KUBERNETES} and containerd (first time: 6 to 13 minutes on 2 cores)"
    ));
    for build in BUILDS {
        let running = run(build, modules, target);
        tokio::pin!(running);
        loop {
            tokio::select! {
                done = &mut running => break done?,
                () = tokio::time::sleep(PROGRESS) => step.at(&progress(target)),
            }
        }
        step.at(&progress(target));
    }
    step.done();
    Ok(())
}

async fn run(build: &Build, modules: &Path, target: &Path) -> Result<()> {
    let output = match build.file {
        Some(file) => target.join(file),
        None => target.join(""), // a trailing slash: one file a package
    };
    let mut command = Command::new("go");
    command
        .current_dir(modules.join(build.module))
        .args(["build", "-trimpath", "-o"])
        .arg(output)
        .args(build.flags)
        .args(build.packages)
        .env("CGO_ENABLED", if build.cgo { "1" } else { "0" })
        // A user's own workspace or flags must not change what is built.
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off");
    if let Err(error) = capture(command, None).await {
        bail!("building {} failed: {error:#}", build.packages.join(" "));
    }
    Ok(())
}

fn progress(target: &Path) -> String {
    let done = fs::read_dir(target).map_or(0, Iterator::count);
    let all: usize = BUILDS.iter().map(|build| build.packages.len()).sum();
    format!("{done} of {all}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for module in ["kubernetes", "node"] {
            fs::create_dir(folder.path().join(module)).unwrap();
            for file in ["go.mod", "go.sum"] {
                fs::write(folder.path().join(module).join(file), file).unwrap();
            }
        }
        folder
    }

    #[test]
    fn the_key_changes_with_every_pinned_version() {
        let folder = modules();
        let before = key(folder.path()).unwrap();
        assert_eq!(before, key(folder.path()).unwrap());
        for module in ["kubernetes", "node"] {
            for file in ["go.mod", "go.sum"] {
                let folder = modules();
                fs::write(folder.path().join(module).join(file), "other").unwrap();
                assert_ne!(before, key(folder.path()).unwrap(), "{module}/{file}");
            }
        }
    }

    #[test]
    fn the_stamp_and_the_pin_are_the_same_version() {
        let pins = include_str!("../kubernetes/go.mod");
        assert!(pins.contains(&format!("k8s.io/kubernetes {KUBERNETES}")));
        assert!(KUBERNETES_FLAGS.contains(&format!("gitVersion={KUBERNETES}")));
    }

    #[test]
    fn every_pinned_tool_is_built() {
        for (module, pins) in [
            ("kubernetes", include_str!("../kubernetes/go.mod")),
            ("node", include_str!("../node/go.mod")),
        ] {
            let tools = pins
                .split_once("tool (")
                .and_then(|(_, rest)| rest.split_once(')'))
                .unwrap()
                .0;
            let mut pinned: Vec<&str> = tools.split_whitespace().collect();
            let mut built: Vec<&str> = BUILDS
                .iter()
                .filter(|build| build.module == module)
                .flat_map(|build| build.packages.iter().copied())
                .collect();
            pinned.sort_unstable();
            built.sort_unstable();
            assert_eq!(pinned, built);
        }
    }
}
