//! What the guides tell users to apply can be applied, and does what the guides say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::IMAGE;
use clb_gate_tests::world::gates;
use clb_gate_tests::{World, kubectl};
use futures::future::try_join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::stage::{LOAD_BALANCER, PATIENCE, beside};

/// What stands for the user's own in the guides. The image here is in no registry.
const THEIR_IMAGE: &str = "image: registry.example.com/shop/web:1";
const THEIR_LOAD_BALANCER: &str = "lb-abcd1234";
/// Events that a person must act on.
const TROUBLE: [&str; 2] = ["NotServed", "PortConflict"];

#[test]
fn every_guide_can_be_followed() {
    beside("guides", |_| async move {
        let pages = pages()?;
        ensure!(!pages.is_empty(), "no guides");
        // At the same time: each waits for health checks most of the time.
        try_join_all(pages.iter().map(|page| followed(page))).await?;
        println!("{} guides followed", pages.len());
        Ok(())
    });
}

/// In a namespace of its own.
async fn followed(page: &Path) -> Result<()> {
    let stem = page.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.replace('.', "-").to_lowercase();
    let world = World::new(&format!("guide-{name}")).await?;
    let outcome = follow(&world, page).await;
    world.end().await?;
    outcome.with_context(|| page.display().to_string())
}

fn pages() -> Result<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guides");
    let mut pages = vec![];
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_index = path.file_stem().is_some_and(|stem| stem == "README");
        if path.extension().is_some_and(|ending| ending == "md") && !is_index {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

/// What a page shows to be typed.
enum Block {
    Yaml(String),
    Shell(String),
}

async fn follow(world: &World, page: &Path) -> Result<()> {
    let text = std::fs::read_to_string(page)?;
    if !text.contains("kind: Ingress\n") {
        return typed(world, &text, LOAD_BALANCER).await;
    }
    // Its ports are the usual ones: on a CLB of its own.
    let console = Console::buy(&world.namespace).await?;
    let outcome = typed(world, &text, console.load_balancer.as_str()).await;
    console.give_back().await?;
    outcome
}

async fn typed(world: &World, text: &str, load_balancer: &str) -> Result<()> {
    let (mut applied, mut deployments) = (0, false);
    let mut apps = BTreeSet::new();
    for block in blocks(text, load_balancer) {
        match block {
            Block::Yaml(yaml) => {
                apply(world, &yaml).await?;
                apps.extend(selected(&yaml));
                if yaml.contains("kind: Ingress\n") {
                    for app in &apps {
                        world.webhooks_gate(app, true).await?;
                    }
                }
                deployments |= yaml.contains("kind: Deployment");
                applied += 1;
            }
            Block::Shell(line) => rollout(world, &line).await?,
        }
    }
    ensure!(applied > 0, "no YAML");
    all_is_well(world, deployments).await
}

/// The apps that Services select.
fn selected(yaml: &str) -> Vec<String> {
    let services = yaml
        .split("---")
        .filter(|one| one.contains("kind: Service\n"));
    let apps = services.filter_map(|one| one.split("selector: {app: ").nth(1));
    let apps = apps.filter_map(|rest| rest.split('}').next());
    apps.map(str::to_owned).collect()
}

async fn apply(world: &World, yaml: &str) -> Result<()> {
    let apply = ["apply", "-n", &world.namespace, "-f", "-"];
    let printed = kubectl::try_run(&apply, yaml).await?;
    ensure!(printed.ok && printed.err.is_empty(), "{}", printed.err);
    if yaml.contains("kind: Service\n") && yaml.contains("tke-existed-lbid") {
        let port = yaml
            .split("port: ")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        let port = port.context("a port")?.trim().parse()?;
        world.webhooks_know(LOAD_BALANCER, port).await?;
    }
    Ok(())
}

/// Of what is typed, what changes something.
async fn rollout(world: &World, line: &str) -> Result<()> {
    let Some(rest) = line.strip_prefix("kubectl rollout restart ") else {
        return Ok(());
    };
    let namespace = &world.namespace;
    kubectl::run(&["rollout", "restart", rest.trim(), "-n", namespace]).await?;
    Ok(())
}

/// Services have their addresses and no problems, pods their gates.
async fn all_is_well(world: &World, deployments: bool) -> Result<()> {
    eventually("all that the guide makes is well", PATIENCE, || async {
        Ok(services_are_well(world).await?.and(if deployments {
            pods_are_well(world).await?
        } else {
            Ok(())
        }))
    })
    .await
}

async fn services_are_well(world: &World) -> Result<Result<(), String>> {
    let all = ListParams::default();
    for ingress in world.api::<Ingress>().list(&all).await? {
        let status = ingress.status.as_ref();
        let status = status.and_then(|status| status.load_balancer.as_ref());
        if status.is_none_or(|status| status.ingress.is_none()) {
            return Ok(Err(format!("{} has no address", ingress.name_any())));
        }
    }
    for service in world.api::<Service>().list(&all).await? {
        let kind = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
        if kind != Some("LoadBalancer") {
            continue;
        }
        let status = service
            .status
            .as_ref()
            .and_then(|status| status.load_balancer.as_ref());
        if status.is_none_or(|status| status.ingress.is_none()) {
            return Ok(Err(format!("{} has no address", service.name_any())));
        }
    }
    for event in world.api::<Event>().list(&all).await? {
        let reason = event.reason.unwrap_or_default();
        if TROUBLE.contains(&reason.as_str()) {
            return Ok(Err(format!("{reason}: {}", event.note.unwrap_or_default())));
        }
    }
    Ok(Ok(()))
}

async fn pods_are_well(world: &World) -> Result<Result<(), String>> {
    let all = ListParams::default();
    for deployment in world.api::<Deployment>().list(&all).await? {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
        let status = deployment.status.clone().unwrap_or_default();
        let is_through = status.observed_generation == deployment.metadata.generation
            && status.updated_replicas == wanted
            && status.ready_replicas == wanted
            && status.replicas == wanted;
        if !is_through {
            return Ok(Err(format!("{}: {status:?}", deployment.name_any())));
        }
    }
    let pods = world.api::<Pod>().list(&all).await?;
    let mut staying = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(match staying.find(|pod| gates(pod) != 1) {
        Some(pod) => Err(format!("{} has no gate", pod.name_any())),
        None => Ok(()),
    })
}

/// The blocks of a page, in order, with the names of this place.
fn blocks(text: &str, load_balancer: &str) -> Vec<Block> {
    let mut blocks = vec![];
    for part in text.split("\n```") {
        let Some((language, content)) = part.split_once('\n') else {
            continue;
        };
        match language {
            "yaml" => blocks.push(Block::Yaml(renamed(content, load_balancer))),
            "sh" => blocks.extend(content.lines().map(|line| Block::Shell(line.to_owned()))),
            _ => {}
        }
    }
    blocks
}

fn renamed(yaml: &str, load_balancer: &str) -> String {
    let image = format!("image: {IMAGE}\n          imagePullPolicy: IfNotPresent");
    let ours = yaml.replace(THEIR_IMAGE, &image);
    ours.replace(THEIR_LOAD_BALANCER, load_balancer) + "\n"
}
