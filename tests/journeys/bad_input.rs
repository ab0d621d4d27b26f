//! Bad input is told where the user looks, and touches nobody else.

use anyhow::{Result, ensure};
use clb::Protocol;
use clb_gate_tests::sim::Console;
use clb_gate_tests::workload::Service;
use clb_gate_tests::{World, kubectl};

use crate::stage::{LOAD_BALANCER, PATIENCE, beside, serve};

const DIRECT_ACCESS: &str = "service.cloud.tencent.com/direct-access";
const EXISTING: &str = "service.kubernetes.io/tke-existed-lbid";
const PARAMETERS: &str = "service.kubernetes.io/service.listenerParameters";

#[test]
fn a_service_with_a_bad_annotation_is_told_and_others_go_on() {
    beside("bad-annotation", |world| async move {
        let namespace = world.namespace.clone();
        let bad = Service::direct(&namespace, "bad", LOAD_BALANCER, 8050);
        kubectl::apply(&bad.clone().with(DIRECT_ACCESS, Some("yes")).yaml()).await?;
        let parts = [
            "bad-annotation/bad",
            DIRECT_ACCESS,
            "\"yes\"",
            "\"true\" and \"false\"",
        ];
        world.event("bad", &parts, PATIENCE).await?;

        kubectl::apply(
            &bad.clone()
                .with(PARAMETERS, Some(r#"{"HealthCheck":{"HealthNum":1}}"#))
                .yaml(),
        )
        .await?;
        world
            .event("bad", &[PARAMETERS, "HealthNum 1", "2 to 10"], PATIENCE)
            .await?;

        good_goes_on(&world, 8051).await?;
        kubectl::apply(&bad.yaml()).await?;
        Ok(())
    });
}

#[test]
fn an_unknown_load_balancer_is_told() {
    beside("unknown-clb", |world| async move {
        let namespace = world.namespace.clone();
        kubectl::apply(&Service::direct(&namespace, "bad", "lb-nosuch00", 8052).yaml()).await?;
        world
            .event(
                "bad",
                &["unknown-clb/bad", EXISTING, "lb-nosuch00", "accepted"],
                PATIENCE,
            )
            .await?;
        good_goes_on(&world, 8053).await
    });
}

#[test]
fn a_port_owned_by_another_protocol_is_told() {
    beside("other-protocol", |world| async move {
        let namespace = world.namespace.clone();
        let console = Console::new(LOAD_BALANCER)?;
        console.create_listener(Protocol::Http, 8054).await?;
        kubectl::apply(&Service::direct(&namespace, "bad", LOAD_BALANCER, 8054).yaml()).await?;
        world
            .event(
                "bad",
                &[
                    "other-protocol/bad",
                    "8054",
                    "HTTP",
                    "TCP is what is accepted",
                ],
                PATIENCE,
            )
            .await?;
        good_goes_on(&world, 8055).await?;
        let kept = console.listener(8054).await?;
        ensure!(kept.is_some_and(|listener| listener.protocol == Protocol::Http));
        Ok(())
    });
}

async fn good_goes_on(world: &World, port: u16) -> Result<()> {
    let good = Service::direct(&world.namespace, "good", LOAD_BALANCER, port);
    serve(world, good, 1).await.map(drop)
}
