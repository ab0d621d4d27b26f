//! Kubernetes Events for whoever looks at a pod or Service. Publishing never blocks and never fails:
//! repeats are counted instead of written, a full queue drops, and trouble is a metric and one log line.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{CallError, call},
    clock,
    supervise::{BoxError, Supervisor},
};

/// Events waiting to be written. A rollout of 1,000 pods publishes 2 each; beyond this they are news to
/// nobody.
const QUEUE: usize = 2_048;
/// Events remembered for counting. One is about 500 bytes.
const REMEMBERED: usize = 4_096;
/// An Event that repeats within this time is counted on the one that exists.
const MEMORY: SignedDuration = SignedDuration::from_mins(10);
/// A repeating Event is written at most this often.
const REWRITE: SignedDuration = SignedDuration::from_mins(1);
/// An Event is never worth waiting longer for.
const DEADLINE: Duration = Duration::from_secs(3);
/// The API server refuses a longer note (events.k8s.io/v1).
const LONGEST_NOTE: usize = 1_024;
/// Leaves room for our suffix in the 253 characters of an object name.
const LONGEST_NAME: usize = 200;
/// Where Events on cluster-scoped objects live.
const CLUSTER_NAMESPACE: &str = "default";

/// What kind of news it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

impl EventKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Publishes Events. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Item>,
    counts: Counts,
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct News {
    kind: EventKind,
    reason: &'static str,
    action: &'static str,
    note: String,
}

impl News {
    /// As it should be. `reason` is what came of it (`Bound`), `action` what was attempted (`Bind`), both
    /// in `UpperCamelCase`; `note` is for people.
    pub fn normal(reason: &'static str, action: &'static str, note: impl Into<String>) -> Self {
        Self::new(EventKind::Normal, reason, action, note.into())
    }

    /// Somebody should look.
    pub fn warning(reason: &'static str, action: &'static str, note: impl Into<String>) -> Self {
        Self::new(EventKind::Warning, reason, action, note.into())
    }

    fn new(kind: EventKind, reason: &'static str, action: &'static str, note: String) -> Self {
        let note = shortened(note, LONGEST_NOTE);
        Self {
            kind,
            reason,
            action,
            note,
        }
    }
}

#[derive(Clone, Debug)]
struct Item {
    regarding: ObjectReference,
    news: News,
}

/// Who publishes.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The controller, e.g. `clb-gate`.
    pub controller: &'static str,
    /// This process, e.g. the pod's name.
    pub instance: String,
}

impl Recorder {
    /// Starts the writer as a tail task: Events published during the drain are still written.
    pub fn spawn(
        supervisor: &Supervisor,
        client: Client,
        reporter: Reporter,
        metrics: &mut Registry,
    ) -> Self {
        let counts = Counts::register(metrics);
        let (queue, news) = mpsc::channel(QUEUE);
        let writer = Writer {
            client,
            reporter,
            memory: Memory::default(),
            counts: counts.clone(),
            failing: false,
        };
        supervisor.spawn_tail("events", |stopping| writer.run(news, stopping));
        Self { queue, counts }
    }

    /// A recorder whose Events go nowhere, for tests.
    pub fn silent() -> Self {
        let (queue, _) = mpsc::channel(1);
        Self {
            queue,
            counts: Counts::default(),
        }
    }

