//! Bytes of a review in, bytes of an answer out. Pure: no clock, no lock, no I/O.
//!
//! Whatever the bytes are, the outcome is a well-formed answer that allows the pod, or a refusal that
//! becomes a 400. Nothing is ever denied: a pod without its gate is reported by the controller, a pod
//! that cannot be created is an outage.

use std::borrow::Cow;
use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use direct_access::network::Warning;
use direct_access::{
    ExposureIndex, Injection, Keep, NoSleep, ObjectRef, Place, SkipReason, Sleep, inject, keep,
    names, place,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::review::{Envelope, Pod, Request, Review};

/// The only version there is to speak.
const API_VERSION: &str = "admission.k8s.io/v1";
/// The only kind that is sent.
const KIND: &str = "AdmissionReview";
/// The API server cuts a longer warning.
const LONGEST_WARNING: usize = 256;

/// Room for an answer with a patch.
const USUAL_ANSWER: usize = 512;

/// What was done with a review; one label of the metrics each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// The pod gets the gate, or what lets it serve on while it leaves.
    Injected,
    /// The pod stays as it is, for one of direct-access's reasons.
    Skipped(&'static str),
    /// The pod cannot be read; allowed as it is, with a warning.
    Malformed,
    /// The review cannot be answered: 400.
    Refused,
}

impl Outcome {
    /// The labels of the metrics.
    pub fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Injected => ("injected", ""),
            Self::Skipped(reason) => ("skipped", reason),
            Self::Malformed => ("malformed", ""),
            Self::Refused => ("refused", ""),
        }
    }
}

/// A well-formed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The AdmissionReview to send back.
    pub body: Vec<u8>,
    /// What it says.
    pub outcome: Outcome,
}

/// Why a review gets no answer. Each names the field, what was read and what is accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Not JSON, or not an object with a request in it.
    #[error("the body is not an AdmissionReview: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A field has another value than the only one accepted.
    #[error("{field} is {read:?}; accepted is {accepted:?}")]
    Field {
        /// The field.
        field: &'static str,
        /// What was read, cut.
        read: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// No request, or no uid to echo.
    #[error("{0} is missing or empty")]
    Missing(&'static str),
}

/// Answers a review.
pub fn answer(body: &[u8], index: &ExposureIndex) -> Result<Answer, Refusal> {
    answer_by(body, |uid, pod, namespace| {
        gated(uid, pod, namespace, index)
    })
}

/// Answers the canary's review: the same in everything, but the pod gets the gate whoever it is. So it
/// proves the way to us and back and needs no Service.
pub fn answer_canary(body: &[u8]) -> Result<Answer, Refusal> {
    answer_by(body, |uid, pod, _| match place(pod) {
        Place::NewArray => patched(uid, Cow::Borrowed(Gate::AddArray.encoded()), vec![]),
        Place::Append => patched(uid, Cow::Borrowed(Gate::Append.encoded()), vec![]),
        Place::AlreadyThere => skipped(uid, SkipReason::AlreadyGated),
    })
}

fn answer_by(
    body: &[u8],
    judge: impl FnOnce(&str, &Pod<'_>, &str) -> Answer,
) -> Result<Answer, Refusal> {
    match serde_json::from_slice::<Review<'_>>(body) {
        Ok(review) => Ok(decide(checked(&review)?, judge)),
        Err(error) => allow_unread(body, error),
    }
}

fn checked<'r, 'a>(review: &'r Review<'a>) -> Result<&'r Request<'a>, Refusal> {
    expect("apiVersion", review.api_version.as_str(), API_VERSION)?;
    expect("kind", review.kind.as_str(), KIND)?;
    let request = review.request.as_ref().ok_or(Refusal::Missing("request"))?;
    if request.uid.as_str().is_empty() {
        return Err(Refusal::Missing("request.uid"));
    }
    Ok(request)
}

fn expect(field: &'static str, read: &str, accepted: &'static str) -> Result<(), Refusal> {
    if read == accepted {
        return Ok(());
    }
    Err(Refusal::Field {
        field,
        read: read.chars().take(64).collect(),
        accepted,
    })
}

fn decide(request: &Request<'_>, judge: impl FnOnce(&str, &Pod<'_>, &str) -> Answer) -> Answer {
    let uid = request.uid.as_str();
    // The registration asks for pod creations only; a gate added later would be refused anyway.
    if request.operation.as_str() != "CREATE" || request.kind.kind.as_str() != "Pod" {
        return plain(uid, Outcome::Skipped("not_a_pod_creation"), vec![]);
    }
    let Some(pod) = request.object.as_ref().filter(|pod| pod.has_spec()) else {
        let warning = "clb-gate: the pod has no spec, so it was let through as it is".into();
        return plain(uid, Outcome::Malformed, vec![warning]);
    };
    judge(uid, pod, request.namespace.as_str())
}

