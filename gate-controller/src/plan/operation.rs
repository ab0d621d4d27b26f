//! What can be done to a load balancer, and what waits for a person instead.

use std::fmt;
use std::net::IpAddr;

use direct_access::listener::ListenerParameters;
use direct_access::{Protocol, Slot};

use super::observed::Place;
use crate::desired::RuleKey;

/// Something to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Set these weights; 0 drains.
    Weigh(Vec<Weighted>),
    /// Take these away.
    Deregister(Vec<(Place, Removal)>),
    /// Create listeners that are alike.
    CreateListeners(Box<NewListeners>),
    /// Create rules of one listener.
    CreateRules(String, Vec<NewRule>),
    /// Bind these.
    Register(Vec<Weighted>),
    /// Change how a listener of ours or one of its rules is set up.
    Modify(Box<Modification>),
    /// Delete empty rules of a listener of ours, by rule id.
    DeleteRules(String, Vec<String>),
    /// Delete a listener that is ours and empty.
    DeleteListener(String, Slot),
}

/// Listeners to create, alike but for their ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewListeners {
    /// What they speak.
    pub protocol: Protocol,
    /// Their ports.
    pub ports: Vec<u16>,
    /// How.
    pub parameters: ListenerParameters,
}

/// A rule to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// Host and path.
    pub key: RuleKey,
    /// How, with the certificate that clients are shown over HTTPS.
    pub parameters: ListenerParameters,
    /// It gets the requests for hosts that have no rule.
    pub default: bool,
}

/// A change of a listener or rule that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modification {
    /// The listener's id.
    pub listener: String,
    /// Of which part.
    pub part: Part,
    /// What changes; what is absent stays.
    pub change: ListenerParameters,
}

/// What of a listener is changed at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The listener itself.
    Listener,
    /// One of its rules, by id.
    Rule(String),
    /// The certificate of all rules of a domain; empty for the CLB's own address.
    Domain(String),
    /// This domain gets the requests for hosts that have no rule.
    Default(String),
}

/// A target to register or to weigh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weighted {
    /// Where.
    pub place: Place,
    /// 0 to 100.
    pub weight: u8,
    /// Whose.
    pub pod_uid: String,
}

/// Why a target is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its pod is gone or dead.
    PodGone,
    /// Its pod was drained.
    Drained,
    /// Another pod has its address now.
    AddressReused,
}

/// Why a slot waits for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// A listener of another protocol has the port: there, wanted.
    OtherProtocol(String, Protocol),
    /// There is no listener, and this level may not create one.
    NoListener(Protocol),
    /// Somebody else bound these addresses.
    Foreign(Vec<(IpAddr, u16)>),
    /// The listener or rule has no room for these addresses: the quota, and who waits.
    Quota(usize, Vec<(IpAddr, u16)>),
    /// A rule cannot be made, for the reason given.
    Rule(RuleKey, String),
    /// A rule cannot be made without its certificate, of which the object itself is told.
    Uncertified(RuleKey, String),
    /// The API refused to make or change the listener.
    Refused(String),
    /// The API refused these addresses, for the reason given.
    RefusedTargets(Vec<(IpAddr, u16)>, String),
    /// These addresses of live pods are not wanted here any more, under this rule at layer 7, and serve on
    /// for want of a healthy one that is.
    NoSuccessor(Option<RuleKey>, Vec<(IpAddr, u16)>),
}

