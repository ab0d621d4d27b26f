//! One call: checked as the real gateway checks it, handed to its action, put in the envelope.

mod account;
mod actions;
mod auth;
mod batch;
mod batch_modify;
mod bound;
mod certificates;
mod change_load_balancer;
mod create_load_balancer;
mod domains;
mod health;
mod limits;
mod listener_changes;
mod listener_fields;
mod listeners;
mod load_balancers;
mod params;
mod places;
mod rule_check;
mod rules;
mod target_fields;
mod target_port;
mod targets;
mod unused;

pub(crate) use actions::{Kind, Reply, kind_of};
pub(crate) use auth::Secret;
pub(crate) use certificates::{put as put_certificate, remove as remove_certificate};

use crate::accounts::metadata::Machine;
use crate::accounts::{Account, Accounts, sts};
use crate::calls::{Calls, Gist, OneCall};
use crate::clock::Millis;
use crate::faults::{Faults, Lost, Plan};
use crate::refusal::{Refusal, code};
use crate::shared::Shared;
use crate::state::{Call, Delays};
use actions::Action;
use bytes::Bytes;
use http::request::Parts;
use limits::Buckets;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SERVICE: &str = "clb";
const VERSION: &str = "2018-03-17";
/// A body above this is refused (API documentation, "Request structure").
pub(crate) const LARGEST_BODY: usize = 10 * 1024 * 1024;
/// What calls of unknown actions are counted under: names made up by callers must not fill memory.
const UNKNOWN_ACTION: &str = "(unknown)";
/// The real limit of every action used here, per second.
const USUAL_RATE: i64 = 20;
/// What a call is counted as whose answer is lost.
const DROPPED: &str = "(dropped)";
/// What a call is counted as that is lost before anything is done.
const NEVER_CAME: &str = "(lost)";

/// The API: the model, and what stands before it.
pub(crate) struct Api {
    pub(crate) shared: Arc<Shared>,
    pub(crate) accounts: Mutex<Accounts>,
    pub(crate) region: String,
    buckets: Mutex<Buckets>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) calls: Mutex<Calls>,
}

/// A call that may be served.
struct Admitted {
    action: &'static Action,
    body: Bytes,
    latency: Millis,
}

/// What comes of a call, and when.
struct Outcome {
    /// The text of the answer's object.
    answer: Result<String, Refusal>,
    /// How long until it is sent.
    after: Millis,
    lost: Lost,
}

impl Api {
    pub(crate) fn new(shared: Arc<Shared>, accounts: Accounts, region: String, rate: u32) -> Self {
        Self {
            shared,
            accounts: Mutex::new(accounts),
            region,
            buckets: Mutex::new(Buckets::new(rate)),
            faults: Mutex::new(Faults::default()),
            calls: Mutex::new(Calls::default()),
        }
    }

    /// Answers one call; `None` means the answer is lost on purpose. `body` is `None` when it was
    /// larger than [`LARGEST_BODY`].
    pub(crate) async fn answer(
        &self,
        parts: &Parts,
        body: Option<Bytes>,
        listener: &'static str,
    ) -> Option<Bytes> {
        let (request_id, at) = self.shared.with(|model, now| (model.ids.request(), now));
        let gist = Gist::of(body.as_deref().unwrap_or_default());
        if header(parts, "x-tc-version") == sts::VERSION {
            let answer = self.assume(parts, body.as_deref().unwrap_or_default());
            pause(Millis::from(self.delays().call_ms)).await;
            return Some(envelope(
                answer.map(|answer| answer.to_string()),
                &request_id,
            ));
        }
        if header(parts, "x-tc-version") == certificates::VERSION {
            let answer = self.manage_certificates(parts, &body.unwrap_or_default());
            pause(Millis::from(self.delays().call_ms)).await;
            return Some(envelope(
                answer.map(|answer| answer.to_string()),
                &request_id,
            ));
        }
        let (action, outcome) = match self.admit(parts, body, &gist) {
            Ok(admitted) => (
                admitted.action.name,
                self.perform(&admitted, &request_id).await,
            ),
            Err((action, refusal)) => (action, self.refused(refusal)),
        };
        let word = match (outcome.lost, &outcome.answer) {
            (Lost::Request, _) => NEVER_CAME,
            (Lost::Answer, _) => DROPPED,
            (Lost::Nothing, Ok(_)) => "ok",
            (Lost::Nothing, Err(refusal)) => refusal.code.as_str(),
        };
        let call = OneCall {
            at,
            action,
            gist,
            outcome: word.to_owned(),
        };
        self.calls.lock().count(call, listener);
        pause(outcome.after).await;
        (outcome.lost == Lost::Nothing).then(|| envelope(outcome.answer, &request_id))
    }

