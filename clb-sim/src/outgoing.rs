//! Sockets towards targets, with the source address a CLB would use: the client's for traffic, the
//! VIP or one of 100.64.0.0/10 for health checks.
//!
//! An address of this machine (a VIP on one of its interfaces, 127.0.0.0/8) can be bound by anyone.
//! Any other needs `--transparent`: with `IP_TRANSPARENT` (and `CAP_NET_ADMIN`) a socket is bound to
//! an address of somebody else. Its packets leave as if they were the client's; the answers are
//! addressed to the client and find this process only if the network brings them here:
//!
//! 1. The target's node must send answers to connections that came from the CLB back to the CLB's
//!    machine, not straight to the client. (A real CLB lives in the VPC's switches, which do that.)
//!    The test host marks such connections by the hardware address they came from.
//! 2. On the CLB's machine these packets are for an address that is not its own. nftables' `socket
//!    transparent` recognises that one of our sockets waits for them and marks them; a policy route
//!    sends what is marked to the loopback table, so that it is delivered here and not forwarded.
//!
//! A target that reaches itself through the VIP gets packets from its own address, which it drops: the
//! loopback problem of a real CLB.
//!
//! What cannot be bound is left to the kernel's choice: the target then sees this machine.

use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// Makes sockets towards targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    transparent: bool,
}

impl Outgoing {
    /// `transparent`: may use addresses of other machines. Fails if the system does not let it.
    pub(crate) fn new(transparent: bool) -> io::Result<Self> {
        if transparent {
            Socket::new(Domain::IPV4, Type::STREAM, None)?.set_ip_transparent_v4(true)?;
        }
        Ok(Self { transparent })
    }

    /// Whether targets may be shown other machines' addresses.
    pub(crate) fn is_transparent(self) -> bool {
        self.transparent
    }

    /// A connection to `to`, from `from` as far as that can be had: address and port, the address
    /// with another port (a client on this machine holds the port itself), or any.
    pub(crate) async fn connect(
        self,
        from: Option<SocketAddr>,
        to: SocketAddr,
    ) -> io::Result<TcpStream> {
        for from in attempts(from, to) {
            let Some(socket) = self.open(Type::STREAM, None, from, to)? else {
                continue;
            };
            let stream = std::net::TcpStream::from(socket);
            match TcpSocket::from_std_stream(stream).connect(to).await {
                // The pair of addresses is in use, or this source has no way to that target.
                Err(error) if from.is_some() && is_about_source(&error) => {}
                connected => return connected,
            }
        }
        Err(ErrorKind::AddrNotAvailable.into())
    }

    /// The same as a connected datagram socket.
    pub(crate) fn datagrams(
        self,
        from: Option<SocketAddr>,
        to: SocketAddr,
    ) -> io::Result<UdpSocket> {
        self.connected(Type::DGRAM, None, from, to)
            .map(StdUdpSocket::from)
            .and_then(UdpSocket::from_std)
    }

    /// A socket for ICMP echoes to `to`: the kind that needs no privileges where the system offers
    /// it (`net.ipv4.ping_group_range`), else a raw one (`CAP_NET_RAW`).
    pub(crate) fn echoes(self, from: Option<IpAddr>, to: IpAddr) -> io::Result<UdpSocket> {
        let from = from.map(|address| SocketAddr::new(address, 0));
        let to = SocketAddr::new(to, 0);
        let icmp = Some(Protocol::ICMPV4);
        self.connected(Type::DGRAM, icmp, from, to)
            .or_else(|_| self.connected(Type::RAW, icmp, from, to))
            .map(StdUdpSocket::from)
            .and_then(UdpSocket::from_std)
    }

    fn connected(
        self,
        kind: Type,
        protocol: Option<Protocol>,
        from: Option<SocketAddr>,
        to: SocketAddr,
    ) -> io::Result<Socket> {
        for from in attempts(from, to) {
            let Some(socket) = self.open(kind, protocol, from, to)? else {
                continue;
            };
            match socket.connect(&to.into()) {
                Err(error) if from.is_some() && is_about_source(&error) => {}
                connected => return connected.map(|()| socket),
            }
        }
        Err(ErrorKind::AddrNotAvailable.into())
    }

