//! An API in the test's own process: no sockets, so the test's time can be paused.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use clb::{Answer, Client, Config, Exchange, Exchanging, Failure, LoadBalancerId, Priority};
use http::StatusCode;
use http::header::HeaderMap;
use serde_json::{Value, json};

use crate::support::config;

type Respond = dyn Fn(&str, &Value) -> Result<Value, Failure> + Send + Sync;

/// Answers with what a function says, and remembers what it was asked.
pub(crate) struct Local {
    respond: Box<Respond>,
    asked: Mutex<Vec<(String, Value)>>,
}

impl Local {
    pub(crate) fn new(
        respond: impl Fn(&str, &Value) -> Result<Value, Failure> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            respond: Box::new(respond),
            asked: Mutex::default(),
        })
    }

    /// Every call is a success with these fields.
    pub(crate) fn answering(fields: Value) -> Arc<Self> {
        Self::new(move |_, _| Ok(fields.clone()))
    }

    pub(crate) fn config(self: &Arc<Self>) -> Config {
        let mut config = config("http://clb.invalid".parse().unwrap());
        config.exchange = Some(self.clone());
        config.random = Arc::new(|| 0);
        config
    }

    pub(crate) fn client(self: &Arc<Self>) -> Client {
        Client::new(self.config()).unwrap()
    }

    /// What was asked so far: actions and parameters.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }

    /// The parameters of the only call so far.
    pub(crate) fn only(&self, action: &str) -> Value {
        let asked = self.asked();
        let [(name, body)] = asked.as_slice() else {
            panic!("{asked:?}")
        };
        assert_eq!(name, action);
        body.clone()
    }
}

impl Exchange for Local {
    fn exchange(&self, headers: HeaderMap, body: Bytes) -> Exchanging<'_> {
        let action = headers["x-tc-action"].to_str().unwrap().to_owned();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let response = (self.respond)(&action, &body);
        self.asked.lock().unwrap().push((action, body));
        Box::pin(async move {
            let mut response = response?;
            response["RequestId"] = json!("req-local");
            Ok(Answer {
                status: StatusCode::OK,
                body: json!({"Response": response}).to_string().into(),
            })
        })
    }
}

/// A failure as the API's answer has it.
pub(crate) fn failure(code: &str) -> Value {
    json!({"Error": {"Code": code, "Message": "no"}})
}

pub(crate) fn lb() -> LoadBalancerId {
    LoadBalancerId::new("lb-demo0001")
}

#[tokio::test(start_paused = true)]
async fn calls_are_made_in_virtual_time() {
    let start = tokio::time::Instant::now();
    let tries = Mutex::new(0);
    let api = Local::new(move |_, _| {
        let mut tries = tries.lock().unwrap();
        *tries += 1;
        Ok(if *tries < 4 {
            failure("FailedOperation.ResourceInOperating")
        } else {
            json!({})
        })
    });
    api.client()
        .delete_listener(&lb(), &clb::ListenerId::new("lbl-1"))
        .await
        .unwrap();
    assert_eq!(api.asked().len(), 4);
    assert_eq!(start.elapsed(), std::time::Duration::from_millis(3500));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_told_as_over_http() {
    let api = Local::new(|_, _| Err(Failure::Lost("cut".into())));
    let error = api
        .client()
        .delete_listener(&lb(), &clb::ListenerId::new("lbl-1"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), clb::Kind::UnknownOutcome);
    assert_eq!(api.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_limit_and_a_drain_goes_before_what_asked_earlier() {
    let api = Local::answering(json!({}));
    let client = api.client();
    let delete = |name: &str, priority| {
        let (client, id) = (client.with_priority(priority), clb::ListenerId::new(name));
        async move { client.delete_listener(&lb(), &id).await.map(drop) }
    };
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        calls.spawn(delete("rest", Priority::Rest));
        tokio::task::yield_now().await;
    }
    calls.spawn(delete("young", Priority::Young));
    calls.spawn(delete("drain", Priority::Drain));
    calls
        .join_all()
        .await
        .into_iter()
        .for_each(|done: Result<(), clb::Error>| done.unwrap());
    let order: Vec<String> = api
        .asked()
        .iter()
        .map(|(_, body)| body["ListenerId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order[3..7], ["rest", "drain", "young", "rest"]);
}
