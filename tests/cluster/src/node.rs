//! A node: its own containerd, kubelet and kube-proxy in its own network namespace and cgroup.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::cgroups;
use crate::kubectl::Kubectl;
use crate::network::{self, CORE, NODES, PODS_BRIDGE};
use crate::process::{Components, capture};
use crate::setup::SYSTEM_FOLDERS;

/// Enough for a machine that compiles something else at the same time.
const LIMIT: Duration = Duration::from_mins(1);

/// Pods a node takes, and ENI addresses it has for them.
const PODS: u32 = 240;

/// A node's programs and places.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    place: network::Node,
    /// The run's name, in its cgroup's.
    run: &'a str,
    tools: &'a Path,
    work: PathBuf,
    pod_logs: PathBuf,
    components: &'a Components,
}

/// What both nodes share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    /// The run's name.
    pub(crate) run: &'a str,
    /// Where the Go binaries lie.
    pub(crate) tools: &'a Path,
    /// The run's folder in memory.
    pub(crate) work: &'a Path,
    /// The run's folder of logs.
    pub(crate) logs: &'a Path,
    /// Keeps what is started.
    pub(crate) components: &'a Components,
}

impl<'a> Node<'a> {
    /// The node at `place`; nothing is started yet.
    pub(crate) fn new(place: network::Node, ground: Ground<'a>) -> Self {
        Self {
            place,
            run: ground.run,
            tools: ground.tools,
            work: ground.work.join(place.name()),
            pod_logs: ground.logs.join("pods").join(place.name()),
            components: ground.components,
        }
    }

    /// Starts containerd and waits until it answers.
    pub(crate) async fn start_containerd(&self) -> Result<()> {
        let network = self.work.join("cni");
        fs::create_dir_all(&network).with_context(|| format!("creating {}", network.display()))?;
        self.write("cni/10-pods.conflist", &self.pod_network().to_string())?;
        let config = self.write("containerd.toml", &self.containerd_config())?;
        let mut command = self.command("containerd");
        command.arg("-c").arg(config);
        let name = format!("containerd-{}", self.place.number());
        self.components.start(&name, command)?;
        self.components
            .until("containerd answers", LIMIT, async || {
                self.ctr(&["version"]).await
            })
            .await
    }

