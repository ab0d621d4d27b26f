//! Who gets the gate.

use anyhow::{Result, ensure};
use clb_gate_tests::workload::{IMAGE, Service};
use clb_gate_tests::world::gates;
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::Pod;

use crate::stage::{LOAD_BALANCER, PATIENCE, beside, serve};

const DIRECT_ACCESS: &str = "service.cloud.tencent.com/direct-access";

async fn gates_of(world: &World, service: Service<'_>) -> Result<Vec<usize>> {
    Ok(serve(world, service, 2).await?.iter().map(gates).collect())
}

#[test]
fn a_pod_behind_a_direct_access_service_gets_exactly_one_gate() {
    beside("gated", |world| async move {
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8001);
        ensure!(gates_of(&world, service).await? == [1, 1]);
        Ok(())
    });
}

#[test]
fn without_the_annotation_there_is_no_gate_whatever_tkes_default_says() {
    beside("not-annotated", |world| async move {
        let config = "apiVersion: v1
kind: ConfigMap
metadata: {name: tke-service-controller-config, namespace: kube-system}
data: {EnableDefaultDirectAccess: 'true', GlobalRouteDirectAccess: 'true'}
";
        kubectl::apply(config).await?;
        let service =
            Service::direct(&world.namespace, "web", LOAD_BALANCER, 8002).with(DIRECT_ACCESS, None);
        ensure!(gates_of(&world, service).await? == [0, 0]);
        Ok(())
    });
}

#[test]
fn direct_access_false_means_no_gate() {
    beside("switched-off", |world| async move {
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8003)
            .with(DIRECT_ACCESS, Some("false"));
        ensure!(gates_of(&world, service).await? == [0, 0]);
        Ok(())
    });
}

#[test]
fn a_host_network_pod_gets_a_warning_and_no_gate() {
    beside("host-network", |world| async move {
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8004);
        kubectl::apply(&service.yaml()).await?;
        world.webhooks_know(LOAD_BALANCER, service.port).await?;
        let printed =
            kubectl::apply(&pod(&world, "lonely", "hostNetwork: true", "app: web")).await?;
        ensure!(
            printed.err.contains("hostNetwork"),
            "no warning: {}",
            printed.err
        );
        let pod: Pod = world.api().get("lonely").await?;
        ensure!(gates(&pod) == 0);
        world.event("lonely", &["hostNetwork"], PATIENCE).await?;
        Ok(())
    });
}

#[test]
fn a_pod_can_opt_out_and_keeps_its_own_gates() {
    beside("opt-out", |world| async move {
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, 8005);
        kubectl::apply(&service.yaml()).await?;
        world.webhooks_know(LOAD_BALANCER, service.port).await?;
        let out = "app: web, clb-gate.io/inject: 'false'";
        kubectl::apply(&pod(&world, "out", "hostNetwork: false", out)).await?;
        ensure!(gates(&world.api::<Pod>().get("out").await?) == 0);

        let own = "readinessGates: [{conditionType: example.com/own}]";
        kubectl::apply(&pod(&world, "own", own, "app: web")).await?;
        let pod: Pod = world.api().get("own").await?;
        let all: Vec<_> = pod
            .spec
            .iter()
            .flat_map(|s| s.readiness_gates.iter().flatten())
            .collect();
        ensure!(gates(&pod) == 1 && all.len() == 2, "{all:?}");
        ensure!(
            all.first()
                .is_some_and(|gate| gate.condition_type == "example.com/own")
        );
        Ok(())
    });
}

fn pod(world: &World, name: &str, spec: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {}, labels: {{{labels}}}}}
spec:
  {spec}
  containers: [{{name: sample, image: {IMAGE}, imagePullPolicy: IfNotPresent, env: [{{name: PORT, value: '8089'}}]}}]
",
        world.namespace
    )
}
