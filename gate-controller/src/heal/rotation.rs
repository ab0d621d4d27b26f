//! A rotation as people follow it: Events when it begins, ends and waits for long, and how often to look
//! at the replicas meanwhile.

use std::time::Duration;

use certs::plan::{Awaited, Step};
use runtime::{CallError, News, Recorder};
use tokio::time::Instant;

use super::act::regarding;

/// Between looks at replicas that are about to load the new leaf, which takes them milliseconds.
pub(super) const AWAIT: Duration = Duration::from_millis(300);
/// Between looks at what has not helped itself for [`PATIENT`], or cannot be seen.
pub(super) const SLOWLY: Duration = Duration::from_secs(1);
const PATIENT: Duration = Duration::from_secs(10);
/// A replica that has not loaded the new leaf by then needs a person.
const LONG: Duration = Duration::from_secs(30);

/// What is known of the rotation under way, if any.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    since: Option<Instant>,
    awaiting_since: Option<Instant>,
    told_long: bool,
    /// The replicas could not be looked at: not before then again, and why.
    blind: Option<(Instant, String)>,
    held: Option<String>,
}

impl Rotation {
    /// Takes in the step that is about to be done. `recorder` is there if the registration is, which
    /// Events are about.
    pub(super) fn observe(&mut self, step: &Step, recorder: Option<&Recorder>, now: Instant) {
        let news = match step {
            Step::CreateCa { .. } => self.begins(step, now),
            Step::Keep { .. } => self.ends(now),
            Step::Await { awaited, .. } => self.waits(awaited, now),
            Step::IssueLeaf { settle: true, .. } | Step::ForgetCas { .. } => {
                self.since.get_or_insert(now);
                None
            }
            Step::IssueLeaf { .. }
            | Step::PublishBundle { .. }
            | Step::RefreshLeafBundle { .. }
            | Step::Look { .. } => None,
        };
        if let (Some(news), Some(recorder)) = (news, recorder) {
            recorder.publish(regarding(), news);
        }
    }

    /// How long to wait before the replicas are looked at again.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let awaiting = self.awaiting_since.map(|since| now.duration_since(since));
        if awaiting.is_some_and(|awaiting| awaiting >= PATIENT) {
            SLOWLY
        } else {
            AWAIT
        }
    }

    /// Takes in that `failurePolicy: Fail` has to wait.
    pub(super) fn hold_fail(&mut self, why: &str, recorder: &Recorder) {
        if self.held.as_deref() != Some(why) {
            tracing::warn!(why, "failurePolicy stays Ignore for now");
            let note = format!("failurePolicy stays Ignore for now: {why}");
            recorder.publish(regarding(), News::warning("FailHeld", "Guard", note));
        }
        self.held = Some(why.to_owned());
    }

    /// Takes in whether the replicas could be looked at.
    pub(super) fn looked(&mut self, error: Option<&CallError>, now: Instant) {
        if let (Some(error), None) = (error, &self.blind) {
            tracing::warn!(%error, "cannot look at the replicas, retrying");
        }
        self.blind = error.map(|error| (now + SLOWLY, error.to_string()));
    }

    /// Until when not to look, and why: the last look failed.
    pub(super) fn blind(&self, now: Instant) -> Option<(Instant, String)> {
        self.blind.clone().filter(|(until, _)| now < *until)
    }

    fn begins(&mut self, step: &Step, now: Instant) -> Option<News> {
        if self.since.replace(now).is_some() {
            return None;
        }
        tracing::info!(%step, "a rotation begins");
        Some(News::normal("RotationBegins", "Rotate", step.to_string()))
    }

    fn ends(&mut self, now: Instant) -> Option<News> {
        (self.awaiting_since, self.told_long) = (None, false);
        let took = now.duration_since(self.since.take()?).as_secs_f64();
        tracing::info!(seconds = took, "the rotation has ended");
        let note = format!("one CA is left; it took {took:.1} s");
        Some(News::normal("RotationEnded", "Rotate", note))
    }

    fn waits(&mut self, awaited: &[Awaited], now: Instant) -> Option<News> {
        self.since.get_or_insert(now);
        let since = *self.awaiting_since.get_or_insert(now);
        let long = now.duration_since(since) >= LONG;
        if !long || std::mem::replace(&mut self.told_long, true) {
            return None;
        }
        let texts: Vec<_> = awaited.iter().map(ToString::to_string).collect();
        let note = format!(
            "the older CA stays trusted because of these replicas: {}; delete a pod that does not \
             help itself",
            texts.join("; ")
        );
        tracing::warn!("{note}");
        Some(News::warning("RotationWaits", "Rotate", note))
    }
}
