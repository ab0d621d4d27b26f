//! The examples of TKE's pages on direct access, applied as they are written but for the image, do what
//! those pages say: pods `1/1` with their gate passed, an EXTERNAL-IP that answers.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use clb_gate_tests::ours::set;
use clb_gate_tests::stage::{PATIENCE, alone};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::world::gates;
use clb_gate_tests::{World, kubectl, load};
use k8s_openapi::api::core::v1::Service;

use crate::modes::{ENI, ENI_IP, ENI_WITHOUT_IP, PLAIN, afterwards_as_before, settled, switch};

const NGINX_SERVICE: &str = include_str!("examples/nginx-service-eni.yaml");
const NGINX: &str = include_str!("examples/nginx-deployment-eni.yaml");
const NGINX_WITHOUT_IP: &str = include_str!("examples/nginx-deployment-eni-without-ip.yaml");
const MY_SERVICE: &str = include_str!("examples/my-service.yaml");
/// Those pages leave the workload of `my-service` to the reader.
const MY_APP: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: my-app}
spec:
  replicas: 2
  selector: {matchLabels: {app: MyApp}}
  template:
    metadata: {labels: {app: MyApp}}
    spec:
      containers: [{name: my-app, image: 'localhost/sample:on-9376'}]
";
/// What stands for nginx.
const ON_80: &str = "localhost/sample:on-80";

#[test]
fn tkes_examples_do_what_their_pages_say() {
    alone("examples", |world| async move {
        afterwards_as_before(async || journey(&world).await).await?;
        // Their load balancers are drained and go; whoever uninstalls after this would leave them.
        kubectl::run(&["delete", "service", "--all", "-n", &world.namespace])
            .await
            .map(drop)
    });
}

async fn journey(world: &World) -> Result<()> {
    apply(world, NGINX_SERVICE).await?;
    apply(world, MY_SERVICE).await?;
    world.webhooks_gate("nginx", true).await?;
    world.webhooks_gate("MyApp", true).await?;

    switch(false).await?;
    set("network", "mixed").await?;
    settled(world, PLAIN, false, Some("tke-route-eni")).await?;
    settled(world, ENI, true, None).await?;
    apply(
        world,
        &NGINX.replace("image: nginx", &format!("image: {ON_80}")),
    )
    .await?;
    serves(
        world,
        ("nginx-deployment-eni", "nginx", 3),
        "nginx-service-eni",
    )
    .await?;

    settled(world, ENI_WITHOUT_IP, true, Some(ENI_IP)).await?;
    apply(world, &NGINX_WITHOUT_IP.replace("nginx:1.7.9", ON_80)).await?;
    serves(
        world,
        ("nginx-deployment-eni", "nginx", 3),
        "nginx-service-eni",
    )
    .await?;

    set("network", "vpc-cni").await?;
    settled(world, PLAIN, true, None).await?;
    apply(world, MY_APP).await?;
    serves(world, ("my-app", "MyApp", 2), "my-service").await?;

    set("network", "global-router").await?;
    settled(world, PLAIN, false, Some("GlobalRouteDirectAccess")).await?;
    switch(true).await?;
    settled(world, PLAIN, true, None).await?;
    kubectl::run(&[
        "rollout",
        "restart",
        "deploy/my-app",
        "-n",
        &world.namespace,
    ])
    .await?;
    serves(world, ("my-app", "MyApp", 2), "my-service").await
}

async fn apply(world: &World, yaml: &str) -> Result<()> {
    let apply = ["apply", "-n", &world.namespace, "-f", "-"];
    let printed = kubectl::try_run(&apply, yaml).await?;
    ensure!(printed.ok && printed.err.is_empty(), "{}", printed.err);
    Ok(())
}

/// The rollout ends, all pods have their gate, and the Service's address answers by one of them.
async fn serves(
    world: &World,
    (deployment, app, replicas): (&str, &str, usize),
    service: &str,
) -> Result<()> {
    let rollout = [
        "rollout",
        "status",
        &format!("deploy/{deployment}"),
        "--timeout=90s",
    ];
    kubectl::run(&[&rollout[..], &["-n", &world.namespace]].concat()).await?;
    let pods = world.ready(app, replicas, PATIENCE).await?;
    let gated = pods.iter().filter(|pod| gates(pod) == 1).count();
    ensure!(
        gated == replicas,
        "{gated} of {replicas} pods of {deployment} have the gate"
    );
    let vip: SocketAddr = format!("{}:80", external_ip(world, service).await?).parse()?;
    let pod = eventually("the address answers", PATIENCE, || async {
        Ok(load::get(vip).await)
    });
    let pod = pod.await?;
    ensure!(
        pod.starts_with(deployment),
        "{pod} answered, not {deployment}"
    );
    println!(
        "{service}: EXTERNAL-IP {}, {gated} pods 1/1, {pod} answered",
        vip.ip()
    );
    Ok(())
}

async fn external_ip(world: &World, name: &str) -> Result<String> {
    eventually("the Service has an address", PATIENCE, || async {
        let service = world.api::<Service>().get(name).await?;
        let status = service.status.and_then(|status| status.load_balancer);
        let ingress = status.and_then(|status| status.ingress).unwrap_or_default();
        let ip = ingress.into_iter().find_map(|one| one.ip);
        Ok(ip.ok_or_else(|| "no address".to_owned()))
    })
    .await
}
