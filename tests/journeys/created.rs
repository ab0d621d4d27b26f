//! Load balancers that clb-gate makes: from YAML to an address that answers, and back to nothing.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::ours::{kill_minus_nine, leader};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service as Yaml;
use clb_gate_tests::{World, kubectl, load};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;
use serde_json::Value;

use crate::stage::{LOAD_BALANCER, PATIENCE, alone, beside, deployment};

const EXISTING: &str = "service.kubernetes.io/tke-existed-lbid";
const DIRECT_ACCESS: &str = "service.cloud.tencent.com/direct-access";
const ID: &str = "service.kubernetes.io/loadbalance-id";
const FINALIZER: &str = "clb-gate.io/load-balancer";

/// A direct-access Service that names no load balancer.
fn unnamed<'a>(world: &'a World, name: &'a str) -> Yaml<'a> {
    Yaml::direct(&world.namespace, name, LOAD_BALANCER, 80).with(EXISTING, None)
}

/// Waits for the Service's EXTERNAL-IP and checks how it is shown.
async fn external_ip(world: &World, name: &str) -> Result<(String, String)> {
    eventually("the Service has an address", PATIENCE, || async {
        let service = world.api::<Service>().get(name).await?;
        let status = service
            .status
            .clone()
            .and_then(|status| status.load_balancer);
        let ingress = status.and_then(|status| status.ingress).unwrap_or_default();
        let Some(first) = ingress.first() else {
            return Ok(Err(format!("{:?}", service.annotations())));
        };
        ensure!(first.ip_mode.as_deref() == Some("Proxy"), "{first:?}");
        let id = service.annotations().get(ID).cloned().unwrap_or_default();
        Ok(first
            .ip
            .clone()
            .map(|ip| (ip, id))
            .ok_or_else(|| format!("{first:?}")))
    })
    .await
}

/// The load balancers of the simulator that were made for a Service of this UID.
async fn made_for(uid: &str) -> Result<Vec<Value>> {
    let endpoint = std::env::var("CLB_SIM_ENDPOINT").context("CLB_SIM_ENDPOINT")?;
    let output = tokio::process::Command::new("curl")
        .args(["-sS", "--max-time", "5", &format!("{endpoint}/_sim/state")])
        .output()
        .await?;
    let state: Value = serde_json::from_slice(&output.stdout)?;
    let all = state.pointer("/load_balancers").and_then(Value::as_array);
    let mut all = all.cloned().context("load_balancers")?;
    // A slash is ~1 in a JSON pointer.
    all.retain(|one| {
        let tag = one.pointer("/tags/clb-gate.io~1service");
        tag.and_then(Value::as_str) == Some(uid)
    });
    Ok(all)
}

async fn none_is_left(uid: &str) -> Result<()> {
    eventually("the load balancer is gone", PATIENCE, || async {
        let left = made_for(uid).await?;
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        })
    })
    .await
}

async fn service_is_gone(world: &World, name: &str) -> Result<()> {
    eventually("the Service is gone", PATIENCE, || async {
        let found = world.api::<Service>().get_opt(name).await?;
        Ok(found.map_or(Ok(()), |service| Err(format!("{:?}", service.metadata))))
    })
    .await
}

async fn delete(world: &World, name: &str) -> Result<()> {
    let args = [
        "delete",
        "service",
        name,
        "-n",
        &world.namespace,
        "--wait=false",
    ];
    kubectl::run(&args).await.map(drop)
}

async fn uid(world: &World, name: &str) -> Result<String> {
    let service = world.api::<Service>().get(name).await?;
    service.uid().context("a UID")
}

async fn answers(ip: &str, port: u16) -> Result<()> {
    let vip: SocketAddr = format!("{ip}:{port}").parse()?;
    eventually("the VIP answers", PATIENCE, || async {
        Ok(load::get(vip).await.map(drop))
    })
    .await
}

/// Pods created after the Service was seen: the webhook gates them although no load balancer is there yet.
async fn serve(world: &World, name: &str, replicas: u32) -> Result<()> {
    kubectl::apply(&unnamed(world, name).yaml()).await?;
    world.webhooks_know(LOAD_BALANCER, 8070).await?;
    kubectl::apply(&deployment(world, name, replicas, "1")).await?;
    Ok(())
}

#[test]
fn a_service_that_names_none_gets_its_own_and_takes_it_along() {
    beside("created", |world| async move {
        serve(&world, "web", 2).await?;
        let (ip, id) = external_ip(&world, "web").await?;
        let pods = world.ready("web", 2, PATIENCE).await?;
        let gated = pods.iter().map(clb_gate_tests::world::gates).sum::<usize>();
        ensure!(gated == 2, "{gated} of 2 pods have the gate");
        answers(&ip, 80).await?;
        world
            .event("web", &["CLB", &id, "is made"], PATIENCE)
            .await?;
        let shown = kubectl::run(&["get", "service", "web", "-n", &world.namespace]).await?;
        ensure!(shown.out.contains(&ip), "{}", shown.out);

        crate::created_ingress::journey(&world, &id).await?;

        let uid = uid(&world, "web").await?;
        ensure!(made_for(&uid).await?.len() == 1);
        delete(&world, "web").await?;
        service_is_gone(&world, "web").await?;
        ensure!(made_for(&uid).await?.is_empty(), "it outlived its Service");
        Ok(())
    });
}

