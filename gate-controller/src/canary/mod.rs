//! The canary: proof that the API server finds the webhook, trusts it and does what it says. While we
//! lead, it creates a pod as a dry run in a namespace where nothing runs, and looks whether it comes back
//! with the gate. Nothing else proves the whole chain: a registration can be perfect while a
//! `NetworkPolicy` keeps every call away, and with `failurePolicy: Ignore` nobody would notice.
//!
//! It writes nothing but dry runs and never makes anything unready: what it sees is a metric, a remark of
//! `/readyz`, and an Event when it changes.

mod course;
mod metrics;
mod pod;
mod verdict;

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use direct_access::names;
use futures::{Stream, StreamExt};
use k8s_openapi::api::{
    admissionregistration::v1::MutatingWebhookConfiguration,
    core::v1::{ObjectReference, Pod},
};
use kube::{
    Api, Client,
    api::PostParams,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use runtime::{
    BoxError, CallError, Leadership, ReadyHandle, Recorder, call, client::CALL_DEADLINE, clock,
    events::News,
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use course::{Course, Turn};
pub use metrics::CanaryMetrics;
pub use verdict::{Cause, Denial, Verdict, judge};

/// Between looks at a chain that works: what breaks it without touching the registration (a
/// `NetworkPolicy`, a route, a firewall) is known within a minute, and a dry run a minute is no load.
const EVERY: Duration = Duration::from_mins(1);
/// Between looks at a chain that does not: pods are going without their gate or are not created at all.
const WHILE_BROKEN: Duration = Duration::from_secs(10);
/// After leadership began or the registration changed. API servers learn of a registration through a
/// watch, which takes them up to some seconds; the rest of what happens within this time counts as one.
const SETTLE: Duration = Duration::from_secs(3);

/// What the canary needs.
pub struct CanaryContext {
    /// The cluster.
    pub client: Client,
    /// For Events on the registration.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: CanaryMetrics,
    /// For remarks only.
    pub ready: ReadyHandle,
}

/// Looks whenever we lead, until `draining`.
pub async fn run(
    context: CanaryContext,
    mut leadership: Leadership,
    draining: CancellationToken,
) -> Result<(), BoxError> {
    let mut canary = Canary::new(context);
    while let Some(term) = draining.run_until_cancelled(leadership.gained()).await {
        tokio::select! {
            () = draining.cancelled() => break,
            () = leadership.lost(term.number) => canary.step_down(),
            () = canary.lead() => {}
        }
    }
    Ok(())
}

struct Canary {
    pods: Api<Pod>,
    registrations: Api<MutatingWebhookConfiguration>,
    context: CanaryContext,
    course: Course,
}

impl Canary {
    fn new(context: CanaryContext) -> Self {
        Self {
            pods: Api::namespaced(context.client.clone(), names::CANARY_NAMESPACE),
            registrations: Api::all(context.client.clone()),
            context,
            course: Course::default(),
        }
    }

    /// Never ends by itself.
    async fn lead(&mut self) {
        let changes = changes(self.context.client.clone());
        self.follow(pin!(changes)).await;
    }

    async fn follow(&mut self, mut changes: Pin<&mut impl Stream<Item = ()>>) {
        let mut next = Instant::now() + SETTLE;
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    let verdict = self.look().await;
                    next = Instant::now() + self.take_in(&verdict);
                }
                Some(()) = changes.next() => next = next.min(Instant::now() + SETTLE),
            }
        }
    }

    /// What another leader will find out is no longer ours to say.
    fn step_down(&self) {
        self.context.metrics.forget();
        self.context.ready.remark(None);
    }

    async fn look(&self) -> Verdict {
        let parameters = PostParams {
            dry_run: true,
            field_manager: Some(names::FIELD_MANAGER.to_owned()),
        };
        let pod = pod::canary();
        let attempt = format!(
            "create a canary pod in Namespace {} (dry run)",
            names::CANARY_NAMESPACE
        );
        let answer = call(CALL_DEADLINE, attempt, self.pods.create(&parameters, &pod)).await;
        let verdict = judge(&answer);
        if verdict.is_without_gate() {
            return verdict::without_gate(self.registration().await.as_ref());
        }
        verdict
    }

    async fn registration(&self) -> Result<Option<MutatingWebhookConfiguration>, CallError> {
        let attempt = format!("get MutatingWebhookConfiguration {}", names::REGISTRATION);
        let request = self.registrations.get_opt(names::REGISTRATION);
        call(CALL_DEADLINE, attempt, request).await
    }

    /// Says what is to be said; returns how long the next look may wait.
    fn take_in(&mut self, verdict: &Verdict) -> Duration {
        self.context.metrics.looked(verdict, clock::now());
        let remark = (*verdict != Verdict::Works).then(|| verdict.to_string());
        self.context.ready.remark(remark);
        for turn in self.course.take_in(verdict) {
            self.tell(turn, verdict);
        }
        if matches!(verdict, Verdict::Broken { .. }) {
            WHILE_BROKEN
        } else {
            EVERY
        }
    }

    fn tell(&self, turn: Turn, verdict: &Verdict) {
        let news = match turn {
            Turn::Changed if *verdict == Verdict::Works => {
                return tracing::info!("the canary got its gate");
            }
            Turn::Changed => return tracing::warn!(%verdict, "the canary got no gate"),
            Turn::Broke => News::warning("CanaryBroken", "Check", verdict.note()),
            Turn::Mended => News::normal("CanaryWorks", "Check", verdict.note()),
        };
        self.context
            .recorder
            .publish(registration_reference(), news);
    }
}

/// Says that the registration was written, not what: whoever hears it looks.
fn changes(client: Client) -> impl Stream<Item = ()> + Send {
    let api: Api<PartialObjectMeta<MutatingWebhookConfiguration>> = Api::all(client);
    let named = format!("metadata.name={}", names::REGISTRATION);
    let events = runtime::watch::events(api, watcher::Config::default().fields(&named));
    // A watch that fails costs nothing but time, and self-heal's own says so in the log.
    events.filter_map(async |event| match event.ok()? {
        Event::Apply(_) | Event::Delete(_) | Event::InitDone => Some(()),
        Event::Init | Event::InitApply(_) => None,
    })
}

fn registration_reference() -> ObjectReference {
    ObjectReference {
        api_version: Some("admissionregistration.k8s.io/v1".to_owned()),
        kind: Some("MutatingWebhookConfiguration".to_owned()),
        name: Some(names::REGISTRATION.to_owned()),
        ..ObjectReference::default()
    }
}

#[cfg(test)]
mod tests;
