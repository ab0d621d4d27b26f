//! Puts the simulator together and takes it apart again.

use crate::accounts::{self, Accounts, AccountsError};
use crate::api::{Api, Secret};
use crate::cidr::Cidr;
use crate::clock::Clock;
use crate::faults::{self, Fault, FaultsError};
use crate::forward;
use crate::health::checker;
use crate::open_files;
use crate::outgoing::Outgoing;
use crate::server::Door;
use crate::shared::Shared;
use crate::state::parts::{More, Network};
use crate::state::{Behaviour, Call, Delays, Model, NewLoadBalancer, Quotas, Settings};
use crate::store::{self, Store, StoreError};
use crate::tls::{self, TlsError};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
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
    /// Show targets the clients' addresses; needs `CAP_NET_ADMIN` and routes for the answers.
    pub transparent: bool,
    /// Pod ranges the VPC knows; empty means all addresses.
    pub reachable: Vec<Cidr>,
    /// Load balancers that exist from the start.
    pub load_balancers: Vec<InitialLoadBalancer>,
    /// Calls per second and action; 0 is no limit.
    pub rate: u32,
    /// How long calls and tasks take.
    pub delays: Delays,
    /// What it does where the API's documentation is silent.
    pub behaviour: Behaviour,
    /// How much there may be, until that is set at run time.
    pub quotas: Quotas,
    /// More accounts, a JSON list.
    pub accounts: Option<PathBuf>,
    /// The role whose credentials the metadata service gives out.
    pub metadata_role: Option<String>,
    /// Faults to begin with, a JSON list.
    pub faults: Option<PathBuf>,
    /// Where the state is kept over a restart.
    pub state: Option<PathBuf>,
    /// Of the ids it makes; the same seed and calls give the same ids. Random without.
    pub seed: Option<u64>,
}

/// The account defaults of the real CLB (documentation of its quotas and of its actions), a quick
/// task, and a key pair for examples.
impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: None,
            secret_id: "AKIDexample".to_owned(),
            secret_key: "example".to_owned(),
            region: "ap-guangzhou".to_owned(),
            vpc_id: "vpc-demo0001".to_owned(),
            vip_pool: Cidr::LOOPBACK_VIPS,
            vip_interface: None,
            transparent: false,
            reachable: Vec::new(),
            load_balancers: Vec::new(),
            rate: 20,
            delays: Delays {
                task_ms: 200,
                ..Delays::default()
            },
            behaviour: Behaviour::default(),
            quotas: Quotas::default(),
            accounts: None,
            metadata_role: None,
            faults: None,
            state: None,
            seed: None,
        }
    }
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitialLoadBalancer {
    /// Such as `lb-demo0001`.
    pub id: String,
    /// Its name; the id if the operator gave none.
    pub name: String,
    /// `LoadBalancerType` INTERNAL, not OPEN.
    pub internal: bool,
    /// A classic one (`Forward` 0), which refuses writes.
    pub classic: bool,
    /// In this VPC and not in the one whose addresses are known.
    pub vpc_id: Option<String>,
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
    /// Clients' addresses cannot be used towards targets.
    #[error(
        "--transparent: {0}: binding to addresses of other machines needs CAP_NET_ADMIN; \
         without the option targets see this machine's address"
    )]
    Transparent(#[source] std::io::Error),
    /// The accounts file is unusable.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The faults file is unusable.
    #[error(transparent)]
    Faults(#[from] FaultsError),
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
    let api = Arc::new(api(&config, Clock::Wall)?);
    let shared = Arc::clone(&api.shared);
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
    run_parts(&mut parts, &shared, &config)?;
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

/// The API of a world as the operator wants it.
pub(crate) fn api(config: &Config, clock: Clock) -> Result<Api, StartError> {
    let shared = Arc::new(Shared::new(world(config, clock)?, clock));
    let secret = Secret {
        id: config.secret_id.clone(),
        key: config.secret_key.clone(),
    };
    let mut accounts = Accounts::new(&secret, config.metadata_role.clone());
    if let Some(path) = &config.accounts {
        for account in accounts::load(path)? {
            // Refused only when there are thousands.
            let _ = accounts.add(account, clock.now());
        }
    }
    let api = Api::new(shared, accounts, config.region.clone(), config.rate);
    for fault in load_faults(config)? {
        let added = api.faults.lock().add(fault, clock.now());
        added.map_err(|refusal| FaultsError::Content {
            path: config.faults.clone().unwrap_or_default(),
            message: refusal.message,
        })?;
    }
    Ok(api)
}

fn load_faults(config: &Config) -> Result<Vec<Fault>, FaultsError> {
    let path = config.faults.as_deref();
    path.map_or_else(|| Ok(Vec::new()), faults::load)
}

fn run_parts(
    parts: &mut JoinSet<()>,
    shared: &Arc<Shared>,
    config: &Config,
) -> Result<(), StartError> {
    let settling = Arc::clone(shared);
    let outgoing = Outgoing::new(config.transparent).map_err(StartError::Transparent)?;
    parts.spawn(async move { settling.settle_when_due().await });
    parts.spawn(checker::run(Arc::clone(shared), outgoing));
    let ground = forward::Ground {
        shared: Arc::clone(shared),
        outgoing,
        room: Arc::new(Semaphore::new(open_files::connections())),
    };
    parts.spawn(forward::run(ground, config.vip_interface.clone()));
    Ok(())
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
fn world(config: &Config, clock: Clock) -> Result<Model, StartError> {
    let saved = config
        .state
        .as_deref()
        .map(store::load)
        .transpose()?
        .flatten();
    let mut model = saved.unwrap_or_else(|| {
        let random = || uuid::Uuid::new_v4().as_u64_pair().0;
        Model::new(config.seed.unwrap_or_else(random))
    });
    model.settings = settings(config);
    for wanted in &config.load_balancers {
        if !model.load_balancers.contains_key(&wanted.id) {
            add(&mut model, wanted, clock)?;
        }
    }
    Ok(model)
}

fn settings(config: &Config) -> Settings {
    Settings {
        region: config.region.clone(),
        vpc_id: config.vpc_id.clone(),
        vip_pool: Some(config.vip_pool),
        reachable: config.reachable.clone(),
        delays: config.delays,
        behaviour: config.behaviour,
        quotas: config.quotas,
    }
}

fn add(model: &mut Model, wanted: &InitialLoadBalancer, clock: Clock) -> Result<(), StartError> {
    let new = NewLoadBalancer {
        id: wanted.id.clone(),
        name: wanted.name.clone(),
        kind: if wanted.internal {
            Network::Internal
        } else {
            Network::Open
        },
        subnet_id: String::new(),
        tags: BTreeMap::new(),
        pass_to_target: true,
        vpc_id: wanted.vpc_id.clone(),
        vip: None,
        more: More {
            classic: wanted.classic,
            ..More::default()
        },
    };
    // It exists already: nobody waits for its creation.
    let call = Call::operator(clock.now(), model.ids.request());
    let added = model.add_load_balancer(&call, new);
    added.map_err(|refusal| StartError::LoadBalancer {
        id: wanted.id.clone(),
        reason: refusal.message,
    })
}
