//! The data plane: keeps one open port for every listener the model has, but QUIC's.

mod accept;
mod body;
mod cookie;
mod doors;
mod greet;
mod headers;
mod helpers;
mod http;
mod open;
mod pick;
mod port;
mod pulse;
mod relay;
mod route;
mod sessions;
mod site;
mod tcp;
mod trouble;
mod tunnel;
mod udp;
mod vip;

use crate::outgoing::Outgoing;
use crate::shared::Shared;
use crate::state::Model;
use crate::state::parts::{LoadBalancer, Protocol};
use port::Port;
use site::Site;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use vip::Vips;

/// What the data plane stands on.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) shared: Arc<Shared>,
    pub(crate) outgoing: Outgoing,
    /// The most connections and flows at a time.
    pub(crate) room: Arc<Semaphore>,
}

/// Follows the model until it is dropped.
pub(crate) async fn run(ground: Ground, interface: Option<String>) {
    let mut changes = ground.shared.follow();
    let mut vips = interface.map(Vips::new);
    let mut plane = Plane {
        ground,
        ports: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    loop {
        changes.borrow_and_update();
        let shared = Arc::clone(&plane.ground.shared);
        let (addresses, wanted) = shared.with(|model, _| (addresses(model), wanted(model)));
        if let Some(mut held) = vips.take() {
            // Running `ip` blocks; the addresses must be there before the ports open.
            let set = tokio::task::spawn_blocking(move || {
                held.set(&addresses);
                held
            });
            vips = set.await.ok();
        }
        plane.reconcile(wanted);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The open ports, by listener.
struct Plane {
    ground: Ground,
    ports: BTreeMap<String, (Open, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// What stands behind an open port.
enum Open {
    Layer4(Arc<Port>),
    Layer7(Arc<Site>),
}

/// A port that should be open.
struct Wanted {
    load_balancer: String,
    listener: String,
    address: SocketAddr,
    protocol: Protocol,
}

impl Plane {
    fn reconcile(&mut self, wanted: Vec<Wanted>) {
        let present: BTreeSet<&String> = wanted.iter().map(|port| &port.listener).collect();
        self.ports.retain(|listener, (_, task)| {
            let stays = present.contains(listener);
            if !stays {
                // Dropping the task drops the connections it serves.
                task.abort();
                self.ground.shared.bind_errors.lock().remove(listener);
            }
            stays
        });
        while self.tasks.try_join_next().is_some() {}
        for port in wanted {
            self.open(&port);
        }
        for (open, _) in self.ports.values() {
            match open {
                Open::Layer4(port) => port.refresh(&self.ground.shared),
                Open::Layer7(site) => site.refresh(&self.ground.shared),
            }
        }
    }

    fn open(&mut self, wanted: &Wanted) {
        if self.ports.contains_key(&wanted.listener) {
            return;
        }
        let (address, ground) = (wanted.address, self.ground.clone());
        let port = || {
            let port = Port::new(&wanted.load_balancer, &wanted.listener, None);
            let port = Arc::new(port);
            (Arc::clone(&port), Open::Layer4(port))
        };
        let secure = wanted.protocol.has_certificate();
        let site = || Arc::new(Site::new(&wanted.load_balancer, &wanted.listener, secure));
        let opened = match wanted.protocol {
            Protocol::Quic => return,
            Protocol::Tcp => {
                let (port, open) = port();
                (open, self.tasks.spawn(tcp::serve(port, address, ground)))
            }
            Protocol::TcpSsl => {
                let (port, open) = port();
                let task = tcp::serve_tls(port, site(), address, ground);
                (open, self.tasks.spawn(task))
            }
            Protocol::Udp => {
                let (port, open) = port();
                (open, self.tasks.spawn(udp::serve(port, address, ground)))
            }
            Protocol::Http | Protocol::Https => {
                let site = site();
                let task = http::serve(Arc::clone(&site), address, ground);
                (Open::Layer7(site), self.tasks.spawn(task))
            }
        };
        self.ports.insert(wanted.listener.clone(), opened);
    }
}

fn addresses(model: &Model) -> BTreeSet<Ipv4Addr> {
    model
        .load_balancers
        .values()
        .map(|found| found.vip)
        .collect()
}

fn wanted(model: &Model) -> Vec<Wanted> {
    let active = model.load_balancers.values().filter(|found| found.active);
    active.flat_map(ports).collect()
}

fn ports(found: &LoadBalancer) -> impl Iterator<Item = Wanted> {
    let listeners = found.listeners.iter();
    listeners.map(|listener| Wanted {
        load_balancer: found.id.clone(),
        listener: listener.id.clone(),
        address: SocketAddr::from((found.vip, listener.port)),
        protocol: listener.protocol,
    })
}
