//! The load: requests on kept and on fresh connections at a fixed rate, downloads, `WebSocket`s. Bounded in
//! connections and tasks even when nothing answers; what the client could not begin in time is counted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::client::{Clock, Line};
use super::schedule::Schedule;
use super::sockets;
use super::tally::{Cause, Ended, Kind, Tally, Way};
use crate::clients::client;

/// Between two looks at the schedule.
const TICK: Duration = Duration::from_millis(2);
/// Requests in flight at most. A rate of 2,000 and nobody who answers make more within seconds; the rest is late.
const IN_FLIGHT: usize = 6_000;
/// Of so many requests one is on a connection of its own; the others are on kept ones.
const FRESH: u64 = 3;
/// How many connections are kept: each is used several times a second.
const KEPT: usize = 64;
/// A kept connection ends after so many requests, as clients and proxies have it, and not all at once.
const RETIRES: u32 = 400;
/// One download begins for so many requests.
const DOWNLOADS: u32 = 500;
/// How long a download takes.
const DOWNLOAD_MS: u32 = 4_000;
/// One WebSocket for so many requests a second.
const SOCKETS: u32 = 50;

/// How much load, and where to.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// The VIP.
    pub to: SocketAddr,
    /// Requests a second.
    pub rate: u32,
}

/// A load that runs until it is stopped.
pub struct Load {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
    shared: Arc<Shared>,
}

/// What its tasks share.
pub(super) struct Shared {
    pub(super) to: SocketAddr,
    pub(super) clock: Clock,
    pub(super) tally: Mutex<Tally>,
    idle: Mutex<VecDeque<Line>>,
    open: AtomicUsize,
    requests: Requests,
}

/// Written once.
struct Requests {
    kept: String,
    fresh: String,
    download: String,
}

impl Load {
    /// Starts it.
    pub(super) fn start(amount: Amount, clock: Clock) -> Self {
        let shared = Arc::new(Shared::new(amount.to, clock));
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        let rate = Schedule::per_second(amount.rate);
        let downloads = Schedule::per_second(amount.rate.div_ceil(DOWNLOADS));
        running.spawn(generate(Arc::clone(&shared), rate, single, stopped.clone()));
        running.spawn(generate(
            Arc::clone(&shared),
            downloads,
            |_| Kind::Download,
            stopped.clone(),
        ));
        for number in 0..(amount.rate / SOCKETS).clamp(2, 40) {
            running.spawn(sockets::talk(Arc::clone(&shared), number, stopped.clone()));
        }
        Self {
            stop,
            running,
            shared,
        }
    }

    /// Looks at the count, or takes from it.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Tally) -> T) -> T {
        look(&mut self.shared.tally.lock())
    }

    /// Stops it and waits for what is in flight.
    pub(super) async fn stop(mut self) -> Result<Tally> {
        self.stop.send_replace(true);
        while let Some(ended) = self.running.join_next().await {
            ended?;
        }
        Ok(std::mem::take(&mut *self.shared.tally.lock()))
    }
}

fn single(number: u64) -> Kind {
    if number.is_multiple_of(FRESH) {
        Kind::Fresh
    } else {
        Kind::Kept
    }
}

async fn generate(
    shared: Arc<Shared>,
    mut schedule: Schedule,
    kind: fn(u64) -> Kind,
    mut stopped: watch::Receiver<bool>,
) {
    let mut flying = JoinSet::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            _ = ticks.tick() => {}
        }
        while flying.try_join_next().is_some() {}
        while flying.len() < IN_FLIGHT
            && let Some((number, due)) = schedule.next(shared.clock.now())
        {
            flying.spawn(one(Arc::clone(&shared), kind(number), number, due));
        }
    }
    while flying.join_next().await.is_some() {}
}

async fn one(shared: Arc<Shared>, kind: Kind, number: u64, due: Duration) {
    let begun = shared.clock.now();
    let mut way = Way::default();
    let outcome = shared.ask(kind, number, &mut way).await;
    let over = shared.clock.now();
    shared.tally.lock().count(Ended {
        kind,
        due,
        begun,
        over,
        outcome,
        way,
    });
}

impl Shared {
    fn new(to: SocketAddr, clock: Clock) -> Self {
        let get = |path: &str, connection: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: {to}\r\nConnection: {connection}\r\n\r\n")
        };
        Self {
            to,
            clock,
            tally: Mutex::default(),
            idle: Mutex::default(),
            open: AtomicUsize::new(0),
            requests: Requests {
                kept: get("/", "keep-alive"),
                fresh: get("/", "close"),
                download: get(&format!("/download?ms={DOWNLOAD_MS}"), "close"),
            },
        }
    }

    async fn ask(&self, kind: Kind, number: u64, way: &mut Way) -> Result<String, Cause> {
        let request = match kind {
            Kind::Kept | Kind::Socket => return self.ask_kept(number, way).await,
            Kind::Fresh => &self.requests.fresh,
            Kind::Download => &self.requests.download,
        };
        let mut line = self.line(number, way).await?;
        let answered = line.ask(request.as_bytes()).await;
        *way = line.way;
        Ok(answered?.pod)
    }

    async fn ask_kept(&self, number: u64, way: &mut Way) -> Result<String, Cause> {
        let mut line = if let Some(line) = self.idle() {
            line
        } else {
            self.open.fetch_add(1, Ordering::Relaxed);
            let opened = self.line(number, way).await;
            opened.inspect_err(|_| self.forget())?
        };
        let answered = line.ask(self.requests.kept.as_bytes()).await;
        *way = line.way.clone();
        let again = answered.as_ref().is_ok_and(|it| it.keep) && line.used < RETIRES;
        if again {
            self.idle.lock().push_back(line);
        } else {
            self.forget();
        }
        Ok(answered?.pod)
    }

    /// A connection that is kept and still there; none while there are too few, so that one more is opened.
    fn idle(&self) -> Option<Line> {
        let mut idle = self.idle.lock();
        while self.open.load(Ordering::Relaxed) >= KEPT {
            let line = idle.pop_front()?;
            if !line.is_over() {
                return Some(line);
            }
            self.forget();
            self.tally.lock().ended_idle += 1;
        }
        None
    }

    fn forget(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    async fn line(&self, number: u64, way: &mut Way) -> Result<Line, Cause> {
        let from = client(u32::try_from(number % 1_000_000).unwrap_or_default());
        let opened = Line::open(from, self.to, self.clock).await;
        opened.map_err(|(cause, tried)| {
            *way = tried;
            cause
        })
    }
}
