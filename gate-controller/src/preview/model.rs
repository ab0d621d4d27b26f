//! What a preview says. Its JSON is stable: fields are only added.

use std::collections::BTreeMap;

use direct_access::listener::ListenerParameters;
use serde::Serialize;

/// What would be done, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// The cluster's identity: the UID of its kube-system namespace.
    pub cluster: String,
    /// The region looked at.
    pub region: String,
    /// The CLB API's endpoint.
    pub endpoint: String,
    /// The level it is a preview of: backends, listeners or loadbalancers.
    pub manage: &'static str,
    /// What to know about this preview.
    pub notes: Vec<String>,
    /// Everything that is asked for and everything written to before, by load balancer.
    pub load_balancers: Vec<LoadBalancer>,
    /// What a person must mend on Services or settings.
    pub problems: Vec<Told>,
    /// Services that could be meant and are left alone.
    pub not_ours: Vec<NotOurs>,
    /// The numbers, and what follows.
    pub summary: Summary,
}

/// What would be done on one load balancer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// Its id; none where it would be created.
    pub id: Option<String>,
    /// Its name in Tencent's console.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its VIP or domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The Service, or `Ingress namespace/name`, that it was or would be made for, where clb-gate makes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_for: Option<String>,
    /// The Services with listeners on it.
    pub services: Vec<String>,
    /// Why it could not be read: what would be done on it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// Why nothing can be done on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Whether the safety brake would ask for a second, fresh read of the cluster before anything is
    /// taken away.
    pub confirmed_first: bool,
    /// What would be done, in this order.
    pub changes: Vec<Change>,
    /// What waits for a person.
    pub held: Vec<Held>,
    /// What will go wrong soon if nothing is done.
    pub warnings: Vec<Held>,
    /// What is ours, not wanted, and stays nevertheless.
    pub kept: Vec<Kept>,
    /// What is there of ours.
    pub ours: Count,
    /// What is there of others: never touched.
    pub foreign: Count,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// Listeners.
    pub listeners: usize,
    /// Targets, on whoever's listeners.
    pub targets: usize,
}

/// Something that would be done.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What.
    pub action: Action,
    /// The listener's protocol and port, as `TCP:80`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The listener's id; none where it would be created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The rule's host and path, at layer 7.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The Service it is done for, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The target, as `address:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The target's pod, as `namespace/name`; none where it is not known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<String>,
    /// The target's weight before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_before: Option<u8>,
    /// The target's weight afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u8>,
    /// What a listener or rule would be created with, where what is absent has the CLB's default, or
    /// changed to, where it stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<ListenerParameters>,
    /// Why.
    pub reason: String,
}

/// What would be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Create a load balancer.
    CreateLoadBalancer,
    /// Write to the Service that a load balancer is made for or shown on.
    UpdateService,
    /// Write to the Ingress that a load balancer is made for.
    UpdateIngress,
    /// Change a load balancer in place.
    ModifyLoadBalancer,
    /// Create a listener.
    CreateListener,
    /// Create a rule of a listener.
    CreateRule,
    /// Change how a listener is set up.
    ModifyListener,
    /// Change how a rule is set up.
    ModifyRule,
    /// Bind a target.
    #[default]
    Register,
    /// Give a target another weight.
    Weigh,
    /// Give a target weight 0, so that it gets no new connections.
    Drain,
    /// Take a target away.
    Deregister,
    /// Delete a rule.
    DeleteRule,
    /// Delete a listener.
    DeleteListener,
    /// Delete a load balancer.
    DeleteLoadBalancer,
}

/// What waits for a person, or soon will.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Where, as `TCP:80`; none where it is about the whole load balancer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The Service that asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Why, and what to do.
    pub reason: String,
}

/// Targets or a listener of ours that stay although nothing asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Where, as `TCP:80`.
    pub slot: String,
    /// The target, or none where it is the listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Why.
    pub reason: String,
}

/// What a person must mend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The Service; none where it is about the settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What is wrong, with the field, what was read and what is accepted.
    pub problem: String,
}

/// A Service that could be meant and is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotOurs {
    /// The Service.
    pub service: String,
    /// The reason's name, as in metrics.
    pub reason: &'static str,
    /// The same in words.
    pub why: String,
}

/// The numbers, and what follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// What follows.
    pub verdict: Verdict,
    /// Load balancers looked at.
    pub load_balancers: usize,
    /// How many changes of each kind.
    pub changes: BTreeMap<Action, usize>,
    /// How much waits for a person.
    pub held: usize,
    /// How much a person must mend: on Services, settings and load balancers.
    pub problems: usize,
    /// Warnings.
    pub warnings: usize,
    /// Load balancers that could not be read.
    pub unknown: usize,
}

/// What follows, from good to bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Everything is as it should be.
    #[default]
    Nothing,
    /// Something would be done.
    Changes,
    /// Something is held or wrong, whatever else would be done.
    Held,
    /// Something could not be found out.
    Unknown,
}

impl Verdict {
    /// The exit code for scripts.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Unknown => 1,
            Self::Changes => 2,
            Self::Held => 3,
        }
    }
}

impl Summary {
    /// Counts what a preview says.
    pub(super) fn of(preview: &Preview) -> Self {
        let all = &preview.load_balancers;
        let mut changes = BTreeMap::new();
        for change in all.iter().flat_map(|one| &one.changes) {
            *changes.entry(change.action).or_default() += 1;
        }
        let problems = all.iter().filter(|one| one.problem.is_some()).count();
        let mut summary = Self {
            verdict: Verdict::default(),
            load_balancers: all.len(),
            changes,
            held: all.iter().map(|one| one.held.len()).sum(),
            problems: problems + preview.problems.len(),
            warnings: all.iter().map(|one| one.warnings.len()).sum(),
            unknown: all.iter().filter(|one| one.unknown.is_some()).count(),
        };
        summary.verdict = summary.judge();
        summary
    }

    fn judge(&self) -> Verdict {
        if self.unknown > 0 {
            return Verdict::Unknown;
        }
        if self.held + self.problems > 0 {
            return Verdict::Held;
        }
        if self.changes.is_empty() {
            return Verdict::Nothing;
        }
        Verdict::Changes
    }
}

impl Preview {
    /// As JSON, for programs.
    pub fn json(&self) -> String {
        // Maps with keys that are no strings would fail; there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // As in JSON: a unit variant is a string there.
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => f.write_str(&name),
            _ => Err(std::fmt::Error),
        }
    }
}
