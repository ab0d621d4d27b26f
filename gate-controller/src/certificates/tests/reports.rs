//! What is said of each state.

use certs::layout::RENEW_REQUESTED;
use certs::served::RefusedLeaf;
use jiff::Timestamp;

use super::installation::{
    DAY, annotate, cas, healthy, leaf_of, led_by, new_ca, new_leaf, now, publish, show, sighted,
};
use crate::certificates::{Gathered, Report, Verdict, report};
use crate::heal::decide::decide;
use crate::heal::registration::Heal;
use certs::plan::Step;

/// A report without what differs from run to run.
fn text(report: &Report) -> String {
    let mut text = report.to_string();
    let cas = report.cas.iter().map(|ca| &ca.fingerprint);
    let replicas = report
        .replicas
        .iter()
        .filter_map(|one| one.fingerprint.as_ref());
    let leaf = report.leaf.iter().map(|leaf| &leaf.fingerprint);
    for (name, fingerprint) in ["ca-a", "ca-b"].into_iter().zip(cas) {
        text = text.replace(&fingerprint[..12], &format!("{name:-<12}"));
    }
    for fingerprint in leaf {
        text = text.replace(&fingerprint[..12], "leaf--------");
    }
    for fingerprint in replicas {
        text = text.replace(&fingerprint[..12], "other-------");
    }
    text
}

#[track_caller]
fn says(gathered: &Gathered, at: Timestamp, verdict: Verdict, headline: &str) -> Report {
    let report = report(gathered, at);
    assert_eq!(report.verdict, verdict, "{report}");
    assert!(report.headline.contains(headline), "{report}");
    report
}

#[test]
fn a_healthy_installation_fits_on_a_page() {
    let report = says(
        &healthy(now()),
        now(),
        Verdict::Healthy,
        "next renewal in 59 days",
    );
    assert_eq!(text(&report), include_str!("../golden/healthy.txt"));
    assert_eq!(report.verdict.exit_code(), 0);
}

#[test]
fn half_a_rotation_is_shown_with_all_that_is_in_use() {
    let mut gathered = healthy(now());
    let older = leaf_of(&gathered);
    let ca = new_ca(&mut gathered, now());
    let both = cas(&gathered);
    publish(&mut gathered, &both);
    let newer = new_leaf(&mut gathered, ca, now());
    annotate(
        &mut gathered.seen.leaf,
        RENEW_REQUESTED,
        "2026-11-21T06:00:00Z-1",
    );
    let mut refusing = sighted("clb-gate-webhook-7d9f-x9k4p", Some(older));
    refusing.refused = Some(RefusedLeaf {
        resource_version: "7".to_owned(),
        problems: vec!["the private key does not belong to the certificate".to_owned()],
        since: now(),
    });
    let serving = sighted("clb-gate-webhook-7d9f-2abcd", Some(newer));
    show(&mut gathered, vec![serving, refusing]);
    let report = says(&gathered, now(), Verdict::Rotating, "");
    assert_eq!(report.verdict.exit_code(), 2);
    assert_eq!(text(&report), include_str!("../golden/rotating.txt"));
}

#[test]
fn a_broken_installation_says_what_it_means_for_pods_and_what_to_do() {
    let mut gathered = healthy(now());
    gathered.seen.registration = None;
    gathered.lease = None;
    let report = says(
        &gathered,
        now(),
        Verdict::Broken,
        "there is no registration",
    );
    assert_eq!(text(&report), include_str!("../golden/broken.txt"));
    assert_eq!(report.verdict.exit_code(), 3);
}

#[test]
fn a_leaf_that_nobody_trusts_breaks_calls() {
    let mut gathered = healthy(now());
    let foreign = leaf_of(&healthy(now()));
    let good = sighted("a", Some(leaf_of(&gathered)));
    show(&mut gathered, vec![good, sighted("b", Some(foreign))]);
    let headline =
        "b presents a leaf that the API server does not trust: no CA of the bundle signed it";
    says(&gathered, now(), Verdict::Broken, headline);
}

#[test]
fn an_expired_leaf_breaks_calls_and_a_late_one_is_only_due() {
    let gathered = healthy(now());
    says(
        &gathered,
        now() + 61 * DAY,
        Verdict::Due,
        "the leaf is due for renewal since",
    );
    let report = says(
        &gathered,
        now() + 91 * DAY,
        Verdict::Broken,
        "does not trust",
    );
    assert_eq!(report.leaf.unwrap().days_left, -1);
}

#[test]
fn nobody_who_serves_means_that_no_call_is_answered() {
    let mut gathered = healthy(now());
    let mut starting = sighted("a", None);
    starting.replica.ready = false;
    show(&mut gathered, vec![starting]);
    let report = says(&gathered, now(), Verdict::Broken, "no webhook pod is Ready");
    assert!(
        report
            .headline
            .ends_with("pods are created without the gate")
    );
    assert!(
        report
            .advice
            .iter()
            .any(|text| text.contains("kubectl describe pods"))
    );
}

#[test]
fn whoever_cannot_be_asked_is_not_called_broken_unless_it_was_dialled() {
    let mut gathered = healthy(now());
    let mut silent = sighted("b", None);
    let good = sighted("a", Some(leaf_of(&gathered)));
    show(&mut gathered, vec![good.clone(), silent.clone()]);
    let report = says(
        &gathered,
        now(),
        Verdict::Unknown,
        "b could not be asked what it serves",
    );
    assert_eq!(report.verdict.exit_code(), 1);
    silent.by_handshake = true;
    show(&mut gathered, vec![good, silent]);
    says(
        &gathered,
        now(),
        Verdict::Broken,
        "b is Ready but does not answer",
    );
}

