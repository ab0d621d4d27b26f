//! What the operator chooses: quotas, delays, and how the simulator behaves where the API's
//! documentation is silent.

use serde::{Deserialize, Serialize};

/// How long things take, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// Every call, there and back. A write keeps its load balancer busy meanwhile.
    pub call_ms: u32,
    /// Reads, in addition.
    pub read_ms: u32,
    /// Writes, in addition.
    pub write_ms: u32,
    /// What an accepted write takes, in addition: its task, or the rest of a batch call.
    pub task_ms: u32,
}

/// How much there may be. The defaults are those of a new account (documentation of CLB quotas).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Public load balancers.
    pub open_load_balancers: usize,
    /// Internal load balancers.
    pub internal_load_balancers: usize,
    /// Listeners per load balancer.
    pub listeners: usize,
    /// Rules per listener.
    pub rules: usize,
    /// Targets per listener or rule.
    pub targets: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            open_load_balancers: 100,
            internal_load_balancers: 100,
            listeners: 50,
            rules: 50,
            targets: 200,
        }
    }
}

/// How the simulator behaves where the documentation does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct Behaviour {
    /// A target is registered that is bound already.
    pub on_reregister: OnReregister,
    /// A target is deregistered that is not bound.
    pub on_absent_deregister: OnAbsent,
    /// When a write can be seen.
    pub bind_visible: Visible,
    /// The tags of targets are not kept.
    pub ignore_tags: bool,
    /// `CreateLoadBalancer` answers without ids; they are found by tag or by the task.
    pub create_without_ids: bool,
    /// New load balancers give out a domain and no VIP.
    pub domain_for_vip: bool,
    /// The traffic of every load balancer with targets, in Mbps: above 10 it is not deleted
    /// without `ForceDelete`.
    pub traffic_mbps: u32,
    /// A certificate that nobody uploaded, or that cannot be used, is refused where it is named.
    /// Without, it is accepted, and handshakes that need it fail.
    pub check_certificates: bool,
    /// `DescribeTaskStatus` does not know the request ids of batch calls.
    pub batch_without_task: bool,
}

/// What comes of registering a target that is bound already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnReregister {
    /// It succeeds; weight and tag are overwritten.
    #[default]
    Overwrite,
    /// It is refused as `InvalidParameterValue.Duplicate`.
    Duplicate,
    /// It succeeds, and the target stays as it was.
    Keep,
}

/// What comes of deregistering a target that is not bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnAbsent {
    /// It succeeds.
    #[default]
    Ok,
    /// It is refused as `InvalidParameterValue`.
    Error,
}

/// When the effect of a write can be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visible {
    /// When its task is done.
    #[default]
    AfterTask,
    /// When it is accepted; the load balancer stays busy until the task is done.
    AtOnce,
}