    /// The operator's own hand: an action done at once, unsigned, uncounted, whatever else is in
    /// progress and whatever faults wait.
    pub(crate) fn operate(&self, action: &str, body: &[u8]) -> Result<Value, Refusal> {
        let Some(action) = actions::find(action) else {
            return Err(unknown(action));
        };
        let reply = self.shared.with(|model, now| {
            let call = Call::operator(now, model.ids.request());
            (action.handler)(model, &call, body)
        })?;
        Ok(serde_json::from_str(&reply.body).unwrap_or_default())
    }

    /// A call of STS, which shares the address.
    fn assume(&self, parts: &Parts, body: &[u8]) -> Result<Value, Refusal> {
        let call = (header(parts, "x-tc-action"), header(parts, "authorization"));
        let now = self.shared.clock.now();
        self.accounts.lock().assume(call, body, now)
    }

    /// A call of the certificate service, which shares the address.
    fn manage_certificates(&self, parts: &Parts, body: &[u8]) -> Result<Value, Refusal> {
        let now = self.shared.clock.now();
        self.authenticate(parts, body, (certificates::SERVICE, now))?;
        let action = header(parts, "x-tc-action");
        self.shared
            .with(|model, now| certificates::perform(model, now, (action, body)))
    }

    /// The text under a path of the metadata service; none is a 404.
    pub(crate) fn metadata(&self, path: &str) -> Option<String> {
        let (vpc_id, now) = self
            .shared
            .with(|model, now| (model.settings.vpc_id.clone(), now));
        let machine = Machine {
            region: &self.region,
            vpc_id: &vpc_id,
        };
        self.accounts.lock().metadata(path, machine, now)
    }

    fn refused(&self, refusal: Refusal) -> Outcome {
        let delays = self.delays();
        Outcome {
            answer: Err(refusal),
            after: Millis::from(delays.call_ms),
            lost: Lost::Nothing,
        }
    }

    fn delays(&self) -> Delays {
        self.shared.with(|model, _| model.settings.delays)
    }

    /// The checks of the gateway, in its order: signature, token, version, region, action, policy,
    /// rate.
    fn admit(
        &self,
        parts: &Parts,
        body: Option<Bytes>,
        gist: &Gist,
    ) -> Result<Admitted, (&'static str, Refusal)> {
        let asked = header(parts, "x-tc-action");
        let known = actions::find(asked);
        let name = known.map_or(UNKNOWN_ACTION, |known| known.name);
        let refuse = |code: &str, message: String| Err((name, Refusal::new(code, message)));
        let Some(body) = body else {
            return refuse(
                code::SIZE,
                format!("the request is larger than {LARGEST_BODY} bytes"),
            );
        };
        let now = self.shared.clock.now();
        let account = self
            .authenticate(parts, &body, (SERVICE, now))
            .map_err(|refusal| (name, refusal))?;
        let version = header(parts, "x-tc-version");
        if version != VERSION {
            return refuse(
                code::NO_SUCH_VERSION,
                format!("X-TC-Version {version:?} does not exist: {VERSION} is served"),
            );
        }
        let region = header(parts, "x-tc-region");
        if region != self.region {
            return refuse(
                code::UNSUPPORTED_REGION,
                format!(
                    "X-TC-Region {region:?} is not served here: {} is",
                    self.region
                ),
            );
        }
        let Some(action) = known else {
            return Err((name, unknown(asked)));
        };
        account
            .check_policy(name, gist.load_balancers())
            .and_then(|()| self.buckets.lock().take(account.owner(), name, now))
            .map_err(|refusal| (name, refusal))?;
        let latency = action.latency(self.delays());
        Ok(Admitted {
            action,
            body,
            latency,
        })
    }

