//! What became of the requests: counted by second, kind and cause, each failure with all that is known of it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A request on a connection that is kept.
    Kept,
    /// A request on a connection of its own.
    Fresh,
    /// A download of some seconds.
    Download,
    /// A message on a WebSocket, or opening one.
    Socket,
}

impl Kind {
    /// What a reader calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "on kept connections",
            Self::Fresh => "on fresh connections",
            Self::Download => "downloads",
            Self::Socket => "WebSocket messages",
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nobody listens.
    Refused,
    /// The connection was reset.
    Reset,
    /// No whole answer in time.
    TimedOut,
    /// The connection ended before the answer did.
    Closed,
    /// The answer's status.
    Status(u16),
    /// A WebSocket ended with another status than 1001; 0 without any.
    SocketClosed(u16),
    /// The answer is none of the sample's.
    Garbled,
    /// What else the client's system said.
    System(io::ErrorKind),
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        let known = [
            (io::ErrorKind::ConnectionRefused, Self::Refused),
            (io::ErrorKind::ConnectionReset, Self::Reset),
            (io::ErrorKind::BrokenPipe, Self::Reset),
            (io::ErrorKind::TimedOut, Self::TimedOut),
            (io::ErrorKind::UnexpectedEof, Self::Closed),
        ];
        let kind = error.kind();
        let found = known.into_iter().find(|(known, _)| *known == kind);
        found.map_or(Self::System(kind), |(_, cause)| cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Reset => f.write_str("reset"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Closed => f.write_str("closed early"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::SocketClosed(status) => write!(f, "WebSocket closed with {status}"),
            Self::Garbled => f.write_str("not the sample's answer"),
            Self::System(kind) => write!(f, "{kind}"),
        }
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where a request went, as far as its client knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// The client's end of the connection.
    pub client: Option<SocketAddr>,
    /// Who answered on this connection before.
    pub pod: Option<String>,
    /// When the connection was made.
    pub connected: Option<Duration>,
}

/// A request that failed. Times are since the arm's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// What was asked.
    pub kind: Kind,
    /// Why it failed.
    pub cause: Cause,
    /// When it was due.
    #[serde(serialize_with = "in_seconds")]
    pub due: Duration,
    /// When its client knew.
    #[serde(serialize_with = "in_seconds")]
    pub known: Duration,
    /// When its connection was made.
    #[serde(skip)]
    pub connected: Option<Duration>,
    /// The client's end.
    pub client: Option<SocketAddr>,
    /// The target that the CLB sent the connection to, as the CLB says.
    pub target: Option<SocketAddr>,
    /// The pod behind it.
    pub pod: Option<String>,
    /// What explains it: a crash that the story made.
    pub because: Option<String>,
}

/// A moment as readers of JSON have it.
pub(super) fn in_seconds<S: Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.as_secs_f64())
}

/// One request's end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was asked.
    pub kind: Kind,
    /// When it was due.
    pub due: Duration,
    /// When it was begun.
    pub begun: Duration,
    /// When it was over.
    pub over: Duration,
    /// Who answered, or why nobody did.
    pub outcome: Result<String, Cause>,
    /// Where it went.
    pub way: Way,
}

/// A second of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Second {
    /// Requests that were due.
    pub requests: u32,
    /// Those of them that failed.
    pub failed: u32,
    /// Those of them that were begun late.
    pub late: u32,
}

