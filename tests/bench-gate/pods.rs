//! The pods: created through the API server in the ordinary way, so that the webhook gives them their
//! gate. What a kubelet would report of them is written here.

use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::{Context, Result, ensure};
use clb_gate_tests::World;
use clb_gate_tests::played::now;
use clb_gate_tests::workload::IMAGE;
use clb_gate_tests::world::gates;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::node;
use crate::scale::{POD_PORT, Scale, app, name, target};

/// The label that all of them have, for watches.
pub(crate) const ALL: &str = "bench=gate";
/// What can be asked of the API server at once without drowning it.
const AT_ONCE: usize = 16;
/// Between two lines of progress.
const TELL: u16 = 1_000;

/// Creates all of them, running and their containers ready.
pub(crate) async fn create(world: &World, scale: Scale) -> Result<()> {
    let done = AtomicU16::new(0);
    let ungated = AtomicU16::new(0);
    stream::iter(scale.all())
        .map(|pod| {
            let (done, ungated) = (&done, &ungated);
            async move {
                let gated = one(world, scale, pod).await?;
                ungated.fetch_add(u16::from(!gated), Ordering::Relaxed);
                let count = done.fetch_add(1, Ordering::Relaxed) + 1;
                if count.is_multiple_of(TELL) {
                    println!("  {count} of {} pods", scale.pods);
                }
                anyhow::Ok(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let ungated = ungated.into_inner();
    ensure!(
        ungated == 0,
        "{ungated} of {} pods got no gate from the webhook",
        scale.pods
    );
    Ok(())
}

/// Whether it got its gate.
async fn one(world: &World, scale: Scale, pod: u16) -> Result<bool> {
    let (api, name) = (world.api::<Pod>(), name(pod));
    let created = api
        .create(&PostParams::default(), &object(scale, pod)?)
        .await;
    let created = created.with_context(|| format!("creating {name}"))?;
    let patch = Patch::Strategic(json!({"status": status(pod)}));
    let started = api
        .patch_status(&name, &PatchParams::default(), &patch)
        .await;
    started.with_context(|| format!("starting {name}"))?;
    Ok(gates(&created) == 1)
}

fn object(scale: Scale, pod: u16) -> Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {
            "name": name(pod),
            "labels": {"app": app(scale.load_balancer(pod)), "bench": "gate"},
        },
        "spec": {
            "nodeName": node::NAME,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "sample", "image": IMAGE, "ports": [
                {"name": "http", "containerPort": POD_PORT},
            ]}],
        },
    }))?)
}

fn status(pod: u16) -> serde_json::Value {
    let (ip, now) = (target(pod).ip(), now().to_string());
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": now});
    let conditions = ["PodScheduled", "Initialized", "ContainersReady"].map(condition);
    json!({
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": conditions,
    })
}

/// Deletes all of them without grace: there is no kubelet to end them. One by one, because for a collection of
/// thousands the API server may need longer than the minute that it gives a request.
pub(crate) async fn delete(world: &World, scale: Scale) -> Result<()> {
    let pods = world.api::<Pod>();
    let (pods, at_once) = (&pods, &DeleteParams::default().grace_period(0));
    stream::iter(scale.all())
        .map(|pod| async move {
            let name = name(pod);
            let deleted = pods.delete(&name, at_once).await;
            deleted
                .with_context(|| format!("deleting {name}"))
                .map(drop)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}
