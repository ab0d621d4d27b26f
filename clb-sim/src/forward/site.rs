//! A listener of layer 7 as its traffic sees it: its rules, each with its targets, and its TLS.

use super::doors::{self, Doors};
use super::port::Port;
use super::route::{self, Routes};
use crate::shared::Shared;
use crate::state::Model;
use crate::state::parts::Listener;
use crate::state::security::{Dropped, Packet};
use parking_lot::Mutex;
use rustls::ServerConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// A listener's rules and doors.
pub(super) struct Site {
    load_balancer: String,
    pub(super) listener: String,
    /// HTTPS.
    pub(super) secure: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seen: Option<u64>,
    signs: Vec<route::Sign>,
    routes: Routes,
    /// By rule.
    ports: BTreeMap<String, Arc<Port>>,
    door_sign: Option<doors::Sign>,
    doors: Doors,
}

/// What the model says of a listener.
struct Fresh {
    revision: u64,
    signs: Vec<route::Sign>,
    doors: Option<(doors::Sign, Doors)>,
}

impl Site {
    pub(super) fn new(load_balancer: &str, listener: &str, secure: bool) -> Self {
        Self {
            load_balancer: load_balancer.to_owned(),
            listener: listener.to_owned(),
            secure,
            inner: Mutex::new(Inner::default()),
        }
    }

    /// Takes in what changed, and cuts what belongs to targets that are gone.
    pub(super) fn refresh(&self, shared: &Shared) {
        let ports: Vec<Arc<Port>> = {
            let mut inner = self.inner.lock();
            let before: Vec<Arc<Port>> = inner.ports.values().cloned().collect();
            self.catch_up(&mut inner, shared);
            let now = inner.ports.values().cloned();
            now.chain(before).collect()
        };
        for port in ports {
            port.refresh(shared);
        }
    }

    /// The targets for a request; none if no rule is for it.
    pub(super) fn port(&self, shared: &Shared, host: &str, path: &str) -> Option<Arc<Port>> {
        let mut inner = self.inner.lock();
        self.catch_up(&mut inner, shared);
        let location = inner.routes.find(host, path)?;
        inner.ports.get(location).cloned()
    }

    /// What TLS is spoken with a client that names this server.
    pub(super) fn door(
        &self,
        shared: &Shared,
        name: Option<&str>,
    ) -> Result<Arc<ServerConfig>, String> {
        let mut inner = self.inner.lock();
        self.catch_up(&mut inner, shared);
        let name = name.map(str::to_ascii_lowercase);
        inner.doors.open(&inner.routes, name.as_deref())
    }

    /// Whether the load balancer's security groups let this client in.
    pub(super) fn lets_in(&self, shared: &Shared, client: SocketAddr) -> bool {
        /// The groups of targets are asked about the target, when there is one.
        const NO_TARGET: SocketAddr =
            SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
        let dropped = shared.with(|model, _| {
            let load_balancer = model.load_balancers.get(&self.load_balancer)?;
            let listener = load_balancer.listener(&self.listener)?;
            let packet = Packet::Traffic {
                client: client.ip(),
                protocol: listener.protocol,
                listener_port: listener.port,
                target: NO_TARGET,
            };
            model.security.allows(load_balancer, packet).dropped()
        });
        dropped != Some(Dropped::ByLoadBalancer)
    }

    fn catch_up(&self, inner: &mut Inner, shared: &Shared) {
        let fresh = shared.with(|model, _| self.look(model, inner));
        let Some(fresh) = fresh else {
            return;
        };
        inner.seen = Some(fresh.revision);
        if inner.signs != fresh.signs {
            inner.take_in(fresh.signs, |location| {
                Port::new(&self.load_balancer, &self.listener, Some(location))
            });
        }
        if let Some((sign, doors)) = fresh.doors {
            inner.door_sign = Some(sign);
            inner.doors = doors;
        }
    }

    fn look(&self, model: &Model, known: &Inner) -> Option<Fresh> {
        let revision = model.revision().structure;
        if known.seen == Some(revision) {
            return None;
        }
        let load_balancer = model.load_balancers.get(&self.load_balancer);
        let listener = load_balancer.and_then(|found| found.listener(&self.listener));
        let rules = listener.map_or([].as_slice(), |listener: &Listener| &listener.rules);
        let sign = listener
            .filter(|_| self.secure)
            .map(|listener| doors::Sign::of(listener, &model.certificates));
        let changed = sign.filter(|sign| known.door_sign.as_ref() != Some(sign));
        Some(Fresh {
            revision,
            signs: rules.iter().map(route::Sign::of).collect(),
            doors: changed.map(|sign| {
                let doors = Doors::new(&sign, &model.certificates);
                (sign, doors)
            }),
        })
    }
}

impl Inner {
    fn take_in(&mut self, signs: Vec<route::Sign>, new: impl Fn(&str) -> Port) {
        let wanted: BTreeSet<&str> = signs.iter().map(route::Sign::location).collect();
        self.ports
            .retain(|location, _| wanted.contains(location.as_str()));
        for location in wanted {
            let port = self.ports.entry(location.to_owned());
            port.or_insert_with(|| Arc::new(new(location)));
        }
        self.routes = Routes::new(&signs);
        self.signs = signs;
    }
}
