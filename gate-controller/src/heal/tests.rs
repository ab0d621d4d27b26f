//! The whole loop against an API server in memory.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};

use certs::{
    layout::{CA_SECRET, LEAF_SECRET},
    plan::{Presents, Replica},
};
use futures::{FutureExt, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{healer::Next, registration::NAME, *};

mod guard;
mod rotation;

const NAMESPACE: &str = "/api/v1/namespaces/clb-gate";
const SECRETS: &str = "/api/v1/namespaces/clb-gate/secrets";
const REGISTRATIONS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// Objects by path, compare-and-swap by resourceVersion, and a log of writes.
#[derive(Default)]
struct Server {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
    /// Answers to the next writes instead of performing them.
    refusals: VecDeque<StatusCode>,
    look: Look,
    policy: FailurePolicy,
}

impl Server {
    fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        if *method == Method::GET {
            return match self.objects.get(path) {
                Some(object) => (StatusCode::OK, object.clone()),
                None => refusal(StatusCode::NOT_FOUND),
            };
        }
        let short = path.rsplit('/').next().unwrap().to_owned();
        self.writes.push(format!("{method} {short}"));
        if let Some(code) = self.refusals.pop_front() {
            return refusal(code);
        }
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        match *method {
            Method::POST => {
                let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
                if self.objects.contains_key(&path) {
                    return refusal(StatusCode::CONFLICT);
                }
                self.store(path, object)
            }
            Method::PUT => {
                let stored = self.objects.get(path).map(version_of);
                if stored != Some(version_of(&object)) {
                    return refusal(StatusCode::CONFLICT);
                }
                self.store(path.to_owned(), object)
            }
            Method::DELETE => {
                self.objects.remove(path);
                (
                    StatusCode::OK,
                    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
                )
            }
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn store(&mut self, path: String, mut object: Value) -> (StatusCode, Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path, object.clone());
        (StatusCode::OK, object)
    }
}

fn version_of(object: &Value) -> Value {
    object["metadata"]["resourceVersion"].clone()
}

fn refusal(code: StatusCode) -> (StatusCode, Value) {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code.as_u16(), "reason": reason, "message": code.to_string(),
    });
    (code, status)
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<Server>>);

/// What a look at the replicas finds.
#[derive(Clone, Default)]
enum Look {
    /// One Ready replica that has loaded the leaf Secret.
    #[default]
    Follows,
    /// Exactly this.
    Finds(Vec<Replica>),
    /// An error.
    Fails,
    /// Nothing, ever.
    Hangs,
}

impl Sight for World {
    fn look(&self) -> BoxFuture<'_, Result<Vec<Replica>, CallError>> {
        let look = self.0.lock().look.clone();
        let found = match look {
            Look::Follows => Ok(self.replica().into_iter().collect()),
            Look::Finds(replicas) => Ok(replicas),
            Look::Fails => Err(CallError::Timeout {
                attempt: "list Pods".to_owned(),
                after: Duration::from_secs(5),
            }),
            Look::Hangs => return std::future::pending().boxed(),
        };
        std::future::ready(found).boxed()
    }
}

impl World {
    /// An empty cluster with our namespace.
    fn new() -> Self {
        let world = Self::default();
        let namespace = json!({"metadata": {"name": "clb-gate", "uid": "uid-1"}});
        world.0.lock().store(NAMESPACE.to_owned(), namespace);
        world
    }

