use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use parking_lot::Mutex;
use proptest::prelude::*;

use k8s_openapi::api::coordination::v1::Lease;

use super::{decision::patience, *};

const MS: Duration = Duration::from_millis(1);

/// Contenders that share one stored Lease with compare-and-swap, each with a clock of its own that
/// only ever measures durations. Every step is one contender's turn, or a turn whose write is lost.
#[derive(Clone, Debug)]
struct Turn {
    who: usize,
    after_ms: u64,
    write_lost: bool,
}

struct Contender {
    config: LeaseConfig,
    seen: Option<Seen>,
    valid_until: Option<Instant>,
}

impl Contender {
    fn leads(&self, now: Instant) -> bool {
        self.valid_until.is_some_and(|until| until > now)
    }

    fn turn(&mut self, stored: &mut Option<Record>, write_lost: bool, now: Instant) {
        self.seen = stored
            .clone()
            .map(|record| observe(self.seen.take(), record, now));
        let leading = self.leads(now);
        match next(self.seen.as_ref(), &self.config, leading, now) {
            Step::Wait { .. } => self.valid_until = None,
            Step::Create | Step::Acquire | Step::Renew if write_lost => {}
            Step::Create | Step::Acquire | Step::Renew => {
                let version = stored
                    .as_ref()
                    .and_then(|r| r.resource_version.as_ref()?.parse().ok());
                *stored = Some(Record {
                    holder: Some(self.config.identity.clone()),
                    transitions: 0,
                    duration: self.config.duration,
                    resource_version: Some((version.unwrap_or(0_u64) + 1).to_string()),
                });
                self.valid_until = Some(now + self.config.renew_deadline);
            }
        }
    }
}

fn contender(name: &str) -> Contender {
    Contender {
        config: LeaseConfig::new("ns", "lease", name),
        seen: None,
        valid_until: None,
    }
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn =
        (0..3_usize, 0..6_000_u64, any::<bool>()).prop_map(|(who, after_ms, write_lost)| Turn {
            who,
            after_ms,
            write_lost,
        });
    proptest::collection::vec(turn, 1..200)
}

proptest! {
    #[test]
    fn never_two_leaders(turns in turns()) {
        let mut now = Instant::now();
        let mut stored = None;
        let mut all = [contender("a"), contender("b"), contender("c")];
        for turn in turns {
            now += MS * u32::try_from(turn.after_ms).unwrap();
            all[turn.who].turn(&mut stored, turn.write_lost, now);
            prop_assert!(all.iter().filter(|one| one.leads(now)).count() <= 1);
        }
    }

    #[test]
    fn a_silent_holder_is_replaced_after_its_duration_and_not_before(wait_ms in 0..30_000_u64) {
        let start = Instant::now();
        let record = Record { holder: Some("other".into()), ..Record::default() };
        let seen = Seen { record, since: start };
        let config = LeaseConfig::new("ns", "lease", "me");
        let now = start + MS * u32::try_from(wait_ms).unwrap();
        let expected = if wait_ms >= 15_000 {
            Step::Acquire
        } else {
            Step::Wait { until: start + config.duration }
        };
        prop_assert_eq!(next(Some(&seen), &config, false, now), expected);
    }
}

#[test]
fn a_free_lease_is_taken_and_our_own_renewed() {
    let (now, config) = (Instant::now(), LeaseConfig::new("ns", "lease", "me"));
    let held = |holder: Option<&str>| Seen {
        record: Record {
            holder: holder.map(Into::into),
            ..Record::default()
        },
        since: now,
    };
    assert_eq!(next(None, &config, false, now), Step::Create);
    assert_eq!(next(Some(&held(None)), &config, false, now), Step::Acquire);
    assert_eq!(
        next(Some(&held(Some("me"))), &config, true, now),
        Step::Renew
    );
    assert_eq!(
        next(Some(&held(Some("me"))), &config, false, now),
        Step::Acquire
    );
}

#[test]
fn a_changed_record_starts_the_count_anew() {
    let start = Instant::now();
    let record = |version: &str| Record {
        resource_version: Some(version.into()),
        ..Record::default()
    };
    let first = observe(None, record("1"), start);
    let same = observe(Some(first.clone()), record("1"), start + MS);
    assert_eq!(same.since, start);
    assert_eq!(
        observe(Some(same), record("2"), start + MS).since,
        start + MS
    );
}

#[test]
fn an_absurd_duration_blocks_nobody() {
    let usual = Duration::from_secs(15);
    assert_eq!(
        patience(Duration::from_secs(1_000_000_000), usual),
        usual * 4
    );
    assert_eq!(patience(Duration::ZERO, usual), usual);
}

