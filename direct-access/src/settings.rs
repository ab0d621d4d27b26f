//! The settings: ConfigMap `clb-gate-settings`, parsed once into types.
//!
//! Webhook and controller watch the same object and parse it here, so they judge alike.

use std::collections::BTreeMap;

use crate::drain::Drains;
use crate::network::{ClusterFacts, Conclusion, Mode, conclude};

/// How much of Tencent's CLB the controller may own, from least to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manage {
    /// Bind pods into listeners that exist.
    Backends,
    /// Create and delete listeners too.
    #[default]
    Listeners,
    /// Create and delete load balancers too.
    LoadBalancers,
}

/// Which objects are ours beside TKE's own controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ownership {
    /// Every direct-access object: no other controller serves them.
    #[default]
    All,
    /// Only objects that carry `service.cloud.tencent.com/mode: skip`; TKE's controller keeps the rest.
    SkippedByTke,
}

/// What the API server does when the webhook does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Create the pod without the gate; the controller reports it.
    #[default]
    Ignore,
    /// Refuse to create the pod: none is ever without its gate, and while no webhook answers no pod can
    /// be created outside of the namespaces that the registration spares.
    Fail,
}

impl FailurePolicy {
    /// As Kubernetes and the settings write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::Fail => "Fail",
        }
    }
}

/// How the pods get addresses that the CLB can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// Concluded from what the cluster shows.
    #[default]
    Auto,
    /// This one, whatever the cluster shows.
    Named(Mode),
}

/// The parsed settings. Absent keys have their default; a key that cannot be read keeps its default
/// and is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `manage`: backends, listeners or loadbalancers.
    pub manage: Manage,
    /// `objects`: all, or tke-skipped.
    pub ownership: Ownership,
    /// `network`: auto, or a mode's name.
    pub network: Network,
    /// What [`Self::network`] and the cluster's facts conclude. No key of its own: set by
    /// [`Self::conclude`], so that whoever has the settings judges pods alike.
    pub conclusion: Conclusion,
    /// What of the cluster bears on drains; set beside it.
    pub drains: Drains,
    /// `failurePolicy`: Ignore or Fail.
    pub failure_policy: FailurePolicy,
    /// `endpoint`: the CLB API's address with its scheme; absent means Tencent's public one.
    pub endpoint: Option<String>,
    /// `region`: absent means the environment's or TKE's own.
    pub region: Option<String>,
    /// `vpcId`: absent means TKE's own.
    pub vpc_id: Option<String>,
}

/// A setting that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ConfigMap clb-gate-settings, key {key}: {value:?} is not accepted; {accepted}")]
pub struct SettingsProblem {
    /// The key.
    pub key: String,
    /// What was read.
    pub value: String,
    /// What would be accepted.
    pub accepted: &'static str,
}

impl Settings {
    /// Reads the ConfigMap's data. Never fails: what cannot be read keeps its default and is returned
    /// as a problem for the log, the metric and the Event.
    pub fn parse(data: &BTreeMap<String, String>) -> (Self, Vec<SettingsProblem>) {
        let mut settings = Self::default();
        let problems = data
            .iter()
            .filter_map(|(key, value)| settings.set(key, value.trim()).err())
            .collect();
        settings.conclude(&ClusterFacts::default());
        (settings, problems)
    }

    /// Concludes anew what the cluster shows: its network mode, and what bears on drains.
    pub fn conclude(&mut self, facts: &ClusterFacts) {
        self.conclusion = conclude(self.network, facts);
        self.drains = Drains::of(facts);
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), SettingsProblem> {
        let refuse = |accepted| SettingsProblem {
            key: key.to_owned(),
            value: value.to_owned(),
            accepted,
        };
        let text = || (!value.is_empty()).then(|| value.to_owned());
        match key {
            "manage" => self.manage = manage(value).map_err(refuse)?,
            "objects" => self.ownership = ownership(value).map_err(refuse)?,
            "network" => self.network = network(value).map_err(refuse)?,
            "failurePolicy" => self.failure_policy = failure_policy(value).map_err(refuse)?,
            "endpoint" => self.endpoint = text(),
            "region" => self.region = text(),
            "vpcId" => self.vpc_id = text(),
            _ => {
                return Err(refuse(
                    "the keys are manage, objects, network, failurePolicy, endpoint, region and vpcId",
                ));
            }
        }
        Ok(())
    }
}

