//! A world in one process: the simulator, a client that reaches it without sockets, and a cluster that
//! only knows what the test tells it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clb::{Client, Config, Credentials, StaticCredentials};
use clb_sim::{Delays, InProcess, InitialLoadBalancer};
use direct_access::listener::ListenerParameters;
use direct_access::ownership::{ClusterId, Tag};
use direct_access::settings::Manage;
use direct_access::{ObjectRef, Owner, Protocol};
use futures::future::BoxFuture;
use gate_controller::cloud::Cloud;
use gate_controller::desired::{Desired, DesiredListener, DesiredTarget, Others};
use gate_controller::engine::{self, Context, Home, Inbox, Quotas, Roster, quotas};
use gate_controller::metrics::Metrics;
use gate_controller::pod::Fate;
use gate_controller::view::{View, Views};
use parking_lot::Mutex;
use runtime::{Leadership, News};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::wire::{End, Wire};

pub(crate) const LOAD_BALANCER: &str = "lb-00000001";
pub(crate) const CLUSTER: &str = "cluster-under-test";

/// A cluster that knows what the test tells it.
#[derive(Default)]
pub(crate) struct Village {
    desired: Mutex<HashMap<String, Desired>>,
    recorded: Mutex<BTreeMap<String, String>>,
    /// Its level; `listeners` where nobody says.
    pub(crate) manage: Mutex<Option<Manage>>,
    /// How often it was read past the caches.
    pub(crate) reads: Mutex<usize>,
}

impl Home for Village {
    fn manage(&self) -> Manage {
        self.manage.lock().unwrap_or(Manage::Listeners)
    }

    fn fresh<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, Result<Desired, String>> {
        *self.reads.lock() += 1;
        let known = self.desired.lock().get(load_balancer).cloned();
        Box::pin(async { Ok(known.unwrap_or_default()) })
    }

    fn saw_end(&self, _: &str) -> bool {
        false
    }

    fn record<'a>(
        &'a self,
        load_balancer: &'a str,
        note: String,
    ) -> BoxFuture<'a, Result<(), String>> {
        self.recorded.lock().insert(load_balancer.to_owned(), note);
        Box::pin(async { Ok(()) })
    }

    fn recorded<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, Result<String, String>> {
        let note = self.recorded.lock().get(load_balancer).cloned();
        Box::pin(async { Ok(note.unwrap_or_default()) })
    }

    fn forget<'a>(&'a self, load_balancer: &'a str) -> BoxFuture<'a, ()> {
        self.recorded.lock().remove(load_balancer);
        Box::pin(async {})
    }

    fn tell_pod(&self, _: &ObjectRef, _: &str, _: News) {}
}

/// The world.
pub(crate) struct World {
    pub(crate) clb: Arc<InProcess>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) village: Arc<Village>,
    pub(crate) inboxes: BTreeMap<String, Inbox>,
    pub(crate) context: Context,
    config: clb_sim::Config,
    draining: CancellationToken,
}

impl World {
    /// With one load balancer and nobody at work.
    pub(crate) fn new(config: clb_sim::Config) -> Self {
        Self::of(config, &[LOAD_BALANCER.to_owned()], Duration::ZERO)
    }

    /// With these load balancers and nobody at work; requests travel for up to `transit`.
    pub(crate) fn of(config: clb_sim::Config, ids: &[String], transit: Duration) -> Self {
        let config = clb_sim::Config {
            load_balancers: ids.iter().map(|id| existing(id)).collect(),
            seed: Some(1),
            ..config
        };
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let clb = Arc::new(InProcess::new(&config, start).unwrap());
        let wire = Arc::new(Wire::slow(Arc::clone(&clb), transit));
        let village = Arc::new(Village::default());
        let context = context(&village, client(&clb, &wire, &config), &config);
        let inboxes = ids.iter().map(|id| (id.clone(), inbox())).collect();
        Self {
            clb,
            wire,
            village,
            inboxes,
            context,
            config,
            draining: CancellationToken::new(),
        }
    }

    /// Says what should be there.
    pub(crate) fn want(&self, desired: Desired) {
        self.want_on(LOAD_BALANCER, desired);
    }

