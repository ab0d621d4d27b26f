//! The gate's pod condition: what is written, and when a write is needed at all.

use std::fmt;

use jiff::Timestamp;

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The pod may count as Ready.
    True,
    /// Not yet.
    False,
}

impl Status {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the condition says what it says. The first is TKE's own word; the others are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionReason {
    /// Every binding is registered and healthy.
    Healthy,
    /// Nothing that is ours selects the pod any more.
    NotExposed,
    /// The deadline of the Service is over: the pod is let through although not every binding is healthy.
    DeadlineOver,
    /// At least one binding is still missing in the CLB.
    WaitingForBinding,
    /// Every binding is registered; at least one is not healthy yet.
    WaitingForHealth,
    /// Something a user should mend stands in the way; the message says what.
    Held,
}

impl ConditionReason {
    /// The word in the condition, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "LoadBalancerNetworkGroupReady",
            Self::NotExposed => "NoLoadBalancerSelectsPod",
            Self::DeadlineOver => "GateDeadlineOver",
            Self::WaitingForBinding => "WaitingForBinding",
            Self::WaitingForHealth => "WaitingForHealth",
            Self::Held => "Held",
        }
    }
}

/// The condition as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Status.
    pub status: Status,
    /// Reason.
    pub reason: ConditionReason,
    /// For people: load balancer, listener, target, what was observed, n of m.
    pub message: String,
}

/// The condition as the pod has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `True`, `False`, or anything somebody else wrote.
    pub status: String,
    /// Reason.
    pub reason: String,
    /// Message.
    pub message: String,
    /// When the status last flipped.
    pub last_transition: Option<Timestamp>,
}

impl Observed {
    /// Whether the condition says True, by whomever it was written.
    pub fn is_true(&self) -> bool {
        self.status == Status::True.as_str()
    }

    /// Whether writing `wanted` would change nothing.
    pub fn says(&self, wanted: &Condition) -> bool {
        self.status == wanted.status.as_str()
            && self.reason == wanted.reason.as_str()
            && self.message == wanted.message
    }

    /// The transition time that belongs with `wanted`: it moves only when the status flips.
    pub fn transition(&self, wanted: &Condition, now: Timestamp) -> Timestamp {
        match self.last_transition {
            Some(since) if self.status == wanted.status.as_str() => since,
            _ => now,
        }
    }
}
