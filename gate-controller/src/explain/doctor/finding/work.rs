//! What can be wrong with what clb-gate works with and for: the CLB API, load balancers, objects and pods.

use super::{NAMED, listed};

/// What is wrong with what it works with and for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// There are no credentials, or they are refused.
    Credentials(String),
    /// The region is unknown or wrong.
    Region(String),
    /// The CLB API cannot be reached, or refused.
    ClbApi(String),
    /// Load balancers that do not exist, cannot be used or cannot be read.
    LoadBalancers(Vec<String>),
    /// Quotas are used up, or soon will be.
    Quotas(Vec<String>),
    /// Services and Ingresses that somebody must mend.
    Objects(Vec<String>),
    /// Services that select no pod.
    SelectNothing(Vec<String>),
    /// Exposed pods without the gate.
    Ungated(usize, Vec<String>),
    /// Exposed pods that the CLB cannot reach.
    Unreachable(usize, Vec<String>),
    /// Gates that do not open: how many, and why.
    Stuck(usize, Vec<String>),
}

impl Work {
    /// Its name, which does not change.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Credentials(_) => "credentials",
            Self::Region(_) => "region",
            Self::ClbApi(_) => "clbApi",
            Self::LoadBalancers(_) => "loadBalancers",
            Self::Quotas(_) => "quotas",
            Self::Objects(_) => "objects",
            Self::SelectNothing(_) => "selectNothing",
            Self::Ungated(..) => "ungated",
            Self::Unreachable(..) => "unreachable",
            Self::Stuck(..) => "stuck",
        }
    }

    /// What it is, and why.
    pub fn says(&self) -> String {
        match self {
            Self::Credentials(what) | Self::Region(what) | Self::ClbApi(what) => what.clone(),
            Self::LoadBalancers(problems)
            | Self::Quotas(problems)
            | Self::Objects(problems)
            | Self::SelectNothing(problems) => listed(problems),
            Self::Ungated(count, names) => format!(
                "{} behind direct-access objects without the gate: {}",
                plural(*count, "pod"),
                named(*count, names)
            ),
            Self::Unreachable(count, names) => format!(
                "{} that the CLB cannot reach: {}",
                plural(*count, "exposed pod"),
                named(*count, names)
            ),
            Self::Stuck(count, reasons) => format!(
                "{} for the gate for longer than a health check takes: {}",
                if *count == 1 {
                    "1 pod waits".to_owned()
                } else {
                    format!("{count} pods wait")
                },
                listed(reasons)
            ),
        }
    }

    /// What to do about it.
    pub const fn cure(&self) -> &'static str {
        match self {
            Self::Credentials(_) => {
                "correct Secret clb-gate-credentials, or what gives the pod its identity; docs/cam has the least policy"
            }
            Self::Region(_) => {
                "set the key region in ConfigMap clb-gate-settings, e.g. ap-guangzhou"
            }
            Self::ClbApi(_) => {
                "see whether the endpoint can be reached from here and the setting endpoint is right"
            }
            Self::LoadBalancers(_) => {
                "name load balancers that exist in this region and VPC, or correct the settings region and vpcId"
            }
            Self::Quotas(_) => {
                "have the quota raised by Tencent Cloud, spread the pods over more listeners, or scale in"
            }
            Self::Objects(_) => "clb-gate explain service NAME (or ingress NAME) says more",
            Self::SelectNothing(_) => {
                "let them select labels that the pod templates have, or scale the workload up"
            }
            Self::Ungated(..) => {
                "kubectl rollout restart their workloads: the pods that come instead have the gate"
            }
            Self::Unreachable(..) => "clb-gate explain pod NAME says what each needs",
            Self::Stuck(..) => "clb-gate explain pod NAME says what to do",
        }
    }
}

fn named(count: usize, names: &[String]) -> String {
    let shown: Vec<_> = names.iter().take(NAMED).map(String::as_str).collect();
    let more = count.saturating_sub(shown.len());
    let more = (more > 0).then(|| format!(" and {more} more"));
    format!("{}{}", shown.join(", "), more.unwrap_or_default())
}

fn plural(count: usize, thing: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{s}")
}
