//! The admission server: called by the API server on every pod CREATE, it adds the readiness gate to
//! pods that are ours. It makes no call while it answers; everything it knows comes from watches.
//!
//! [`run`] is all the command line needs. [`answer::answer`] is the decision, bytes in and bytes out;
//! [`handler::router`] puts HTTP round it, [`server`] TLS and a shutdown that loses no call.

pub mod answer;
mod connection;
pub mod exposed;
#[cfg(test)]
#[path = "../fixtures/mod.rs"]
mod fixtures;
pub mod handler;
pub mod leaf;
pub mod metrics;
mod reach;
pub mod review;
pub mod server;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use certs::{layout::ServiceNames, resolver::LeafResolver};
use direct_access::names;
use kube::Client;
use prometheus_client::registry::Registry;
use runtime::{
    Readiness, Supervisor,
    admin::{self, Admin, AdminError},
    supervise::Failure,
    version,
};

use crate::{exposed::Exposed, handler::Handler, leaf::Leaf, metrics::Metrics, server::Server};

/// What the webhook is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where HTTPS is served.
    pub listen: SocketAddr,
    /// Where probes, metrics and the served leaf are shown.
    pub admin: SocketAddr,
    /// The namespace clb-gate is installed in.
    pub namespace: String,
    /// How many connections, and how long they may take.
    pub limits: server::Limits,
    /// How the server leaves.
    pub drain: server::Drain,
}

impl Config {
    /// The usual configuration for a namespace, on ports 8443 and 8080.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            admin: SocketAddr::from(([0, 0, 0, 0], 8080)),
            namespace: namespace.into(),
            limits: server::Limits::default(),
            drain: server::Drain::default(),
        }
    }
}

/// Why the webhook is not running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The admin port.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The HTTPS port.
    #[error(transparent)]
    Listen(#[from] server::ListenError),
    /// Signals.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// A task of the process failed.
    #[error(transparent)]
    Task(#[from] Failure),
    /// The TLS settings.
    #[error("the TLS settings cannot be used")]
    Tls(#[from] rustls::Error),
}

/// Where a started webhook listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// HTTPS.
    pub https: SocketAddr,
    /// Probes, metrics and the served leaf.
    pub admin: SocketAddr,
}

/// Runs the webhook until a signal ends it. The process must have installed its rustls provider.
pub async fn run(config: Config, client: Client) -> Result<(), Error> {
    let supervisor = Supervisor::new();
    supervisor.listen_for_signals().map_err(Error::Signals)?;
    let grace = config.drain.longest();
    start(&supervisor, config, client).await?;
    Ok(supervisor.run(grace).await?)
}

/// Starts every task of the webhook.
pub async fn start(
    supervisor: &Supervisor,
    config: Config,
    client: Client,
) -> Result<Addresses, Error> {
    let readiness = Readiness::new();
    let mut registry = Registry::default();
    runtime::build::register(&mut registry);
    let metrics = Metrics::register(&mut registry);

    let exposed = Arc::new(Exposed::new());
    exposed.watch(supervisor, &client, &config.namespace, &readiness);
    let resolver = Arc::new(LeafResolver::new());
    let service = ServiceNames::new(names::WEBHOOK_SERVICE, &config.namespace);
    let leaf = Leaf::new(
        resolver.clone(),
        service,
        metrics.clone(),
        readiness.handle("leaf"),
    );
    leaf.watch(supervisor, &client, &config.namespace, &readiness);
    let extra = leaf.router();
    version::spawn_check(supervisor, client, readiness.handle("kubernetes-version"));

    let handler = Handler::new(exposed, metrics.clone());
    let tls = certs::resolver::server_config(resolver.clone())?;
    let server = Server {
        limits: config.limits,
        drain: config.drain,
        tls,
        leaf: resolver,
        handler,
        metrics,
    };
    let https = server
        .spawn(supervisor, config.listen, readiness.clone())
        .await?;
    let admin = Admin {
        listen: config.admin,
        readiness,
        metrics: Arc::new(registry),
        extra,
    };
    let admin = admin::spawn(supervisor, admin).await?;
    tracing::info!(%https, %admin, namespace = config.namespace, "webhook started");
    Ok(Addresses { https, admin })
}

/// A second, for durations in this crate's constants.
const SECOND: Duration = Duration::from_secs(1);
