//! Lists and answers too long for one call.

use std::collections::BTreeSet;

use clb::{Error, Failure, Kind, ListenerId, ListenerQuery, LoadBalancerId};
use http::StatusCode;
use serde_json::{Value, json};

use crate::local::{Local, failure, lb};

fn ids<Id>(prefix: &str, count: usize, new: fn(String) -> Id) -> Vec<Id> {
    (0..count).map(|n| new(format!("{prefix}-{n}"))).collect()
}

fn list(body: &Value, name: &str) -> Vec<String> {
    body[name]
        .as_array()
        .into_iter()
        .flatten()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

/// An API with 12 listeners and 4 load balancers that answers for no more than `most` of the first
/// (all of them where none is named) and `balancers` of the second.
fn narrow(most: usize, balancers: usize, limit: Limit) -> std::sync::Arc<Local> {
    let all: Vec<String> = (0..12).map(|n| format!("lbl-{n}")).collect();
    Local::new(move |action, body| {
        let mut listeners = list(body, "ListenerIds");
        if listeners.is_empty() {
            listeners.clone_from(&all);
        }
        let named = list(body, "LoadBalancerIds");
        if action != "DescribeListeners" && (listeners.len() > most || named.len() > balancers) {
            return limit.exceeded();
        }
        let listeners: Vec<Value> = listeners
            .iter()
            .map(|id| json!({"ListenerId": id}))
            .collect();
        let named: Vec<Value> = named
            .iter()
            .map(|id| json!({"LoadBalancerId": id, "Listeners": listeners}))
            .collect();
        Ok(json!({"Listeners": listeners, "LoadBalancers": named}))
    })
}

/// Whose limit an answer exceeds.
#[derive(Clone, Copy)]
enum Limit {
    Ours,
    Theirs,
}

impl Limit {
    fn exceeded(self) -> Result<Value, Failure> {
        match self {
            Self::Ours => Err(Failure::Oversized(StatusCode::OK)),
            Self::Theirs => Ok(failure("ResponseSizeLimitExceeded")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn targets_too_many_for_one_answer_are_read_in_halves() {
    for limit in [Limit::Ours, Limit::Theirs] {
        let api = narrow(3, 1, limit);
        let wanted = ids("lbl", 12, ListenerId::new);
        let found = api.client().describe_targets(&lb(), &wanted).await.unwrap();
        let found: Vec<ListenerId> = found.into_iter().map(|one| one.listener_id).collect();
        assert_eq!(found, wanted);
        let sizes: Vec<usize> = api
            .asked()
            .iter()
            .map(|(_, body)| list(body, "ListenerIds").len())
            .collect();
        assert_eq!(sizes, [12, 6, 3, 3, 6, 3, 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn targets_of_all_listeners_are_read_by_listener_where_they_are_too_many() {
    let api = narrow(6, 1, Limit::Ours);
    let found = api.client().describe_targets(&lb(), &[]).await.unwrap();
    let found: BTreeSet<ListenerId> = found.into_iter().map(|one| one.listener_id).collect();
    assert_eq!(found, ids("lbl", 12, ListenerId::new).into_iter().collect());
    let actions: Vec<String> = api.asked().into_iter().map(|(action, _)| action).collect();
    let read = "DescribeTargets";
    assert_eq!(actions, [read, "DescribeListeners", read, read, read]);
}

#[tokio::test(start_paused = true)]
async fn health_is_read_by_load_balancer_and_then_by_listener() {
    let api = narrow(3, 1, Limit::Ours);
    let balancers = ids("lb", 2, LoadBalancerId::new);
    let found = api
        .client()
        .describe_target_health(&balancers, &[])
        .await
        .unwrap();
    let mut pairs: Vec<(String, String)> = found
        .iter()
        .flat_map(|one| {
            one.listeners
                .iter()
                .map(|l| (one.load_balancer_id.to_string(), l.listener_id.to_string()))
        })
        .collect();
    pairs.sort();
    let before = pairs.len();
    pairs.dedup();
    assert_eq!((before, pairs.len()), (24, 24));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_halved_is_an_error_that_says_so_once() {
    let api = narrow(0, 0, Limit::Ours);
    let error = api
        .client()
        .describe_targets(&lb(), &ids("lbl", 1, ListenerId::new))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::Invalid);
    assert!(
        error.to_string().contains("the answer is too large"),
        "{error}"
    );
    assert_eq!(api.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn long_lists_of_ids_are_cut() {
    let api = Local::answering(json!({}));
    let client = api.client();
    let balancers = ids("lb", 61, LoadBalancerId::new);
    client
        .describe_target_health(&balancers, &[])
        .await
        .unwrap();
    client.describe_target_health(&[], &[]).await.unwrap();
    client.describe_load_balancers(&balancers).await.unwrap();
    let query = ListenerQuery {
        listener_ids: ids("lbl", 101, ListenerId::new),
        ..ListenerQuery::default()
    };
    client.describe_listeners(&lb(), &query).await.unwrap();
    let sizes: Vec<usize> = api
        .asked()
        .iter()
        .map(|(_, body)| list(body, "LoadBalancerIds").len() + list(body, "ListenerIds").len())
        .collect();
    assert_eq!(sizes, [30, 30, 1, 20, 20, 20, 1, 100, 1]);
}
