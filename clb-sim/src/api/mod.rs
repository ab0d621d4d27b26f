//! One call: checked as the real gateway checks it, handed to its action, put in the envelope.

mod auth;
mod batch;
pub(crate) mod faults;
mod limits;
mod listeners;
mod load_balancers;
mod params;
mod reads;
mod targets;

pub(crate) use auth::Secret;

use crate::clock::{self, Millis};
use crate::refusal::{Refusal, code};
use crate::shared::Shared;
use crate::state::{Call, Model};
use bytes::Bytes;
use faults::{Calls, Faults, Plan};
use http::request::Parts;
use limits::Buckets;
use params::Params;
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

/// The API: the model, and what stands before it.
pub(crate) struct Api {
    pub(crate) shared: Arc<Shared>,
    pub(crate) secret: Secret,
    pub(crate) region: String,
    pub(crate) call_ms: u64,
    buckets: Mutex<Buckets>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) calls: Mutex<Calls>,
}

/// What an action answers.
#[derive(Debug)]
struct Reply {
    body: Value,
    /// Synchronous writes answer when their work is done.
    after_ms: Millis,
}

impl Reply {
    fn now(body: Value) -> Self {
        Self { body, after_ms: 0 }
    }

    fn when_done(body: Value, after_ms: Millis) -> Self {
        Self { body, after_ms }
    }
}

type Handler = fn(&mut Model, &Call, &[u8]) -> Result<Reply, Refusal>;

/// Every action served here.
const ACTIONS: [(&str, Handler); 14] = [
    ("BatchDeregisterTargets", |m, c, b| {
        run(m, c, b, batch::deregister)
    }),
    ("BatchModifyTargetWeight", |m, c, b| {
        run(m, c, b, batch::modify_weight)
    }),
    ("BatchRegisterTargets", |m, c, b| {
        run(m, c, b, batch::register)
    }),
    ("CreateListener", |m, c, b| run(m, c, b, listeners::create)),
    ("CreateLoadBalancer", |m, c, b| {
        run(m, c, b, load_balancers::create)
    }),
    ("DeleteListener", |m, c, b| run(m, c, b, listeners::delete)),
    ("DeregisterTargets", |m, c, b| {
        run(m, c, b, targets::deregister)
    }),
    ("DescribeListeners", |m, c, b| {
        run(m, c, b, listeners::describe)
    }),
    ("DescribeLoadBalancers", |m, c, b| {
        run(m, c, b, load_balancers::describe)
    }),
    ("DescribeTargetHealth", |m, c, b| {
        run(m, c, b, reads::health)
    }),
    ("DescribeTargets", |m, c, b| run(m, c, b, reads::targets)),
    ("DescribeTaskStatus", |m, c, b| {
        run(m, c, b, reads::task_status)
    }),
    ("ModifyTargetWeight", |m, c, b| {
        run(m, c, b, targets::modify_weight)
    }),
    ("RegisterTargets", |m, c, b| run(m, c, b, targets::register)),
];

fn run<P: Params>(
    model: &mut Model,
    call: &Call,
    body: &[u8],
    action: fn(&mut Model, &Call, &P) -> Result<Reply, Refusal>,
) -> Result<Reply, Refusal> {
    action(model, call, &params::read(body)?)
}

/// Whether this simulator serves the action.
pub(crate) fn knows(action: &str) -> bool {
    ACTIONS.iter().any(|(name, _)| *name == action)
}

impl Api {
    pub(crate) fn new(
        shared: Arc<Shared>,
        secret: Secret,
        region: String,
        rate: u32,
        call_ms: u64,
    ) -> Self {
        Self {
            shared,
            secret,
            region,
            call_ms,
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
        tokio::time::sleep(Duration::from_millis(self.call_ms)).await;
        let request_id = uuid::Uuid::new_v4().to_string();
        let (action, outcome) = match self.admit(parts, body) {
            Ok(admitted) => {
                let (reply, lost) = self.perform(&admitted, &request_id).await;
                if lost {
                    self.calls
                        .lock()
                        .count(admitted.action, "(dropped)", listener);
                    return None;
                }
                (admitted.action, reply)
            }
            Err((action, refusal)) => (action, Err(refusal)),
        };
        let outcome_name = outcome
            .as_ref()
            .map_or_else(|refusal| refusal.code.as_str(), |_| "ok");
        self.calls.lock().count(action, outcome_name, listener);
        Some(envelope(outcome, &request_id))
    }

    /// The checks of the gateway, in its order: signature, version, region, action, rate.
    fn admit(
        &self,
        parts: &Parts,
        body: Option<Bytes>,
    ) -> Result<Admitted, (&'static str, Refusal)> {
        let header = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let asked = header("x-tc-action");
        let known = ACTIONS.iter().find(|(name, _)| *name == asked);
        let action = known.map_or(UNKNOWN_ACTION, |(name, _)| *name);
        let refuse = |code: &str, message: String| Err((action, Refusal::new(code, message)));
        let Some(body) = body else {
            return refuse(
                code::SIZE,
                format!("the request is larger than {LARGEST_BODY} bytes"),
            );
        };
        let now = clock::now();
        auth::verify(parts, &body, SERVICE, &self.secret, now)
            .map_err(|refusal| (action, refusal))?;
        let version = header("x-tc-version");
        if version != VERSION {
            return refuse(
                code::NO_SUCH_VERSION,
                format!("X-TC-Version {version:?} does not exist: {VERSION} is served"),
            );
        }
        let region = header("x-tc-region");
        if region != self.region {
            return refuse(
                code::UNSUPPORTED_REGION,
                format!(
                    "X-TC-Region {region:?} is not served here: {} is",
                    self.region
                ),
            );
        }
        let Some((action, handler)) = known else {
            return refuse(
                code::INVALID_ACTION,
                format!("X-TC-Action {asked:?} does not exist or is not served here"),
            );
        };
        let taken = self.buckets.lock().take(action, now);
        taken.map_err(|refusal| (*action, refusal))?;
        Ok(Admitted {
            action,
            handler: *handler,
            body,
        })
    }

    /// Does the work, with whatever fault is due. The flag says that the answer is to be lost.
    async fn perform(
        &self,
        admitted: &Admitted,
        request_id: &str,
    ) -> (Result<Value, Refusal>, bool) {
        let plan = self.faults.lock().next(admitted.action);
        if let Plan::Error(refusal) = plan {
            return (Err(refusal), false);
        }
        let outcome = self.shared.with(|model, now| {
            let call = Call {
                now,
                request_id: request_id.to_owned(),
            };
            (admitted.handler)(model, &call, &admitted.body)
        });
        let late = if let Plan::Late(millis) = plan {
            millis
        } else {
            0
        };
        let busy = outcome
            .as_ref()
            .map_or(0, |reply| u64::try_from(reply.after_ms).unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(busy + late)).await;
        (outcome.map(|reply| reply.body), plan == Plan::Silent)
    }
}

/// A call that may be served.
struct Admitted {
    action: &'static str,
    handler: Handler,
    body: Bytes,
}

/// Success and failure alike travel in `Response`, with status 200.
fn envelope(outcome: Result<Value, Refusal>, request_id: &str) -> Bytes {
    let mut response = outcome.unwrap_or_else(
        |refusal| json!({ "Error": { "Code": refusal.code, "Message": refusal.message } }),
    );
    if let Value::Object(fields) = &mut response {
        fields.insert("RequestId".to_owned(), request_id.into());
    }
    json!({ "Response": response }).to_string().into()
}