    /// None if the source cannot be had.
    fn open(
        self,
        kind: Type,
        protocol: Option<Protocol>,
        from: Option<SocketAddr>,
        to: SocketAddr,
    ) -> io::Result<Option<Socket>> {
        let socket = Socket::new(Domain::for_address(to), kind, protocol)?;
        socket.set_nonblocking(true)?;
        let Some(from) = from else {
            return Ok(Some(socket));
        };
        if self.transparent {
            socket.set_ip_transparent_v4(true)?;
        }
        if kind == Type::STREAM {
            // The client may use its port again before our last connection from there is forgotten.
            socket.set_reuse_address(true)?;
        }
        match socket.bind(&from.into()) {
            Err(error) if is_about_source(&error) => Ok(None),
            bound => bound.map(|()| Some(socket)),
        }
    }
}

/// Where a health check comes from: `SourceIpType` 0 the VIP, 1 an address of 100.64.0.0/10 (each
/// VIP its own).
pub(crate) fn probe_source(vip: Ipv4Addr, source_ip_type: u8) -> Ipv4Addr {
    /// 100.64.0.0/10 (RFC 6598), which Tencent's health checks use and no security group stops.
    const SHARED: u32 = 0x6440_0000;
    const HOSTS: u32 = (1 << 22) - 1;
    if source_ip_type == 0 {
        return vip;
    }
    Ipv4Addr::from_bits(SHARED | (vip.to_bits() & HOSTS))
}

/// The sources to try, best first. Loopback and other addresses do not reach each other.
fn attempts(from: Option<SocketAddr>, to: SocketAddr) -> Vec<Option<SocketAddr>> {
    let fits = |from: &SocketAddr| {
        from.is_ipv4() && to.is_ipv4() && from.ip().is_loopback() == to.ip().is_loopback()
    };
    let Some(from) = from.filter(fits) else {
        return vec![None];
    };
    let other_port = SocketAddr::new(from.ip(), 0);
    let mut attempts = vec![Some(from), Some(other_port), None];
    attempts.dedup();
    attempts
}

fn is_about_source(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AddrInUse
            | ErrorKind::AddrNotAvailable
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::net::TcpListener;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[rstest::rstest]
    #[case(None, "127.0.0.1:80", &[None])]
    #[case(Some("10.0.0.1:5"), "127.0.0.1:80", &[None])]
    #[case(Some("127.0.0.1:5"), "10.0.0.1:80", &[None])]
    #[case(Some("[::1]:5"), "127.0.0.1:80", &[None])]
    #[case(Some("10.0.0.1:5"), "10.0.0.2:80", &[Some("10.0.0.1:5"), Some("10.0.0.1:0"), None])]
    #[case(Some("10.0.0.1:0"), "10.0.0.2:80", &[Some("10.0.0.1:0"), None])]
    fn sources_are_tried_best_first(
        #[case] from: Option<&str>,
        #[case] to: &str,
        #[case] wanted: &[Option<&str>],
    ) {
        let wanted: Vec<_> = wanted.iter().map(|from| from.map(address)).collect();
        assert_eq!(attempts(from.map(address), address(to)), wanted);
    }

    #[tokio::test]
    async fn an_address_of_this_machine_is_used_without_privileges() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let outgoing = Outgoing::new(false).unwrap();
        let from = address("127.0.0.9:0");
        let (stream, accepted) =
            tokio::join!(outgoing.connect(Some(from), target), listener.accept());
        assert_eq!(accepted.unwrap().1, stream.unwrap().local_addr().unwrap());
        let datagrams = outgoing.datagrams(Some(from), target).unwrap();
        assert_eq!(datagrams.local_addr().unwrap().ip(), from.ip());
    }

    #[tokio::test]
    async fn a_port_the_client_holds_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let client = std::net::TcpListener::bind("127.0.0.9:0").unwrap();
        let from = client.local_addr().unwrap();
        let outgoing = Outgoing::new(false).unwrap();
        let stream = outgoing.connect(Some(from), target).await.unwrap();
        let local = stream.local_addr().unwrap();
        assert!(local.ip() == from.ip() && local.port() != from.port());
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_does_not_stop_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let outgoing = Outgoing::new(false).unwrap();
        let from = Some(address("192.0.2.1:0"));
        assert!(outgoing.connect(from, target).await.is_ok());
        assert!(outgoing.datagrams(from, target).is_ok());
    }

    proptest! {
        #[test]
        fn probes_come_from_the_vip_or_from_the_shared_range(vip: u32) {
            let vip = Ipv4Addr::from_bits(vip);
            prop_assert_eq!(probe_source(vip, 0), vip);
            let shared = probe_source(vip, 1).octets();
            prop_assert!(shared[0] == 100 && (64..128).contains(&shared[1]));
        }
    }
}
