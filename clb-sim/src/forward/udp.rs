//! One UDP listener's traffic: every client address has a flow to one target, with a socket of its
//! own towards it. The target's answers leave from the VIP and the listener's port.
//!
//! A flow ends when nothing has passed for a while, or when its target is deregistered; the client's
//! next datagram begins another.

use super::Ground;
use super::open;
use super::port::{Pick, Port, Served};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// `IdleConnectTimeout` of UDP listeners unless told otherwise (API reference).
const IDLE: Duration = Duration::from_mins(5);
/// The longest UDP datagram.
const DATAGRAM: usize = 65_535;

/// Opens the port and serves it.
pub(super) async fn serve(port: Arc<Port>, address: SocketAddr, ground: Ground) {
    let socket = open::until_open(&port.listener, address, &ground.shared, open::datagram).await;
    let mut table = Table {
        port,
        ground,
        socket: Arc::new(socket),
        flows: HashMap::new(),
        tasks: JoinSet::new(),
    };
    let socket = Arc::clone(&table.socket);
    let mut datagram = vec![0; DATAGRAM];
    loop {
        tokio::select! {
            received = socket.recv_from(&mut datagram) => {
                if let Ok((length, client)) = received {
                    table.pass(client, datagram.get(..length).unwrap_or_default()).await;
                }
            }
            Some(ended) = table.tasks.join_next() => {
                if let Ok(client) = ended {
                    table.forget(client);
                }
            }
        }
    }
}

/// The flows of a listener, by client. There are as many as the simulator may have connections.
struct Table {
    port: Arc<Port>,
    ground: Ground,
    socket: Arc<UdpSocket>,
    flows: HashMap<SocketAddr, Arc<Flow>>,
    tasks: JoinSet<SocketAddr>,
}

/// A client's way to its target.
struct Flow {
    target: UdpSocket,
    /// Cancelled when it has ended, for whatever reason.
    over: CancellationToken,
    /// When something last passed, either way.
    passed: Mutex<Instant>,
}

impl Table {
    /// A client's datagram. What cannot go on is lost, as datagrams are.
    async fn pass(&mut self, client: SocketAddr, datagram: &[u8]) {
        let known = self.flows.get(&client);
        let live = known.filter(|flow| !flow.over.is_cancelled()).cloned();
        if let Some(flow) = live.or_else(|| self.begin(client)) {
            flow.touch();
            // An ICMP error about an earlier datagram may surface here; this one is still unsent.
            if flow.target.send(datagram).await.is_err() {
                let _ = flow.target.send(datagram).await;
            }
        }
    }

    fn begin(&mut self, client: SocketAddr) -> Option<Arc<Flow>> {
        let permit = Arc::clone(&self.ground.room).try_acquire_owned().ok()?;
        let served = match self.port.pick(&self.ground.shared, client) {
            Pick::Served(served) => served,
            Pick::Nobody => return None,
            Pick::Dropped(reason) => {
                debug!(%client, listener = self.port.listener, "a datagram is dropped: {reason}");
                return None;
            }
        };
        let outgoing = self.ground.outgoing;
        let from = outgoing.is_transparent().then_some(client);
        let target = outgoing.datagrams(from, served.target()).ok()?;
        let flow = Arc::new(Flow {
            target,
            over: served.cut.child_token(),
            passed: Mutex::new(Instant::now()),
        });
        let answers = answers(Arc::clone(&flow), Arc::clone(&self.socket), client);
        self.tasks.spawn(live(answers, served, permit, client));
        self.flows.insert(client, Arc::clone(&flow));
        Some(flow)
    }

    /// A flow has ended; unless the client has another already.
    fn forget(&mut self, client: SocketAddr) {
        let flow = self.flows.get(&client);
        if flow.is_some_and(|flow| flow.over.is_cancelled()) {
            self.flows.remove(&client);
        }
    }
}

impl Flow {
    fn touch(&self) {
        *self.passed.lock() = Instant::now();
    }

    fn ends(&self) -> Instant {
        *self.passed.lock() + IDLE
    }
}

/// Holds a flow's place while it lives.
async fn live(
    answers: impl Future<Output = ()>,
    served: Served,
    permit: OwnedSemaphorePermit,
    client: SocketAddr,
) -> SocketAddr {
    answers.await;
    drop((served, permit));
    client
}

/// Passes the target's answers on until the flow is over.
async fn answers(flow: Arc<Flow>, vip: Arc<UdpSocket>, client: SocketAddr) {
    let _ended = flow.over.clone().drop_guard();
    while Instant::now() < flow.ends() {
        tokio::select! {
            () = flow.over.cancelled() => return,
            () = tokio::time::sleep_until(flow.ends()) => {}
            readable = flow.target.readable() => {
                if readable.is_err() {
                    return;
                }
                answer(&flow, &vip, client).await;
            }
        }
    }
}

async fn answer(flow: &Flow, vip: &UdpSocket, client: SocketAddr) {
    // Not kept: ten thousand silent flows shall not hold a buffer each.
    let mut datagram = vec![0; DATAGRAM];
    // An error is an ICMP message about an earlier datagram; it is read away.
    if let Ok(length) = flow.target.try_recv(&mut datagram) {
        flow.touch();
        let datagram = datagram.get(..length).unwrap_or_default();
        let _ = vip.send_to(datagram, client).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").await.unwrap()
    }

    /// How long a flow lives in which the client says something once more, after `pause`.
    async fn life(pause: Duration) -> Duration {
        let client = socket().await.local_addr().unwrap();
        let start = Instant::now();
        let flow = Arc::new(Flow {
            target: socket().await,
            over: CancellationToken::new(),
            passed: Mutex::new(start),
        });
        let speaks = async {
            tokio::time::sleep(pause).await;
            flow.touch();
        };
        let answers = answers(Arc::clone(&flow), Arc::new(socket().await), client);
        tokio::join!(answers, speaks);
        assert!(flow.over.is_cancelled(), "its place in the table can go");
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_flow_ends_after_silence_and_not_before() {
        let pause = IDLE.saturating_sub(Duration::from_secs(1));
        assert!(life(pause).await >= pause + IDLE);
        assert!(life(Duration::ZERO).await < IDLE + Duration::from_secs(1));
    }
}
