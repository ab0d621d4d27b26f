//! Puts the simulator together and takes it apart again.

use crate::api::{Api, Secret};
use crate::cidr::Cidr;
use crate::clock;
use crate::forward;
use crate::health::checker;
use crate::open_files;
use crate::server::Door;
use crate::shared::Shared;
use crate::state::parts::Network;
use crate::state::{Model, NewLoadBalancer, Settings};
use crate::store::{self, Store, StoreError};
use crate::tls::{self, TlsError};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Everything an operator can choose.
#[derive(Clone)]
pub struct Config {
    /// Where the API is served over HTTP; port 0 picks one.
    pub listen: SocketAddr,
    /// The same over HTTPS.
    pub tls: Option<TlsConfig>,
    /// The `SecretId` that callers must use.
    pub secret_id: String,
    /// Its key.
    pub secret_key: String,
    /// The only region served.
    pub region: String,
    /// The only VPC.
    pub vpc_id: String,
    /// Where VIPs come from.
    pub vip_pool: Cidr,
    /// The network interface that VIPs are added to; none leaves the addresses alone.
    pub vip_interface: Option<String>,
    /// Pod ranges the VPC knows; empty means all addresses.
    pub reachable: Vec<Cidr>,
    /// Load balancers that exist from the start.
    pub load_balancers: Vec<InitialLoadBalancer>,
    /// Calls per second and action; 0 is no limit.
    pub rate: u32,
    /// How long a write keeps its load balancer busy.
    pub task_ms: u32,
    /// Added to every call.
    pub call_ms: u32,
    /// Forget the tags of targets.
    pub ignore_tags: bool,
    /// Listeners per load balancer.
    pub listener_quota: usize,
    /// Targets per listener.
    pub target_quota: usize,
    /// Where the state is kept over a restart.
    pub state: Option<PathBuf>,
}

/// The HTTPS door.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// Where it is served.
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// A load balancer that exists from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialLoadBalancer {
    /// Such as `lb-demo0001`.
    pub id: String,
    /// Its name; the id if the operator gave none.
    pub name: String,
}

/// Why the simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The state file is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTPS certificate is unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A load balancer given at the start could not be made.
    #[error("load balancer {id}: {reason}")]
    LoadBalancer {
        /// Its id.
        id: String,
        /// What went wrong.
        reason: String,
    },
}

/// A running simulator; it ends when this is dropped.
pub struct Handle {
    /// Where HTTP is served.
    pub http_addr: SocketAddr,
    /// Where HTTPS is served.
    pub https_addr: Option<SocketAddr>,
    store: Option<Arc<Store>>,
    parts: JoinSet<()>,
}

impl Handle {
    /// Stops everything and saves the state a last time.
    pub async fn shutdown(mut self) -> Result<(), StoreError> {
        self.parts.shutdown().await;
        self.store.map_or(Ok(()), |store| store.save())
    }
}

/// Starts a simulator on the present runtime.
pub async fn start(config: Config) -> Result<Handle, StartError> {
    let shared = Arc::new(Shared::new(world(&config)?));
    let secret = Secret {
        id: config.secret_id.clone(),
        key: config.secret_key.clone(),
    };
    let api = Arc::new(Api::new(
        Arc::clone(&shared),
        secret,
        config.region.clone(),
        config.rate,
        u64::from(config.call_ms),
    ));
    let mut parts = JoinSet::new();
    let (plain, plain_at) = listen(config.listen).await?;
    serve(&mut parts, &api, plain, None);
    let mut secure_at = None;
    if let Some(tls) = &config.tls {
        let acceptor = tls::acceptor(&tls.cert, &tls.key)?;
        let (secure, address) = listen(tls.listen).await?;
        serve(&mut parts, &api, secure, Some(acceptor));
        secure_at = Some(address);
    }
    run_parts(&mut parts, &shared, &config);
    let store = config.state.map(|path| Arc::new(Store::new(path, shared)));
    if let Some(store) = &store {
        parts.spawn(Arc::clone(store).save_on_change());
    }
    Ok(Handle {
        http_addr: plain_at,
        https_addr: secure_at,
        store,
        parts,
    })
}

fn run_parts(parts: &mut JoinSet<()>, shared: &Arc<Shared>, config: &Config) {
    let settling = Arc::clone(shared);
    parts.spawn(async move { settling.settle_when_due().await });
    parts.spawn(checker::run(Arc::clone(shared)));
    let (interface, connections) = (config.vip_interface.clone(), open_files::connections());
    parts.spawn(forward::run(Arc::clone(shared), interface, connections));
}

fn serve(
    parts: &mut JoinSet<()>,
    api: &Arc<Api>,
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
) {
    let door = Door {
        api: Arc::clone(api),
        listener,
        tls,
    };
    parts.spawn(door.serve());
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The saved world, or a new one, with the load balancers the operator asked for.
fn world(config: &Config) -> Result<Model, StartError> {
    let saved = config
        .state
        .as_deref()
        .map(store::load)
        .transpose()?
        .flatten();
    let mut model = saved.unwrap_or_else(|| Model::new(uuid::Uuid::new_v4().as_u64_pair().0));
    model.settings = settings(config);
    for wanted in &config.load_balancers {
        if !model.load_balancers.contains_key(&wanted.id) {
            add(&mut model, wanted)?;
        }
    }
    // These exist already: nobody waits for their creation.
    model.settle(clock::now() + model.settings.task_ms);
    Ok(model)
}

fn settings(config: &Config) -> Settings {
    Settings {
        vpc_id: config.vpc_id.clone(),
        vip_pool: Some(config.vip_pool),
        reachable: config.reachable.clone(),
        task_ms: i64::from(config.task_ms),
        ignore_tags: config.ignore_tags,
        listener_quota: config.listener_quota,
        target_quota: config.target_quota,
    }
}

fn add(model: &mut Model, wanted: &InitialLoadBalancer) -> Result<(), StartError> {
    let new = NewLoadBalancer {
        id: wanted.id.clone(),
        name: wanted.name.clone(),
        kind: Network::Open,
        subnet_id: String::new(),
        tags: BTreeMap::new(),
        pass_to_target: true,
    };
    let added = model.add_load_balancer(clock::now(), new);
    added.map_err(|refusal| StartError::LoadBalancer {
        id: wanted.id.clone(),
        reason: refusal.message,
    })
}
