//! A world in one process: the simulator, a client that reaches it without sockets, and a cluster that
//! only knows what the test tells it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;
use clb::{Answer, Client, Config, Credentials, Exchange, Exchanging, Failure, StaticCredentials};
use clb_sim::{Delays, InProcess, InitialLoadBalancer};
use direct_access::listener::ListenerParameters;
use direct_access::ownership::ClusterId;
use direct_access::settings::Manage;
use direct_access::{ObjectRef, Protocol};
use futures::future::BoxFuture;
use gate_controller::cloud::Cloud;
use gate_controller::desired::{Desired, DesiredListener, DesiredTarget, Others};
use gate_controller::engine::{self, Context, Home, Inbox, Quotas, Roster};
use gate_controller::metrics::Metrics;
use gate_controller::pod::Fate;
use gate_controller::view::Views;
use parking_lot::Mutex;
use runtime::{Leadership, News};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) const LOAD_BALANCER: &str = "lb-00000001";
pub(crate) const CLUSTER: &str = "cluster-under-test";

/// The simulator, as the client reaches it.
pub(crate) struct Wire(Arc<InProcess>);

impl Exchange for Wire {
    fn exchange(&self, headers: http::HeaderMap, body: Bytes) -> Exchanging<'_> {
        Box::pin(async move {
            match self.0.exchange(&headers, body).await {
                Some(body) => Ok(Answer {
                    status: http::StatusCode::OK,
                    body,
                }),
                None => Err(Failure::Lost("the connection was closed".into())),
            }
        })
    }
}

/// A cluster that knows what the test tells it.
#[derive(Default)]
pub(crate) struct Village {
    desired: Mutex<Desired>,
    recorded: Mutex<BTreeMap<String, String>>,
    /// How often it was read past the caches.
    pub(crate) reads: Mutex<usize>,
}

impl Home for Village {
    fn manage(&self) -> Manage {
        Manage::Listeners
    }

    fn fresh<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Desired, String>> {
        *self.reads.lock() += 1;
        Box::pin(async { Ok(self.desired.lock().clone()) })
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
    pub(crate) village: Arc<Village>,
    pub(crate) inbox: Inbox,
    pub(crate) context: Context,
    draining: CancellationToken,
}

impl World {
    /// With one load balancer and nobody at work.
    pub(crate) fn new(config: clb_sim::Config) -> Self {
        let config = clb_sim::Config {
            load_balancers: vec![InitialLoadBalancer {
                id: LOAD_BALANCER.to_owned(),
                name: "under-test".to_owned(),
                ..InitialLoadBalancer::default()
            }],
            seed: Some(1),
            ..config
        };
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let clb = Arc::new(InProcess::new(&config, start).unwrap());
        let village = Arc::new(Village::default());
        let home = Arc::clone(&village);
        let context = Context {
            home,
            cluster_id: ClusterId::new(CLUSTER),
            cloud: Cloud::with_client(client(&clb, &config), Some(config.vpc_id.clone())),
            roster: Roster::default(),
            quotas: Quotas::default(),
            views: Views::default(),
            seen: Arc::new(Notify::new()),
            metrics: Metrics::register(&mut prometheus_client::registry::Registry::default()),
            leadership: Leadership::undisputed(),
        };
        Self {
            clb,
            village,
            inbox: Inbox::new(Desired::default()),
            context,
            draining: CancellationToken::new(),
        }
    }

    /// Says what should be there.
    pub(crate) fn want(&self, desired: Desired) {
        *self.village.desired.lock() = desired.clone();
        self.inbox.put(desired);
    }

    /// The writer's work, to be polled beside the test.
    pub(crate) fn writer(&self) -> impl Future<Output = ()> + use<> {
        engine::run(
            LOAD_BALANCER.to_owned(),
            self.inbox.clone(),
            self.context.clone(),
            self.draining.clone(),
        )
    }

    /// What the simulator has bound: listener port and protocol, target, weight, tag.
    pub(crate) fn bound(&self) -> BTreeMap<(String, String), (u64, Option<String>)> {
        let state = self.clb.state();
        let mut all = BTreeMap::new();
        for load_balancer in state["load_balancers"].as_array().unwrap() {
            for listener in load_balancer["listeners"].as_array().unwrap() {
                let slot = format!(
                    "{}:{}",
                    listener["protocol"].as_str().unwrap(),
                    listener["port"]
                );
                for target in listener["targets"].as_array().unwrap() {
                    let address = format!("{}:{}", target["ip"].as_str().unwrap(), target["port"]);
                    let tag = target["tag"].as_str().map(str::to_owned);
                    let weight = target["weight"].as_u64().unwrap();
                    all.insert((slot.clone(), address), (weight, tag));
                }
            }
        }
        all
    }

    /// How often an action was called, whatever came of it.
    pub(crate) fn calls(&self, action: &str) -> u64 {
        let calls = self.clb.calls();
        let outcomes = calls["calls"][action].as_object();
        outcomes.map_or(0, |all| {
            all.values().filter_map(serde_json::Value::as_u64).sum()
        })
    }
}

fn client(clb: &Arc<InProcess>, config: &clb_sim::Config) -> Client {
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
    own.exchange = Some(Arc::new(Wire(Arc::clone(clb))));
    own.call_timeout = gate_controller::cloud::CALL_TIMEOUT;
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
        service: ObjectRef {
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
        },
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
        hold: false,
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