fn manage(value: &str) -> Result<Manage, &'static str> {
    match value {
        "backends" => Ok(Manage::Backends),
        "listeners" => Ok(Manage::Listeners),
        "loadbalancers" => Ok(Manage::LoadBalancers),
        _ => Err("accepted are backends, listeners and loadbalancers"),
    }
}

fn ownership(value: &str) -> Result<Ownership, &'static str> {
    match value {
        "all" => Ok(Ownership::All),
        "tke-skipped" => Ok(Ownership::SkippedByTke),
        _ => Err("accepted are all and tke-skipped"),
    }
}

fn network(value: &str) -> Result<Network, &'static str> {
    if value == "auto" {
        return Ok(Network::Auto);
    }
    let named = Mode::ALL.into_iter().find(|mode| mode.as_str() == value);
    named
        .map(Network::Named)
        .ok_or("accepted are auto, vpc-cni, mixed, global-router, serverless and routable")
}

fn failure_policy(value: &str) -> Result<FailurePolicy, &'static str> {
    match value {
        "Ignore" => Ok(FailurePolicy::Ignore),
        "Fail" => Ok(FailurePolicy::Fail),
        _ => Err("accepted are Ignore and Fail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> (Settings, Vec<SettingsProblem>) {
        let data = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Settings::parse(&data)
    }

    #[test]
    fn absent_keys_have_defaults() {
        assert_eq!(parse(&[]), (Settings::default(), vec![]));
    }

    #[test]
    fn every_key_is_read() {
        let (settings, problems) = parse(&[
            ("manage", "backends"),
            ("objects", "tke-skipped"),
            ("network", "routable"),
            ("failurePolicy", "Fail"),
            ("endpoint", "http://127.0.0.1:1"),
            ("region", "ap-guangzhou"),
            ("vpcId", "vpc-1"),
        ]);
        assert!(problems.is_empty());
        assert_eq!(settings.manage, Manage::Backends);
        assert_eq!(settings.ownership, Ownership::SkippedByTke);
        assert_eq!(settings.network, Network::Named(Mode::Routable));
        assert_eq!(settings.failure_policy, FailurePolicy::Fail);
        assert_eq!(settings.endpoint.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(settings.region.as_deref(), Some("ap-guangzhou"));
        assert_eq!(settings.vpc_id.as_deref(), Some("vpc-1"));
    }

    #[test]
    fn levels_include_each_other() {
        assert_eq!(manage("loadbalancers"), Ok(Manage::LoadBalancers));
        assert!(Manage::Backends < Manage::Listeners && Manage::Listeners < Manage::LoadBalancers);
    }

    #[test]
    fn a_bad_value_keeps_the_default_and_is_named() {
        let (settings, problems) = parse(&[("manage", "everything"), ("region", "ap-tokyo")]);
        assert_eq!(settings.manage, Manage::Listeners);
        assert_eq!(settings.region.as_deref(), Some("ap-tokyo"));
        let text = problems[0].to_string();
        assert!(
            text.contains("manage") && text.contains("everything") && text.contains("backends")
        );
    }

    #[test]
    fn a_bad_failure_policy_is_the_harmless_one() {
        let (settings, problems) = parse(&[("failurePolicy", "fail")]);
        assert_eq!(settings.failure_policy, FailurePolicy::Ignore);
        let text = problems[0].to_string();
        assert!(text.ends_with("accepted are Ignore and Fail"), "{text}");
    }

    #[test]
    fn every_network_mode_has_a_name_and_holds_without_any_fact() {
        for mode in Mode::ALL {
            let (settings, problems) = parse(&[("network", mode.as_str())]);
            assert!(problems.is_empty());
            assert_eq!(settings.network, Network::Named(mode));
            assert_eq!(settings.conclusion.mode, mode);
        }
        assert_eq!(parse(&[("network", "auto")]).0, Settings::default());
    }

    #[test]
    fn a_bad_network_keeps_auto_and_is_told_with_what_is_accepted() {
        let (settings, problems) = parse(&[("network", "VPC-CNI")]);
        assert_eq!(settings.network, Network::Auto);
        let text = problems[0].to_string();
        for mode in Mode::ALL {
            assert!(text.contains(mode.as_str()), "{text}");
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let (_, problems) = parse(&[("mange", "backends")]);
        assert_eq!(problems[0].key, "mange");
    }
}