    /// Publishes an Event on an object of any namespace. Never blocks.
    pub fn publish(&self, regarding: ObjectReference, news: News) {
        if self.queue.try_send(Item { regarding, news }).is_err() {
            self.counts.add("dropped");
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Counts(Family<OutcomeLabel, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Counts {
    fn register(metrics: &mut Registry) -> Self {
        let counts = Self::default();
        let help = "Kubernetes Events by what became of them";
        metrics.register("clb_gate_events", help, counts.0.clone());
        counts
    }

    fn add(&self, outcome: &'static str) {
        self.0.get_or_create(&OutcomeLabel { outcome }).inc();
    }
}

struct Writer {
    client: Client,
    reporter: Reporter,
    memory: Memory,
    counts: Counts,
    failing: bool,
}

impl Writer {
    async fn run(
        mut self,
        mut news: mpsc::Receiver<Item>,
        stopping: CancellationToken,
    ) -> Result<(), BoxError> {
        while let Some(Some(one)) = stopping.run_until_cancelled(news.recv()).await {
            self.write(one).await;
        }
        stopping.cancelled().await;
        while let Ok(one) = news.try_recv() {
            self.write(one).await;
        }
        Ok(())
    }

    async fn write(&mut self, item: Item) {
        let now = clock::now();
        let verdict = self.memory.observe(&item, now);
        let namespace = item
            .regarding
            .namespace
            .clone()
            .unwrap_or_else(|| CLUSTER_NAMESPACE.into());
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        let result = match &verdict {
            Verdict::Count => return self.counts.add("counted"),
            Verdict::Create { name } => {
                let event = self.event(&item, &namespace, name, now);
                call(
                    DEADLINE,
                    "create Event",
                    api.create(&PostParams::default(), &event),
                )
                .await
            }
            Verdict::Update { name, count } => {
                let last_observed_time = MicroTime(now);
                let series = EventSeries {
                    count: *count,
                    last_observed_time,
                };
                let patch = Patch::Merge(serde_json::json!({ "series": series }));
                call(
                    DEADLINE,
                    "patch Event",
                    api.patch(name, &PatchParams::default(), &patch),
                )
                .await
            }
        };
        self.note(&item, &result);
    }

    fn event(&self, item: &Item, namespace: &str, name: &str, now: Timestamp) -> Event {
        Event {
            action: Some(item.news.action.into()),
            event_time: Some(MicroTime(now)),
            metadata: ObjectMeta {
                name: Some(name.into()),
                namespace: Some(namespace.into()),
                ..ObjectMeta::default()
            },
            note: Some(item.news.note.clone()),
            reason: Some(item.news.reason.into()),
            regarding: Some(item.regarding.clone()),
            reporting_controller: Some(self.reporter.controller.into()),
            reporting_instance: Some(shortened(self.reporter.instance.clone(), 128)),
            type_: Some(item.news.kind.as_str().into()),
            ..Event::default()
        }
    }

    fn note(&mut self, item: &Item, result: &Result<Event, CallError>) {
        self.counts
            .add(if result.is_ok() { "written" } else { "failed" });
        match result {
            Err(error) if !self.failing => {
                tracing::warn!(%error, reason = item.news.reason, "cannot write Events; further failures are only counted");
            }
            Ok(_) if self.failing => tracing::info!("Events can be written again"),
            _ => {}
        }
        if result.is_err() {
            self.memory.forget(item);
        }
        self.failing = result.is_err();
    }
}

/// What to do with a piece of news.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Count,
    Create { name: String },
    Update { name: String, count: i32 },
}

/// Which Events exist, so that a repeat becomes a count on one of them.
#[derive(Debug, Default)]
struct Memory {
    known: HashMap<Topic, Known>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Topic {
    object: [Option<String>; 4],
    news: News,
}

#[derive(Clone, Debug)]
struct Known {
    name: String,
    count: i32,
    seen: Timestamp,
    written: Timestamp,
}

impl Memory {
    fn observe(&mut self, item: &Item, now: Timestamp) -> Verdict {
        if let Some(known) = self
            .known
            .get_mut(&topic(item))
            .filter(|known| known.seen + MEMORY > now)
        {
            known.count = known.count.saturating_add(1);
            known.seen = now;
            if known.written + REWRITE > now {
                return Verdict::Count;
            }
            known.written = now;
            return Verdict::Update {
                name: known.name.clone(),
                count: known.count,
            };
        }
        self.make_room(now);
        let name = event_name(item, now);
        let known = Known {
            name: name.clone(),
            count: 1,
            seen: now,
            written: now,
        };
        self.known.insert(topic(item), known);
        Verdict::Create { name }
    }

    fn forget(&mut self, item: &Item) {
        self.known.remove(&topic(item));
    }

    fn make_room(&mut self, now: Timestamp) {
        if self.known.len() >= REMEMBERED {
            self.known.retain(|_, known| known.seen + MEMORY > now);
        }
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
    }
}

fn topic(item: &Item) -> Topic {
    let object = &item.regarding;
    Topic {
        object: [
            object.kind.clone(),
            object.namespace.clone(),
            object.name.clone(),
            object.uid.clone(),
        ],
        news: item.news.clone(),
    }
}

/// As client-go names them: the object's name and the time in hexadecimal.
fn event_name(item: &Item, now: Timestamp) -> String {
    let object = shortened(
        item.regarding
            .name
            .clone()
            .unwrap_or_else(|| "unnamed".into()),
        LONGEST_NAME,
    );
    format!("{object}.{:x}", now.as_nanosecond())
}

/// Cut at a character boundary.
fn shortened(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(note: &str) -> Item {
        let regarding = ObjectReference {
            kind: Some("Pod".into()),
            namespace: Some("shop".into()),
            name: Some("web-0".into()),
            ..ObjectReference::default()
        };
        Item {
            regarding,
            news: News::normal("Bound", "Bind", note),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    #[test]
    fn repeats_are_counted_and_written_once_a_minute() {
        let mut memory = Memory::default();
        let Verdict::Create { name } = memory.observe(&item("a"), at(0)) else {
            panic!("a first Event")
        };
        assert!(name.starts_with("web-0."));
        assert_eq!(memory.observe(&item("a"), at(1)), Verdict::Count);
        assert_eq!(memory.observe(&item("a"), at(59)), Verdict::Count);
        assert_eq!(
            memory.observe(&item("a"), at(60)),
            Verdict::Update { name, count: 4 }
        );
        assert!(matches!(
            memory.observe(&item("b"), at(61)),
            Verdict::Create { .. }
        ));
        assert!(matches!(
            memory.observe(&item("a"), at(60 + 600)),
            Verdict::Create { .. }
        ));
    }

    #[test]
    fn what_failed_is_not_remembered() {
        let mut memory = Memory::default();
        memory.observe(&item("a"), at(0));
        memory.forget(&item("a"));
        assert!(matches!(
            memory.observe(&item("a"), at(1)),
            Verdict::Create { .. }
        ));
    }

    #[test]
    fn memory_is_bounded() {
        let mut memory = Memory::default();
        for note in 0..2 * REMEMBERED {
            memory.observe(&item(&note.to_string()), at(0));
        }
        assert!(memory.known.len() <= REMEMBERED);
    }

    #[test]
    fn long_notes_are_cut_at_a_character() {
        let note = item(&"é".repeat(LONGEST_NOTE)).news.note;
        assert_eq!(
            (note.len(), note.chars().count()),
            (LONGEST_NOTE, LONGEST_NOTE / 2)
        );
    }

    #[tokio::test]
    async fn a_full_queue_drops_and_counts() {
        let recorder = Recorder::silent();
        recorder.publish(
            ObjectReference::default(),
            News::normal("Bound", "Bind", "x"),
        );
        let dropped = OutcomeLabel { outcome: "dropped" };
        assert_eq!(recorder.counts.0.get_or_create(&dropped).get(), 1);
    }
}
