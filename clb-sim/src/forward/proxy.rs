//! One TCP listener's traffic: accept at the VIP, choose a target, copy both ways.
//!
//! A layer-4 CLB does not retry: a target that does not answer costs the client its connection.

use super::pick::{Offer, Seat, Wheel, offers};
use crate::shared::Shared;
use crate::state::parts::Scheduler;
use crate::state::{Model, Revision};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How long a target may take to accept. A real CLB only passes the client's SYN on; a client
/// gives up after seconds.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Connections waiting to be accepted; the kernel caps it at net.core.somaxconn.
const BACKLOG: i32 = 65_535;
const BIND_AGAIN: Duration = Duration::from_secs(1);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// A listener's port: its targets, and a way to cut the connections of each.
pub(crate) struct Port {
    load_balancer: String,
    listener: String,
    inner: Mutex<Inner>,
}

struct Inner {
    wheel: Wheel,
    cuts: BTreeMap<Seat, CancellationToken>,
    seen: Option<Revision>,
}

impl Port {
    pub(crate) fn new(load_balancer: &str, listener: &str, scheduler: Scheduler) -> Self {
        Self {
            load_balancer: load_balancer.to_owned(),
            listener: listener.to_owned(),
            inner: Mutex::new(Inner {
                wheel: Wheel::new(scheduler),
                cuts: BTreeMap::new(),
                seen: None,
            }),
        }
    }

    /// Takes in what changed: cuts the connections of targets that are gone.
    pub(crate) fn refresh(&self, shared: &Shared) {
        let mut inner = self.inner.lock();
        let seen = inner.seen;
        let fresh = shared.with(|model, _| {
            let revision = model.revision();
            (seen != Some(revision)).then(|| (revision, self.offers(model)))
        });
        if let Some((revision, offers)) = fresh {
            inner.wheel.set(offers);
            inner.seen = Some(revision);
            let Inner { wheel, cuts, .. } = &mut *inner;
            cuts.retain(|seat, cut| {
                let stays = wheel.holds(*seat);
                if !stays {
                    cut.cancel();
                }
                stays
            });
        }
    }

    fn offers(&self, model: &Model) -> Vec<Offer> {
        let load_balancer = model.load_balancers.get(&self.load_balancer);
        let listener = load_balancer.and_then(|found| found.listener(&self.listener));
        listener.map(offers).unwrap_or_default()
    }

    /// The target of a new connection. It looks at the model as it is now: a weight that is read
    /// as 0 through the API gets no connection from then on.
    fn pick(&self, shared: &Shared) -> Option<(Seat, CancellationToken)> {
        self.refresh(shared);
        let mut inner = self.inner.lock();
        let seat = inner.wheel.pick()?;
        let cut = inner.cuts.entry(seat).or_default().clone();
        Some((seat, cut))
    }
}

/// Opens the port, again and again until it opens, and serves it.
pub(crate) async fn serve(
    port: Arc<Port>,
    address: SocketAddr,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
) {
    let listener = open(&port, address, &shared).await;
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                debug!(%address, %error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (port, shared) = (Arc::clone(&port), Arc::clone(&shared));
        connections.spawn(async move {
            connection(&port, &shared, client).await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn open(port: &Port, address: SocketAddr, shared: &Shared) -> TcpListener {
    loop {
        match bind(address) {
            Ok(listener) => {
                shared.bind_errors.lock().remove(&port.listener);
                return listener;
            }
            Err(error) => {
                let text = format!("{address}: {error}");
                let before = shared
                    .bind_errors
                    .lock()
                    .insert(port.listener.clone(), text.clone());
                if before.as_deref() != Some(&text) {
                    warn!("{} cannot be served at {text}; trying again", port.listener);
                }
                tokio::time::sleep(BIND_AGAIN).await;
            }
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn connection(port: &Port, shared: &Shared, mut client: TcpStream) {
    let Some((seat, cut)) = port.pick(shared) else {
        return reset(&client);
    };
    let _seated = Seated { port, seat };
    let connected = tokio::select! {
        connected = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(seat.address)) => connected,
        () = cut.cancelled() => return reset(&client),
    };
    let Ok(Ok(mut target)) = connected else {
        return reset(&client);
    };
    let _ = client.set_nodelay(true);
    let _ = target.set_nodelay(true);
    // copy_bidirectional passes a half-close on and ends when both directions have.
    let whole = tokio::select! {
        copied = copy_bidirectional(&mut client, &mut target) => copied.is_ok(),
        () = cut.cancelled() => false,
    };
    if !whole {
        reset(&client);
        reset(&target);
    }
}

/// Makes the close that follows an abort, so that the peer cannot take it for an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// A live connection's place; given back however the connection ends.
struct Seated<'a> {
    port: &'a Port,
    seat: Seat,
}

impl Drop for Seated<'_> {
    fn drop(&mut self) {
        self.port.inner.lock().wheel.release(self.seat);
    }
}