fn gated(uid: &str, pod: &Pod<'_>, namespace: &str, index: &ExposureIndex) -> Answer {
    let (gate, warning) = match inject(pod, namespace, index) {
        Injection::AddArray(_, warning) => (Some(Gate::AddArray), warning),
        Injection::Append(_, warning) => (Some(Gate::Append), warning),
        Injection::Skip(SkipReason::AlreadyGated) => (None, None),
        Injection::Skip(reason) => return skipped(uid, reason),
    };
    let mut warnings: Vec<_> = warning.map(unreached).into_iter().collect();
    let sleep = match keep(pod, namespace, index) {
        Keep::Leave => None,
        Keep::Skip(service, why) => {
            warnings.push(sleepless(service, why));
            None
        }
        Keep::Sleep(sleep) => Some(sleep),
    };
    match (gate, sleep) {
        (None, None) => {
            let reason = SkipReason::AlreadyGated;
            plain(uid, Outcome::Skipped(reason.label()), warnings)
        }
        (Some(gate), None) => patched(uid, Cow::Borrowed(gate.encoded()), warnings),
        (gate, Some(sleep)) => {
            let mut operations: Vec<_> = gate.map(Gate::operation).into_iter().collect();
            operations.extend(asleep(&sleep));
            patched(uid, Cow::Owned(encoded(operations)), warnings)
        }
    }
}

fn unreached(warning: Warning) -> String {
    format!("clb-gate: {}", warning.why())
}

fn sleepless(service: &ObjectRef, why: NoSleep) -> String {
    format!(
        "clb-gate: the pod does not serve on while it leaves the CLB of Service {service}: {why}"
    )
}

/// Lets a pod sleep before it is stopped, and gives it the time for that.
fn asleep(sleep: &Sleep) -> impl Iterator<Item = Value> {
    let pause = json!({ "sleep": { "seconds": sleep.seconds } });
    let containers = sleep.containers.iter().map(move |(number, has_lifecycle)| {
        let lifecycle = format!("/spec/containers/{number}/lifecycle");
        if *has_lifecycle {
            return add(&format!("{lifecycle}/preStop"), &pause);
        }
        add(&lifecycle, &json!({ "preStop": pause }))
    });
    // To add what is there is to replace it.
    let grace = |grace| add("/spec/terminationGracePeriodSeconds", &json!(grace));
    containers.chain(sleep.grace.map(grace))
}

fn patched(uid: &str, patch: Cow<'_, str>, warnings: Vec<String>) -> Answer {
    let patch_type = Some("JSONPatch");
    let response = Response {
        uid,
        allowed: true,
        patch_type,
        patch: Some(patch),
        warnings: warnings.into_iter().map(told).collect(),
    };
    Answer {
        body: encode(response),
        outcome: Outcome::Injected,
    }
}

fn skipped(uid: &str, reason: SkipReason<'_>) -> Answer {
    let warning = reason.warning().into_iter().collect();
    plain(uid, Outcome::Skipped(reason.label()), warning)
}

fn plain(uid: &str, outcome: Outcome, warnings: Vec<String>) -> Answer {
    let response = Response {
        uid,
        allowed: true,
        patch_type: None,
        patch: None,
        warnings: warnings.into_iter().map(told).collect(),
    };
    Answer {
        body: encode(response),
        outcome,
    }
}

fn told(mut warning: String) -> String {
    warning.truncate(warning.floor_char_boundary(LONGEST_WARNING));
    warning
}

/// The review is JSON but something in it has a shape no pod has. Its sender still gets an answer if
/// there is a uid to echo.
fn allow_unread(body: &[u8], error: serde_json::Error) -> Result<Answer, Refusal> {
    let envelope = serde_json::from_slice::<Envelope<'_>>(body).ok();
    let request = envelope.and_then(|envelope| envelope.request);
    let Some(uid) = request
        .as_ref()
        .map(|request| request.uid.as_str())
        .filter(|uid| !uid.is_empty())
    else {
        return Err(error.into());
    };
    let warning =
        format!("clb-gate: the review cannot be read, so the pod was let through: {error}");
    Ok(plain(uid, Outcome::Malformed, vec![warning]))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AnswerBody<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

fn encode(response: Response<'_>) -> Vec<u8> {
    let body = AnswerBody {
        api_version: API_VERSION,
        kind: KIND,
        response,
    };
    let mut text = Vec::with_capacity(USUAL_ANSWER);
    // Strings, booleans and options always serialise; an empty body would count as a failed call.
    serde_json::to_writer(&mut text, &body).ok();
    text
}

/// How the gate is added.
#[derive(Clone, Copy)]
enum Gate {
    /// In a new array.
    AddArray,
    /// To the array there is.
    Append,
}

static ADD_ARRAY: LazyLock<String> = LazyLock::new(|| encoded(vec![Gate::AddArray.operation()]));
static APPEND: LazyLock<String> = LazyLock::new(|| encoded(vec![Gate::Append.operation()]));

impl Gate {
    fn operation(self) -> Value {
        let gate = json!({ "conditionType": names::GATE });
        match self {
            Self::AddArray => add("/spec/readinessGates", &json!([gate])),
            Self::Append => add("/spec/readinessGates/-", &gate),
        }
    }

    /// The usual answer, made once.
    fn encoded(self) -> &'static str {
        match self {
            Self::AddArray => &ADD_ARRAY,
            Self::Append => &APPEND,
        }
    }
}

fn add(path: &str, value: &Value) -> Value {
    json!({ "op": "add", "path": path, "value": value })
}

/// A JSON Patch in base64, as the API wants it.
fn encoded(operations: Vec<Value>) -> String {
    STANDARD.encode(Value::Array(operations).to_string())
}

#[cfg(test)]
mod tests;