    /// What lies on it, all of it below one folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.work
    }

    /// Its programs' network namespace, by a command in it.
    pub(crate) fn enter(&self) -> Command {
        self.place.enter()
    }

    /// Loads an archive of images.
    pub(crate) async fn import(&self, archive: &Path) -> Result<()> {
        let path = archive.display().to_string();
        self.ctr(&["-n", "k8s.io", "images", "import", &path])
            .await
            .context("loading the images")
    }

    /// Starts the kubelet and kube-proxy.
    pub(crate) fn join(&self, kubectl: &Kubectl) -> Result<()> {
        let config = self.write("kubelet.json", &self.kubelet_config().to_string())?;
        let mut command = self.command("kubelet");
        command
            .arg("--config")
            .arg(config)
            .arg("--kubeconfig")
            .arg(kubectl.kubeconfig())
            .arg("--root-dir")
            .arg(self.work.join("kubelet"))
            .arg("--cert-dir")
            .arg(self.work.join("pki"))
            .args(["--hostname-override", &self.place.name()])
            .args(["--node-ip", &self.place.address()]);
        let number = self.place.number();
        self.components
            .start(&format!("kubelet-{number}"), command)?;
        let proxy = proxy_command(self.command("kube-proxy"), &self.work, self.place, kubectl)?;
        self.components
            .start(&format!("kube-proxy-{number}"), proxy)
    }

    /// Advertises addresses of ENIs, as the agent of TKE's VPC-CNI has a node do. A kubelet that starts
    /// again counts none of them until the agent registers; here nobody does, and it stays at none.
    pub(crate) async fn advertise(&self, kubectl: &Kubectl) -> Result<()> {
        let addresses = [("tke.cloud.tencent.com/eni-ip", PODS.to_string())];
        let patch = json!({"status": {"capacity": BTreeMap::from(addresses)}}).to_string();
        let (name, patch) = (self.place.name(), patch.as_str());
        let args = ["patch", "node", &name, "--subresource=status", "-p", patch];
        let advertised = kubectl.run(&args).await;
        advertised.context("advertising ENI addresses").map(drop)
    }

    /// A program of this node, in its network namespace. containerd finds its shim on PATH.
    fn command(&self, tool: &str) -> Command {
        let mut command = self.place.enter();
        let path = std::env::var("PATH").unwrap_or_default();
        let tools = self.tools.display();
        command
            .env("PATH", format!("{tools}:{path}:{SYSTEM_FOLDERS}"))
            .arg(self.tools.join(tool));
        command
    }

    async fn ctr(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(self.tools.join("ctr"));
        command.arg("-a").arg(self.socket()).args(args);
        capture(command, None).await.map(drop)
    }

    fn socket(&self) -> PathBuf {
        self.work.join("containerd.sock")
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.work.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn pod_network(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [{
                "type": "bridge",
                "bridge": PODS_BRIDGE,
                "isGateway": true,
                // A CLB forwards straight to the pod, so pods keep their own addresses everywhere.
                "ipMasq": false,
                "hairpinMode": true,
                // A pod's answer to a client of the CLB that is its neighbour must take the way back
                // through the CLB, not straight across the bridge: so nothing goes straight.
                "portIsolation": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": self.place.pods()}]],
                    "dataDir": self.work.join("ipam"),
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }],
        })
    }

    fn containerd_config(&self) -> String {
        let (work, tools) = (self.work.display(), self.tools.display());
        format!(
            r#"version = 3
root = "{work}/root"
state = "{work}/state"
[grpc]
  address = "{work}/containerd.sock"
[ttrpc]
  address = "{work}/containerd.sock.ttrpc"
[plugins.'io.containerd.internal.v1.opt']
  path = "{work}/opt"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "localhost/pause:1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["{tools}"]
  conf_dir = "{work}/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "{tools}/runc"
  SystemdCgroup = false
"#
        )
    }

    fn kubelet_config(&self) -> Value {
        // The machine's own disk is none of this cluster's business: never evict for it.
        let never = json!({
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        });
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.place.address(),
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{}", cgroups::name(self.place, self.run)),
            "clusterDNS": [CORE],
            "clusterDomain": "cluster.local",
            "containerRuntimeEndpoint": format!("unix://{}", self.socket().display()),
            "enforceNodeAllocatable": [],
            "evictionHard": never,
            // From 1.35 on the kubelet refuses cgroup version 1 unless told.
            "failCgroupV1": false,
            "failSwapOn": false,
            "healthzPort": 0,
            "imageGCHighThresholdPercent": 100,
            "maxPods": PODS,
            "podLogsDir": self.pod_logs,
            "port": 10250,
            "resolvConf": "",
            "volumePluginDir": self.work.join("volume-plugins"),
        })
    }
}

/// Starts a third kube-proxy, in the control plane's namespace: there commands run, and they too
/// reach Services at their cluster addresses.
pub(crate) fn start_core_proxy(ground: Ground<'_>, kubectl: &Kubectl) -> Result<()> {
    // kube-proxy wants to see a Node of its name before it starts; it may be any.
    let [first, ..] = NODES;
    let command = Command::new(ground.tools.join("kube-proxy"));
    let command = proxy_command(command, ground.work, first, kubectl)?;
    ground.components.start("kube-proxy-core", command)
}

fn proxy_command(
    mut command: Command,
    folder: &Path,
    node: network::Node,
    kubectl: &Kubectl,
) -> Result<Command> {
    let config = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubectl.kubeconfig()},
        // Everything of ours: pods keep their addresses also on their way to a Service.
        "clusterCIDR": "198.18.0.0/16",
        "conntrack": {"maxPerCore": 0},
        "hostnameOverride": node.name(),
    });
    let path = folder.join("kube-proxy.json");
    fs::write(&path, config.to_string()).with_context(|| format!("writing {}", path.display()))?;
    command.arg("--config").arg(path);
    Ok(command)
}
