//! The simulator without sockets, probes or tasks of its own: calls are handed over in memory,
//! time is tokio's, health is what the test says. In tokio's paused time hours pass in moments,
//! and the same calls give the same world.

use crate::admin;
use crate::api::{Api, LARGEST_BODY};
use crate::clock::Clock;
use crate::forecast_door;
use crate::start::{self, Config, StartError};
use crate::state::{Behaviour, Delays, Quotas};
use bytes::Bytes;
use http::{HeaderMap, Request};
use serde_json::Value;
use std::net::SocketAddr;

/// A simulated CLB in this process.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use clb_sim::{Config, InProcess};
/// let clb = InProcess::new(&Config::default(), "2026-01-01T00:00:00Z".parse().unwrap()).unwrap();
/// let order = serde_json::json!({ "LoadBalancerType": "OPEN" });
/// let made = clb.operate("CreateLoadBalancer", &order).unwrap();
/// assert!(made["LoadBalancerIds"][0].as_str().unwrap().starts_with("lb-"));
/// # }
/// ```
pub struct InProcess {
    api: Api,
}

impl InProcess {
    /// A world as `config` says; its clock reads `start` now and then follows tokio's. Where
    /// things listen and where the state is kept says nothing here.
    pub fn new(config: &Config, start: jiff::Timestamp) -> Result<Self, StartError> {
        let api = start::api(config, Clock::tokio(start))?;
        api.shared.with(|model, _| model.follow_script());
        Ok(Self { api })
    }

    /// One call, with everything the HTTP endpoint does: signature, rate limit, faults, latency.
    /// None means that the answer is lost.
    pub async fn exchange(&self, headers: &HeaderMap, body: Bytes) -> Option<Bytes> {
        let (mut parts, ()) = Request::post("/").body(()).ok()?.into_parts();
        parts.headers = headers.clone();
        let body = Some(body).filter(|body| body.len() <= LARGEST_BODY);
        self.api.answer(&parts, body, "http").await
    }

    /// What the simulator's clock reads; a caller must sign with this time.
    pub fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.api.shared.clock.now()).unwrap_or_default()
    }

    /// What health checks of this address find from now on.
    pub fn set_health(&self, address: SocketAddr, healthy: bool) {
        self.api
            .shared
            .with(|model, now| model.say(address, healthy, now));
    }

    /// What health checks of all other addresses find from now on; before, they find them healthy.
    pub fn set_default_health(&self, healthy: bool) {
        self.api
            .shared
            .with(|model, now| model.say_of_others(healthy, now));
    }

    /// Targets whose health is foretold, as `POST /_sim/forecast` takes them; what `set_health` says of
    /// them has no effect.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn foretell(&self, forecast: &Value) -> Result<(), String> {
        let body = forecast.to_string();
        forecast_door::foretell(&self.api.shared, body.as_bytes()).map(drop)
    }

    /// How long calls and tasks take from now on.
    pub fn set_delays(&self, delays: Delays) {
        self.api
            .shared
            .with(|model, _| model.settings.delays = delays);
    }

    /// An action of the API done by another hand: at once, unsigned, not counted, whatever else is
    /// in progress. `body` is what the API takes; the answer is what it answers.
    ///
    /// # Errors
    /// The code and message with which the API would refuse it.
    pub fn operate(&self, action: &str, body: &Value) -> Result<Value, String> {
        self.api
            .operate(action, body.to_string().as_bytes())
            .map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))
    }

    /// What there is, as `GET /_sim/state` says it.
    pub fn state(&self) -> Value {
        admin::state(&self.api)
    }

    /// What was called, as `GET /_sim/calls` says it.
    pub fn calls(&self) -> Value {
        admin::calls(&self.api)
    }

    /// Counts anew.
    pub fn reset_calls(&self) {
        admin::reset_calls(&self.api);
    }

    /// A fault to come, as `POST /_sim/faults` takes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add_fault(&self, fault: &Value) -> Result<(), String> {
        admin::add_fault(&self.api, fault.to_string().as_bytes())
    }

    /// Somebody who binds and unbinds targets at an interval, as `POST /_sim/foreign-writers` takes
    /// it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add_foreign_writer(&self, writer: &Value) -> Result<(), String> {
        let writer = serde_json::from_value(writer.clone()).map_err(|error| error.to_string())?;
        self.api
            .shared
            .with(|model, now| model.set_to_work(writer, now))
    }

    /// How much there may be from now on.
    pub fn set_quotas(&self, quotas: Quotas) {
        self.api.shared.with(|model, _| model.quotas = Some(quotas));
    }

    /// How it behaves from now on where the documentation is silent.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.api
            .shared
            .with(|model, _| model.settings.behaviour = behaviour);
    }

    /// One more account, as `POST /_sim/accounts` takes it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn add_account(&self, account: &Value) -> Result<(), String> {
        let account = serde_json::from_value(account.clone()).map_err(|error| error.to_string())?;
        let now = self.api.shared.clock.now();
        let added = self.api.accounts.lock().add(account, now);
        added.map_err(|refusal| refusal.message)
    }

    /// Forgets all faults to come, and sends foreign writers home.
    pub fn clear_faults(&self) {
        admin::clear_faults(&self.api);
    }
}
