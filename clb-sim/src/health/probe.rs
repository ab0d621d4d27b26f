//! One probe of one target, within its timeout.

use super::{custom, http, ping};
use crate::outgoing::Outgoing;
use crate::state::custom_check::CustomCheck;
use crate::state::health_check::{CheckKind, HealthCheck, HttpCheck};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// What to probe, and how.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    pub(super) check: &'a HealthCheck,
    /// Where the probe goes: the target, at the check's own port if it has one.
    pub(super) target: SocketAddr,
    /// The address it should come from.
    pub(super) from: IpAddr,
    /// UDP, where the kind of check leaves it open.
    pub(super) datagram: bool,
}

/// What a probe found out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    Bad,
    /// This process is not allowed to probe like that; says nothing about the target.
    Impossible(String),
}

/// Where a check's probes of a target go.
pub(super) fn place(check: &HealthCheck, target: SocketAddr) -> SocketAddr {
    SocketAddr::new(target.ip(), check.port.unwrap_or_else(|| target.port()))
}

impl Probe<'_> {
    /// Whether the target answers as the check wants, in time.
    pub(super) async fn run(&self, outgoing: Outgoing) -> Outcome {
        let time = Duration::from_secs(self.check.timeout_s.into());
        tokio::time::timeout(time, self.attempt(outgoing))
            .await
            .unwrap_or(Outcome::Bad)
    }

    async fn attempt(&self, outgoing: Outgoing) -> Outcome {
        let answered = match &self.check.kind {
            CheckKind::Ping => return self.ping(outgoing).await,
            CheckKind::Tcp => self.accepts(outgoing).await,
            CheckKind::Http(check) => self.http(check, outgoing).await,
            CheckKind::Custom(check) => self.custom(check, outgoing).await,
        };
        match answered {
            Ok(true) => Outcome::Good,
            Ok(false) | Err(_) => Outcome::Bad,
        }
    }

    async fn accepts(&self, outgoing: Outgoing) -> io::Result<bool> {
        let stream = self.stream(outgoing).await?;
        // Ends with a reset: thousands of probes leave nothing in TIME_WAIT.
        let _ = stream.set_zero_linger();
        Ok(true)
    }

    async fn http(&self, check: &HttpCheck, outgoing: Outgoing) -> io::Result<bool> {
        let stream = self.stream(outgoing).await?;
        let status = http::status(stream, check).await;
        Ok(status.is_some_and(|status| check.accepts(status)))
    }

    async fn custom(&self, check: &CustomCheck, outgoing: Outgoing) -> io::Result<bool> {
        if self.datagram {
            let socket = outgoing.datagrams(Some(self.source()), self.target)?;
            return custom::datagram(check, &socket).await;
        }
        custom::stream(check, self.stream(outgoing).await?).await
    }

    async fn ping(&self, outgoing: Outgoing) -> Outcome {
        let socket = match outgoing.echoes(Some(self.from), self.target.ip()) {
            Ok(socket) => socket,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Outcome::Impossible(
                    "PING needs CAP_NET_RAW, or a group in net.ipv4.ping_group_range".to_owned(),
                );
            }
            Err(_) => return Outcome::Bad,
        };
        match ping::answered(&socket).await {
            Ok(()) => Outcome::Good,
            Err(_) => Outcome::Bad,
        }
    }

    async fn stream(&self, outgoing: Outgoing) -> io::Result<TcpStream> {
        outgoing.connect(Some(self.source()), self.target).await
    }

    fn source(&self) -> SocketAddr {
        SocketAddr::new(self.from, 0)
    }
}
