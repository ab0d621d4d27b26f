//! Every way in which the registration can be broken is repaired, and what others may add stays.
//!
//! `TAMPER_TRIES` says how often something is broken: each way once, if not set.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clb_gate_tests::chain::today;
use clb_gate_tests::figures::Figures;
use clb_gate_tests::registration::{Essence, Registration};
use clb_gate_tests::stage::alone;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MutatingWebhook, MutatingWebhookConfiguration, RuleWithOperations,
    WebhookClientConfig,
};
use tokio::time::sleep;

/// A bound, not a measurement: what the repairs took is printed.
const REPAIRED: Duration = Duration::from_secs(20);
/// What clb-gate promises, where nothing else keeps the machine busy.
const PROMISED: Duration = Duration::from_secs(1);
/// Between tries of a long run: faster than this it would be a fight, which self-heal evades.
const BETWEEN: Duration = Duration::from_millis(600);

type Change = fn(&mut MutatingWebhookConfiguration);

/// All but deletion.
const WAYS: &[(&str, Change)] = &[
    ("the caBundle cleared", |all| {
        pods(all).client_config.ca_bundle = None;
    }),
    ("the canary's caBundle cleared", |all| {
        canary(all).client_config.ca_bundle = None;
    }),
    ("a foreign caBundle", |all| {
        let foreign = foreign_ca().unwrap_or_default();
        pods(all).client_config.ca_bundle = Some(ByteString(foreign));
    }),
    ("another resource", |all| {
        rule(all).resources = Some(vec!["services".to_owned()]);
    }),
    ("another operation", |all| {
        rule(all).operations = Some(vec!["UPDATE".to_owned()]);
    }),
    ("no rules", |all| pods(all).rules = None),
    ("a namespaceSelector that selects nothing", |all| {
        let selector = pods(all).namespace_selector.get_or_insert_default();
        let labels = selector.match_labels.get_or_insert_default();
        labels.insert("example.com/no".to_owned(), "namespace".to_owned());
    }),
    ("an objectSelector without the opt-out", |all| {
        pods(all).object_selector = None;
    }),
    ("another failurePolicy", |all| {
        let policy = pods(all).failure_policy.get_or_insert_default();
        *policy = String::from(if policy == "Fail" { "Ignore" } else { "Fail" });
    }),
    ("another timeoutSeconds", |all| {
        pods(all).timeout_seconds = Some(30);
    }),
    ("a matchCondition added", |all| {
        let conditions = pods(all).match_conditions.get_or_insert_default();
        conditions.push(MatchCondition {
            expression: "false".to_owned(),
            name: "never".to_owned(),
        });
    }),
    ("no matchConditions", |all| {
        pods(all).match_conditions = None;
    }),
    ("another matchPolicy", |all| {
        pods(all).match_policy = Some("Exact".to_owned());
    }),
    ("another reinvocationPolicy", |all| {
        pods(all).reinvocation_policy = Some("Never".to_owned());
    }),
    ("other sideEffects", |all| {
        pods(all).side_effects = String::from("NoneOnDryRun");
    }),
    ("a foreign entry", |all| {
        let foreign = foreign_entry(pods(all));
        entries(all).push(foreign);
    }),
    ("the order of entries", |all| entries(all).reverse()),
    ("another Service", |all| {
        let service = pods(all).client_config.service.get_or_insert_default();
        service.name = String::from("somebody-elses");
    }),
    ("another path", |all| {
        let service = pods(all).client_config.service.get_or_insert_default();
        service.path = Some("/elsewhere".to_owned());
    }),
    ("no owner", |all| all.metadata.owner_references = None),
    ("no labels", |all| all.metadata.labels = None),
    ("the canary's entry removed", |all| {
        entries(all).truncate(1);
    }),
    ("the pods' entry removed", |all| {
        entries(all).remove(0);
    }),
    ("all entries removed", |all| entries(all).clear()),
];

