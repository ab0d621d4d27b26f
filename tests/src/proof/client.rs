//! A client's connection: plain HTTP/1.1, written and read by hand.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::answer::{Head, pod};
use super::tally::{Cause, Way};

/// Who hears nothing for this long gives up. Longer than the 5 s after which the CLB gives up a target that
/// does not answer its SYN, so that what the CLB says is heard.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
/// A port that another connection has: another one is tried.
const TRIES: usize = 3;

/// Time since the arm's start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// How long ago that was.
    pub(super) fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// What everybody's clock read that long after the start.
    #[expect(clippy::disallowed_methods, reason = "others tell moments by it")]
    pub(super) fn wall(self, since: Duration) -> Result<Timestamp, jiff::Error> {
        let ago = SignedDuration::try_from(self.now().saturating_sub(since))?;
        Timestamp::now().checked_sub(ago)
    }

    /// The moment that long after the start.
    pub(super) fn at(self, since: Duration) -> Instant {
        self.0 + since
    }
}

/// A connection and what is known of it.
pub(super) struct Line {
    pub(super) stream: TcpStream,
    pub(super) way: Way,
    /// Requests that it carried.
    pub(super) used: u32,
    heard: Vec<u8>,
}

/// A whole answer.
pub(super) struct Answered {
    /// Who gave it.
    pub(super) pod: String,
    /// Whether the connection may be used again.
    pub(super) keep: bool,
}

impl Line {
    /// Connects. A connection that is reset while it is made has a way, too.
    pub(super) async fn open(
        from: IpAddr,
        to: SocketAddr,
        clock: Clock,
    ) -> Result<Self, (Cause, Way)> {
        let mut way = Way::default();
        let stream = in_time(connect(from, to, &mut way.client)).await;
        way.connected = Some(clock.now());
        let stream = match stream {
            Ok(stream) => stream,
            Err(cause) => return Err((cause, way)),
        };
        // What cannot be set is only slower.
        let _ = stream.set_nodelay(true);
        Ok(Self {
            stream,
            way,
            used: 0,
            heard: Vec::with_capacity(512),
        })
    }

    /// Asks, and waits for the whole answer.
    pub(super) async fn ask(&mut self, request: &[u8]) -> Result<Answered, Cause> {
        self.used += 1;
        in_time(async { Ok(self.stream.write_all(request).await?) }).await?;
        let head = in_time(self.head()).await?;
        while self.heard.len() < head.start + head.length {
            // A download may take longer than anybody waits for a word; its pieces may not.
            in_time(self.hear()).await?;
        }
        let body = self.heard.get(head.start..).unwrap_or_default();
        let pod = pod(body).unwrap_or_default().to_owned();
        self.heard.clear();
        if head.status != 200 {
            return Err(Cause::Status(head.status));
        }
        if self.way.pod.as_ref() != Some(&pod) {
            self.way.pod = Some(pod.clone());
        }
        Ok(Answered {
            pod,
            keep: !head.closes,
        })
    }

    /// Whether the other end has ended it while nothing was asked: no request is lost by that.
    pub(super) fn is_over(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Asks for another protocol; what has come after the answer.
    pub(super) async fn upgrade(&mut self, request: &[u8]) -> Result<Vec<u8>, Cause> {
        in_time(async { Ok(self.stream.write_all(request).await?) }).await?;
        let head = in_time(self.head()).await?;
        if head.status != 101 {
            return Err(Cause::Status(head.status));
        }
        Ok(self.heard.split_off(head.start))
    }

    async fn head(&mut self) -> Result<Head, Cause> {
        loop {
            if let Some(head) = Head::read(&self.heard)? {
                return Ok(head);
            }
            self.hear().await?;
        }
    }

    async fn hear(&mut self) -> Result<(), Cause> {
        match self.stream.read_buf(&mut self.heard).await? {
            0 => Err(Cause::Closed),
            _ => Ok(()),
        }
    }
}

async fn connect(
    from: IpAddr,
    to: SocketAddr,
    client: &mut Option<SocketAddr>,
) -> Result<TcpStream, Cause> {
    let mut tries = 1;
    loop {
        let socket = socket(from)?;
        *client = socket.local_addr().ok();
        match socket.connect(to).await {
            Err(error) if tries < TRIES && is_about_us(error.kind()) => tries += 1,
            connected => return Ok(connected?),
        }
    }
}

fn socket(from: IpAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // A port from which an earlier connection was made may be used again.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::new(from, 0))?;
    Ok(socket)
}

/// The client's own port is in use.
fn is_about_us(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable)
}

/// What does not come in time has failed.
pub(super) async fn in_time<T>(whole: impl Future<Output = Result<T, Cause>>) -> Result<T, Cause> {
    timeout(PATIENCE, whole)
        .await
        .unwrap_or(Err(Cause::TimedOut))
}
