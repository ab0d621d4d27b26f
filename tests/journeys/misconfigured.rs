//! The controller pointed at the wrong place or given the wrong key: users are told which of the things
//! they set is wrong and what to do, nothing is removed meanwhile, and it recovers without a restart.
//!
//! A program of its own, because it changes what all other journeys share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::Router;
use clb_gate_tests::operator::{Operator, now};
use clb_gate_tests::sim::{Bound, Console};
use clb_gate_tests::stage::{LOAD_BALANCER, PATIENCE, alone, serve};
use clb_gate_tests::wait::eventually;
use clb_gate_tests::workload::Service;
use clb_gate_tests::world::condition;
use clb_gate_tests::{World, kubectl};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

const NAMESPACE: &str = "clb-gate";
const SETTINGS: &str = "clb-gate-settings";
const CREDENTIALS: &str = "clb-gate-credentials";
const CONTROLLERS: &str = "app.kubernetes.io/component=controller";
const TOKEN: &str = "TENCENTCLOUD_TOKEN";
/// The Service's port on the CLB.
const PORT: u16 = 8056;
/// The control plane's discard port, where nothing listens.
const NOBODY: &str = "http://198.18.0.1:9";
/// Where this journey serves a web page.
const WEB_SITE: &str = "198.18.0.1:9181";

/// The id of temporary credentials whose time is over.
const EXPIRED: &str = "AKIDtemporary";

/// What is set wrongly, and what users must be told of it.
struct Mistake {
    what: &'static str,
    values: Value,
    told: &'static [&'static str],
}

fn mistakes() -> [Mistake; 6] {
    [
        Mistake {
            what: "an endpoint where nothing listens",
            values: json!({"endpoint": NOBODY}),
            told: &["cannot reach http://198.18.0.1:9", "check the endpoint"],
        },
        Mistake {
            what: "an endpoint that is not the CLB API's",
            values: json!({"endpoint": format!("http://{WEB_SITE}")}),
            told: &[
                "http://198.18.0.1:9181",
                "HTTP status 200",
                "check the endpoint",
                "must be the CLB API's",
            ],
        },
        Mistake {
            what: "a region that the endpoint does not serve",
            values: json!({"region": "ap-nowhere"}),
            told: &["UnsupportedRegion", "check the region ap-nowhere"],
        },
        Mistake {
            what: "an unknown secret id",
            values: json!({"TENCENTCLOUD_SECRET_ID": "AKIDsomebodyelse"}),
            told: &[
                "AuthFailure.SecretIdNotFound",
                "check TENCENTCLOUD_SECRET_ID",
            ],
        },
        Mistake {
            what: "a secret key of another id",
            values: json!({"TENCENTCLOUD_SECRET_KEY": "somebodyelses"}),
            told: &[
                "AuthFailure.SignatureFailure",
                "check TENCENTCLOUD_SECRET_KEY",
            ],
        },
        Mistake {
            what: "a token that has expired",
            values: json!({
                "TENCENTCLOUD_SECRET_ID": EXPIRED,
                "TENCENTCLOUD_SECRET_KEY": "temporary",
                "TENCENTCLOUD_TOKEN": "of-an-hour-ago",
            }),
            told: &[
                "AuthFailure.TokenFailure",
                "check TENCENTCLOUD_TOKEN",
                "expired",
            ],
        },
    ]
}

#[test]
fn what_is_wrong_is_told_and_mended_without_a_restart() {
    alone("misconfigured", |world| async move {
        let _site = web_site().await?;
        expired_credentials().await?;
        let before = Kept::read(&world).await?;
        let outcome = journey(&world, &before).await;
        before.restore(&world).await?;
        outcome
    });
}

