//! A `TkeServiceConfig` while it serves: what it changes is changed in place, and seen by clients.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::sim::Console;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::{World, kubectl, load};

use crate::stage::{LOAD_BALANCER, PATIENCE, beside, serve};

const NAMED: &str = "service.cloud.tencent.com/tke-service-config";
/// The Service's port on the CLB.
const PORT: u16 = 8096;

#[test]
fn a_tke_service_config_changes_check_scheduler_and_session_while_it_serves() {
    beside("config", |world| async move {
        let console = Console::new(LOAD_BALANCER)?;
        declare(&world, "{scheduler: WRR}").await?;
        let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, PORT);
        serve(&world, service.with(NAMED, Some("tuned")), 2).await?;
        let vip: SocketAddr = format!("{}:{PORT}", console.vip().await?).parse()?;
        ensure!(
            answering(vip).await?.len() == 2,
            "without a session both pods answer"
        );
        let id = console
            .listener(PORT)
            .await?
            .context("a listener")?
            .listener_id;

        let tuned = "{scheduler: LEAST_CONN, session: {enable: true, sessionExpireTime: 100}, \
                     healthCheck: {enable: true, intervalTime: 4, healthNum: 3}}";
        declare(&world, tuned).await?;
        eventually("the listener is as declared", PATIENCE, || async {
            let listener = console.listener(PORT).await?.context("a listener")?;
            let check = listener.health_check.clone().unwrap_or_default();
            let shown = (
                listener.scheduler.as_deref(),
                listener.session_expire_time,
                check.interval_time,
                check.health_num,
                // Of the annotation, which says it beside the object.
                check.un_health_num,
            );
            let right = shown == (Some("LEAST_CONN"), Some(100), Some(4), Some(3), Some(2));
            Ok(if right {
                Ok(())
            } else {
                Err(format!("{shown:?}"))
            })
        })
        .await?;
        let one = answering(vip).await?;
        ensure!(one.len() == 1, "one source reaches one pod: {one:?}");

        declare(&world, "{scheduler: BEST}").await?;
        let parts = [
            "config/web",
            "TkeServiceConfig config/tuned",
            "l4Listeners[0].scheduler",
            "BEST",
            "WRR, LEAST_CONN",
        ];
        world.event("web", &parts, PATIENCE).await?;
        kubectl::run(&[
            "delete",
            "tkeserviceconfig",
            "tuned",
            "-n",
            &world.namespace,
        ])
        .await?;
        world
            .event("web", &[NAMED, "\"tuned\"", "E4043"], PATIENCE)
            .await?;
        let kept = console.listener(PORT).await?.context("a listener")?;
        ensure!(
            kept.listener_id == id && kept.session_expire_time == Some(100),
            "{kept:?}"
        );
        Ok(())
    });
}

/// What the object `tuned` says of the Service's listener.
async fn declare(world: &World, fields: &str) -> Result<()> {
    let fields = fields.trim_start_matches('{');
    let yaml = format!(
        "apiVersion: cloud.tencent.com/v1alpha1
kind: TkeServiceConfig
metadata: {{name: tuned, namespace: {}}}
spec:
  loadBalancer:
    l4Listeners:
      - {{protocol: TCP, port: {PORT}, {fields}
",
        world.namespace
    );
    kubectl::apply(&yaml).await.map(drop)
}

/// Which pods answer 100 connections of one source.
async fn answering(vip: SocketAddr) -> Result<BTreeSet<String>> {
    let mut pods = BTreeSet::new();
    for _ in 0..100 {
        pods.insert(load::get(vip).await.map_err(anyhow::Error::msg)?);
    }
    Ok(pods)
}
