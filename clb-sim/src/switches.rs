//! Quotas and undocumented behaviours on the command line.

use clap::{Args, ValueEnum};
use clb_sim::{Behaviour, OnAbsent, OnReregister, Quotas, Visible};

/// How much there may be; `PUT /_sim/quotas` changes it at run time.
#[derive(Args)]
#[command(next_help_heading = "Quotas")]
#[expect(clippy::struct_field_names, reason = "the names of the flags")]
pub(crate) struct QuotaArgs {
    /// Public load balancers
    #[arg(long, default_value_t = Quotas::default().open_load_balancers)]
    open_clb_quota: usize,
    /// Internal load balancers
    #[arg(long, default_value_t = Quotas::default().internal_load_balancers)]
    internal_clb_quota: usize,
    /// Listeners per load balancer
    #[arg(long, default_value_t = Quotas::default().listeners)]
    listener_quota: usize,
    /// Rules per listener
    #[arg(long, default_value_t = Quotas::default().rules)]
    rule_quota: usize,
    /// Targets per listener or rule
    #[arg(long, default_value_t = Quotas::default().targets)]
    target_quota: usize,
}

impl From<QuotaArgs> for Quotas {
    fn from(args: QuotaArgs) -> Self {
        Self {
            open_load_balancers: args.open_clb_quota,
            internal_load_balancers: args.internal_clb_quota,
            listeners: args.listener_quota,
            rules: args.rule_quota,
            targets: args.target_quota,
        }
    }
}

/// What the simulator does where the API's documentation is silent.
#[derive(Args)]
#[command(next_help_heading = "Where the documentation is silent")]
#[expect(clippy::struct_excessive_bools, reason = "independent flags")]
pub(crate) struct BehaviourArgs {
    /// Registering a target that is bound already
    #[arg(long, value_enum, default_value_t = Reregister::Overwrite)]
    on_reregister: Reregister,
    /// Deregistering a target that is not bound
    #[arg(long, value_enum, default_value_t = Absent::Ok)]
    on_absent_deregister: Absent,
    /// When the effect of a write can be read
    #[arg(long, value_enum, default_value_t = Seen::AfterTask)]
    bind_visible: Seen,
    /// Do not keep the tags of targets
    #[arg(long)]
    ignore_tags: bool,
    /// Answer `CreateLoadBalancer` without ids until they are ready
    #[arg(long)]
    create_without_ids: bool,
    /// Give new load balancers a domain instead of a VIP
    #[arg(long)]
    domain_for_vip: bool,
    /// Refuse certificate ids that nobody uploaded
    #[arg(long)]
    check_certificates: bool,
    /// `DescribeTaskStatus` does not know batch calls
    #[arg(long)]
    batch_without_task: bool,
    /// Traffic of load balancers with targets, in Mbps; above 10, deleting needs `ForceDelete`
    #[arg(long, default_value_t = 0)]
    traffic_mbps: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Reregister {
    /// Succeeds and overwrites weight and tag
    Overwrite,
    /// Is refused as `InvalidParameterValue.Duplicate`
    Duplicate,
    /// Succeeds and changes nothing
    Keep,
}

#[derive(Clone, Copy, ValueEnum)]
enum Absent {
    /// Succeeds
    Ok,
    /// Is refused as `InvalidParameterValue`
    Error,
}

#[derive(Clone, Copy, ValueEnum)]
enum Seen {
    /// When it is accepted
    AtOnce,
    /// When its task is done
    AfterTask,
}

impl From<BehaviourArgs> for Behaviour {
    fn from(args: BehaviourArgs) -> Self {
        Self {
            on_reregister: match args.on_reregister {
                Reregister::Overwrite => OnReregister::Overwrite,
                Reregister::Duplicate => OnReregister::Duplicate,
                Reregister::Keep => OnReregister::Keep,
            },
            on_absent_deregister: match args.on_absent_deregister {
                Absent::Ok => OnAbsent::Ok,
                Absent::Error => OnAbsent::Error,
            },
            bind_visible: match args.bind_visible {
                Seen::AtOnce => Visible::AtOnce,
                Seen::AfterTask => Visible::AfterTask,
            },
            ignore_tags: args.ignore_tags,
            create_without_ids: args.create_without_ids,
            domain_for_vip: args.domain_for_vip,
            check_certificates: args.check_certificates,
            batch_without_task: args.batch_without_task,
            traffic_mbps: args.traffic_mbps,
        }
    }
}
