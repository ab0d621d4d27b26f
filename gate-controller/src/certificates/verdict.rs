//! The verdict: what is wrong, how bad it is, and what a person can do. Pure.

use certs::plan::{Standing, Step};
use direct_access::names::REGISTRATION_ENTRY;

use super::model::{ReplicaLine, Verdict};
use super::report::View;
use super::request::pending;
use super::spell;
use crate::heal::decide::Guard;
use crate::heal::sight::WEBHOOK_PODS;

/// What is said above the tables and below them.
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) headline: String,
    pub(super) reasons: Vec<String>,
    pub(super) advice: Vec<String>,
    pub(super) notes: Vec<String>,
}

pub(super) fn judge(view: &View<'_>) -> Judgement {
    let broken = broken(view);
    let unknown = unknown(view);
    let due = due(view);
    let verdict = match (broken.len(), unknown.len(), due.len()) {
        (1.., _, _) => Verdict::Broken,
        (_, 1.., _) => Verdict::Unknown,
        (_, _, 1..) if is_under_way(view) => Verdict::Rotating,
        (_, _, 1..) => Verdict::Due,
        (0, 0, 0) => Verdict::Healthy,
    };
    let reasons: Vec<_> = [broken, unknown, due].concat();
    Judgement {
        verdict,
        headline: headline(verdict, &reasons, view),
        advice: advice(verdict, view),
        notes: notes(view),
        reasons,
    }
}

fn headline(verdict: Verdict, reasons: &[String], view: &View<'_>) -> String {
    let first = reasons.first().cloned().unwrap_or_default();
    match (verdict, view.step()) {
        (Verdict::Healthy, Some(Step::Keep { until, .. })) => {
            format!(
                "next renewal in {}",
                spell::span(view.now.duration_until(*until))
            )
        }
        (Verdict::Broken, _) => format!("{first}; {}", consequence(view)),
        _ => first,
    }
}