impl Operation {
    /// Its name in logs.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Weigh(_) => "weigh",
            Self::Deregister(_) => "deregister",
            Self::CreateListeners(_) => "create_listeners",
            Self::CreateRules(..) => "create_rules",
            Self::Register(_) => "register",
            Self::Modify(_) => "modify",
            Self::DeleteRules(..) => "delete_rules",
            Self::DeleteListener(..) => "delete_listener",
        }
    }

    /// The places it is about.
    pub fn places(&self) -> Vec<&Place> {
        match self {
            Self::Weigh(all) | Self::Register(all) => all.iter().map(|t| &t.place).collect(),
            Self::Deregister(all) => all.iter().map(|(place, _)| place).collect(),
            Self::CreateListeners(_)
            | Self::CreateRules(..)
            | Self::Modify(_)
            | Self::DeleteRules(..)
            | Self::DeleteListener(..) => vec![],
        }
    }

    /// How many things it is about.
    pub fn count(&self) -> usize {
        match self {
            Self::Weigh(all) | Self::Register(all) => all.len(),
            Self::Deregister(all) => all.len(),
            Self::CreateRules(_, all) => all.len(),
            Self::DeleteRules(_, all) => all.len(),
            Self::CreateListeners(new) => new.ports.len(),
            Self::Modify(_) | Self::DeleteListener(..) => 1,
        }
    }

    /// Whether it takes anything out of service.
    pub fn removes(&self) -> bool {
        match self {
            Self::Weigh(all) => all.iter().any(|target| target.weight == 0),
            Self::Deregister(_) | Self::DeleteRules(..) | Self::DeleteListener(..) => true,
            Self::CreateListeners(_)
            | Self::CreateRules(..)
            | Self::Register(_)
            | Self::Modify(_) => false,
        }
    }

    /// Whether a listener or rule goes, with whatever hangs there.
    pub fn deletes(&self) -> bool {
        match self {
            Self::DeleteRules(..) | Self::DeleteListener(..) => true,
            Self::Weigh(_)
            | Self::Deregister(_)
            | Self::CreateListeners(_)
            | Self::CreateRules(..)
            | Self::Register(_)
            | Self::Modify(_) => false,
        }
    }

    /// Whether the listeners or rules are others afterwards.
    pub fn changes_listeners(&self) -> bool {
        match self {
            Self::CreateListeners(_)
            | Self::CreateRules(..)
            | Self::Modify(_)
            | Self::DeleteRules(..)
            | Self::DeleteListener(..) => true,
            Self::Weigh(_) | Self::Deregister(_) | Self::Register(_) => false,
        }
    }
}

impl Modification {
    /// What is changed.
    pub fn place(&self) -> (String, Part) {
        (self.listener.clone(), self.part.clone())
    }
}

impl Held {
    /// Whether it keeps this address from being bound, under this rule at layer 7.
    pub fn covers(&self, address: (IpAddr, u16), rule: Option<&RuleKey>) -> bool {
        match self {
            Self::Rule(key, _) | Self::Uncertified(key, _) => rule == Some(key),
            Self::OtherProtocol(..) | Self::NoListener(_) | Self::Refused(_) => true,
            Self::Foreign(these) | Self::Quota(_, these) | Self::RefusedTargets(these, _) => {
                these.contains(&address)
            }
            // It keeps nobody waiting: it waits for others itself.
            Self::NoSuccessor(..) => false,
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherProtocol(there, wanted) => write!(
                f,
                "a listener of protocol {there} has this port; {wanted} is what is accepted, or choose another port"
            ),
            Self::NoListener(wanted) => write!(
                f,
                "there is no {wanted} listener on this port, and the setting manage: backends may not create one"
            ),
            Self::Foreign(addresses) => write!(
                f,
                "{} was bound by somebody else (no tag of this cluster); deregister it there, and it is bound anew",
                shown(addresses)
            ),
            Self::Quota(limit, waiting) => write!(
                f,
                "the quota of {limit} targets a listener or rule is used up, and {} wait for room; raise the quota \
                 TOTAL_TARGET_BIND_QUOTA with Tencent Cloud, spread the pods over more listeners, or scale in",
                waiting.len()
            ),
            Self::Rule(key, why) | Self::Uncertified(key, why) => {
                write!(f, "rule {key:?}: {why}", key = key.to_string())
            }
            Self::Refused(why) => f.write_str(why),
            Self::RefusedTargets(addresses, why) => write!(f, "{}: {why}", shown(addresses)),
            Self::NoSuccessor(_, addresses) => write!(
                f,
                "{} are not selected any more and serve on, because no pod that is selected is bound and healthy here; \
                 see to the new pods, put the selector or port back, or delete the Service or Ingress if nobody shall \
                 serve",
                shown(addresses)
            ),
        }
    }
}

fn shown(addresses: &[(IpAddr, u16)]) -> String {
    let shown: Vec<_> = addresses
        .iter()
        .take(3)
        .map(|(ip, port)| format!("{ip}:{port}"))
        .collect();
    let more = match addresses.len().saturating_sub(shown.len()) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    format!("{}{more}", shown.join(", "))
}
