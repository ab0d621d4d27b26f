//! Which pods a CLB can reach: decided by the cluster's network mode and by what a pod says of itself.
//!
//! A CLB forwards to addresses of the VPC (ENI pods, super nodes) and, where the account is prepared for
//! it, to those of `GlobalRouter`. A pod it cannot reach must get no gate, because it would never open,
//! and is never bound.

mod conclude;
mod pod;
#[cfg(test)]
mod tests;

pub use conclude::{ClusterFacts, Conclusion, Evidence, NodeCounts, NodeFacts, conclude};
pub use pod::{Kind, PodNetwork, Reach, Refusal, Warning};

/// How pods get their addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// TKE with VPC-CNI alone: every pod has an ENI.
    VpcCni,
    /// TKE with `GlobalRouter` and VPC-CNI beside it: the pod's annotation asks for an ENI.
    Mixed,
    /// TKE with `GlobalRouter` alone.
    GlobalRouter,
    /// TKE Serverless, or super nodes only: every pod is direct, and where the setting names it so is every
    /// Service that does not say otherwise.
    Serverless,
    /// Every pod address is routable from the CLB: self-managed Kubernetes in the VPC.
    #[default]
    Routable,
}

impl Mode {
    /// All of them, as the settings name them.
    pub const ALL: [Self; 5] = [
        Self::VpcCni,
        Self::Mixed,
        Self::GlobalRouter,
        Self::Serverless,
        Self::Routable,
    ];

    /// As the setting `network` writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VpcCni => "vpc-cni",
            Self::Mixed => "mixed",
            Self::GlobalRouter => "global-router",
            Self::Serverless => "serverless",
            Self::Routable => "routable",
        }
    }
}