async fn journey(world: &World, right: &Kept) -> Result<()> {
    let console = Console::new(LOAD_BALANCER)?;
    let service = Service::direct(&world.namespace, "web", LOAD_BALANCER, PORT);
    let served = serve(world, service, 1).await?;
    let there = console.targets(PORT).await?;
    ensure!(there.len() == served.len(), "{there:?}");
    let controllers = lives(world).await?;

    for (number, mistake) in mistakes().into_iter().enumerate() {
        let start = Instant::now();
        set(world, right, &mistake.values).await?;
        if number == 0 {
            scale(world, 2).await?;
        }
        let told = told(world, number, &mistake).await;
        told.with_context(|| format!("with {}", mistake.what))?;
        println!("{}: told after {:?}", mistake.what, start.elapsed());
        waits(world).await?;
        untouched(&console, &there).await?;
    }
    let start = Instant::now();
    right.restore(world).await?;
    recovered(world).await?;
    println!("mended: recovered after {:?}", start.elapsed());
    let now = lives(world).await?;
    ensure!(now == controllers, "{now:?}, not {controllers:?}");
    Ok(())
}

/// Event and log say it, of a Service that comes meanwhile, on a load balancer of its own: what has failed
/// before is tried again only every ten seconds. Nobody tells when the kubelets have brought the
/// controllers new credentials, so a new one comes until it is told.
async fn told(world: &World, number: usize, mistake: &Mistake) -> Result<()> {
    let attempts = AtomicUsize::new(0);
    let probes = format!("{}/probe-{number}-", world.namespace);
    let parts = [&[probes.as_str()], mistake.told].concat();
    let says = |text: &str| parts.iter().all(|part| text.contains(part));
    eventually(
        "an Event and the log say what is wrong",
        PATIENCE,
        || async {
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            // A look takes some 200 ms, and a probe's answer up to seconds.
            if attempt.is_multiple_of(15) {
                nudge(world).await?;
                let (name, id) = (
                    format!("probe-{number}-{attempt}"),
                    format!("lb-probe{number}{attempt:03}"),
                );
                let probe = Service::direct(&world.namespace, &name, &id, PORT);
                kubectl::apply(&probe.yaml()).await?;
            }
            let events = world.api::<Event>().list(&ListParams::default()).await?;
            let notes: Vec<_> = events.into_iter().filter_map(|event| event.note).collect();
            if !notes.iter().any(|note| says(note)) {
                return Ok(Err(format!("no Event says {parts:?}: {notes:?}")));
            }
            let logs = ["logs", "-n", NAMESPACE, "-l", CONTROLLERS, "--tail=-1"];
            let log = kubectl::run(&logs).await?.out;
            Ok(if log.lines().any(says) {
                Ok(())
            } else {
                Err(format!("the log does not say {parts:?}"))
            })
        },
    )
    .await
}

/// One pod's containers are ready, and it waits for the CLB.
async fn waits(world: &World) -> Result<()> {
    eventually("the new pod's containers are ready", PATIENCE, || async {
        let pods = world.pods("web").await?;
        let of = |kind| {
            let is = |pod: &&Pod| condition(pod, kind) == Some("True");
            pods.iter().filter(is).count()
        };
        ensure!(of("Ready") < 2, "a pod is Ready that cannot be bound");
        Ok(if of("ContainersReady") == 2 {
            Ok(())
        } else {
            Err(format!("{} are", of("ContainersReady")))
        })
    })
    .await?;
    let pods = world.pods("web").await?;
    let is_ready = |pod: &&Pod| condition(pod, "Ready") == Some("True");
    let ready = pods.iter().filter(is_ready).count();
    ensure!(ready == 1, "{ready} are Ready");
    Ok(())
}

/// The pod that waited is Ready.
async fn recovered(world: &World) -> Result<()> {
    eventually("all are Ready again", PATIENCE, || async {
        nudge(world).await?;
        let ready = world.ready("web", 2, Duration::from_secs(2)).await;
        Ok(ready.map(drop).map_err(|error| format!("{error:#}")))
    })
    .await
}

/// What was bound before is bound, with the weight it had.
async fn untouched(console: &Console, before: &[Bound]) -> Result<()> {
    let now = console.targets(PORT).await?;
    let lost: Vec<_> = before.iter().filter(|one| !now.contains(one)).collect();
    ensure!(lost.is_empty(), "removed or changed: {lost:?}; now {now:?}");
    Ok(())
}

