//! Bad input is told where the user looks, and touches nobody else.

use anyhow::{Result, ensure};
use clb::Protocol;
use clb_gate_tests::sim::Console;
use clb_gate_tests::workload::Service;
use clb_gate_tests::{World, kubectl};

use crate::stage::{LOAD_BALANCER, PATIENCE, alone, beside, serve};

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

/// Changes a setting, waits for the Event, and changes it back.
async fn with_setting(world: &World, key: &str, value: &str, parts: &[&str]) -> Result<()> {
    let before = setting(key).await?;
    let outcome = async {
        patch(key, value).await?;
        world.event("web", parts, PATIENCE).await
    }
    .await;
    patch(key, &before).await?;
    outcome.map(drop)
}

pub(crate) async fn setting(key: &str) -> Result<String> {
    let path = format!("jsonpath={{.data.{key}}}");
    Ok(kubectl::run(&[
        "get",
        "cm",
        "-n",
        "clb-gate",
        "clb-gate-settings",
        "-o",
        &path,
    ])
    .await?
    .out)
}

pub(crate) async fn patch(key: &str, value: &str) -> Result<()> {
    let patch = serde_json::json!({"data": {key: value}}).to_string();
    kubectl::run(&[
        "patch",
        "cm",
        "-n",
        "clb-gate",
        "clb-gate-settings",
        "--type=merge",
        "-p",
        &patch,
    ])
    .await?;
    Ok(())
}

#[test]
fn a_wrong_region_endpoint_or_key_is_told_and_heals() {
    alone("wrong-settings", |world| async move {
        let namespace = world.namespace.clone();
        kubectl::apply(&Service::direct(&namespace, "web", LOAD_BALANCER, 8056).yaml()).await?;
        with_setting(
            &world,
            "region",
            "ap-nowhere",
            &["wrong-settings/web", "ap-nowhere"],
        )
        .await?;
        // Nothing listens on the discard port of the control plane's address.
        let nowhere = "http://198.18.0.1:9";
        with_setting(
            &world,
            "endpoint",
            nowhere,
            &["wrong-settings/web", nowhere],
        )
        .await?;
        let _other = Stranger::start()?;
        with_setting(
            &world,
            "endpoint",
            &Stranger::endpoint(),
            &["wrong-settings/web", "AuthFailure"],
        )
        .await?;
        good_goes_on(&world, 8057).await
    });
}

/// A second simulated CLB that knows other credentials than ours.
struct Stranger(std::process::Child);

impl Stranger {
    const ADDRESS: &'static str = "198.18.0.1:9180";

    fn start() -> Result<Self> {
        let child = std::process::Command::new("clb-sim")
            .args([
                "--listen",
                Self::ADDRESS,
                "--secret-id",
                "AKIDsomebodyelse",
                "--secret-key",
                "somebodyelses",
            ])
            .args(["--vip-pool", "127.0.77.0/24"])
            .spawn()?;
        Ok(Self(child))
    }

    fn endpoint() -> String {
        format!("http://{}", Self::ADDRESS)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // Best effort: the test host's end takes it along anyway.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
