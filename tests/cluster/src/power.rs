//! The power switch of the whole cluster: off is as sudden as a power cut, and what is on disk in a
//! real cluster (etcd's data, images, the kubelets' folders) is still there when it is on again.
//!
//! What is not on disk in a real cluster goes: every process, mount and control group of every pod,
//! everything under /run, and kube-proxy's rules. The simulator and the DNS server stand outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::Command;

use crate::control_plane::{API_SERVER, ControlPlane};
use crate::kubectl::Kubectl;
use crate::node::{Ground, Node, start_core_proxy};
use crate::process::capture;
use crate::progress::note;
use crate::{cgroups, mounts};

/// The socket's name, in the run's folder.
const SOCKET: &str = "power.sock";
/// Components that stand outside of the cluster.
const OUTSIDE: [&str; 2] = ["clb-sim", "dnsmasq"];
/// As the kernel cuts it: a command's name is 15 bytes long.
const SHIM: &str = "containerd-shim";
/// How long killed processes may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// The switch, and what hangs on it.
pub(crate) struct Power<'a> {
    /// etcd and what stands on it.
    pub(crate) control_plane: ControlPlane<'a>,
    /// The nodes.
    pub(crate) nodes: Vec<Node<'a>>,
    /// What they share.
    pub(crate) ground: Ground<'a>,
    /// The cluster's administrator.
    pub(crate) kubectl: Kubectl,
}

impl Power<'_> {
    /// Obeys whoever writes to the socket, one at a time; ends only with an error.
    pub(crate) async fn obey(&self) -> Result<()> {
        let place = self.ground.work.join(SOCKET);
        let listener = UnixListener::bind(&place)
            .with_context(|| format!("listening on {}", place.display()))?;
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&place, private).context("keeping the power switch to ourselves")?;
        loop {
            let (asked, _) = listener.accept().await.context("accepting an order")?;
            if let Err(error) = self.answer(asked).await {
                note(&format!("power switch: {error:#}"));
            }
        }
    }

    async fn answer(&self, mut asked: UnixStream) -> Result<()> {
        let mut line = String::new();
        BufReader::new(&mut asked).read_line(&mut line).await?;
        let done = match line.trim() {
            "off" => self.off().await,
            "on" => self.on().await,
            "api-off" => self.api_off().await,
            "api-on" => self.control_plane.run_api_server(&self.kubectl).await,
            other => bail!("{other:?} is none of on, off, api-on and api-off"),
        };
        let told = match done {
            Ok(()) => "ok\n".to_owned(),
            Err(error) => format!("{error:#}\n"),
        };
        asked.write_all(told.as_bytes()).await?;
        Ok(())
    }

    async fn off(&self) -> Result<()> {
        let components = self.ground.components;
        components.kill(|name| !OUTSIDE.contains(&name)).await;
        kill_shims()?;
        cgroups::remove(self.ground.run).await?;
        until_gone().await?;
        forget_networks().await?;
        for node in &self.nodes {
            mounts::clear(node.folder())?;
            remove(&node.folder().join("state"))?;
            forget_services(node.enter()).await;
        }
        forget_services(Command::new("env")).await;
        remove(Path::new("/run/containerd"))
    }

    /// Everything else runs on.
    async fn api_off(&self) -> Result<()> {
        let components = self.ground.components;
        components.kill(|name| name == API_SERVER).await;
        Ok(())
    }

    async fn on(&self) -> Result<()> {
        cgroups::prepare(self.ground.run)?;
        self.control_plane.run(&self.kubectl).await?;
        try_join_all(self.nodes.iter().map(Node::start_containerd)).await?;
        for node in &self.nodes {
            node.join(&self.kubectl)?;
        }
        start_core_proxy(self.ground, &self.kubectl)
    }
}

/// A pod's shim is nobody's component.
fn kill_shims() -> Result<()> {
    for (pid, _) in shims()? {
        let _ = kill(pid, Signal::SIGKILL); // it may have gone by itself
    }
    Ok(())
}

async fn until_gone() -> Result<()> {
    let since = Instant::now();
    while let Some((pid, name)) = shims()?.first() {
        if since.elapsed() > GONE {
            bail!("{name} ({pid}) is still there {GONE:?} after SIGKILL");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// This PID namespace's shims.
fn shims() -> Result<Vec<(Pid, String)>> {
    let processes = fs::read_dir("/proc").context("listing the processes")?;
    let named = processes.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((Pid::from_raw(pid), name.trim().to_owned()))
    });
    Ok(named.filter(|(_, name)| name == SHIM).collect())
}

/// The pods' network namespaces, each held by a mount.
async fn forget_networks() -> Result<()> {
    let listed = fs::read_dir("/run/netns").context("listing the network namespaces")?;
    for entry in listed.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("cni-") {
            let mut command = Command::new("ip");
            command.args(["netns", "delete", &name]);
            capture(command, None).await?;
        }
    }
    Ok(())
}

/// kube-proxy's rules and the connections made by them; where there are none, there is nothing to do.
async fn forget_services(mut inside: Command) {
    let script = "nft delete table ip kube-proxy; nft delete table ip6 kube-proxy; conntrack -F";
    inside.args(["sh", "-c", script]);
    let _ = capture(inside, None).await;
}

fn remove(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))
}