    /// Says what should be on this load balancer.
    pub(crate) fn want_on(&self, load_balancer: &str, desired: Desired) {
        let mut known = self.village.desired.lock();
        self.inboxes[load_balancer].put(&desired);
        known.insert(load_balancer.to_owned(), desired);
    }

    /// The writer's work, to be polled beside the test.
    pub(crate) fn writer(&self) -> impl Future<Output = ()> + use<> {
        self.writer_of(LOAD_BALANCER)
    }

    /// The same of this load balancer.
    pub(crate) fn writer_of(&self, load_balancer: &str) -> impl Future<Output = ()> + use<> {
        engine::run(
            load_balancer.to_owned(),
            self.inboxes[load_balancer].clone(),
            self.context.clone(),
            self.draining.clone(),
        )
    }

    /// Everybody's work at once.
    pub(crate) fn all_writers(&self) -> impl Future<Output = ()> + use<> {
        let writers: Vec<_> = self.inboxes.keys().map(|id| self.writer_of(id)).collect();
        let quotas = quotas::run(self.context.clone(), self.draining.clone());
        async {
            futures::join!(quotas, futures::future::join_all(writers));
        }
    }

    /// Another process takes over: it knows nothing of what the last one knew.
    pub(crate) fn successor(&self) -> Self {
        let client = client(&self.clb, &self.wire, &self.config);
        let context = context(&self.village, client, &self.config);
        let mut inboxes = self.inboxes.clone();
        for (id, inbox) in &mut inboxes {
            let known = self.village.desired.lock().get(id).cloned();
            *inbox = Inbox::new(known.unwrap_or_default());
        }
        Self {
            clb: Arc::clone(&self.clb),
            wire: Arc::clone(&self.wire),
            village: Arc::clone(&self.village),
            inboxes,
            context,
            config: self.config.clone(),
            draining: CancellationToken::new(),
        }
    }

    /// What is known of the load balancer under test.
    pub(crate) fn view(&self) -> Arc<View> {
        self.context.views.get(LOAD_BALANCER).unwrap_or_default()
    }

    /// What the simulator has bound: where, target, weight, tag.
    pub(crate) fn bound(&self) -> Bound {
        let state = self.clb.state();
        let mut all = BTreeMap::new();
        for load_balancer in state["load_balancers"].as_array().unwrap() {
            all.extend(bound(load_balancer));
        }
        all
    }

    /// How often an action was called, whatever came of it.
    pub(crate) fn calls(&self, action: &str) -> u64 {
        let calls = self.clb.calls();
        let outcomes = calls["calls"][action].as_object();
        outcomes.map_or(0, |all| all.values().filter_map(Value::as_u64).sum())
    }
}

/// Where (load balancer, slot, rule) and target -> weight, tag.
pub(crate) type Bound = BTreeMap<(String, String), (u64, Option<String>)>;

fn bound(load_balancer: &Value) -> Bound {
    let mut all = BTreeMap::new();
    for listener in load_balancer["listeners"].as_array().unwrap() {
        let slot = format!(
            "{} {}:{}",
            load_balancer["id"].as_str().unwrap(),
            listener["protocol"].as_str().unwrap(),
            listener["port"]
        );
        all.extend(targets(&slot, listener));
        for rule in listener["rules"].as_array().into_iter().flatten() {
            let (domain, url) = (&rule["domain"], &rule["url"]);
            let holder = format!(
                "{slot} {}{}",
                domain.as_str().unwrap(),
                url.as_str().unwrap()
            );
            all.extend(targets(&holder, rule));
        }
    }
    all
}

fn targets<'a>(
    holder: &'a str,
    found: &'a Value,
) -> impl Iterator<Item = ((String, String), (u64, Option<String>))> + 'a {
    let targets = found["targets"].as_array().unwrap();
    targets.iter().map(move |target| {
        let address = format!("{}:{}", target["ip"].as_str().unwrap(), target["port"]);
        let tag = target["tag"].as_str().map(str::to_owned);
        let weight = target["weight"].as_u64().unwrap();
        ((holder.to_owned(), address), (weight, tag))
    })
}

