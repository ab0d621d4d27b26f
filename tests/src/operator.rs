//! The simulator's operator door: what was called, what there is, and faults to come.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The door of the test host's simulator.
#[derive(Clone, Debug)]
pub struct Operator {
    address: String,
}

/// One call that the simulator answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Call {
    /// When it came, in milliseconds since 1970, by the clock we have too.
    pub at: i64,
    /// What was asked.
    pub action: String,
    /// Of which load balancers.
    pub load_balancers: Vec<String>,
    /// How many targets it names.
    pub targets: usize,
    /// `ok`, an error code, or what got lost.
    pub outcome: String,
}

impl Operator {
    /// The door of the simulator in the environment.
    pub fn new() -> Result<Self> {
        let endpoint = std::env::var("CLB_SIM_ENDPOINT")
            .context("CLB_SIM_ENDPOINT is not set: run this in the test host")?;
        let address = endpoint.trim_start_matches("http://").to_owned();
        Ok(Self { address })
    }

    /// The calls since a moment (in milliseconds since 1970), oldest first, that concern a load balancer.
    pub async fn calls_since(&self, since: i64, load_balancer: &str) -> Result<Vec<Call>> {
        let mut calls = self.all_calls_since(since).await?;
        calls.retain(|call| call.load_balancers.iter().any(|id| id == load_balancer));
        Ok(calls)
    }

    /// All calls since a moment, oldest first.
    pub async fn all_calls_since(&self, since: i64) -> Result<Vec<Call>> {
        let mut shown = self.ask("GET", "calls", "").await?;
        let last = shown
            .get_mut("last")
            .map(Value::take)
            .context("no list of calls")?;
        let mut calls: Vec<Call> = serde_json::from_value(last)?;
        let oldest = calls.first().map_or(since, |call| call.at);
        ensure!(
            calls.len() < REMEMBERED || oldest <= since,
            "too much was called meanwhile: the first calls are forgotten"
        );
        calls.retain(|call| call.at >= since);
        Ok(calls)
    }

    /// What there is, load balancer by load balancer, without what changes by itself (health, tasks).
    pub async fn state(&self) -> Result<BTreeMap<String, Value>> {
        let shown = self.ask("GET", "state", "").await?;
        let all = shown.get("load_balancers").and_then(Value::as_array);
        let all = all.context("no list of load balancers")?;
        let named = all.iter().map(|one| {
            let id = one.get("id").and_then(Value::as_str);
            Ok((id.context("an id")?.to_owned(), lasting(one.clone())))
        });
        named.collect()
    }

    /// A load balancer's listener on a port, as [`state`](Self::state) shows it.
    pub async fn listener(&self, load_balancer: &str, port: u16) -> Result<Option<Value>> {
        let state = self.state().await?;
        let listeners = state
            .get(load_balancer)
            .and_then(|one| one.get("listeners"));
        let mut all = listeners.and_then(Value::as_array).into_iter().flatten();
        let found = all.find(|one| one.get("port").and_then(Value::as_u64) == Some(port.into()));
        Ok(found.cloned())
    }

    /// Of which kind the load balancer with this address is, and its subnet.
    pub async fn kind_of(&self, vip: &str) -> Result<(String, String)> {
        let text = |one: &Value, key: &str| one.get(key).and_then(Value::as_str).map(str::to_owned);
        let state = self.state().await?;
        let mut all = state.values();
        let one = all.find(|one| text(one, "vip").as_deref() == Some(vip));
        let one = one.context("no load balancer has this address")?;
        let subnet = text(one, "subnet_id").unwrap_or_default();
        Ok((text(one, "kind").context("a kind")?, subnet))
    }

    /// Adds a fault.
    pub async fn fault(&self, fault: &Value) -> Result<()> {
        let text = fault.to_string();
        self.ask("POST", "faults", &text).await.map(drop)
    }

    /// Takes all faults away.
    pub async fn no_faults(&self) -> Result<()> {
        self.ask("DELETE", "faults", "").await.map(drop)
    }

    /// Any request to the door.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Value> {
        let address = &self.address;
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "{method} /_sim/{path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split_whitespace().nth(1);
        ensure!(
            status == Some("200"),
            "{method} /_sim/{path}: {head}\n{body}"
        );
        Ok(serde_json::from_str(body)?)
    }
}

/// Milliseconds since 1970, as the simulator counts them.
pub fn now() -> Result<i64> {
    Ok(i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_millis())?)
}

/// How many calls the simulator remembers one by one.
const REMEMBERED: usize = 1000;

/// Without the fields that change while nobody does anything.
fn lasting(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for passing in ["health", "busy", "ready", "bind_error"] {
                fields.remove(passing);
            }
            for field in fields.values_mut() {
                *field = lasting(field.take());
            }
        }
        Value::Array(all) => {
            for one in all {
                *one = lasting(one.take());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    value
}
