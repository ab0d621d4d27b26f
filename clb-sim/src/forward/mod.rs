//! The data plane: keeps one open port for every TCP and UDP listener the model has.

mod open;
mod pick;
mod port;
mod sessions;
mod tcp;
mod udp;
mod vip;

use crate::outgoing::Outgoing;
use crate::shared::Shared;
use crate::state::Model;
use crate::state::parts::{LoadBalancer, Protocol};
use port::Port;
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
    ports: BTreeMap<String, (Arc<Port>, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// A port that should be open.
struct Wanted {
    load_balancer: String,
    listener: String,
    address: SocketAddr,
    datagram: bool,
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
        for (port, _) in self.ports.values() {
            port.refresh(&self.ground.shared);
        }
    }

    fn open(&mut self, wanted: &Wanted) {
        if self.ports.contains_key(&wanted.listener) {
            return;
        }
        let port = Arc::new(Port::new(&wanted.load_balancer, &wanted.listener));
        let (serving, address, ground) = (Arc::clone(&port), wanted.address, self.ground.clone());
        let task = if wanted.datagram {
            self.tasks.spawn(udp::serve(serving, address, ground))
        } else {
            self.tasks.spawn(tcp::serve(serving, address, ground))
        };
        self.ports.insert(wanted.listener.clone(), (port, task));
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
    let served = listeners.filter(|each| matches!(each.protocol, Protocol::Tcp | Protocol::Udp));
    served.map(|listener| Wanted {
        load_balancer: found.id.clone(),
        listener: listener.id.clone(),
        address: SocketAddr::from((found.vip, listener.port)),
        datagram: listener.protocol.is_datagram(),
    })
}