async fn scale(world: &World, replicas: usize) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    let namespace = world.namespace.as_str();
    kubectl::run(&["scale", "deploy/web", "-n", namespace, &replicas]).await?;
    Ok(())
}

/// Every controller's pod and process.
async fn lives(world: &World) -> Result<BTreeMap<String, i32>> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), NAMESPACE);
    let listed = pods
        .list(&ListParams::default().labels(CONTROLLERS))
        .await?;
    let restarts = |pod: &Pod| {
        let all = pod
            .status
            .iter()
            .flat_map(|status| &status.container_statuses);
        all.flatten().map(|one| one.restart_count).sum()
    };
    Ok(listed
        .iter()
        .map(|pod| (pod.uid().unwrap_or_default(), restarts(pod)))
        .collect())
}

/// Makes the kubelets look at the controllers' Secret now instead of within a minute and a half: they do
/// whenever a pod changes.
async fn nudge(world: &World) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(world.client.clone(), NAMESPACE);
    let moment = now()?.to_string();
    let nudge = json!({"metadata": {"annotations": {"example.com/nudge": moment}}});
    let patch = Patch::Merge(nudge);
    let listed = pods
        .list(&ListParams::default().labels(CONTROLLERS))
        .await?;
    for pod in listed {
        let name = pod.name_any();
        pods.patch_metadata(&name, &PatchParams::default(), &patch)
            .await?;
    }
    Ok(())
}

/// What was set before.
struct Kept {
    settings: BTreeMap<String, String>,
    credentials: BTreeMap<String, String>,
}

impl Kept {
    async fn read(world: &World) -> Result<Self> {
        let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
        let credentials = secrets.get(CREDENTIALS).await?.data.unwrap_or_default();
        let text = |(key, value): (String, k8s_openapi::ByteString)| {
            Ok((key, String::from_utf8(value.0)?))
        };
        Ok(Self {
            settings: maps.get(SETTINGS).await?.data.unwrap_or_default(),
            credentials: credentials.into_iter().map(text).collect::<Result<_>>()?,
        })
    }

    async fn restore(&self, world: &World) -> Result<()> {
        set(world, self, &json!({})).await
    }
}

/// Sets what was right, but for `wrong`.
async fn set(world: &World, right: &Kept, wrong: &Value) -> Result<()> {
    let wrong: BTreeMap<String, String> = serde_json::from_value(wrong.clone())?;
    let (credentials, settings): (BTreeMap<_, _>, BTreeMap<_, _>) = wrong
        .into_iter()
        .partition(|(key, _)| key.starts_with("TENCENTCLOUD_"));
    let maps: Api<ConfigMap> = Api::namespaced(world.client.clone(), NAMESPACE);
    let secrets: Api<Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
    let settings = with(&right.settings, settings);
    let settings = Patch::Merge(json!({"data": settings}));
    maps.patch(SETTINGS, &PatchParams::default(), &settings)
        .await?;
    let mut credentials = with(&right.credentials, credentials);
    // An empty token is none: what other cases set must go.
    credentials.entry(TOKEN.to_owned()).or_default();
    let credentials = Patch::Merge(json!({"stringData": credentials}));
    secrets
        .patch(CREDENTIALS, &PatchParams::default(), &credentials)
        .await?;
    Ok(())
}

fn with(
    right: &BTreeMap<String, String>,
    wrong: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = right.clone();
    all.extend(wrong);
    all
}

/// The account knows them, as it knows what it gave out an hour ago.
async fn expired_credentials() -> Result<()> {
    let account = json!({
        "secret_id": EXPIRED,
        "secret_key": "temporary",
        "token": "of-an-hour-ago",
        "expires_at": now()? / 1000 - 60,
    })
    .to_string();
    let made = Operator::new()?.ask("POST", "accounts", &account).await;
    made.map(drop)
}

/// A web server that is not the CLB API.
async fn web_site() -> Result<JoinSet<()>> {
    let listener = TcpListener::bind(WEB_SITE).await?;
    let page = Router::new().fallback(async || "<html>welcome</html>");
    let mut serving = JoinSet::new();
    serving.spawn(async {
        let _ = axum::serve(listener, page).await;
    });
    Ok(serving)
}
