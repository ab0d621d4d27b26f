//! Where a listener sits on a load balancer: its protocol, its port, and which port space that is.

use std::fmt;

/// What a listener of ours speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// TCP behind TLS that the CLB ends: needs a certificate.
    TcpSsl,
    /// HTTP: its targets hang on rules.
    Http,
    /// HTTPS: its targets hang on rules.
    Https,
}

/// Ports of UDP and of everything else do not get in each other's way on a CLB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// TCP and all that runs on it.
    Stream,
    /// UDP and QUIC.
    Datagram,
}

/// A place for one listener: at most one listener of a load balancer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The port space.
    pub space: Space,
    /// The port.
    pub port: u16,
}

impl Protocol {
    /// As the CLB API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::TcpSsl => "TCP_SSL",
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }

    /// Whether targets hang on the listener itself, and not on its rules (layer 4).
    pub const fn has_own_targets(self) -> bool {
        match self {
            Self::Tcp | Self::Udp | Self::TcpSsl => true,
            Self::Http | Self::Https => false,
        }
    }

    /// Its port space.
    pub const fn space(self) -> Space {
        match self {
            Self::Tcp | Self::TcpSsl | Self::Http | Self::Https => Space::Stream,
            Self::Udp => Space::Datagram,
        }
    }

    /// Its slot at a port.
    pub const fn at(self, port: u16) -> Slot {
        Slot {
            space: self.space(),
            port,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Space {
    /// The port space of a protocol as the CLB API spells it, also of those that are never ours.
    pub fn of(protocol: &str) -> Self {
        match protocol {
            "UDP" | "QUIC" => Self::Datagram,
            _ => Self::Stream,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = match self.space {
            Space::Stream => "TCP",
            Space::Datagram => "UDP",
        };
        write!(f, "{space}:{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_have_ports_of_their_own() {
        assert_eq!(Protocol::Tcp.at(80), Protocol::Http.at(80));
        assert_ne!(Protocol::Tcp.at(80), Protocol::Udp.at(80));
        assert_eq!(Space::of("QUIC"), Protocol::Udp.space());
        assert_eq!(Space::of("TCP_SSL"), Protocol::Tcp.space());
        assert_eq!(Protocol::TcpSsl.at(443), Protocol::Https.at(443));
    }

    #[test]
    fn slots_read_as_people_write_them() {
        assert_eq!(Protocol::Udp.at(53).to_string(), "UDP:53");
    }
}
