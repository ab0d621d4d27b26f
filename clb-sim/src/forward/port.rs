//! A listener's port as its traffic sees it: where a new connection goes, and when it is cut.

use super::pick::{Offer, Seat, Wheel, offers};
use super::sessions::Sessions;
use crate::shared::Shared;
use crate::state::parts::{Listener, Scheduler};
use crate::state::security::{Dropped, Packet};
use crate::state::{Model, Revision};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A listener's targets, and a way to cut the connections of each.
pub(super) struct Port {
    load_balancer: String,
    pub(super) listener: String,
    inner: Mutex<Inner>,
}

struct Inner {
    wheel: Wheel,
    sessions: Sessions,
    cuts: BTreeMap<Seat, CancellationToken>,
    seen: Option<Revision>,
    /// `SessionExpireTime`; none is off.
    session: Option<Duration>,
    /// `DeregisterTargetRst`.
    resets: bool,
    /// Whether there are security groups to ask.
    guarded: bool,
}

/// What becomes of a new connection or flow.
pub(super) enum Pick {
    Served(Served),
    /// There is no target to send it to.
    Nobody,
    /// A security group does not let it through.
    Dropped(Dropped),
}

/// A live connection's place; given back however the connection ends.
pub(super) struct Served {
    port: Arc<Port>,
    seat: Seat,
    /// Cancelled when the target is no longer one.
    pub(super) cut: CancellationToken,
}

/// What the model says of a listener.
struct Fresh {
    revision: Revision,
    scheduler: Scheduler,
    offers: Vec<Offer>,
    session: Option<Duration>,
    resets: bool,
    guarded: bool,
}

impl Port {
    pub(super) fn new(load_balancer: &str, listener: &str) -> Self {
        Self {
            load_balancer: load_balancer.to_owned(),
            listener: listener.to_owned(),
            inner: Mutex::new(Inner {
                wheel: Wheel::new(Scheduler::Wrr),
                sessions: Sessions::default(),
                cuts: BTreeMap::new(),
                seen: None,
                session: None,
                resets: false,
                guarded: false,
            }),
        }
    }

    /// Takes in what changed: cuts the connections of targets that are gone.
    pub(super) fn refresh(&self, shared: &Shared) {
        let mut inner = self.inner.lock();
        let seen = inner.seen;
        let fresh =
            shared.with(|model, _| (seen != Some(model.revision())).then(|| self.look(model)));
        if let Some(fresh) = fresh {
            inner.take_in(fresh);
        }
    }

    /// Where a client's new connection goes. It looks at the model as it is now: a weight that is
    /// read as 0 through the API gets no connection from then on.
    pub(super) fn pick(self: &Arc<Self>, shared: &Shared, client: SocketAddr) -> Pick {
        self.refresh(shared);
        let mut inner = self.inner.lock();
        let Some(seat) = inner.pick(client, Instant::now()) else {
            return Pick::Nobody;
        };
        let served = Served {
            port: Arc::clone(self),
            seat,
            cut: inner.cuts.entry(seat).or_default().clone(),
        };
        let guarded = inner.guarded;
        // `served` gives its place back when it is dropped, for which the lock must be free.
        drop(inner);
        match guarded.then(|| self.guard(shared, client, seat)).flatten() {
            Some(dropped) => Pick::Dropped(dropped),
            None => Pick::Served(served),
        }
    }

    /// Whether deregistering a target resets its connections.
    pub(super) fn resets(&self) -> bool {
        self.inner.lock().resets
    }

    fn guard(&self, shared: &Shared, client: SocketAddr, seat: Seat) -> Option<Dropped> {
        shared.with(|model, _| {
            let load_balancer = model.load_balancers.get(&self.load_balancer)?;
            let listener = load_balancer.listener(&self.listener)?;
            let packet = Packet::Traffic {
                client: client.ip(),
                protocol: listener.protocol,
                listener_port: listener.port,
                target: seat.address,
            };
            model.security.allows(load_balancer, packet).dropped()
        })
    }

    fn look(&self, model: &Model) -> Fresh {
        let load_balancer = model.load_balancers.get(&self.load_balancer);
        let listener = load_balancer.and_then(|found| found.listener(&self.listener));
        let session = listener.map_or(0, |found| found.session_expire_s);
        Fresh {
            revision: model.revision(),
            scheduler: listener.map_or(Scheduler::Wrr, |found: &Listener| found.scheduler),
            offers: listener.map(offers).unwrap_or_default(),
            session: (session > 0).then(|| Duration::from_secs(session.into())),
            resets: listener.is_some_and(|found| found.deregister_rst),
            guarded: !model.security.groups.is_empty(),
        }
    }
}

impl Inner {
    fn take_in(&mut self, fresh: Fresh) {
        self.wheel.set(fresh.scheduler, fresh.offers);
        self.seen = Some(fresh.revision);
        self.session = fresh.session;
        self.resets = fresh.resets;
        self.guarded = fresh.guarded;
        let wheel = &self.wheel;
        let mut gone = Vec::new();
        self.cuts.retain(|seat, cut| {
            let stays = wheel.holds(*seat);
            if !stays {
                gone.push(cut.clone());
            }
            stays
        });
        for cut in gone {
            cut.cancel();
        }
    }

    fn pick(&mut self, client: SocketAddr, now: Instant) -> Option<Seat> {
        let Some(life) = self.session else {
            return self.wheel.pick();
        };
        let known = self.sessions.of(client.ip(), now);
        let again = known.filter(|seat| self.wheel.pick_again(*seat));
        let seat = again.or_else(|| self.wheel.pick())?;
        self.sessions.remember(client.ip(), seat, life, now);
        Some(seat)
    }
}

impl Served {
    /// Where the connection goes.
    pub(super) fn target(&self) -> SocketAddr {
        self.seat.address
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.port.inner.lock().wheel.release(self.seat);
    }
}