#[tokio::test(start_paused = true)]
async fn leadership_ends_by_the_clock_even_if_nobody_says_so() {
    let valid_until = Instant::now() + Duration::from_secs(10);
    let (sender, term) = watch::channel(Some(Term {
        number: 7,
        valid_until,
    }));
    let mut leadership = Leadership { term };
    assert_eq!(leadership.gained().await.number, 7);
    assert_eq!(leadership.remaining(), Duration::from_secs(10));
    leadership.lost(7).await;
    assert_eq!(Instant::now(), valid_until);
    assert!(!leadership.leads() && leadership.remaining().is_zero());
    sender.send_replace(Some(Term {
        number: 8,
        valid_until: valid_until + Duration::from_secs(9),
    }));
    leadership.lost(7).await;
    assert_eq!(leadership.gained().await.number, 8);
}

/// An API server that knows Leases, and can be made to fall silent.
#[derive(Clone, Debug, Default)]
struct Server {
    stored: Arc<Mutex<Option<Lease>>>,
    silent: Arc<AtomicBool>,
    writes: Arc<AtomicU64>,
}

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request| server.clone().answer(request));
        Client::new(service, "ns")
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Body>, Infallible> {
        if self.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let (code, answer) = match parts.method {
            Method::GET => self.read(),
            _ => self.write(serde_json::from_slice(&body).unwrap(), &parts.method),
        };
        Ok(Response::builder()
            .status(code)
            .body(Body::from(answer))
            .unwrap())
    }

    fn read(&self) -> (u16, Vec<u8>) {
        match &*self.stored.lock() {
            Some(lease) => (200, serde_json::to_vec(lease).unwrap()),
            None => status(404, "NotFound"),
        }
    }

    fn write(&self, mut lease: Lease, method: &Method) -> (u16, Vec<u8>) {
        let mut stored = self.stored.lock();
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        match &*stored {
            Some(_) if method == Method::POST => return status(409, "AlreadyExists"),
            Some(known) if version(known) != version(&lease) => return status(409, "Conflict"),
            _ => {}
        }
        let next = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        lease.metadata.resource_version = Some(next.to_string());
        *stored = Some(lease.clone());
        (200, serde_json::to_vec(&lease).unwrap())
    }

    fn holder(&self) -> Option<String> {
        self.stored
            .lock()
            .as_ref()?
            .spec
            .as_ref()?
            .holder_identity
            .clone()
    }

    fn transitions(&self) -> i32 {
        self.stored
            .lock()
            .as_ref()
            .unwrap()
            .spec
            .as_ref()
            .unwrap()
            .lease_transitions
            .unwrap()
    }
}

fn status(code: u16, reason: &str) -> (u16, Vec<u8>) {
    let status = serde_json::json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": reason });
    (code, serde_json::to_vec(&status).unwrap())
}

fn join(server: &Server, name: &str) -> (Supervisor, Leadership) {
    let supervisor = Supervisor::new();
    let leadership = spawn(
        &supervisor,
        server.client(),
        LeaseConfig::new("ns", "lease", name),
    );
    (supervisor, leadership)
}

#[tokio::test(start_paused = true)]
async fn a_released_lease_is_taken_at_once() {
    let server = Server::default();
    let (first, mut leader) = join(&server, "a");
    assert_eq!(leader.gained().await.number, 1);
    let (_second, mut follower) = join(&server, "b");
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(leader.leads() && !follower.leads());

    let stopped = Instant::now();
    first.drain();
    first.run(Duration::from_secs(5)).await.unwrap();
    assert!(!leader.leads());
    follower.gained().await;
    assert!(
        stopped.elapsed() <= Duration::from_secs(2),
        "{:?}",
        stopped.elapsed()
    );
    assert_eq!(
        (server.holder().as_deref(), server.transitions()),
        (Some("b"), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_crashed_leader_is_replaced_after_the_lease() {
    let server = Server::default();
    let (_first, mut leader) = join(&server, "a");
    leader.gained().await;
    let record = server.stored.lock().clone();
    let other = Server {
        stored: Arc::new(Mutex::new(record)),
        ..Server::default()
    };
    // The other server's copy is never renewed: the leader is gone from there.
    let (_second, mut follower) = join(&other, "b");
    let joined = Instant::now();
    follower.gained().await;
    let waited = joined.elapsed().as_secs();
    assert!((15..=17).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_hears_nothing_stops_before_anyone_may_take_over() {
    let server = Server::default();
    let (_first, mut leader) = join(&server, "a");
    let term = leader.gained().await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    server.silent.store(true, Ordering::SeqCst);
    let silent = Instant::now();
    leader.lost(term.number).await;
    let held = silent.elapsed().as_secs();
    assert!((7..=10).contains(&held), "{held}");

    server.silent.store(false, Ordering::SeqCst);
    assert_eq!(leader.gained().await.number, 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_written_by_someone_else_ends_the_term() {
    let server = Server::default();
    let (_first, mut leader) = join(&server, "a");
    let term = leader.gained().await;
    if let Some(lease) = server.stored.lock().as_mut() {
        lease.metadata.resource_version = Some("other".into());
        lease.spec.as_mut().unwrap().holder_identity = Some("thief".into());
    }
    let stolen = Instant::now();
    leader.lost(term.number).await;
    assert!(stolen.elapsed() <= Duration::from_secs(5));
    assert_eq!(server.holder().as_deref(), Some("thief"));
}