#[test]
fn pods_on_their_way_out_or_in_do_not_disturb() {
    let mut gathered = healthy(now());
    let good = sighted("a", Some(leaf_of(&gathered)));
    let (mut going, mut starting) = (sighted("b", None), sighted("c", None));
    going.going = true;
    going.replica.ready = false;
    starting.replica.ready = false;
    show(&mut gathered, vec![good, going, starting]);
    says(&gathered, now(), Verdict::Healthy, "next renewal");
}

#[test]
fn what_is_changed_in_the_entry_for_pods_is_broken_and_in_labels_only_due() {
    let change = |edit: fn(&mut Gathered)| {
        let mut gathered = healthy(now());
        edit(&mut gathered);
        gathered
    };
    let rules = change(|gathered| {
        let registration = gathered.seen.registration.as_mut().unwrap();
        registration.webhooks.as_mut().unwrap()[0].rules = None;
    });
    says(
        &rules,
        now(),
        Verdict::Broken,
        "webhooks[pods.clb-gate.io].rules",
    );
    let missing = change(|gathered| {
        let registration = gathered.seen.registration.as_mut().unwrap();
        registration.webhooks.as_mut().unwrap().remove(0);
    });
    says(
        &missing,
        now(),
        Verdict::Broken,
        "has no entry pods.clb-gate.io",
    );
    let emptied = change(|gathered| {
        let registration = gathered.seen.registration.as_mut().unwrap();
        registration.webhooks.as_mut().unwrap()[0]
            .client_config
            .ca_bundle = None;
    });
    says(&emptied, now(), Verdict::Broken, "trusts no CA");
    let labels = change(|gathered| {
        let registration = gathered.seen.registration.as_mut().unwrap();
        registration.metadata.labels = None;
    });
    says(
        &labels,
        now(),
        Verdict::Due,
        "repair the registration: metadata.labels",
    );
    let canary = change(|gathered| {
        let registration = gathered.seen.registration.as_mut().unwrap();
        registration.webhooks.as_mut().unwrap()[1].timeout_seconds = Some(30);
    });
    says(&canary, now(), Verdict::Due, "canary.clb-gate.io");
}

#[test]
fn without_a_leader_all_is_well_until_something_is_due() {
    let mut gathered = healthy(now());
    gathered.lease = Some(led_by("a", now() - 60 * jiff::SignedDuration::from_secs(1)));
    let report = says(&gathered, now(), Verdict::Healthy, "next renewal");
    assert!(report.notes[0].starts_with("nobody leads"), "{report}");
    let report = says(&gathered, now() + 61 * DAY, Verdict::Due, "due");
    assert!(
        report.advice[0].contains("clb-gate certs rotate --wait"),
        "{report}"
    );
}

#[test]
fn an_uninstall_under_way_is_told_as_such() {
    let mut gathered = healthy(now());
    gathered.seen.namespace.metadata.deletion_timestamp =
        Some(serde_json::from_value("2026-11-21T06:00:00Z".into()).unwrap());
    let report = says(
        &gathered,
        now(),
        Verdict::Broken,
        "Namespace clb-gate is being deleted",
    );
    assert_eq!(report.next.step, "none");
    assert!(report.advice[0].contains("apply the manifests again"));
}

#[test]
fn programs_find_the_fields_they_know() {
    let json: serde_json::Value =
        serde_json::from_str(&report(&healthy(now()), now()).json()).unwrap();
    assert_eq!(json["verdict"], "healthy");
    assert_eq!(json["next"]["step"], "keep");
    assert_eq!(json["next"]["at"], "2027-01-20T05:40:00Z");
    assert_eq!(json["cas"][0]["inBundle"], true);
    assert_eq!(json["cas"][0]["generation"], 1);
    assert_eq!(json["leaf"]["issuerGeneration"], 1);
    assert_eq!(json["leaf"]["daysLeft"], 90);
    assert_eq!(json["replicas"][0]["serves"], "current");
    assert_eq!(
        json["registration"]["entries"][0]["failurePolicy"],
        "Ignore"
    );
    assert_eq!(json["registration"]["entries"][1]["agrees"], true);
    assert_eq!(json["leader"]["leads"], true);
    assert_eq!(json["pending"], serde_json::json!([]));
}

#[test]
fn no_private_key_is_ever_printed() {
    let report = report(&healthy(now()), now());
    for text in [report.to_string(), report.json(), format!("{report:?}")] {
        assert!(!text.contains("PRIVATE"), "{text}");
    }
}

/// Pre-created Secrets are taken over without a write: only the registration is missing.
#[test]
fn the_controller_takes_over_what_init_made() {
    let mut gathered = healthy(now());
    gathered.seen.registration = None;
    gathered.seen.serving = None;
    let later = now() + DAY;
    let decision = decide(&gathered.seen, &gathered.wanted, later);
    let Some(Step::PublishBundle { bundle }) = decision.certificates else {
        panic!("{decision:?}")
    };
    assert_eq!(bundle, cas(&gathered));
    publish(&mut gathered, &bundle);
    let decision = decide(&gathered.seen, &gathered.wanted, later);
    assert!(matches!(decision.certificates, Some(Step::Keep { .. })));
    assert_eq!(decision.registration, Heal::Keep);
}
