//! The way to the simulator, and what went over it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clb::{Answer, Exchange, Exchanging, Failure};
use clb_sim::InProcess;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What a write is refused with while another one is in progress on its load balancer.
const BUSY: &[u8] = b"FailedOperation.ResourceInOperating";

/// Looks at every request in the moment it reaches the simulator: its action, its parameters, and when
/// it was sent.
pub(crate) type Inspector = Box<dyn Fn(&str, &Value, Instant) + Send + Sync>;

/// The simulator, as the client reaches it.
pub(crate) struct Wire {
    clb: Arc<InProcess>,
    log: Mutex<Log>,
    /// Told of every answer.
    pub(crate) answered: Notify,
    inspector: Mutex<Option<Arc<Inspector>>>,
    /// How long a request travels at most.
    transit: Duration,
    travelling: Mutex<JoinSet<()>>,
}

/// What went over the wire, oldest first.
#[derive(Default)]
struct Log {
    calls: Vec<Call>,
    writes: usize,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) action: String,
    pub(crate) sent: Instant,
    /// None as long as it is under way.
    pub(crate) ended: Option<Instant>,
    /// It was refused because another write is in progress.
    pub(crate) busy: bool,
}

impl Call {
    pub(crate) fn writes(&self) -> bool {
        !self.action.starts_with("Describe")
    }
}

impl Wire {
    /// On which requests are at once where they are sent to.
    pub(crate) fn new(clb: Arc<InProcess>) -> Self {
        Self::slow(clb, Duration::ZERO)
    }

    /// On which a request is under way for up to this long, and arrives although its sender is gone.
    pub(crate) fn slow(clb: Arc<InProcess>, transit: Duration) -> Self {
        Self {
            clb,
            log: Mutex::default(),
            answered: Notify::new(),
            inspector: Mutex::default(),
            transit,
            travelling: Mutex::default(),
        }
    }

    /// Lets every request be looked at.
    pub(crate) fn inspect(&self, inspector: Inspector) {
        *self.inspector.lock() = Some(Arc::new(inspector));
    }

    /// What went over it since this moment.
    pub(crate) fn since(&self, moment: Instant) -> Vec<Call> {
        let log = self.log.lock();
        let recent = log.calls.iter().filter(|call| call.sent >= moment);
        recent.cloned().collect()
    }

    /// How many writes were answered so far.
    pub(crate) fn writes(&self) -> usize {
        self.log.lock().writes
    }

    fn sent(&self, headers: &http::HeaderMap) -> (usize, String) {
        let action = headers["x-tc-action"].to_str().unwrap().to_owned();
        let mut log = self.log.lock();
        log.calls.push(Call {
            action: action.clone(),
            sent: Instant::now(),
            ended: None,
            busy: false,
        });
        (log.calls.len() - 1, action)
    }

    fn look(&self, action: &str, body: &Bytes, sent: Instant) {
        let inspector = self.inspector.lock().clone();
        if let Some(inspector) = inspector {
            inspector(action, &serde_json::from_slice(body).unwrap(), sent);
        }
    }

    /// How long this request travels: some are slow, most are not.
    fn travels(&self, number: usize) -> Duration {
        let turn = u32::try_from(number % 7).unwrap();
        self.transit * turn * turn / 36
    }

    fn depart(&self, journey: impl Future<Output = ()> + Send + 'static) {
        let mut travelling = self.travelling.lock();
        while travelling.try_join_next().is_some() {}
        travelling.spawn(journey);
    }

    fn came_back(&self, number: usize, answer: Option<&Bytes>) {
        let mut log = self.log.lock();
        let call = &mut log.calls[number];
        call.ended = Some(Instant::now());
        call.busy =
            answer.is_some_and(|body| body.windows(BUSY.len()).take(200).any(|w| w == BUSY));
        let writes = usize::from(call.writes());
        log.writes += writes;
        drop(log);
        self.answered.notify_one();
    }
}

/// The wire as a client holds it.
pub(crate) struct End(pub(crate) Arc<Wire>);

impl Exchange for End {
    fn exchange(&self, headers: http::HeaderMap, body: Bytes) -> Exchanging<'_> {
        let wire = Arc::clone(&self.0);
        Box::pin(async move {
            let (number, action) = wire.sent(&headers);
            let answer = if wire.transit.is_zero() {
                wire.look(&action, &body, Instant::now());
                wire.clb.exchange(&headers, body).await
            } else {
                travel(&wire, number, action, (headers, body)).await
            };
            wire.came_back(number, answer.as_ref());
            match answer {
                Some(body) => Ok(Answer {
                    status: http::StatusCode::OK,
                    body,
                }),
                None => Err(Failure::Lost("the connection was closed".into())),
            }
        })
    }
}

/// In a task of its own: whoever sent it may be gone when it arrives.
async fn travel(
    wire: &Arc<Wire>,
    number: usize,
    action: String,
    (headers, body): (http::HeaderMap, Bytes),
) -> Option<Bytes> {
    let (tell, told) = oneshot::channel();
    let (way, clb) = (Arc::clone(wire), Arc::clone(&wire.clb));
    let (pause, sent) = (wire.travels(number), Instant::now());
    wire.depart(async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        way.look(&action, &body, sent);
        let _ = tell.send(clb.exchange(&headers, body).await);
    });
    told.await.ok().flatten()
}

/// How often each action was called.
pub(crate) fn by_action(calls: &[Call]) -> BTreeMap<&str, usize> {
    let mut all = BTreeMap::new();
    for call in calls {
        *all.entry(call.action.as_str()).or_default() += 1;
    }
    all
}

/// The most calls of one action within any second.
pub(crate) fn busiest_second(calls: &[Call]) -> usize {
    let mut times: BTreeMap<&str, Vec<Instant>> = BTreeMap::new();
    for call in calls {
        times.entry(&call.action).or_default().push(call.sent);
    }
    let most = |times: &Vec<Instant>| {
        let within = |from: &Instant| {
            let second = *from + Duration::from_secs(1);
            let later = times.iter().filter(|at| **at >= *from && **at < second);
            later.count()
        };
        times.iter().map(within).max().unwrap_or_default()
    };
    times.values().map(most).max().unwrap_or_default()
}

/// How long nothing was written because of a task: its state was asked for, or a write was refused
/// because of it and its next attempt waited.
pub(crate) fn waited_for_tasks(calls: &[Call]) -> Duration {
    let begins = calls.iter().map(|call| (call.sent, true, call));
    let ends = calls
        .iter()
        .filter_map(|call| Some((call.ended?, false, call)));
    let mut moments: Vec<_> = begins.chain(ends).collect();
    // Who ends gives way to who begins in the same moment.
    moments.sort_by_key(|(at, begins, _)| (*at, *begins));
    let (mut writes, mut questions, mut refused) = (0, 0, false);
    let mut waited = Duration::ZERO;
    let mut last = None;
    for (at, begins, call) in moments {
        if writes == 0 && (questions > 0 || refused) {
            waited += last.map_or(Duration::ZERO, |last| at - last);
        }
        last = Some(at);
        let step = if begins { 1 } else { -1 };
        if call.action == "DescribeTaskStatus" || call.busy {
            questions += step;
        } else if call.writes() {
            writes += step;
        }
        if call.writes() {
            refused = call.busy && !begins;
        }
    }
    waited
}