#[test]
fn taking_the_annotation_away_deletes_what_was_made_and_nothing_else() {
    beside("created-off", |world| async move {
        serve(&world, "web", 1).await?;
        external_ip(&world, "web").await?;
        world.ready("web", 1, PATIENCE).await?;
        let uid = uid(&world, "web").await?;
        let off = format!("{DIRECT_ACCESS}-");
        kubectl::run(&["annotate", "service", "web", "-n", &world.namespace, &off]).await?;
        none_is_left(&uid).await?;
        eventually("nothing of ours is on the Service", PATIENCE, || async {
            let service = world.api::<Service>().get("web").await?;
            let clean = service.finalizers().iter().all(|name| name != FINALIZER)
                && !service.annotations().contains_key(ID)
                && service.status.as_ref().is_none_or(|status| {
                    let balancer = status.load_balancer.as_ref();
                    balancer.is_none_or(|one| one.ingress.as_ref().is_none_or(Vec::is_empty))
                });
            Ok(if clean {
                Ok(())
            } else {
                Err(format!("{:?} {:?}", service.metadata, service.status))
            })
        })
        .await
    });
}

#[test]
fn one_deleted_behind_its_back_is_made_anew() {
    beside("created-lost", |world| async move {
        kubectl::apply(&unnamed(&world, "web").yaml()).await?;
        let (_, first) = external_ip(&world, "web").await?;
        Console::new(&first)?.delete().await?;
        eventually("another one is recorded", PATIENCE, || async {
            let service = world.api::<Service>().get("web").await?;
            let id = service.annotations().get(ID).cloned().unwrap_or_default();
            Ok(if id.is_empty() || id == first {
                Err(id)
            } else {
                Ok(())
            })
        })
        .await?;
        world
            .event("web", &[&first, "does not exist any more"], PATIENCE)
            .await?;
        let uid = uid(&world, "web").await?;
        ensure!(made_for(&uid).await?.len() == 1);
        delete(&world, "web").await?;
        service_is_gone(&world, "web").await?;
        none_is_left(&uid).await
    });
}

#[test]
fn a_typed_id_is_told_and_not_touched() {
    beside("created-typed", |world| async move {
        let typed = unnamed(&world, "web").with(ID, Some("lb-demo0002"));
        kubectl::apply(&typed.yaml()).await?;
        let parts = ["lb-demo0002", ID, "does not bear clb-gate's tags"];
        world.event("web", &parts, PATIENCE).await?;
        let uid = uid(&world, "web").await?;
        ensure!(made_for(&uid).await?.is_empty());
        let annotation = format!("{ID}-");
        kubectl::run(&[
            "annotate",
            "service",
            "web",
            "-n",
            &world.namespace,
            &annotation,
        ])
        .await?;
        let (_, id) = external_ip(&world, "web").await?;
        ensure!(id != "lb-demo0002");
        delete(&world, "web").await?;
        service_is_gone(&world, "web").await?;
        none_is_left(&uid).await?;
        Console::new("lb-demo0002")?.vip().await.map(drop)
    });
}

#[test]
fn two_services_share_one_port_of_one_load_balancer_by_protocol_and_a_conflict_is_told_on_both() {
    beside("shared", |world| async move {
        let console = Console::new("lb-demo0002")?;
        let tcp = Yaml::direct(&world.namespace, "tcp", "lb-demo0002", 8072);
        let udp = Yaml::direct(&world.namespace, "udp", "lb-demo0002", 8072);
        let udp = udp
            .yaml()
            .replace("{port: 8072,", "{protocol: UDP, port: 8072,");
        kubectl::apply(&tcp.yaml()).await?;
        kubectl::apply(&udp).await?;
        eventually("both listeners are there", PATIENCE, || async {
            let mut protocols = console.protocols(8072).await?;
            protocols.sort();
            Ok(if protocols == ["TCP", "UDP"] {
                Ok(())
            } else {
                Err(format!("{protocols:?}"))
            })
        })
        .await?;
        third_is_younger(&world).await?;
        let (both, older, younger) = (["TCP:8072", "lb-demo0002"], "shared/tcp", "shared/third");
        let told = [&both[..], &["older Service", older]].concat();
        world.event("third", &told, PATIENCE).await?;
        let told = [&both[..], &["younger Service", younger]].concat();
        world.event("tcp", &told, PATIENCE).await?;
        let (ip, id) = external_ip(&world, "tcp").await?;
        ensure!(ip == console.vip().await? && id.is_empty(), "{ip} {id}");
        for name in ["tcp", "udp", "third"] {
            delete(&world, name).await?;
        }
        eventually("our listeners are gone", PATIENCE, || async {
            let left = console.protocols(8072).await?;
            Ok(if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            })
        })
        .await
    });
}

/// Creates a third Service on the same port. Ages are told in seconds, so it is made anew until it is
/// younger than the first by one.
async fn third_is_younger(world: &World) -> Result<()> {
    let third = Yaml::direct(&world.namespace, "third", "lb-demo0002", 8072).yaml();
    eventually("the third Service is younger", PATIENCE, || async {
        kubectl::apply(&third).await?;
        let api = world.api::<Service>();
        let (first, third) = (api.get("tcp").await?, api.get("third").await?);
        if third.creation_timestamp() > first.creation_timestamp() {
            return Ok(Ok(()));
        }
        kubectl::run(&["delete", "service", "third", "-n", &world.namespace]).await?;
        Ok(Err("made in the same second".to_owned()))
    })
    .await
}

#[test]
fn killing_the_leader_while_one_is_made_or_deleted_leaks_none() {
    alone("created-killed", |world| async move {
        kubectl::apply(&unnamed(&world, "web").yaml()).await?;
        let first = leader(&world.client).await?;
        kill_minus_nine(&world.client, &first).await?;
        external_ip(&world, "web").await?;
        let uid = uid(&world, "web").await?;
        ensure!(made_for(&uid).await?.len() == 1);
        delete(&world, "web").await?;
        let second = leader(&world.client).await?;
        kill_minus_nine(&world.client, &second).await?;
        service_is_gone(&world, "web").await?;
        none_is_left(&uid).await
    });
}