    fn client(&self) -> Client {
        let world = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let world = world.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let answer = world.0.lock().answer(&head.method, head.uri.path(), &body);
                let body = Body::from(answer.1.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(answer.0).body(body).unwrap())
            }
        });
        Client::new(service, "clb-gate")
    }

    fn healer(&self) -> Healer {
        Healer::new(self.context(), |_| ())
    }

    /// A Ready replica that presents the leaf of the Secret.
    fn replica(&self) -> Option<Replica> {
        let leaf = self.0.lock().objects.get(&secret(LEAF_SECRET)).cloned()?;
        let leaf = decide::leaf_of_secret(&serde_json::from_value(leaf).unwrap()).unwrap();
        Some(Replica {
            name: "webhook-a".to_owned(),
            ready: true,
            presents: Presents::Leaf(Box::new(leaf)),
        })
    }

    fn looks(&self, look: Look) {
        self.0.lock().look = look;
    }

    fn context(&self) -> HealContext {
        let failure_policy = watch::channel(self.0.lock().policy).1;
        HealContext {
            client: self.client(),
            namespace: "clb-gate".to_owned(),
            service_name: "clb-gate-webhook".to_owned(),
            failure_policy,
            recorder: Recorder::silent(),
            metrics: HealMetrics::default(),
            sight: Arc::new(self.clone()),
        }
    }

    /// Turns until a turn writes nothing and has no reason to come back soon; returns the writes.
    async fn settle(&self, healer: &mut Healer) -> Vec<String> {
        self.0.lock().writes.clear();
        for _ in 0..60 {
            match healer.turn().await {
                Next::Again => {}
                Next::Look => healer.saw(self.look().await),
                Next::By(at) if at < Instant::now() + Duration::from_secs(20) => {
                    sleep_until(at).await;
                }
                Next::By(_) => return self.0.lock().writes.clone(),
            }
        }
        panic!("does not settle: {:?}", self.0.lock().writes)
    }

    async fn settled() -> (Self, Healer) {
        let world = Self::new();
        let mut healer = world.healer();
        world.settle(&mut healer).await;
        (world, healer)
    }

    fn edit(&self, path: &str, edit: impl FnOnce(&mut Value)) {
        let mut server = self.0.lock();
        let mut object = server.objects[path].clone();
        edit(&mut object);
        server.store(path.to_owned(), object);
    }

    fn bundle(&self) -> certs::Bundle {
        let registration = self.0.lock().objects[&registration()].clone();
        let registration = serde_json::from_value(registration).unwrap();
        certs::Bundle::parse_lossy(&registration::bundle_of(&registration)).0
    }

    /// A small change to the registration.
    fn tamper(&self) {
        self.edit(&registration(), |o| {
            o["webhooks"][0]["timeoutSeconds"] = json!(30);
        });
    }

    fn delete(&self, path: &str) {
        self.0.lock().objects.remove(path).unwrap();
    }
}

fn registration() -> String {
    format!("{REGISTRATIONS}/{NAME}")
}

fn secret(name: &str) -> String {
    format!("{SECRETS}/{name}")
}

const PUT_REGISTRATION: &str = "PUT clb-gate";
const POST_REGISTRATION: &str = "POST mutatingwebhookconfigurations";
const PUT_CA: &str = "PUT clb-gate-ca";
const POST_SECRET: &str = "POST secrets";

