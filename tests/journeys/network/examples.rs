//! The examples of TKE's pages on direct access, applied as they are written but for the image, do what
//! those pages say: pods `1/1` with their gate passed, an EXTERNAL-IP or ADDRESS that answers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Error, Result, ensure};
use clb_gate_tests::ours::set;
use clb_gate_tests::sim::Console;
use clb_gate_tests::stage::{PATIENCE, alone};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::world::gates;
use clb_gate_tests::{World, kubectl, load};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;

use crate::modes::{ENI, ENI_IP, ENI_WITHOUT_IP, PLAIN, afterwards_as_before, settled, switch};

const NGINX_SERVICE: &str = include_str!("examples/nginx-service-eni.yaml");
const NGINX: &str = include_str!("examples/nginx-deployment-eni.yaml");
const NGINX_WITHOUT_IP: &str = include_str!("examples/nginx-deployment-eni-without-ip.yaml");
const DEPRECATED: &str = "is deprecated, please use 'spec.ingressClassName' instead";
/// In the API's version of today: the page's v1beta1 is not served any more.
const TEST_INGRESS: &str = include_str!("examples/test-ingress.yaml");
const MY_SERVICE: &str = include_str!("examples/my-service.yaml");
/// What the page leaves to the reader too: the object of its "annotation extension".
const MY_SERVICE_CONFIG: &str = include_str!("examples/my-service-config.yaml");
const CONFIG_NAMED: &str = "service.cloud.tencent.com/tke-service-config: my-service-config";
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
/// Where clb-gate writes the id of the CLB that it made.
const INGRESS_ID: &str = "kubernetes.io/ingress.qcloud-loadbalance-id";
const SERVICE_ID: &str = "service.kubernetes.io/loadbalance-id";
/// What stands for nginx.
const ON_80: &str = "localhost/sample:on-80";

#[test]
fn tkes_examples_do_what_their_pages_say() {
    alone("examples", |world| async move {
        afterwards_as_before(async || journey(&world).await).await?;
        // Their load balancers are drained and go; whoever uninstalls after this would leave them.
        kubectl::run(&["delete", "service,ingress", "--all", "-n", &world.namespace])
            .await
            .map(drop)
    });
}

async fn journey(world: &World) -> Result<()> {
    apply(world, NGINX_SERVICE).await?;
    apply(world, MY_SERVICE).await?;
    // The page leaves its Service to the reader.
    let ingress = TEST_INGRESS.replace("name: nginx", "name: nginx-service-eni");
    apply(world, &ingress).await?;
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
    leads(world, "test-ingress", ("nginx-deployment-eni", 3)).await?;

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
    configured(world, "my-service").await?;

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
    // Kubernetes says of its own that ingress.class, as the page writes it, is deprecated.
    let mut told = printed.err.lines().filter(|line| !line.is_empty());
    let quiet = told.all(|line| line.ends_with(DEPRECATED));
    ensure!(printed.ok && quiet, "{}", printed.err);
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

/// The Ingress's address, of a CLB made for it, answers by one of the Deployment's pods, all of which the CLB
/// finds healthy; with the Ingress the CLB goes.
async fn leads(world: &World, ingress: &str, (deployment, replicas): (&str, usize)) -> Result<()> {
    let api = world.api::<Ingress>();
    let known = eventually("the Ingress has an address", PATIENCE, || async {
        let found = api.get(ingress).await?;
        let id = found.annotations().get(INGRESS_ID).cloned();
        let status = found.status.and_then(|status| status.load_balancer);
        let shown = status.and_then(|status| status.ingress).unwrap_or_default();
        let ip = shown.into_iter().find_map(|one| one.ip);
        Ok(ip.zip(id).ok_or_else(|| "no address".to_owned()))
    });
    let (ip, id) = known.await?;
    let console = Console::new(&id)?;
    ensure!(ip == console.vip().await?, "{ip} is not of {id}");
    eventually("the rule's targets are healthy", PATIENCE, || async {
        let rules = console.rules(80).await?;
        let healthy = rules.values().flat_map(BTreeMap::values);
        let healthy = healthy.filter(|state| *state == "Alive").count();
        let right = rules.len() == 1 && healthy == replicas;
        Ok(right.then_some(()).ok_or_else(|| format!("{rules:?}")))
    })
    .await?;
    let vip: SocketAddr = format!("{ip}:80").parse()?;
    let pod = load::get(vip).await.map_err(Error::msg)?;
    ensure!(
        pod.starts_with(deployment),
        "{pod} answered, not {deployment}"
    );
    println!("{ingress}: EXTERNAL-IP {ip} on {id}, {pod} answered");
    // It waits for the finalizer, which goes last.
    kubectl::run(&["delete", "ingress", ingress, "-n", &world.namespace]).await?;
    ensure!(!console.there().await?, "{id} outlived its Ingress");
    Ok(())
}

/// The Service names an object as the page says: what that declares becomes so on its listener.
async fn configured(world: &World, service: &str) -> Result<()> {
    apply(world, MY_SERVICE_CONFIG).await?;
    let named = format!("    {CONFIG_NAMED}\n  name: {service}\n");
    let named = MY_SERVICE.replace(&format!("  name: {service}\n"), &named);
    ensure!(named.contains(CONFIG_NAMED), "{named}");
    apply(world, &named).await?;
    let found = world.api::<Service>().get(service).await?;
    let id = found.annotations().get(SERVICE_ID);
    let console = Console::new(id.context("no id")?)?;
    eventually("the listener is as declared", PATIENCE, || async {
        let listener = console.listener(80).await?.context("a listener")?;
        let check = listener.health_check.unwrap_or_default();
        let counts = (check.interval_time, check.health_num, check.un_health_num);
        let shown = (listener.scheduler.as_deref(), counts);
        let right = shown == (Some("LEAST_CONN"), (Some(5), Some(2), Some(3)))
            && listener.session_expire_time == Some(100);
        Ok(right.then_some(()).ok_or_else(|| format!("{shown:?}")))
    })
    .await
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
