//! The actions served here: each with its name, its kind and the function that does it.

use super::params::{self, Params};
use super::{batch, listeners, load_balancers, reads, targets};
use crate::clock::Millis;
use crate::refusal::Refusal;
use crate::state::{Call, Delays, Model};
use serde::Serialize;

/// Whether an action changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

/// What an action answers.
#[derive(Debug)]
pub(crate) struct Reply {
    /// A JSON object.
    pub(super) body: String,
    /// Synchronous writes answer when their work is done.
    pub(super) after_ms: Millis,
}

impl Reply {
    pub(super) fn now(body: impl Serialize) -> Self {
        Self::when_done(body, 0)
    }

    pub(super) fn when_done(body: impl Serialize, after_ms: Millis) -> Self {
        let body = serde_json::to_string(&body).unwrap_or_default();
        Self { body, after_ms }
    }
}

type Handler = fn(&mut Model, &Call, &[u8]) -> Result<Reply, Refusal>;

/// One action.
pub(super) struct Action {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) handler: Handler,
}

impl Action {
    /// How long a call of this action is under way, there and back.
    pub(super) fn latency(&self, delays: Delays) -> Millis {
        let own = match self.kind {
            Kind::Read => delays.read_ms,
            Kind::Write => delays.write_ms,
        };
        Millis::from(delays.call_ms) + Millis::from(own)
    }
}

const fn read(name: &'static str, handler: Handler) -> Action {
    Action {
        name,
        kind: Kind::Read,
        handler,
    }
}

const fn write(name: &'static str, handler: Handler) -> Action {
    Action {
        name,
        kind: Kind::Write,
        handler,
    }
}

/// Every action served here.
pub(super) const ACTIONS: &[Action] = &[
    write("BatchDeregisterTargets", |m, c, b| {
        run(m, c, b, batch::deregister)
    }),
    write("BatchModifyTargetWeight", |m, c, b| {
        run(m, c, b, batch::modify_weight)
    }),
    write("BatchRegisterTargets", |m, c, b| {
        run(m, c, b, batch::register)
    }),
    write("CreateListener", |m, c, b| run(m, c, b, listeners::create)),
    write("CreateLoadBalancer", |m, c, b| {
        run(m, c, b, load_balancers::create)
    }),
    write("DeleteListener", |m, c, b| run(m, c, b, listeners::delete)),
    write("DeleteLoadBalancer", |m, c, b| {
        run(m, c, b, load_balancers::delete)
    }),
    write("DeregisterTargets", |m, c, b| {
        run(m, c, b, targets::deregister)
    }),
    read("DescribeListeners", |m, c, b| {
        run(m, c, b, listeners::describe)
    }),
    read("DescribeLoadBalancers", |m, c, b| {
        run(m, c, b, load_balancers::describe)
    }),
    read("DescribeTargetHealth", |m, c, b| {
        run(m, c, b, reads::health)
    }),
    read("DescribeTargets", |m, c, b| run(m, c, b, reads::targets)),
    read("DescribeTaskStatus", |m, c, b| {
        run(m, c, b, reads::task_status)
    }),
    write("ModifyTargetWeight", |m, c, b| {
        run(m, c, b, targets::modify_weight)
    }),
    write("RegisterTargets", |m, c, b| run(m, c, b, targets::register)),
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
    ACTIONS.iter().any(|known| known.name == action)
}