#[tokio::test(start_paused = true)]
async fn a_first_start_makes_everything_and_then_writes_nothing() {
    let world = World::new();
    let mut healer = world.healer();
    let writes = world.settle(&mut healer).await;
    assert_eq!(writes, [POST_SECRET, POST_SECRET, POST_REGISTRATION]);
    assert_eq!(world.settle(&mut healer).await, [""; 0]);
    assert_eq!(
        world.settle(&mut world.healer()).await,
        [""; 0],
        "nor does another leader"
    );
    let server = world.0.lock();
    assert_eq!(
        server.objects[&secret(LEAF_SECRET)]["type"],
        "kubernetes.io/tls"
    );
    let owner = &server.objects[&registration()]["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], "uid-1");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_registration_comes_back_as_it_was() {
    let (world, mut healer) = World::settled().await;
    let before = world.0.lock().objects[&registration()]["webhooks"].clone();
    world.delete(&registration());
    assert_eq!(world.settle(&mut healer).await, [POST_REGISTRATION]);
    assert_eq!(world.0.lock().objects[&registration()]["webhooks"], before);
}

#[tokio::test(start_paused = true)]
async fn a_tampered_registration_is_repaired_in_one_write() {
    let (world, mut healer) = World::settled().await;
    world.edit(&registration(), |o| {
        o["webhooks"][0]["matchConditions"] = json!([{"name": "never", "expression": "false"}]);
        o["webhooks"][0]["clientConfig"]["caBundle"] = json!("AAAA");
    });
    assert_eq!(world.settle(&mut healer).await, [PUT_REGISTRATION]);
}

#[tokio::test(start_paused = true)]
async fn both_secrets_lost_the_old_ca_stays_trusted_and_trust_comes_before_the_leaf() {
    let (world, mut healer) = World::settled().await;
    world.delete(&secret(CA_SECRET));
    world.delete(&secret(LEAF_SECRET));
    let writes = world.settle(&mut healer).await;
    let rotation = [
        POST_SECRET,
        PUT_REGISTRATION,
        POST_SECRET,
        PUT_REGISTRATION,
        PUT_CA,
    ];
    assert_eq!(writes, rotation);
    assert_eq!(world.bundle().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_leaf_waits_until_the_new_bundle_has_settled() {
    let (world, mut healer) = World::settled().await;
    world.delete(&secret(CA_SECRET));
    world.delete(&secret(LEAF_SECRET));
    assert_eq!(healer.turn().await, Next::Again, "the CA");
    assert_eq!(healer.turn().await, Next::Again, "the bundle");
    let Next::By(settled) = healer.turn().await else {
        panic!("the leaf came at once")
    };
    assert!(settled > Instant::now());
    sleep_until(settled).await;
    assert_eq!(healer.turn().await, Next::Again, "the leaf");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_healed_while_the_namespace_goes() {
    let (world, mut healer) = World::settled().await;
    world.delete(&registration());
    world.delete(&secret(CA_SECRET));
    world.edit(NAMESPACE, |o| {
        o["metadata"]["deletionTimestamp"] = json!("2026-11-21T06:00:00Z");
    });
    assert_eq!(world.settle(&mut healer).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_registration_goes_before_its_namespace() {
    let (world, mut healer) = World::settled().await;
    world.edit(NAMESPACE, |o| {
        o["metadata"]["deletionTimestamp"] = json!("2026-11-21T06:00:00Z");
    });
    assert_eq!(world.settle(&mut healer).await, ["DELETE clb-gate"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_looked_at_again() {
    let (world, mut healer) = World::settled().await;
    world.tamper();
    world.0.lock().refusals.push_back(StatusCode::CONFLICT);
    assert_eq!(
        world.settle(&mut healer).await,
        [PUT_REGISTRATION, PUT_REGISTRATION]
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_replaced_is_made_anew() {
    let (world, mut healer) = World::settled().await;
    world.edit(&secret(LEAF_SECRET), |o| {
        o["immutable"] = json!(true);
        o["data"] = json!({});
    });
    world
        .0
        .lock()
        .refusals
        .push_back(StatusCode::UNPROCESSABLE_ENTITY);
    let writes = world.settle(&mut healer).await;
    let name = LEAF_SECRET;
    assert_eq!(
        writes,
        [
            format!("PUT {name}"),
            format!("DELETE {name}"),
            POST_SECRET.to_owned()
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_registration_does_not_stop_the_certificates() {
    let (world, mut healer) = World::settled().await;
    world.tamper();
    world.delete(&secret(LEAF_SECRET));
    sleep_until(Instant::now() + Duration::from_secs(5)).await;
    world.0.lock().writes.clear();
    world.0.lock().refusals.push_back(StatusCode::FORBIDDEN);
    assert!(matches!(healer.turn().await, Next::By(_)));
    assert_eq!(world.0.lock().writes, [PUT_REGISTRATION, POST_SECRET]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_retried_ever_more_slowly() {
    let world = World::new();
    let mut healer = world.healer();
    world.0.lock().refusals.extend([StatusCode::FORBIDDEN; 12]);
    let mut pauses = vec![];
    for _ in 0..8 {
        let Next::By(at) = healer.turn().await else {
            panic!("a refused write counts as written")
        };
        pauses.push((at - Instant::now()).as_millis());
        sleep_until(at).await;
    }
    assert_eq!(
        pauses,
        [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fight_is_slowed_down_and_a_calm_minute_forgets_it() {
    let (world, mut healer) = World::settled().await;
    let mut repairs = 0;
    let end = Instant::now() + Duration::from_secs(50);
    while Instant::now() < end {
        world.tamper();
        repairs += usize::from(healer.turn().await == Next::Again);
        sleep_until(Instant::now() + Duration::from_millis(100)).await;
    }
    assert!(
        (110..130).contains(&repairs),
        "{repairs} repairs in a fight of 50 s"
    );
    sleep_until(Instant::now() + Duration::from_secs(70)).await;
    assert_eq!(world.settle(&mut healer).await, [PUT_REGISTRATION]);
    world.tamper();
    assert_eq!(healer.turn().await, Next::Again);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_lead_writes_nothing() {
    let world = World::new();
    let draining = CancellationToken::new();
    let healing = run(world.context(), Leadership::never(), draining.clone());
    let minute = tokio::time::sleep(Duration::from_mins(1));
    tokio::join!(async { healing.await.unwrap() }, async {
        minute.await;
        draining.cancel();
    });
    assert!(world.0.lock().writes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_leader_heals_without_any_watch_and_stops_when_told() {
    let world = World::new();
    let draining = CancellationToken::new();
    let healing = run(world.context(), Leadership::undisputed(), draining.clone());
    tokio::join!(async { healing.await.unwrap() }, async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.tamper();
        tokio::time::sleep(Duration::from_mins(1)).await;
        draining.cancel();
    });
    let writes = world.0.lock().writes.clone();
    assert_eq!(
        writes,
        [
            POST_SECRET,
            POST_SECRET,
            POST_REGISTRATION,
            PUT_REGISTRATION
        ]
    );
}
