//! The targets of a listener of layer 4, or of a rule, as traffic sees them: where a new connection
//! or request goes, and when it is cut.

use super::pick::{Offer, Seat, Visitor, Wheel, offers};
use super::sessions::Sessions;
use crate::shared::Shared;
use crate::state::parts::{Listener, Place, RuleScheduler};
use crate::state::security::{Dropped, Packet};
use crate::state::{Model, Revision};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Targets, and a way to cut the connections of each.
pub(super) struct Port {
    load_balancer: String,
    pub(super) listener: String,
    /// The rule; none on layer 4.
    location: Option<String>,
    inner: Mutex<Inner>,
}

struct Inner {
    wheel: Wheel,
    sessions: Sessions,
    cuts: BTreeMap<Seat, CancellationToken>,
    seen: Option<Revision>,
    session: Session,
    /// `DeregisterTargetRst`.
    resets: bool,
    /// Whether there are security groups to ask.
    guarded: bool,
}

/// How a client is kept with its target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Off,
    /// By its address, for `SessionExpireTime` after its last connection began.
    Address(Duration),
    /// By a cookie of this name, which the client keeps for as long.
    Cookie(String, Duration),
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

/// What the model says of a listener or rule.
struct Fresh {
    revision: Revision,
    scheduler: RuleScheduler,
    offers: Vec<Offer>,
    session: Session,
    resets: bool,
    guarded: bool,
}

impl Port {
    /// Of a listener of layer 4, or of one rule of another.
    pub(super) fn new(load_balancer: &str, listener: &str, location: Option<&str>) -> Self {
        Self {
            load_balancer: load_balancer.to_owned(),
            listener: listener.to_owned(),
            location: location.map(str::to_owned),
            inner: Mutex::new(Inner {
                wheel: Wheel::new(RuleScheduler::Wrr),
                sessions: Sessions::default(),
                cuts: BTreeMap::new(),
                seen: None,
                session: Session::Off,
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
        self.pick_with(shared, client, None)
    }

    /// The same for a request that came with a session's cookie.
    pub(super) fn pick_with(
        self: &Arc<Self>,
        shared: &Shared,
        client: SocketAddr,
        token: Option<u128>,
    ) -> Pick {
        self.refresh(shared);
        let mut inner = self.inner.lock();
        let visitor = Visitor {
            address: client.ip(),
            now: Instant::now(),
        };
        let Some(seat) = inner.pick(visitor, token) else {
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

    /// How clients are kept with their targets.
    pub(super) fn session(&self, shared: &Shared) -> Session {
        self.refresh(shared);
        self.inner.lock().session.clone()
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
        let place = listener.and_then(|found| self.place(found));
        Fresh {
            revision: model.revision(),
            scheduler: place
                .as_ref()
                .map_or(RuleScheduler::Wrr, |place| place.scheduler),
            offers: place.as_ref().map(offers).unwrap_or_default(),
            session: listener.map_or(Session::Off, |found| self.look_at_session(found)),
            resets: listener.is_some_and(|found| found.deregister_rst),
            guarded: !model.security.groups.is_empty(),
        }
    }

    fn place<'a>(&self, listener: &'a Listener) -> Option<Place<'a>> {
        let mut places = listener.places();
        places.find(|place| place.location_id == self.location.as_deref())
    }

    fn look_at_session(&self, listener: &Listener) -> Session {
        let Some(location) = &self.location else {
            return match listener.session_expire_s {
                0 => Session::Off,
                seconds => Session::Address(Duration::from_secs(seconds.into())),
            };
        };
        let rule = listener.rule(location);
        match rule.map(|rule| (rule.session_expire_s, rule.cookie_name())) {
            None | Some((0, _)) => Session::Off,
            Some((seconds, name)) => {
                Session::Cookie(name.to_owned(), Duration::from_secs(seconds.into()))
            }
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

    fn pick(&mut self, visitor: Visitor, token: Option<u128>) -> Option<Seat> {
        let known = match &self.session {
            Session::Off => None,
            Session::Address(_) => self.sessions.of(visitor.address, visitor.now),
            Session::Cookie(..) => token.and_then(|token| self.wheel.by_token(token)),
        };
        let again = known.filter(|seat| self.wheel.pick_again(*seat, visitor.now));
        let seat = again.or_else(|| self.wheel.pick(visitor))?;
        if let Session::Address(life) = self.session {
            self.sessions
                .remember(visitor.address, seat, life, visitor.now);
        }
        Some(seat)
    }
}

impl Served {
    /// Where the connection goes.
    pub(super) fn target(&self) -> SocketAddr {
        self.seat.address
    }

    /// What stands for the target in a session's cookie.
    pub(super) fn token(&self) -> u128 {
        self.seat.token()
    }

    /// How the request went, for the passive checks of layer 7.
    pub(super) fn tell(&self, good: bool) {
        let mut inner = self.port.inner.lock();
        inner.wheel.tell(self.seat, good, Instant::now());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.port.inner.lock().wheel.release(self.seat);
    }
}
