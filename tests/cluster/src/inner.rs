//! Inside the namespaces: brings the cluster up, runs the command and ends; everything else ends
//! with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::{try_join, try_join_all};
use serde::{Deserialize, Serialize};

use crate::control_plane::ControlPlane;
use crate::kubectl::Kubectl;
use crate::network::{CORE, KUBERNETES_SERVICE, NODES, connects};
use crate::node::{Ground, Node, start_core_proxy};
use crate::paths::Paths;
use crate::power::Power;
use crate::process::Components;
use crate::progress::{Step, note};
use crate::session::{Session, Task, link};
use crate::simulator::Simulator;
use crate::{cgroups, dns, image, install, mounts, network};

/// Enough for a machine that compiles something else at the same time.
const LIMIT: Duration = Duration::from_mins(2);

/// What the outer process has decided.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// The run's name.
    pub(crate) run: String,
    /// Its folder: `logs` on disk, `work` in memory.
    pub(crate) folder: PathBuf,
    /// Where the Go binaries lie.
    pub(crate) tools: PathBuf,
    /// The cluster only: no simulator, no clb-gate.
    pub(crate) bare: bool,
    /// What to run.
    pub(crate) task: Task,
}

/// A cluster that is up.
struct Cluster<'a> {
    power: Power<'a>,
    simulator: Option<Simulator>,
}

/// What a cluster is made of.
struct Site {
    plan: Plan,
    work: PathBuf,
    logs: PathBuf,
    audit_log: PathBuf,
    components: Components,
}

/// Does all of it; the status to exit with.
pub(crate) async fn run(paths: &Paths, plan: &Path) -> Result<u8> {
    let text = fs::read(plan).with_context(|| format!("reading {}", plan.display()))?;
    let plan: Plan = serde_json::from_slice(&text).context("reading the plan")?;
    let logs = plan.folder.join("logs");
    let site = Site {
        work: plan.folder.join("work"),
        audit_log: logs.join("audit.log"),
        components: Components::new(logs.clone(), paths.failure_logs()),
        logs,
        plan,
    };
    let booting = boot(paths, &site);
    let cluster = tokio::select! {
        cluster = booting => cluster?,
        _ = tokio::signal::ctrl_c() => return Ok(128 + 2),
    };
    let status = serve(paths, &site, &cluster).await?;
    if let Err(error) = site.components.check() {
        note(&format!("{error:#}"));
    }
    Ok(status)
}

/// Runs the command, which may cut the power meanwhile.
async fn serve(paths: &Paths, site: &Site, cluster: &Cluster<'_>) -> Result<u8> {
    let mut programs = vec![site.plan.tools.join("kubectl")];
    programs.extend(["clb-gate", "clb-sim"].map(|name| paths.binaries.join(name)));
    let session = Session {
        kubectl: &cluster.power.kubectl,
        simulator: cluster.simulator.as_ref(),
        programs: link(&programs, site.work.join("bin"))?,
        folder: &site.work,
        logs: &site.logs,
        audit_log: Some(&site.audit_log),
    };
    tokio::select! {
        status = session.run(&site.plan.task) => status,
        broken = cluster.power.obey() => broken.map(|()| 0).context("the power switch"),
    }
}

async fn boot<'a>(paths: &Paths, site: &'a Site) -> Result<Cluster<'a>> {
    let whole = Step::start("cluster up");
    ground(&site.plan, &site.components).await?;
    let ground = Ground {
        run: &site.plan.run,
        tools: &site.plan.tools,
        work: &site.work,
        logs: &site.logs,
        components: &site.components,
    };
    let nodes: Vec<_> = NODES.map(|place| Node::new(place, ground)).into();
    let control_plane = ControlPlane {
        tools: &site.plan.tools,
        work: &site.work,
        audit_log: &site.audit_log,
        components: &site.components,
    };
    let images = load(paths, site.plan.bare, &site.work, &nodes);
    let (kubectl, ()) = try_join(control_plane.start(), images).await?;
    join(&nodes, ground, &kubectl).await?;
    let simulator = if site.plan.bare {
        None
    } else {
        Some(equip(paths, &site.work, &kubectl, &site.components).await?)
    };
    whole.done();
    let power = Power {
        control_plane,
        nodes,
        ground,
        kubectl,
    };
    Ok(Cluster { power, simulator })
}

/// Starts containerd on every node, with the images.
async fn load(paths: &Paths, bare: bool, work: &Path, nodes: &[Node<'_>]) -> Result<()> {
    let step = Step::start("containerd up, images loaded");
    let (paths, scratch) = (paths.clone(), work.to_path_buf());
    let writing = tokio::task::spawn_blocking(move || write_images(&paths, bare, &scratch));
    try_join_all(nodes.iter().map(Node::start_containerd)).await?;
    let archive = writing.await.context("writing the images")??;
    try_join_all(nodes.iter().map(|node| node.import(&archive))).await?;
    step.done();
    Ok(())
}

/// What lies under the cluster's programs.
async fn ground(plan: &Plan, components: &Components) -> Result<()> {
    let work = plan.folder.join("work");
    mounts::prepare(&work)?;
    network::prepare().await?;
    cgroups::prepare(&plan.run)?;
    dns::start(components)?;
    mounts::resolve_through(CORE, &work)
}

/// The images that both nodes get, in one archive. A bare cluster has clb-gate's too, where it is
/// built, so that a user can install it by hand.
fn write_images(paths: &Paths, bare: bool, work: &Path) -> Result<PathBuf> {
    let sample = image::sample(paths, work)?;
    let mut images = vec![image::pause(paths, work)?];
    images.extend(image::stand_ins(&sample));
    images.push(sample);
    if !bare || paths.binary("clb-gate").is_ok() {
        images.push(image::clb_gate(paths, work)?);
    }
    let archive = work.join("images.tar");
    image::write(&images, &archive)?;
    Ok(archive)
}

async fn join(nodes: &[Node<'_>], ground: Ground<'_>, kubectl: &Kubectl) -> Result<()> {
    let step = Step::start("two nodes ready, Services reachable");
    for node in nodes {
        node.join(kubectl)?;
    }
    start_core_proxy(ground, kubectl)?;
    ground
        .components
        .until("both nodes are Ready", LIMIT, async || {
            nodes_ready(kubectl).await
        })
        .await?;
    try_join_all(nodes.iter().map(|node| node.advertise(kubectl))).await?;
    let service = format!("{KUBERNETES_SERVICE}:443");
    ground
        .components
        .until("the kubernetes Service answers", LIMIT, async || {
            connects(&service).await
        })
        .await?;
    step.done();
    Ok(())
}

/// Ready, and pods may be made: every pod needs its namespace's default `ServiceAccount`.
async fn nodes_ready(kubectl: &Kubectl) -> Result<()> {
    let path = r#"-o=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
    let states = kubectl.run(&["get", "nodes", path]).await?;
    let ready = states.split_whitespace().filter(|state| *state == "True");
    ensure!(ready.count() == NODES.len(), "Ready is: {states:?}");
    kubectl
        .run(&["get", "serviceaccount", "default"])
        .await
        .map(drop)
}

/// The CLB and clb-gate.
async fn equip(
    paths: &Paths,
    work: &Path,
    kubectl: &Kubectl,
    components: &Components,
) -> Result<Simulator> {
    let simulator = Simulator::prepare(work)?;
    let program = paths.binary("clb-sim")?;
    simulator.start(&program, work, components).await?;
    let overlay = paths.overlay();
    install::install(kubectl, &simulator, &overlay, components).await?;
    Ok(simulator)
}
