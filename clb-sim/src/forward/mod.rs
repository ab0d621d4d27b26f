//! The data plane: keeps one open port for every TCP listener the model has.

mod pick;
mod proxy;
mod vip;

use crate::shared::Shared;
use crate::state::Model;
use crate::state::parts::{Listener, LoadBalancer, Protocol, Scheduler};
use proxy::Port;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use vip::Vips;

/// Follows the model until it is dropped. `connections` is the most it serves at a time.
pub(crate) async fn run(shared: Arc<Shared>, interface: Option<String>, connections: usize) {
    let mut changes = shared.follow();
    let mut vips = interface.map(Vips::new);
    let mut plane = Plane {
        room: Arc::new(Semaphore::new(connections)),
        ports: BTreeMap::new(),
        tasks: JoinSet::new(),
    };
    loop {
        changes.borrow_and_update();
        let (addresses, wanted) = shared.with(|model, _| (addresses(model), wanted(model)));
        if let Some(mut held) = vips.take() {
            // Running `ip` blocks; the addresses must be there before the ports open.
            let set = tokio::task::spawn_blocking(move || {
                held.set(&addresses);
                held
            });
            vips = set.await.ok();
        }
        plane.reconcile(&shared, wanted);
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The open ports, by listener.
struct Plane {
    room: Arc<Semaphore>,
    ports: BTreeMap<String, (Arc<Port>, AbortHandle)>,
    tasks: JoinSet<()>,
}

/// A port that should be open.
struct Wanted {
    load_balancer: String,
    listener: String,
    address: SocketAddr,
    scheduler: Scheduler,
}

impl Plane {
    fn reconcile(&mut self, shared: &Arc<Shared>, wanted: Vec<Wanted>) {
        let present: BTreeSet<&String> = wanted.iter().map(|port| &port.listener).collect();
        self.ports.retain(|listener, (_, task)| {
            let stays = present.contains(listener);
            if !stays {
                // Dropping the task drops the connections it serves.
                task.abort();
                shared.bind_errors.lock().remove(listener);
            }
            stays
        });
        while self.tasks.try_join_next().is_some() {}
        for port in wanted {
            self.open(shared, &port);
        }
        for (port, _) in self.ports.values() {
            port.refresh(shared);
        }
    }

    fn open(&mut self, shared: &Arc<Shared>, wanted: &Wanted) {
        if self.ports.contains_key(&wanted.listener) {
            return;
        }
        let port = Arc::new(Port::new(
            &wanted.load_balancer,
            &wanted.listener,
            wanted.scheduler,
        ));
        let serving = proxy::serve(
            Arc::clone(&port),
            wanted.address,
            Arc::clone(shared),
            Arc::clone(&self.room),
        );
        let task = self.tasks.spawn(serving);
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
    let served = |found: &'_ LoadBalancer| found.active;
    let load_balancers = model.load_balancers.values().filter(|found| served(found));
    load_balancers
        .flat_map(|found| {
            let tcp = |listener: &&Listener| listener.protocol == Protocol::Tcp;
            found.listeners.iter().filter(tcp).map(|listener| Wanted {
                load_balancer: found.id.clone(),
                listener: listener.id.clone(),
                address: SocketAddr::from((found.vip, listener.port)),
                scheduler: listener.scheduler,
            })
        })
        .collect()
}