/// The count.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Second by second.
    pub seconds: Vec<Second>,
    /// Requests by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Answers by pod.
    pub pods: BTreeMap<String, u64>,
    /// How many were begun late.
    pub late: u64,
    /// `WebSocket`s that ended with 1001, as they should.
    pub handed_over: u64,
    /// Kept connections that ended while nothing was asked on them.
    pub ended_idle: u64,
    /// All failures, in the order in which they became known.
    pub failures: Vec<Failure>,
    /// Microseconds from due to answered, of single requests.
    micros: Vec<u32>,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, ended: Ended) {
        let late = super::schedule::is_late(ended.due, ended.begun);
        let second = self.second(ended.due);
        second.requests += 1;
        second.late += u32::from(late);
        second.failed += u32::from(ended.outcome.is_err());
        self.late += u64::from(late);
        *self.kinds.entry(ended.kind).or_default() += 1;
        match ended.outcome {
            Ok(pod) => {
                if matches!(ended.kind, Kind::Kept | Kind::Fresh) {
                    let took = ended.over.saturating_sub(ended.due).as_micros();
                    self.micros.push(u32::try_from(took).unwrap_or(u32::MAX));
                }
                match self.pods.get_mut(&pod) {
                    Some(count) => *count += 1,
                    None => {
                        self.pods.insert(pod, 1);
                    }
                }
            }
            Err(cause) => self.failures.push(Failure {
                kind: ended.kind,
                cause,
                due: ended.due,
                known: ended.over,
                connected: ended.way.connected,
                client: ended.way.client,
                target: None,
                pod: ended.way.pod,
                because: None,
            }),
        }
    }

    /// All requests.
    pub fn requests(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.len() as u64
    }

    /// The time that `percent` of single requests did not exceed, in microseconds.
    pub fn percentile(&mut self, percent: usize) -> u32 {
        let rank = (self.micros.len() * percent)
            .div_ceil(100)
            .saturating_sub(1);
        if rank >= self.micros.len() {
            return 0;
        }
        *self.micros.select_nth_unstable(rank).1
    }

    fn second(&mut self, due: Duration) -> &mut Second {
        let at = usize::try_from(due.as_secs()).unwrap_or_default();
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, Second::default());
        }
        #[expect(clippy::indexing_slicing, reason = "it was just made long enough")]
        &mut self.seconds[at]
    }
}

/// Failures by cause.
pub fn by_cause<'a>(failures: impl IntoIterator<Item = &'a Failure>) -> BTreeMap<String, u64> {
    let mut causes = BTreeMap::new();
    for failure in failures {
        *causes.entry(failure.cause.to_string()).or_default() += 1;
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(kind: Kind, due: u64, begun: u64, over: u64, outcome: Result<&str, Cause>) -> Ended {
        let at = Duration::from_millis;
        Ended {
            kind,
            due: at(due),
            begun: at(begun),
            over: at(over),
            outcome: outcome.map(str::to_owned),
            way: Way::default(),
        }
    }

    #[test]
    fn a_request_counts_in_the_second_in_which_it_was_due() {
        let mut tally = Tally::default();
        tally.count(ended(Kind::Fresh, 900, 900, 1100, Ok("web-1")));
        tally.count(ended(Kind::Kept, 2999, 3200, 3201, Ok("web-1")));
        tally.count(ended(Kind::Kept, 2000, 2000, 10_000, Err(Cause::TimedOut)));
        let seconds = tally.seconds.iter();
        let counts: Vec<_> = seconds.map(|s| (s.requests, s.failed, s.late)).collect();
        assert_eq!(counts, [(1, 0, 0), (0, 0, 0), (2, 1, 1)]);
        assert_eq!((tally.requests(), tally.failed(), tally.late), (3, 1, 1));
        assert_eq!(tally.pods["web-1"], 2);
        assert_eq!(by_cause(&tally.failures)["timed out"], 1);
    }

    #[test]
    fn latency_is_from_due_to_answered_and_downloads_have_none() {
        let mut tally = Tally::default();
        for late in 1..=100 {
            tally.count(ended(Kind::Fresh, 0, late, late, Ok("web-1")));
        }
        tally.count(ended(Kind::Download, 0, 0, 4000, Ok("web-1")));
        assert_eq!(tally.percentile(50), 50_000);
        assert_eq!(tally.percentile(99), 99_000);
        assert_eq!(Tally::default().percentile(50), 0);
    }

    #[test]
    fn a_system_s_error_is_a_cause() {
        let of = |kind: io::ErrorKind| Cause::from(io::Error::from(kind));
        assert_eq!(of(io::ErrorKind::ConnectionReset), Cause::Reset);
        assert_eq!(of(io::ErrorKind::BrokenPipe), Cause::Reset);
        assert_eq!(of(io::ErrorKind::UnexpectedEof), Cause::Closed);
        assert_eq!(of(io::ErrorKind::ConnectionRefused).to_string(), "refused");
        let other = of(io::ErrorKind::HostUnreachable);
        assert_eq!(other.to_string(), "host unreachable");
    }
}
