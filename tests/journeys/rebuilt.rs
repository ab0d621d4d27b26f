//! Nothing is left of the certificates, or what is left is no good, and nobody was there to see it: the
//! next controller rebuilds all of it, and pods were created all the while.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use certs::Certificate;
use certs::issue::{CA_LIFE, LEAF_LIFE, Signer, ca};
use clb_gate_tests::World;
use clb_gate_tests::chain::{Chain, Settled, today};
use clb_gate_tests::cli;
use clb_gate_tests::kubectl;
use clb_gate_tests::ours::{INSTALLED, NAMESPACE, Part};
use clb_gate_tests::registration::Registration;
use clb_gate_tests::stage::{LOAD_BALANCER, PATIENCE, alone};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::{Service, unscheduled};
use clb_gate_tests::world::gates;
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use tokio::time::{Instant, sleep, timeout};

/// Stops the controllers, breaks something, and starts them again; prints how long after a controller
/// leads all is as it should be. `breaks` hands back the leaf that must not be served any more.
async fn rebuilt<F: Future<Output = Result<Certificate>>>(
    world: &World,
    what: &str,
    breaks: impl FnOnce(Chain) -> F,
) -> Result<Settled> {
    let chain = Chain::new(&world.client)?;
    chain.settled(PATIENCE).await?;
    Part::Controller.stop(&world.client).await?;
    let broken = breaks(chain.clone()).await;
    let replicas = format!("--replicas={INSTALLED}");
    let deployment = format!("deploy/{}", Part::Controller.name());
    kubectl::run(&["scale", &deployment, "-n", NAMESPACE, &replicas]).await?;
    let led = somebody_leads(world).await?;
    let gone = broken?;
    let settled = eventually("another leaf", PATIENCE, || async {
        let settled = chain.settled(PATIENCE).await?;
        let is_another = settled.leaf.der() != gone.der();
        Ok(if is_another {
            Ok(settled)
        } else {
            Err("not yet".to_owned())
        })
    })
    .await?;
    println!(
        "{what}: all is well {:.1?} after a controller leads",
        led.elapsed()
    );
    cli::status_is_green(PATIENCE).await?;
    Part::Controller.ready(&world.client, INSTALLED).await?;
    Ok(settled)
}

/// When it begins to.
async fn somebody_leads(world: &World) -> Result<Instant> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), NAMESPACE);
    let looking = async {
        loop {
            let lease = leases.get_opt(Part::Controller.name()).await?;
            let holder = lease.and_then(|lease| lease.spec?.holder_identity);
            if holder.is_some_and(|holder| !holder.is_empty()) {
                return anyhow::Ok(Instant::now());
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, looking).await.context("nobody leads")?
}

/// One pod of `web`, created now; how many gates it got.
async fn created(world: &World) -> Result<usize> {
    let pods = world.api::<Pod>();
    let made = pods
        .create(&PostParams::default(), &unscheduled("web")?)
        .await;
    Ok(gates(&made.context("a pod")?))
}

async fn serve(world: &World, port: u16) -> Result<()> {
    let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, port);
    kubectl::apply(&service.yaml()).await?;
    world.webhooks_gate("web", true).await
}

#[test]
fn secrets_and_registration_deleted_while_no_controller_runs() {
    alone("rebuilt", |world| async move {
        serve(&world, 8170).await?;
        rebuilt(&world, "Secrets and registration deleted", |chain| {
            let world = world.clone();
            async move {
                let leaf = chain.leaf().await?;
                chain.delete().await?;
                Registration::new(&world.client).delete().await?;
                // The API server hears of it by a watch, and asks the webhook until then.
                world.webhooks_gate("web", false).await?;
                for _ in 0..5 {
                    ensure!(created(&world).await? == 0, "a gate without a registration");
                }
                Ok(leaf)
            }
        })
        .await?;
        ensure!(created(&world).await? == 1, "the gate is back");
        Ok(())
    });
}

#[test]
fn a_leaf_that_expired_while_everything_was_stopped() {
    alone("expired", |world| async move {
        serve(&world, 8171).await?;
        let after = rebuilt(&world, "leaf expired", |chain| {
            let world = world.clone();
            async move {
                let signer = chain.signer().await?;
                let then = today()? - LEAF_LIFE - SignedDuration::from_hours(2);
                let leaf = chain.put_leaf(&signer, then).await?;
                Part::Webhook.force_away().await?;
                // Ignore: a pod is created, whoever is asked.
                created(&world).await?;
                Ok(leaf)
            }
        })
        .await?;
        ensure!(after.leaf.facts().not_after > today()?);
        Part::Webhook.ready(&world.client, INSTALLED).await?;
        world.webhooks_gate("web", true).await
    });
}

#[test]
fn a_ca_near_its_end_while_everything_was_stopped() {
    alone("ca-ends", |world| async move {
        serve(&world, 8172).await?;
        let old = ca(7, today()? - CA_LIFE + SignedDuration::from_hours(3))?;
        let (ends, old_ca) = (old.certificate.facts().not_after, old.certificate.clone());
        let after = rebuilt(&world, "CA near its end", |chain| {
            let world = world.clone();
            async move {
                chain.put_ca(&old).await?;
                let bundle = ByteString(old.certificate.to_pem().into_bytes());
                let signer = Signer::from(old);
                let leaf = chain.put_leaf(&signer, today()?).await?;
                let trust_it = |all: &mut _| trust(all, &bundle);
                Registration::new(&world.client).change(trust_it).await?;
                world.webhooks_gate("web", true).await?;
                Ok(leaf)
            }
        })
        .await?;
        ensure!(after.ca.der() != old_ca.der(), "a new CA");
        ensure!(after.ca.facts().not_after > ends);
        world.webhooks_gate("web", true).await
    });
}

fn trust(
    all: &mut k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration,
    bundle: &ByteString,
) {
    for entry in all.webhooks.iter_mut().flatten() {
        entry.client_config.ca_bundle = Some(bundle.clone());
    }
}
