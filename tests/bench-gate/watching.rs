//! A watch on all pods: when each one's condition was first seen True, and how often pods were written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clb_gate_tests::World;
use clb_gate_tests::operator::now;
use clb_gate_tests::wait::eventually;
use clb_gate_tests::world::{GATE, condition};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::pods::ALL;
use crate::scale::{Scale, number};

/// The condition that the reference sets.
pub(crate) const REFERENCE: &str = "example.com/reference";
/// Nothing more is on its way when nothing came for so long.
const QUIET: Duration = Duration::from_secs(3);
/// Thousands of bindings and messages on two busy cores.
const SETTLED: Duration = Duration::from_mins(5);

/// By pod, the moment in milliseconds since 1970.
pub(crate) type Moments = BTreeMap<u16, i64>;

/// What was seen so far.
#[derive(Debug)]
struct Book {
    gates: Moments,
    references: Moments,
    /// Pods whose gate says something.
    told: BTreeSet<u16>,
    events: u32,
    last: Instant,
}

/// The watch, for as long as it is kept.
pub(crate) struct Watching {
    book: Arc<Mutex<Book>>,
    _following: JoinSet<()>,
}

impl Watching {
    /// Begins to watch.
    pub(crate) fn start(world: &World) -> Self {
        let book = Arc::new(Mutex::new(Book {
            gates: Moments::new(),
            references: Moments::new(),
            told: BTreeSet::new(),
            events: 0,
            last: Instant::now(),
        }));
        let mut following = JoinSet::new();
        following.spawn(follow(world.api(), Arc::clone(&book)));
        Self {
            book,
            _following: following,
        }
    }

    /// Waits until every gate says why it is shut, and nothing is written any more.
    pub(crate) async fn settled(&self, scale: Scale) -> Result<()> {
        eventually("all gates say why they are shut", SETTLED, || async {
            let book = self.book.lock();
            let told = book.told.len();
            let quiet = book.last.elapsed();
            Ok(if told == usize::from(scale.pods) && quiet >= QUIET {
                Ok(())
            } else {
                Err(format!("{told} do, quiet for {quiet:.1?}"))
            })
        })
        .await
    }

    /// When gates were first seen True.
    pub(crate) fn gates(&self) -> Moments {
        self.book.lock().gates.clone()
    }

    /// When the reference's conditions were.
    pub(crate) fn references(&self) -> Moments {
        self.book.lock().references.clone()
    }

    /// How often a pod was written, from the beginning.
    pub(crate) fn writes(&self) -> u32 {
        self.book.lock().events
    }
}

async fn follow(pods: Api<Pod>, book: Arc<Mutex<Book>>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the benchmark's own network is never cut"
    )]
    let all = watcher(pods, Config::default().labels(ALL));
    let mut all = std::pin::pin!(all.default_backoff());
    while let Some(event) = all.next().await {
        match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) => book.lock().note(&pod),
            Ok(Event::Delete(_) | Event::Init | Event::InitDone) => {}
            Err(error) => eprintln!("the watch on the pods is interrupted: {error}"),
        }
    }
}

impl Book {
    fn note(&mut self, pod: &Pod) {
        let (Some(number), Ok(now)) = (number(&pod.name_any()), now()) else {
            return;
        };
        self.events += 1;
        self.last = Instant::now();
        let gate = condition(pod, GATE);
        if gate.is_some() {
            self.told.insert(number);
        }
        if gate == Some("True") {
            self.gates.entry(number).or_insert(now);
        }
        if condition(pod, REFERENCE) == Some("True") {
            self.references.entry(number).or_insert(now);
        }
    }
}
