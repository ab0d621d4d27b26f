//! The API's actions this client knows, in one table: what each does and at which level it is needed.
//! An action can be made here only, so none is without its row, and the access policies in `docs/cam`
//! are held to the table by a test.

use crate::Access;

/// How much of the load balancers a program manages. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It binds targets to listeners that exist.
    Backends,
    /// It makes listeners and rules too.
    Listeners,
    /// It makes load balancers too.
    LoadBalancers,
}

impl Level {
    /// The level's name in settings and file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Backends => "backends",
            Self::Listeners => "listeners",
            Self::LoadBalancers => "loadbalancers",
        }
    }
}

/// One action of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Action {
    /// Its name, as `DescribeTargets`; `clb:DescribeTargets` in an access policy.
    pub name: &'static str,
    /// Whether it changes anything.
    pub access: Access,
    /// The lowest level that needs it; `None` for one that no level needs, because another does the
    /// same better.
    pub level: Option<Level>,
}

/// All actions this client knows, by name.
pub fn actions() -> &'static [Action] {
    ALL
}

macro_rules! actions {
    ($($constant:ident = $name:literal, $access:ident, $level:expr;)*) => {
        $(
            pub(crate) const $constant: Action = Action {
                name: $name,
                access: Access::$access,
                level: $level,
            };
        )*
        const ALL: &[Action] = &[$($constant),*];
    };
}

actions! {
    BATCH_DEREGISTER_TARGETS = "BatchDeregisterTargets", Write, Some(Level::Backends);
    BATCH_MODIFY_TARGET_TAG = "BatchModifyTargetTag", Write, Some(Level::Backends);
    BATCH_MODIFY_TARGET_WEIGHT = "BatchModifyTargetWeight", Write, Some(Level::Backends);
    BATCH_REGISTER_TARGETS = "BatchRegisterTargets", Write, Some(Level::Backends);
    CREATE_LISTENER = "CreateListener", Write, Some(Level::Listeners);
    CREATE_LOAD_BALANCER = "CreateLoadBalancer", Write, Some(Level::LoadBalancers);
    CREATE_RULE = "CreateRule", Write, Some(Level::Listeners);
    DELETE_LISTENER = "DeleteListener", Write, Some(Level::Listeners);
    DELETE_LOAD_BALANCER = "DeleteLoadBalancer", Write, Some(Level::LoadBalancers);
    DELETE_LOAD_BALANCER_LISTENERS = "DeleteLoadBalancerListeners", Write, None;
    DELETE_RULE = "DeleteRule", Write, Some(Level::Listeners);
    DEREGISTER_TARGETS = "DeregisterTargets", Write, None;
    DESCRIBE_LISTENERS = "DescribeListeners", Read, Some(Level::Backends);
    DESCRIBE_LOAD_BALANCERS = "DescribeLoadBalancers", Read, Some(Level::Backends);
    DESCRIBE_QUOTA = "DescribeQuota", Read, Some(Level::Backends);
    DESCRIBE_TARGET_HEALTH = "DescribeTargetHealth", Read, Some(Level::Backends);
    DESCRIBE_TARGETS = "DescribeTargets", Read, Some(Level::Backends);
    DESCRIBE_TASK_STATUS = "DescribeTaskStatus", Read, Some(Level::Backends);
    MODIFY_DOMAIN_ATTRIBUTES = "ModifyDomainAttributes", Write, Some(Level::Listeners);
    MODIFY_LISTENER = "ModifyListener", Write, Some(Level::Listeners);
    MODIFY_LOAD_BALANCER_ATTRIBUTES = "ModifyLoadBalancerAttributes", Write, Some(Level::LoadBalancers);
    MODIFY_RULE = "ModifyRule", Write, Some(Level::Listeners);
    MODIFY_TARGET_WEIGHT = "ModifyTargetWeight", Write, None;
    REGISTER_TARGETS = "RegisterTargets", Write, None;
    SET_LOAD_BALANCER_SECURITY_GROUPS = "SetLoadBalancerSecurityGroups", Write, Some(Level::LoadBalancers);
}
