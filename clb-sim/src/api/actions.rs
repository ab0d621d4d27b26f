//! The actions served here: each with its name, its kind and the function that does it.

use super::params::{self, Params};
use super::{
    account, batch, batch_modify, bound, change_load_balancer, create_load_balancer, domains,
    health, listener_changes, listeners, load_balancers, rules, target_port, targets,
};
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
const ACTIONS: &[Action] = &[
    write("BatchDeregisterTargets", |m, c, b| {
        run(m, c, b, batch::deregister)
    }),
    write("BatchModifyTargetTag", |m, c, b| {
        run(m, c, b, batch_modify::modify_tag)
    }),
    write("BatchModifyTargetWeight", |m, c, b| {
        run(m, c, b, batch_modify::modify_weight)
    }),
    write("BatchRegisterTargets", |m, c, b| {
        run(m, c, b, batch::register)
    }),
    write("CreateListener", |m, c, b| run(m, c, b, listeners::create)),
    write("CreateLoadBalancer", |m, c, b| {
        run(m, c, b, create_load_balancer::create)
    }),
    write("CreateRule", |m, c, b| run(m, c, b, rules::create)),
    write("DeleteListener", |m, c, b| {
        run(m, c, b, listener_changes::delete)
    }),
    write("DeleteLoadBalancer", |m, c, b| {
        run(m, c, b, change_load_balancer::delete)
    }),
    write("DeleteLoadBalancerListeners", |m, c, b| {
        run(m, c, b, listener_changes::delete_many)
    }),
    write("DeleteRule", |m, c, b| run(m, c, b, rules::delete)),
    write("DeregisterTargets", |m, c, b| {
        run(m, c, b, targets::deregister)
    }),
    read("DescribeListeners", |m, c, b| {
        run(m, c, b, listeners::describe)
    }),
    read("DescribeLoadBalancers", |m, c, b| {
        run(m, c, b, load_balancers::describe)
    }),
    read("DescribeQuota", |m, c, b| run(m, c, b, account::quota)),
    read("DescribeTargetHealth", |m, c, b| {
        run(m, c, b, health::describe)
    }),
    read("DescribeTargets", |m, c, b| run(m, c, b, bound::describe)),
    read("DescribeTaskStatus", |m, c, b| {
        run(m, c, b, account::task_status)
    }),
    write("ModifyDomain", |m, c, b| run(m, c, b, domains::rename)),
    write("ModifyDomainAttributes", |m, c, b| {
        run(m, c, b, domains::modify)
    }),
    write("ModifyListener", |m, c, b| {
        run(m, c, b, listener_changes::modify)
    }),
    write("ModifyLoadBalancerAttributes", |m, c, b| {
        run(m, c, b, change_load_balancer::modify_attributes)
    }),
    write("ModifyRule", |m, c, b| run(m, c, b, rules::modify)),
    write("ModifyTargetPort", |m, c, b| {
        run(m, c, b, target_port::modify)
    }),
    write("ModifyTargetWeight", |m, c, b| {
        run(m, c, b, targets::modify_weight)
    }),
    write("RegisterTargets", |m, c, b| run(m, c, b, targets::register)),
    write("SetLoadBalancerSecurityGroups", |m, c, b| {
        run(m, c, b, change_load_balancer::set_groups)
    }),
];

fn run<P: Params>(
    model: &mut Model,
    call: &Call,
    body: &[u8],
    action: fn(&mut Model, &Call, &P) -> Result<Reply, Refusal>,
) -> Result<Reply, Refusal> {
    action(model, call, &params::read(body)?)
}

/// The action of this name.
pub(super) fn find(name: &str) -> Option<&'static Action> {
    ACTIONS.iter().find(|known| known.name == name)
}

/// Whether the action reads or writes; none if it is not served here.
pub(crate) fn kind_of(name: &str) -> Option<Kind> {
    find(name).map(|action| action.kind)
}