/// What becomes of a pod that is created now, if its call does not get through.
fn consequence(view: &View<'_>) -> &'static str {
    let entries = view.chain.entries.iter();
    let mut ours = entries.filter(|entry| entry.name == REGISTRATION_ENTRY);
    if ours.any(|entry| entry.failure_policy == "Fail") {
        "pods cannot be created (failurePolicy Fail)"
    } else {
        "pods are created without the gate"
    }
}

/// A creation may fail or go ungated.
fn broken(view: &View<'_>) -> Vec<String> {
    let mut found = vec![];
    if view.step().is_none() {
        let namespace = &view.gathered.wanted.namespace;
        found.push(format!("Namespace {namespace} is being deleted"));
    }
    match (&view.gathered.seen.registration, view.chain.published()) {
        (None, _) => found.push("there is no registration".to_owned()),
        (Some(_), None) => found.push(format!(
            "the registration has no entry {REGISTRATION_ENTRY}"
        )),
        (Some(_), Some(bundle)) if bundle.is_empty() => {
            found.push("the registration trusts no CA".to_owned());
        }
        (Some(_), Some(_)) => {}
    }
    let harmful = view.differences().iter().filter(|field| harms(field));
    found.extend(harmful.map(|field| format!("the registration is not as it should be: {field}")));
    if view.gathered.replicas.is_some() {
        found.extend(serving(view));
    }
    found
}

/// What about the entry for pods keeps calls from being made or from being answered. A bundle does only
/// if it does not trust a replica, which is told of the replica.
fn harms(field: &str) -> bool {
    let ours = field.starts_with(&format!("webhooks[{REGISTRATION_ENTRY}]"));
    let harmless = ["caBundle", "failurePolicy", "is missing"];
    ours && !harmless.iter().any(|end| field.ends_with(end))
}

fn serving(view: &View<'_>) -> Vec<String> {
    let called: Vec<_> = view.replicas.iter().filter(|one| is_called(one)).collect();
    if called.is_empty() {
        return vec!["no webhook pod is Ready".to_owned()];
    }
    // Without a bundle nobody is trusted, which was said once.
    let judged = view.chain.published().is_some_and(|b| !b.is_empty());
    let untrusted = called
        .iter()
        .filter(|one| judged && one.serves == Standing::Untrusted);
    let silent = called
        .iter()
        .filter(|one| one.serves == Standing::Unseen && was_dialled(one, view));
    let untrusted = untrusted.map(|one| {
        format!(
            "{} presents a leaf that the API server does not trust: {}",
            one.pod,
            one.why.as_deref().unwrap_or("no reason")
        )
    });
    let silent = silent.map(|one| {
        format!(
            "{} is Ready but does not answer: {}",
            one.pod,
            one.why.as_deref().unwrap_or("no reason")
        )
    });
    untrusted.chain(silent).collect()
}

/// The Service sends calls to it.
fn is_called(one: &ReplicaLine) -> bool {
    one.ready && !one.going
}

fn was_dialled(one: &ReplicaLine, view: &View<'_>) -> bool {
    let mut sighted = view.gathered.replicas.iter().flatten();
    sighted.any(|sighted| sighted.replica.name == one.pod && sighted.by_handshake)
}

/// Whoever could not be asked may serve anything.
fn unknown(view: &View<'_>) -> Vec<String> {
    let unseen = view
        .replicas
        .iter()
        .filter(|one| is_called(one) && one.serves == Standing::Unseen && !was_dialled(one, view));
    let told = unseen.map(|one| {
        format!(
            "{} could not be asked what it serves: {}",
            one.pod,
            one.why.as_deref().unwrap_or("no reason")
        )
    });
    told.collect()
}

fn due(view: &View<'_>) -> Vec<String> {
    let mut found = vec![];
    match view.step() {
        None | Some(Step::Keep { .. }) => {}
        Some(step) => found.push(step.to_string()),
    }
    let harmless: Vec<_> = view
        .differences()
        .iter()
        .filter(|field| !harms(field))
        .map(String::as_str)
        .collect();
    if !harmless.is_empty() {
        found.push(format!("repair the registration: {}", harmless.join(", ")));
    }
    if let Guard::Held(why) = &view.decision.guard {
        found.push(format!("failurePolicy stays Ignore for now: {why}"));
    }
    let step_is_keep = matches!(view.step(), Some(Step::Keep { .. }));
    let pending = pending(&view.gathered.seen).into_iter();
    let waiting = pending.filter(|_| step_is_keep);
    found.extend(waiting.map(|(what, id)| format!("a new {} was asked for ({id})", what.noun())));
    found
}

/// A rotation that has begun, as opposed to a step that would begin one.
fn is_under_way(view: &View<'_>) -> bool {
    let bundle = view.chain.published().map_or(0, certs::Bundle::len);
    view.chain.is_half_way()
        || bundle > 1
        || !pending(&view.gathered.seen).is_empty()
        || matches!(
            view.step(),
            Some(Step::Look { .. } | Step::Await { .. } | Step::ForgetCas { .. })
        )
}

fn notes(view: &View<'_>) -> Vec<String> {
    let mut notes = vec![];
    if !leads(view) {
        let silent = match view.gathered.lease.as_ref() {
            Some(held) if held.record.holder.is_some() => "the leader has not renewed its lease",
            _ => "no controller holds the lease",
        };
        notes.push(format!(
            "nobody leads ({silent}): nothing is renewed or repaired meanwhile"
        ));
    }
    for one in &view.replicas {
        if !one.refused.is_empty() {
            notes.push(format!(
                "{} refuses the leaf of the Secret and keeps its own: {}",
                one.pod,
                one.refused.join("; ")
            ));
        }
    }
    notes
}

fn leads(view: &View<'_>) -> bool {
    let held = view.gathered.lease.as_ref();
    held.is_some_and(|held| held.looks_alive(view.now))
}

fn advice(verdict: Verdict, view: &View<'_>) -> Vec<String> {
    let namespace = &view.gathered.wanted.namespace;
    if verdict == Verdict::Healthy || (verdict == Verdict::Rotating && leads(view)) {
        return vec![];
    }
    if view.step().is_none() {
        return vec![format!(
            "an uninstall is under way; once Namespace {namespace} is gone, apply the manifests again"
        )];
    }
    let mut advice = vec![];
    let serves = view.replicas.iter().any(is_called);
    if view.gathered.replicas.is_some() && !serves {
        advice.push(format!(
            "see why no webhook pod is Ready: kubectl describe pods -n {namespace} -l {WEBHOOK_PODS}"
        ));
    }
    if verdict == Verdict::Unknown {
        advice.push(
            "run it where pods can be reached: kubectl exec -n ".to_owned()
                + namespace
                + " deploy/clb-gate-controller -- /clb-gate certs status",
        );
    }
    advice.push(if leads(view) {
        format!(
            "the leader does it by itself within seconds; if this stays, see what it says: kubectl logs -n {namespace} {}",
            holder(view)
        )
    } else {
        format!(
            "start the controller (kubectl get pods -n {namespace} -l app.kubernetes.io/component=controller), or let \
             clb-gate certs rotate --wait do what is due now, from here"
        )
    });
    advice
}

fn holder(view: &View<'_>) -> String {
    let held = view.gathered.lease.as_ref();
    let holder = held.and_then(|held| held.record.holder.clone());
    holder.unwrap_or_else(|| "deploy/clb-gate-controller".to_owned())
}
