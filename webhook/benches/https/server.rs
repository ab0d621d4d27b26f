//! The three servers, each in a process of its own with a single thread.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{self, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router, body::Bytes, extract::DefaultBodyLimit, http::header::CONTENT_TYPE, routing::post,
};
use certs::{
    issue::{self, Signer},
    layout::{LeafMaterial, ServiceNames},
    resolver::{LeafResolver, server_config},
};
use direct_access::{ExposureIndex, Settings};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use runtime::{Change, Key, Readiness, Supervisor};
use serde::de::IgnoredAny;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use webhook::{
    answer::answer,
    exposed::Exposed,
    handler::{Handler, LARGEST_BODY},
    metrics::Metrics,
    server::{Drain, Limits, Server},
};

use crate::fixtures;

/// What ours knows of the cluster.
const SERVICES: usize = 1_000;
const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The product.
    Ours,
    /// Skips through the JSON once.
    Skip,
    /// Parses nothing.
    None,
}

impl Flavour {
    pub(crate) const ALL: [Self; 3] = [Self::Ours, Self::Skip, Self::None];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Skip => "skip",
            Self::None => "none",
        }
    }

    pub(crate) fn parse(name: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|flavour| flavour.name() == name)
            .expect("a flavour")
    }
}

/// A running server.
pub(crate) struct Child {
    pub(crate) flavour: Flavour,
    pub(crate) address: SocketAddr,
    process: process::Child,
}

impl Child {
    /// Starts this binary again as a server, on the first core if that can be arranged.
    pub(crate) fn start(flavour: Flavour) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut command = if has_taskset() {
            let mut command = Command::new("taskset");
            command.args(["-c", "0"]).arg(own);
            command
        } else {
            Command::new(own)
        };
        command
            .args(["--serve", flavour.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            flavour,
            address: line.trim().parse().expect("the server's address"),
            process,
        }
    }

    /// CPU time used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/schedstat", self.process.id())).unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    }

    pub(crate) fn resident_mib(&self) -> f64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
            / 1024.0
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Keeps the load off the servers' core, where there is another one.
pub(crate) fn leave_the_first_core() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores > 1 && has_taskset() {
        let (others, own) = (format!("1-{}", cores - 1), process::id().to_string());
        let mut command = Command::new("taskset");
        command
            .args(["-cp", &others, &own])
            .stdout(Stdio::null())
            .status()
            .ok();
    }
}

fn has_taskset() -> bool {
    let quiet = Command::new("taskset")
        .args(["-c", "0", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    quiet.is_ok_and(|status| status.success())
}

/// Runs as a server until the parent goes away.
pub(crate) fn serve(flavour: Flavour) {
    std::thread::spawn(|| {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok();
        process::exit(0);
    });
    let local = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    local.block_on(async {
        match flavour {
            Flavour::Ours => ours().await,
            Flavour::Skip => {
                let routes = reference(|body| {
                    serde_json::from_slice::<IgnoredAny>(body).unwrap();
                });
                serve_routes(routes).await;
            }
            Flavour::None => serve_routes(reference(|_| ())).await,
        }
    });
}

async fn ours() {
    let keyed =
        |facts: direct_access::ServiceFacts| (Key::new(&facts.namespace, &facts.name), facts);
    let exposed = Arc::new(Exposed::new());
    exposed.on_service(Change::Restarted(
        fixtures::services(SERVICES)
            .into_iter()
            .map(keyed)
            .collect(),
    ));
    let metrics = Metrics::default();
    let handler = Handler::new(exposed, metrics.clone());
    let (limits, drain) = (Limits::default(), Drain::default());
    let leaf = resolver();
    let server = Server {
        limits,
        drain,
        tls: server_config(leaf.clone()).unwrap(),
        leaf,
        handler,
        metrics,
    };
    let supervisor = Supervisor::new();
    let address = server
        .spawn(&supervisor, LOOPBACK, Readiness::new())
        .await
        .unwrap();
    println!("{address}");
    supervisor.run(Duration::MAX).await.unwrap();
}

/// The same answer for every body, which `look` has seen whole.
fn reference(look: fn(&[u8])) -> Router {
    let index = ExposureIndex::build(&fixtures::services(1), &Settings::default());
    let same = Bytes::from(answer(&fixtures::review(1), &index).unwrap().body);
    let handle = async move |body: Bytes| {
        look(&body);
        ([(CONTENT_TYPE, "application/json")], same.clone())
    };
    Router::new()
        .route("/mutate", post(handle))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
}

async fn serve_routes(routes: Router) {
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let acceptor = TlsAcceptor::from(server_config(resolver()).unwrap());
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(routes.clone()));
        connections.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let serving = hyper::server::conn::http1::Builder::new();
            serving
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

fn resolver() -> Arc<LeafResolver> {
    let names = ServiceNames::new("clb-gate-webhook", "clb-gate");
    let now = runtime::clock::now();
    let signer = Signer::from(issue::ca(1, now).unwrap());
    let made = issue::leaf(&signer, &names, now).unwrap();
    let resolver = Arc::new(LeafResolver::new());
    let material = LeafMaterial {
        cert_pem: made.certificate.to_pem().into_bytes(),
        key_pem: made.key,
        bundle_pem: signer.certificate().to_pem().into_bytes(),
    };
    resolver.load(&material, &names, now).unwrap();
    resolver
}