/// What the simulator should have bound.
pub(crate) fn wanted(load_balancer: &str, desired: &Desired) -> Bound {
    let mut all = BTreeMap::new();
    for (slot, listener) in &desired.listeners {
        let slot = format!("{load_balancer} {}:{}", listener.protocol, slot.port);
        all.extend(listener.targets.iter().map(|one| entry(&slot, one)));
        for (key, rule) in &listener.rules {
            let holder = format!("{slot} {}{}", key.domain, key.url);
            all.extend(rule.targets.iter().map(|one| entry(&holder, one)));
        }
    }
    all
}

fn entry(holder: &str, target: &DesiredTarget) -> ((String, String), (u64, Option<String>)) {
    let (ip, port) = target.address;
    let address = format!("{ip}:{port}");
    let tag = tag(&target.pod_uid);
    (
        (holder.to_owned(), address),
        (target.weight.into(), Some(tag)),
    )
}

/// Our tag of a target of this pod.
pub(crate) fn tag(pod_uid: &str) -> String {
    let tag = Tag {
        cluster: ClusterId::new(CLUSTER),
        pod_uid: pod_uid.to_owned(),
    };
    tag.to_string()
}

fn existing(id: &str) -> InitialLoadBalancer {
    InitialLoadBalancer {
        id: id.to_owned(),
        name: format!("name-of-{id}"),
        ..InitialLoadBalancer::default()
    }
}

fn inbox() -> Inbox {
    Inbox::new(Desired::default())
}

fn context(village: &Arc<Village>, client: Client, config: &clb_sim::Config) -> Context {
    let home = Arc::clone(village);
    Context {
        home,
        cluster_id: ClusterId::new(CLUSTER),
        cloud: Cloud::with_client(client, Some(config.vpc_id.clone())),
        roster: Roster::default(),
        quotas: Quotas::default(),
        views: Views::default(),
        seen: Arc::new(Notify::new()),
        metrics: Metrics::register(&mut prometheus_client::registry::Registry::default()),
        leadership: Leadership::undisputed(),
    }
}

fn client(clb: &Arc<InProcess>, wire: &Arc<Wire>, config: &clb_sim::Config) -> Client {
    let credentials = Credentials {
        secret_id: config.secret_id.clone(),
        secret_key: config.secret_key.clone().into(),
        token: None,
    };
    let clock = Arc::clone(clb);
    let mut own = Config::new(
        clb::Endpoint::default(),
        config.region.parse().unwrap(),
        Arc::new(StaticCredentials(credentials)),
        Arc::new(move || clock.now()),
    );
    own.exchange = Some(Arc::new(End(Arc::clone(wire))));
    own.call_timeout = gate_controller::cloud::CALL_TIMEOUT;
    // The same history twice is the same twice.
    let drawn = AtomicU64::new(1);
    own.random = Arc::new(move || drawn.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed));
    own.calls_per_second = NonZeroU32::new(20).unwrap();
    Client::new(own).unwrap()
}

/// Live pods with these numbers behind one listener.
pub(crate) fn desired(port: u16, pods: impl IntoIterator<Item = u32>) -> Desired {
    let targets: Vec<_> = pods.into_iter().map(target).collect();
    let fates: HashMap<_, _> = targets
        .iter()
        .map(|target| (target.pod_uid.clone(), Fate::Live))
        .collect();
    let listener = DesiredListener {
        owner: Owner::service(service()),
        protocol: Protocol::Tcp,
        parameters: ListenerParameters::default(),
        targets,
        rules: BTreeMap::new(),
    };
    Desired {
        listeners: [(Protocol::Tcp.at(port), listener)].into(),
        others: Arc::new(Others {
            fates,
            ..Others::default()
        }),
        ..Desired::default()
    }
}

/// The Service of everything here.
pub(crate) fn service() -> ObjectRef {
    ObjectRef {
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
    }
}

/// A binding of the pod with this number.
pub(crate) fn target(number: u32) -> DesiredTarget {
    DesiredTarget {
        address: (address(number), 8080),
        pod: ObjectRef {
            namespace: "shop".to_owned(),
            name: format!("web-{number}"),
        },
        pod_uid: format!("uid-{number}"),
        weight: 10,
    }
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
}

/// Delays of a CLB whose every call takes this long, with its work done by its answer.
pub(crate) fn every_call_takes(millis: u32) -> Delays {
    Delays {
        call_ms: millis,
        ..Delays::default()
    }
}
