//! A load balancer made for an Ingress, beside one made for a Service of the same name.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::{World, kubectl, load};
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;

use crate::stage::PATIENCE;

const ID: &str = "kubernetes.io/ingress.qcloud-loadbalance-id";
const EXISTING: &str = "kubernetes.io/ingress.existLbId";
const FINALIZER: &str = "clb-gate.io/load-balancer";

/// An Ingress `web` that leads to the Service `web` gets one of its own, lets go of it when it names one that
/// exists, and leaves that one where it is when it is deleted.
pub(crate) async fn journey(world: &World, of_the_service: &str) -> Result<()> {
    kubectl::apply(&yaml(world)).await?;
    let (vip, id) = shows(world, |_, id| id.is_some()).await?;
    let id = id.unwrap_or_default();
    ensure!(id != of_the_service, "{id} is the Service's");
    answers(&vip).await?;
    let parts = ["CLB", &id, "is made for this Ingress"];
    world.event("web", &parts, PATIENCE).await?;

    let existing = Console::buy("created").await?;
    let outcome = names(world, &existing, &Console::new(&id)?).await;
    existing.give_back().await?;
    outcome
}

async fn names(world: &World, existing: &Console, made: &Console) -> Result<()> {
    let named = format!("{EXISTING}={}", existing.load_balancer);
    let annotate = ["annotate", "ingress", "web", &named];
    kubectl::run(&[&annotate[..], &["-n", &world.namespace]].concat()).await?;
    let vip = existing.vip().await?;
    shows(world, |ip, id| ip == vip && id.is_none()).await?;
    ensure!(!made.there().await?, "{} is left", made.load_balancer);
    answers(&vip).await?;

    kubectl::run(&["delete", "ingress", "web", "-n", &world.namespace]).await?;
    eventually("our listener is gone", PATIENCE, || async {
        let left = existing.protocols(80).await?;
        Ok(left
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("{left:?}")))
    })
    .await?;
    let there = existing.there().await?;
    ensure!(there, "a CLB that somebody else bought went");
    Ok(())
}

/// The address, once it is shown and the id on record is as it should be; with an id goes the finalizer.
async fn shows(
    world: &World,
    right: impl Fn(&str, Option<&String>) -> bool,
) -> Result<(String, Option<String>)> {
    let api = world.api::<Ingress>();
    let right = &right;
    eventually("the Ingress shows the address", PATIENCE, || async {
        let ingress = api.get("web").await?;
        let id = ingress.annotations().get(ID);
        let held = ingress.finalizers().iter().any(|one| one == FINALIZER);
        let status = ingress.status.as_ref();
        let shown = status.and_then(|status| status.load_balancer.as_ref()?.ingress.as_ref());
        let ip = shown.and_then(|all| all.first()?.ip.clone());
        let found = ip.filter(|ip| right(ip, id) && id.is_some() == held);
        Ok(found
            .map(|ip| (ip, id.cloned()))
            .ok_or_else(|| format!("{shown:?} {:?}", ingress.metadata)))
    })
    .await
}

async fn answers(ip: &str) -> Result<()> {
    let vip: SocketAddr = format!("{ip}:80").parse()?;
    eventually("the VIP answers", PATIENCE, || async {
        Ok(load::get(vip).await.map(drop))
    })
    .await
}

fn yaml(world: &World) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: {}
  annotations: {{ingress.cloud.tencent.com/direct-access: 'true'}}
spec:
  ingressClassName: qcloud
  defaultBackend: {{service: {{name: web, port: {{number: 80}}}}}}
",
        world.namespace
    )
}