    /// Whose call it is.
    fn authenticate(
        &self,
        parts: &Parts,
        body: &[u8],
        (service, now): (&str, Millis),
    ) -> Result<Account, Refusal> {
        let id = auth::secret_id(&parts.headers)?;
        let account = self.accounts.lock().find(id).cloned();
        let account = account.ok_or_else(auth::unknown_id)?;
        auth::verify(parts, body, service, &account.secret(), now)?;
        account.check_token(Some(header(parts, "x-tc-token")), now)?;
        Ok(account)
    }

    /// Does the work, with whatever fault is due. A write begins when it arrives and keeps its
    /// load balancer busy until it is answered; a read sees what is so half-way.
    async fn perform(&self, admitted: &Admitted, request_id: &str) -> Outcome {
        let now = self.shared.clock.now();
        let plan = self.faults.lock().next(admitted.action.name, now);
        if let Some(outcome) = nothing_done(&plan, admitted.latency) {
            return outcome;
        }
        let way_there = match admitted.action.kind {
            Kind::Read => admitted.latency / 2,
            Kind::Write => 0,
        };
        pause(way_there).await;
        let outcome = self.shared.with(|model, now| {
            let call = Call {
                now,
                request_id: request_id.to_owned(),
                latency: admitted.latency,
                operator: false,
                fate: plan.fate.clone(),
            };
            (admitted.action.handler)(model, &call, &admitted.body)
        });
        let late = Millis::try_from(plan.late_ms).unwrap_or(Millis::MAX);
        let busy = outcome.as_ref().map_or(0, |reply| reply.after_ms);
        Outcome {
            answer: outcome.map(|reply| reply.body),
            after: (admitted.latency - way_there + busy).saturating_add(late),
            lost: plan.lost,
        }
    }
}

/// What comes of a call that is refused or lost on purpose before anything is done.
fn nothing_done(plan: &Plan, after: Millis) -> Option<Outcome> {
    let refusal = match (&plan.refusal, plan.lost) {
        (Some(refusal), _) => refusal.clone(),
        (None, Lost::Request) => Refusal::new(code::INTERNAL, "lost on the way"),
        (None, Lost::Nothing | Lost::Answer) => return None,
    };
    Some(Outcome {
        answer: Err(refusal),
        after,
        lost: plan.lost,
    })
}

/// What a call over the rate limit is told, by a fault.
pub(crate) fn throttled() -> Refusal {
    limits::refusal(USUAL_RATE)
}

fn header<'a>(parts: &'a Parts, name: &str) -> &'a str {
    let value = parts.headers.get(name);
    value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn unknown(action: &str) -> Refusal {
    let message = format!("X-TC-Action {action:?} does not exist or is not served here");
    Refusal::new(code::INVALID_ACTION, message)
}

async fn pause(millis: Millis) {
    // Sleeping for nothing would still last until the timer's next tick.
    if millis > 0 {
        tokio::time::sleep(Duration::from_millis(u64::try_from(millis).unwrap_or(0))).await;
    }
}

/// Success and failure alike travel in `Response`, with status 200.
fn envelope(outcome: Result<String, Refusal>, request_id: &str) -> Bytes {
    let object = outcome.unwrap_or_else(|refusal| {
        json!({ "Error": { "Code": refusal.code, "Message": refusal.message } }).to_string()
    });
    // Put together as text, because an answer may hold twenty thousand targets.
    let fields = object
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or_default();
    let comma = if fields.is_empty() { "" } else { "," };
    format!(r#"{{"Response":{{{fields}{comma}"RequestId":"{request_id}"}}}}"#).into()
}