#[test]
fn whatever_breaks_the_registration_is_repaired() {
    alone("tampering", |world| async move {
        let tries = tries()?;
        let registration = Registration::new(&world.client);
        let whole = Essence::of(&registration.there().await?)?;
        let mut took = vec![];
        for number in 0..tries {
            took.push(broken(&registration, &whole, number).await?);
            if tries > WAYS.len() + 1 {
                sleep(BETWEEN).await;
            }
        }
        let took = Figures::new(took);
        let verdict = took.verdict(99, PROMISED);
        println!("registration broken -> repaired: {took}; {verdict}");
        Ok(())
    });
}

async fn broken(registration: &Registration, whole: &Essence, number: usize) -> Result<Duration> {
    let way = WAYS.get(number % (WAYS.len() + 1));
    let what = way.map_or("deleted", |(what, _)| what);
    let breaks = || async {
        match way {
            Some((_, change)) => registration.change(change).await,
            None => registration.delete().await,
        }
    };
    let repaired = registration.repaired(whole, REPAIRED, breaks).await;
    let took = repaired.with_context(|| what.to_owned())?;
    println!("  {what}: {took:.0?}");
    Ok(took)
}

#[test]
fn what_others_add_beside_it_stays() {
    alone("beside-it", |world| async move {
        let registration = Registration::new(&world.client);
        let whole = Essence::of(&registration.there().await?)?;
        let theirs = "example.com/theirs";
        let add = |all: &mut MutatingWebhookConfiguration| {
            let labels = all.metadata.labels.get_or_insert_default();
            labels.insert(theirs.to_owned(), "label".to_owned());
            let notes = all.metadata.annotations.get_or_insert_default();
            notes.insert(theirs.to_owned(), "note".to_owned());
        };
        registration.change(add).await?;
        // A repair writes the whole object: it must write theirs back too.
        let broken = || registration.change(|all| pods(all).timeout_seconds = Some(7));
        registration.repaired(&whole, REPAIRED, broken).await?;
        let after = registration.there().await?.metadata;
        let label = after.labels.unwrap_or_default();
        ensure!(label.get(theirs).is_some_and(|value| value == "label"));
        let notes = after.annotations.unwrap_or_default();
        ensure!(notes.get(theirs).is_some_and(|value| value == "note"));
        registration
            .change(|all| {
                all.metadata.annotations = None;
                all.metadata.labels.get_or_insert_default().remove(theirs);
            })
            .await
    });
}

fn tries() -> Result<usize> {
    let text = std::env::var("TAMPER_TRIES").unwrap_or_default();
    if text.is_empty() {
        return Ok(WAYS.len() + 1);
    }
    text.parse().context("TAMPER_TRIES")
}

fn entries(all: &mut MutatingWebhookConfiguration) -> &mut Vec<MutatingWebhook> {
    all.webhooks.get_or_insert_default()
}

fn pods(all: &mut MutatingWebhookConfiguration) -> &mut MutatingWebhook {
    entry(all, 0)
}

fn canary(all: &mut MutatingWebhookConfiguration) -> &mut MutatingWebhook {
    entry(all, 1)
}

#[expect(clippy::indexing_slicing, reason = "both are there before each try")]
fn entry(all: &mut MutatingWebhookConfiguration, number: usize) -> &mut MutatingWebhook {
    &mut entries(all)[number]
}

#[expect(clippy::indexing_slicing, reason = "it is there before each try")]
fn rule(all: &mut MutatingWebhookConfiguration) -> &mut RuleWithOperations {
    &mut pods(all).rules.get_or_insert_default()[0]
}

/// Nobody is asked by it: its selector selects nothing.
fn foreign_entry(ours: &MutatingWebhook) -> MutatingWebhook {
    let mut selector = ours.object_selector.clone().unwrap_or_default();
    let labels = selector.match_labels.get_or_insert_default();
    labels.insert("example.com/no".to_owned(), "pod".to_owned());
    MutatingWebhook {
        name: "theirs.example.com".to_owned(),
        failure_policy: Some("Ignore".to_owned()),
        object_selector: Some(selector),
        client_config: WebhookClientConfig {
            url: Some("https://127.0.0.1:1/".to_owned()),
            ..WebhookClientConfig::default()
        },
        ..ours.clone()
    }
}

fn foreign_ca() -> Result<Vec<u8>> {
    let issued = certs::issue::ca(99, today()?)?;
    Ok(issued.certificate.to_pem().into_bytes())
}
