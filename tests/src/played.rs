//! Pods without containers: no scheduler takes them, and what a kubelet would report of them a test
//! reports. Hundreds cost next to nothing, and come and go at a test's word.
//!
//! Their addresses lie on node-1, where one sample program answers for all of them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::World;
use crate::wait::eventually;
use crate::workload::IMAGE;
use crate::world::GATE;

/// Their addresses, which the simulator's VPC knows and no real pod has.
const ADDRESSES: &str = "198.18.4.0/22";
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 4, 0);
/// The node that has the addresses, and its own.
const NODE: (&str, &str) = ("/run/netns/node1", "198.18.0.11");
/// The port of their container, TCP and UDP; nothing else on the node has it.
pub const PORT: u16 = 18_080;
/// Keeps a pod that was deleted until it has ended, as a kubelet's grace period does.
const ENDING: &str = "example.com/ending";
/// Who applies what a kubelet would.
const ANSWERING: Duration = Duration::from_secs(20);

/// What answers at the pods' addresses, for as long as it is kept.
pub struct Stand(#[expect(dead_code, reason = "kept for its Drop")] Child);

impl Stand {
    /// Starts the sample program on the node; `sample` is its path.
    pub async fn open(sample: &Path) -> Result<Self> {
        let (namespace, node) = NODE;
        ip(&["route", "replace", ADDRESSES, "via", node]).await?;
        // The node takes all of them for its own.
        let inside = ["route", "replace", "local", ADDRESSES, "dev", "lo"];
        ip(&[&["-n", "node1"], &inside[..]].concat()).await?;
        let child = Command::new("nsenter")
            .arg(format!("--net={namespace}"))
            .arg(sample)
            .env("PORT", PORT.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let stand = Self(child);
        eventually("the pods' addresses answer", ANSWERING, || async {
            let connected = TcpStream::connect((address(1), PORT)).await;
            Ok(connected.map(drop).map_err(|error| error.to_string()))
        })
        .await?;
        Ok(stand)
    }
}

async fn ip(args: &[&str]) -> Result<()> {
    let status = Command::new("ip").args(args).status().await?;
    ensure!(status.success(), "ip {}", args.join(" "));
    Ok(())
}

/// The address of a played pod, 1 to 1022.
pub fn address(number: u16) -> IpAddr {
    let bits = FIRST.to_bits() + u32::from(number);
    Ipv4Addr::from_bits(bits).into()
}

/// `address:port` of a played pod, as the CLB names its target.
pub fn target(number: u16) -> String {
    format!("{}:{PORT}", address(number))
}

/// What becomes of a pod that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone at once, as by `--force`.
    AtOnce,
    /// It is going until it has [`ended`], as in a kubelet's grace period.
    Going,
}

/// Creates a pod of an app; it has no address yet.
pub async fn create(world: &World, app: &str, name: &str, deleted: Deleted) -> Result<()> {
    let finalizers = match deleted {
        Deleted::AtOnce => vec![],
        Deleted::Going => vec![ENDING],
    };
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"app": app}, "finalizers": finalizers},
        "spec": {
            "schedulerName": "nobody",
            "readinessGates": [{"conditionType": GATE}],
            "containers": [{"name": "sample", "image": IMAGE, "ports": [
                {"name": "http", "containerPort": PORT},
                {"name": "udp", "containerPort": PORT, "protocol": "UDP"},
            ]}],
        },
    }))?;
    let api = world.api::<Pod>();
    let created = api.create(&PostParams::default(), &pod).await;
    created
        .with_context(|| format!("creating {name}"))
        .map(drop)
}

/// Says of a pod what a kubelet would: its address, and that its containers are ready.
pub async fn start(world: &World, name: &str, number: u16) -> Result<()> {
    let ip = address(number).to_string();
    let now = now().to_string();
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let status = json!({
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [condition("Initialized"), condition("ContainersReady")],
    });
    let patch = Patch::Strategic(json!({"status": status}));
    let api = world.api::<Pod>();
    let started = api
        .patch_status(name, &PatchParams::default(), &patch)
        .await;
    started
        .with_context(|| format!("starting {name}"))
        .map(drop)
}

/// Deletes a pod.
pub async fn stop(world: &World, name: &str) -> Result<()> {
    let api = world.api::<Pod>();
    let stopped = api.delete(name, &DeleteParams::default()).await;
    stopped
        .with_context(|| format!("deleting {name}"))
        .map(drop)
}

/// Its containers have ended: a pod that was going is gone.
pub async fn ended(world: &World, name: &str) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let api = world.api::<Pod>();
    let ended = api.patch(name, &PatchParams::default(), &patch).await;
    ended.with_context(|| format!("ending {name}")).map(drop)
}

/// Deletes all pods of an app at once.
pub async fn stop_all(world: &World, app: &str) -> Result<()> {
    let of_app = ListParams::default().labels(&format!("app={app}"));
    let api = world.api::<Pod>();
    let stopped = api
        .delete_collection(&DeleteParams::default(), &of_app)
        .await;
    stopped.with_context(|| format!("deleting {app}")).map(drop)
}

/// What a kubelet's clock reads.
#[expect(clippy::disallowed_methods, reason = "the kubelet's clock")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
